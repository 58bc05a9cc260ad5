// SPDX-License-Identifier: Apache-2.0

#if defined(__x86_64__)

#include "kernels/search_levels/search_levels.hpp"

// Last: what follows is compiled for the instruction set.
#include "kernels/avx512.hpp"

namespace andpop {

static_assert(tile_of(kSearchLevels, search_levels_avx512).lanes % 16 == 0);

void search_levels_avx512(const SearchLevels& a) noexcept {
  const int size = 1 << a.bits;
  const __m512i lane =
      _mm512_mullo_epi32(_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
                         _mm512_set1_epi32(size));
  for (std::int64_t p = 0; p < a.pixels; ++p) {
    // The last vector of a pixel may run over into the next pixel, which is written later.
    for (std::int64_t c = 0; c < a.channels; c += 16) {
      const __m512i x = _mm512_loadu_si512(a.in + p * a.channels + c);
      const std::int32_t* thresholds = a.thresholds + c * size;
      __m512i reached = lane;
      for (int half = size / 2; half > 0; half /= 2) {
        const __m512i t = _mm512_i32gather_epi32(reached, thresholds + half - 1, 4);
        const __mmask16 above = _mm512_cmpge_epi32_mask(x, t);
        reached = _mm512_mask_add_epi32(reached, above, reached, _mm512_set1_epi32(half));
      }
      const __m512i codes = _mm512_i32gather_epi32(reached, a.codes + c * size, 1);
      _mm_storeu_si128(reinterpret_cast<__m128i*>(a.out + p * a.channels + c),
                       _mm512_cvtepi32_epi8(codes));
    }
  }
}

}  // namespace andpop

#endif
