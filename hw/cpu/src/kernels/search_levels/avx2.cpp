// SPDX-License-Identifier: Apache-2.0

#if defined(__x86_64__)

#include "kernels/search_levels/search_levels.hpp"

// Last: what follows is compiled for the instruction set.
#include "kernels/avx2.hpp"

namespace andpop {

static_assert(tile_of(kSearchLevels, search_levels_avx2).lanes % 8 == 0);

void search_levels_avx2(const SearchLevels& a) noexcept {
  const int size = 1 << a.bits;
  const __m256i lane =
      _mm256_mullo_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_set1_epi32(size));
  for (std::int64_t p = 0; p < a.pixels; ++p) {
    // The last vector of a pixel may run over into the next pixel, which is written later.
    for (std::int64_t c = 0; c < a.channels; c += 8) {
      const __m256i x = load(a.in + p * a.channels + c);
      const std::int32_t* thresholds = a.thresholds + c * size;
      __m256i reached = lane;
      for (int half = size / 2; half > 0; half /= 2) {
        const __m256i t = _mm256_i32gather_epi32(thresholds + half - 1, reached, 4);
        const __m256i below = _mm256_cmpgt_epi32(t, x);
        reached = _mm256_add_epi32(reached, _mm256_andnot_si256(below, _mm256_set1_epi32(half)));
      }
      const auto* codes = reinterpret_cast<const int*>(a.codes + c * size);
      store_bytes(a.out + p * a.channels + c, _mm256_i32gather_epi32(codes, reached, 1));
    }
  }
}

}  // namespace andpop

#endif
