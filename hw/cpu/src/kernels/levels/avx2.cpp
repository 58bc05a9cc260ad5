// SPDX-License-Identifier: Apache-2.0

#if defined(__x86_64__)

#include "kernels/levels/levels.hpp"

// Last: what follows is compiled for the instruction set.
#include "kernels/avx2.hpp"

namespace andpop {

static_assert(tile_of(kLevels, levels_avx2).lanes % 32 == 0);

void levels_avx2(const Levels& a) noexcept {
  for (std::int64_t p = 0; p < a.pixels; ++p) {
    // The last vector of a pixel may run over into the next pixel, which is written later.
    for (std::int64_t c = 0; c < a.channels; c += 32) {
      const __m256i x = load(a.in + p * a.channels + c);
      __m256i level = load(a.base + c);
      for (std::int64_t i = 0; i < a.count; ++i) {
        const __m256i above = _mm256_cmpgt_epi8(x, load(a.bounds + i * a.lanes + c));
        level = _mm256_add_epi8(level, _mm256_and_si256(above, load(a.steps + i * a.lanes + c)));
      }
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(a.out + p * a.channels + c), level);
    }
  }
}

}  // namespace andpop

#endif
