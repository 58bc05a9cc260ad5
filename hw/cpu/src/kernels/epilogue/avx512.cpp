// SPDX-License-Identifier: Apache-2.0

#if defined(__x86_64__)

#include "kernels/epilogue/epilogue.hpp"

// Last: what follows is compiled for the instruction set.
#include "kernels/avx512.hpp"

namespace andpop {
namespace {

static_assert(tile_of(kEpilogue, epilogue_avx512).lanes % 16 == 0);

template <bool kRoundAcc, bool kShortcut>
void epilogue_as(const Epilogue& a) noexcept {
  const __m128i acc_shift = _mm_cvtsi32_si128(a.acc_shift);
  const __m128i shortcut_shift = _mm_cvtsi32_si128(a.shortcut_shift);
  const __m128i pre_shift = _mm_cvtsi32_si128(a.pre_shift);
  const __m128i slope_shift = _mm_cvtsi32_si128(a.slope_shift);
  const __m128i out_shift = _mm_cvtsi32_si128(a.out_shift);
  const __m512i acc_half = half(a.acc_shift);
  const __m512i pre_half = half(a.pre_shift);
  const __m512i out_half = half(a.out_shift);
  const __m512i acc_low = _mm512_set1_epi32(a.acc_low);
  const __m512i acc_high = _mm512_set1_epi32(a.acc_high);
  const __m512i pre_low = _mm512_set1_epi32(a.pre_low);
  const __m512i pre_high = _mm512_set1_epi32(a.pre_high);
  for (std::int64_t p = 0; p < a.pixels; ++p) {
    // The last vector of a pixel may run over into the next pixel, which is written later.
    for (std::int64_t c = 0; c < a.channels; c += 16) {
      const std::int64_t i = p * a.channels + c;
      const std::int32_t* row = a.params + c;
      const auto param = [&](int r) { return _mm512_loadu_si512(row + r * a.stride); };
      __m512i acc = _mm512_loadu_si512(a.acc + i);
      if constexpr (kRoundAcc) {
        acc = _mm512_sra_epi32(_mm512_add_epi32(acc, acc_half), acc_shift);
        acc = _mm512_min_epi32(_mm512_max_epi32(acc, acc_low), acc_high);
      }
      __m512i y = _mm512_add_epi32(_mm512_mullo_epi32(acc, param(0)), param(1));
      if constexpr (kShortcut) {
        const __m512i x =
            _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(a.shortcut + i)));
        y = _mm512_add_epi32(y, _mm512_sll_epi32(x, shortcut_shift));
      }
      __m512i t = _mm512_sra_epi32(_mm512_add_epi32(y, pre_half), pre_shift);
      t = _mm512_min_epi32(_mm512_max_epi32(t, pre_low), pre_high);
      const __m512i u = _mm512_sub_epi32(t, param(2));
      const __m512i sloped = _mm512_sra_epi32(_mm512_mullo_epi32(u, param(3)), slope_shift);
      const __m512i v = _mm512_mask_mov_epi32(u, _mm512_movepi32_mask(u), sloped);
      const __m512i out =
          _mm512_sra_epi32(_mm512_add_epi32(_mm512_add_epi32(v, param(4)), out_half), out_shift);
      _mm_storeu_si128(reinterpret_cast<__m128i*>(a.out + i), _mm512_cvtsepi32_epi8(out));
    }
  }
}

}  // namespace

void epilogue_avx512(const Epilogue& a) noexcept {
  if (a.acc_shift != 0) {
    a.shortcut != nullptr ? epilogue_as<true, true>(a) : epilogue_as<true, false>(a);
  } else {
    a.shortcut != nullptr ? epilogue_as<false, true>(a) : epilogue_as<false, false>(a);
  }
}

}  // namespace andpop

#endif
