// SPDX-License-Identifier: Apache-2.0

#if defined(__x86_64__)

#include "kernels/acc_levels/acc_levels.hpp"

// Last: what follows is compiled for the instruction set.
#include "kernels/avx512.hpp"

namespace andpop {

static_assert(tile_of(kAccLevels, acc_levels_avx512).lanes % 16 == 0);

void acc_levels_avx512(const AccLevels& a) noexcept {
  for (std::int64_t p = 0; p < a.pixels; ++p) {
    // The last vector of a pixel may run over into the next pixel, which is written later.
    for (std::int64_t c = 0; c < a.channels; c += 16) {
      const __m512i x = _mm512_loadu_si512(a.in + p * a.channels + c);
      __m512i level = _mm512_loadu_si512(a.base + c);
      for (std::int64_t i = 0; i < a.count; ++i) {
        const __mmask16 above =
            _mm512_cmpgt_epi32_mask(x, _mm512_loadu_si512(a.bounds + i * a.lanes + c));
        level = _mm512_mask_add_epi32(level, above, level,
                                      _mm512_loadu_si512(a.steps + i * a.lanes + c));
      }
      _mm_storeu_si128(reinterpret_cast<__m128i*>(a.out + p * a.channels + c),
                       _mm512_cvtepi32_epi8(level));
    }
  }
}

}  // namespace andpop

#endif
