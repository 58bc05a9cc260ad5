// SPDX-License-Identifier: Apache-2.0

#if defined(__x86_64__)

#include "kernels/requantise/requantise.hpp"

// Last: what follows is compiled for the instruction set.
#include "kernels/avx512.hpp"

namespace andpop {
namespace {

template <bool kShortcut>
void requantise_as(const Requantise& a) noexcept {
  const __m128i shift = _mm_cvtsi32_si128(a.shift);
  const __m128i shortcut_shift = _mm_cvtsi32_si128(a.shortcut_shift);
  const __m512i rounding = half(a.shift);
  // The last vector may run over the end, into the slack.
  for (std::int64_t i = 0; i < a.count; i += 16) {
    __m512i v = _mm512_add_epi32(_mm512_loadu_si512(a.in + i), rounding);
    if constexpr (kShortcut) {
      const __m512i x =
          _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(a.shortcut + i)));
      v = _mm512_add_epi32(v, _mm512_sll_epi32(x, shortcut_shift));
    }
    v = _mm512_sra_epi32(v, shift);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(a.out + i), _mm512_cvtsepi32_epi8(v));
  }
}

}  // namespace

void requantise_avx512(const Requantise& a) noexcept {
  a.shortcut != nullptr ? requantise_as<true>(a) : requantise_as<false>(a);
}

}  // namespace andpop

#endif
