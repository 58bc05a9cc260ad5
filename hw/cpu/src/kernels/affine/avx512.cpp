// SPDX-License-Identifier: Apache-2.0

#if defined(__x86_64__)

#include "kernels/affine/affine.hpp"

// Last: what follows is compiled for the instruction set.
#include "kernels/avx512.hpp"

namespace andpop {

static_assert(tiles::affine_avx512.lanes % 8 == 0);

void affine_avx512(const Affine& a) noexcept {
  const __m512i low = _mm512_set1_epi64(a.low);
  const __m512i high = _mm512_set1_epi64(a.high);
  const __m128i shift = _mm_cvtsi32_si128(a.shift);
  for (std::int64_t p = 0; p < a.pixels; ++p) {
    // The last vector of a pixel may run over into the next pixel, which is written later.
    for (std::int64_t c = 0; c < a.channels; c += 8) {
      const __m512i x = _mm512_cvtepi32_epi64(
          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(a.in + p * a.channels + c)));
      __m512i y = _mm512_mullo_epi64(x, _mm512_loadu_si512(a.factors + c));
      y = _mm512_add_epi64(y, _mm512_loadu_si512(a.summands + c));
      y = _mm512_sra_epi64(_mm512_min_epi64(_mm512_max_epi64(y, low), high), shift);
      _mm_storel_epi64(reinterpret_cast<__m128i*>(a.out + p * a.channels + c),
                       _mm512_cvtepi64_epi8(y));
    }
  }
}

}  // namespace andpop

#endif
