// SPDX-License-Identifier: Apache-2.0

#if defined(__x86_64__)

#include "kernels/epilogue/epilogue.hpp"

// Last: what follows is compiled for the instruction set.
#include "kernels/avx2.hpp"

namespace andpop {

static_assert(tile_of(kEpilogue, epilogue_avx2).lanes % 8 == 0);

void epilogue_avx2(const Epilogue& a) noexcept {
  const __m128i acc_shift = _mm_cvtsi32_si128(a.acc_shift);
  const __m128i shortcut_shift = _mm_cvtsi32_si128(a.shortcut_shift);
  const __m128i pre_shift = _mm_cvtsi32_si128(a.pre_shift);
  const __m128i slope_shift = _mm_cvtsi32_si128(a.slope_shift);
  const __m128i out_shift = _mm_cvtsi32_si128(a.out_shift);
  const __m256i acc_half = half(a.acc_shift);
  const __m256i pre_half = half(a.pre_shift);
  const __m256i out_half = half(a.out_shift);
  const __m256i acc_low = _mm256_set1_epi32(a.acc_low);
  const __m256i acc_high = _mm256_set1_epi32(a.acc_high);
  const __m256i pre_low = _mm256_set1_epi32(a.pre_low);
  const __m256i pre_high = _mm256_set1_epi32(a.pre_high);
  const __m256i zero = _mm256_setzero_si256();
  for (std::int64_t p = 0; p < a.pixels; ++p) {
    // The last vector of a pixel may run over into the next pixel, which is written later.
    for (std::int64_t c = 0; c < a.channels; c += 8) {
      const std::int64_t i = p * a.channels + c;
      const std::int32_t* row = a.params + c;
      __m256i acc = load(a.acc + i);
      if (a.acc_shift != 0) {
        acc = _mm256_sra_epi32(_mm256_add_epi32(acc, acc_half), acc_shift);
        acc = _mm256_min_epi32(_mm256_max_epi32(acc, acc_low), acc_high);
      }
      __m256i y = _mm256_add_epi32(_mm256_mullo_epi32(acc, load(row)), load(row + a.stride));
      if (a.shortcut != nullptr) {
        const __m256i x =
            _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(a.shortcut + i)));
        y = _mm256_add_epi32(y, _mm256_sll_epi32(x, shortcut_shift));
      }
      __m256i t = _mm256_sra_epi32(_mm256_add_epi32(y, pre_half), pre_shift);
      t = _mm256_min_epi32(_mm256_max_epi32(t, pre_low), pre_high);
      const __m256i u = _mm256_sub_epi32(t, load(row + 2 * a.stride));
      const __m256i sloped =
          _mm256_sra_epi32(_mm256_mullo_epi32(u, load(row + 3 * a.stride)), slope_shift);
      const __m256i v = _mm256_blendv_epi8(u, sloped, _mm256_cmpgt_epi32(zero, u));
      const __m256i out = _mm256_sra_epi32(
          _mm256_add_epi32(_mm256_add_epi32(v, load(row + 4 * a.stride)), out_half), out_shift);
      const __m128i words =
          _mm_packs_epi32(_mm256_castsi256_si128(out), _mm256_extracti128_si256(out, 1));
      _mm_storel_epi64(reinterpret_cast<__m128i*>(a.out + i), _mm_packs_epi16(words, words));
    }
  }
}

}  // namespace andpop

#endif
