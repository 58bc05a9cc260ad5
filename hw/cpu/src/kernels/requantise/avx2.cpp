// SPDX-License-Identifier: Apache-2.0

#if defined(__x86_64__)

#include "kernels/requantise/requantise.hpp"

// Last: what follows is compiled for the instruction set.
#include "kernels/avx2.hpp"

namespace andpop {

void requantise_avx2(const Requantise& a) noexcept {
  const __m128i shift = _mm_cvtsi32_si128(a.shift);
  const __m128i shortcut_shift = _mm_cvtsi32_si128(a.shortcut_shift);
  const __m256i rounding = half(a.shift);
  // The last vector may run over the end, into the slack.
  for (std::int64_t i = 0; i < a.count; i += 8) {
    __m256i v = _mm256_add_epi32(load(a.in + i), rounding);
    if (a.shortcut != nullptr) {
      const __m256i x =
          _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(a.shortcut + i)));
      v = _mm256_add_epi32(v, _mm256_sll_epi32(x, shortcut_shift));
    }
    v = _mm256_sra_epi32(v, shift);
    const __m128i words =
        _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(a.out + i), _mm_packs_epi16(words, words));
  }
}

}  // namespace andpop

#endif
