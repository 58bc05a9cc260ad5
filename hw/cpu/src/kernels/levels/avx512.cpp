// SPDX-License-Identifier: Apache-2.0

#if defined(__x86_64__)

#include "kernels/levels/levels.hpp"

// Last: what follows is compiled for the instruction set.
#include "kernels/avx512.hpp"

namespace andpop {

static_assert(tile_of(kLevels, levels_avx512).lanes % 64 == 0);

void levels_avx512(const Levels& a) noexcept {
  for (std::int64_t p = 0; p < a.pixels; ++p) {
    // The last vector of a pixel may run over into the next pixel, which is written later.
    for (std::int64_t c = 0; c < a.channels; c += 64) {
      const __m512i x = _mm512_loadu_si512(a.in + p * a.channels + c);
      __m512i level = _mm512_loadu_si512(a.base + c);
      for (std::int64_t i = 0; i < a.count; ++i) {
        const __mmask64 above =
            _mm512_cmpgt_epi8_mask(x, _mm512_loadu_si512(a.bounds + i * a.lanes + c));
        level = _mm512_mask_add_epi8(level, above, level,
                                     _mm512_loadu_si512(a.steps + i * a.lanes + c));
      }
      _mm512_storeu_si512(a.out + p * a.channels + c, level);
    }
  }
}

}  // namespace andpop

#endif
