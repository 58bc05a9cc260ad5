// SPDX-License-Identifier: Apache-2.0
// A toy: one vector of 4 output channels, one pixel at a time.

#if defined(__x86_64__)

#include "kernels/bit_gemm/bit_gemm.hpp"

// Last: what follows is compiled for the instruction set.
#include "kernels/avx2.hpp"

namespace andpop {

static_assert(tiles::bit_gemm_avx2_narrow.lanes == 4);

void bit_gemm_avx2_narrow(const BitGemm& a) noexcept {
  const __m256i table =
      _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
  const __m256i nibble = _mm256_set1_epi8(0x0F);
  const __m256i even = _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6);
  const __m128i inputs = _mm_set1_epi32(static_cast<int>(a.inputs));
  for (std::int64_t c = 0; c < a.channels; c += 4) {
    const __m128i mask = _mm256_castsi256_si128(lanes_below(a.channels - c));
    for (std::int64_t p = 0; p < a.pixels; ++p) {
      __m256i sum = _mm256_setzero_si256();
      for (std::int64_t k = 0; k < a.words; ++k) {
        const auto word = static_cast<long long>(a.windows[p * a.words + k]);
        const __m256i v =
            _mm256_xor_si256(_mm256_set1_epi64x(word), load(a.weights + c * a.words + k * 4));
        const __m256i low = _mm256_shuffle_epi8(table, _mm256_and_si256(v, nibble));
        const __m256i high =
            _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(v, 4), nibble));
        sum = _mm256_add_epi64(
            sum, _mm256_sad_epu8(_mm256_add_epi8(low, high), _mm256_setzero_si256()));
      }
      const __m128i differing = _mm256_castsi256_si128(_mm256_permutevar8x32_epi32(sum, even));
      _mm_maskstore_epi32(a.out + p * a.channels + c, mask,
                          _mm_sub_epi32(inputs, _mm_slli_epi32(differing, 1)));
    }
  }
}

}  // namespace andpop

#endif
