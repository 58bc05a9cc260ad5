// SPDX-License-Identifier: Apache-2.0
// Nibble-table popcounts.

#if defined(__x86_64__)

#include "kernels/bit_gemm/bit_gemm.hpp"

// Last: what follows is compiled for the instruction set.
#include "kernels/avx2.hpp"

namespace andpop {
namespace {

constexpr std::int64_t kLanes = tile_of(kBitGemm, bit_gemm_avx2).lanes;
static_assert(kLanes == 8);

// Bits set in each byte.
inline __m256i byte_counts(__m256i v) noexcept {
  const __m256i table =
      _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
  const __m256i nibble = _mm256_set1_epi8(0x0F);
  const __m256i low = _mm256_shuffle_epi8(table, _mm256_and_si256(v, nibble));
  const __m256i high =
      _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(v, 4), nibble));
  return _mm256_add_epi8(low, high);
}

// P pixels times one block of 8 output channels (two vectors of 4 words).
template <int P>
inline void bit_tile(const BitGemm& a, std::int64_t pixel, std::int64_t block) noexcept {
  constexpr std::int64_t kBytesFull = 31;  // 31 * 8 is the last sum of counts that fits a byte
  const std::uint64_t* window = a.windows + pixel * a.words;
  const std::uint64_t* weights = a.weights + block * a.words * kLanes;
  const __m256i zero = _mm256_setzero_si256();
  __m256i sum[P][2];
  for (int p = 0; p < P; ++p) sum[p][0] = sum[p][1] = zero;
  for (std::int64_t start = 0; start < a.words; start += kBytesFull) {
    const std::int64_t stop = start + kBytesFull < a.words ? start + kBytesFull : a.words;
    __m256i bytes[P][2];
    for (int p = 0; p < P; ++p) bytes[p][0] = bytes[p][1] = zero;
    for (std::int64_t k = start; k < stop; ++k) {
      const __m256i w0 = load(weights + k * kLanes);
      const __m256i w1 = load(weights + k * kLanes + 4);
#pragma GCC unroll 4
      for (int p = 0; p < P; ++p) {
        const __m256i x = _mm256_set1_epi64x(static_cast<long long>(window[p * a.words + k]));
        bytes[p][0] = _mm256_add_epi8(bytes[p][0], byte_counts(_mm256_xor_si256(x, w0)));
        bytes[p][1] = _mm256_add_epi8(bytes[p][1], byte_counts(_mm256_xor_si256(x, w1)));
      }
    }
    for (int p = 0; p < P; ++p)
      for (int h = 0; h < 2; ++h)
        sum[p][h] = _mm256_add_epi64(sum[p][h], _mm256_sad_epu8(bytes[p][h], zero));
  }
  const __m256i inputs = _mm256_set1_epi32(static_cast<int>(a.inputs));
  const __m256i mask = lanes_below(a.channels - block * kLanes);
  const __m256i even = _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6);
  for (int p = 0; p < P; ++p) {
    const __m256i low = _mm256_permutevar8x32_epi32(sum[p][0], even);
    const __m256i high = _mm256_permutevar8x32_epi32(sum[p][1], even);
    const __m256i differing = _mm256_blend_epi32(low, high, 0xF0);
    const __m256i acc = _mm256_sub_epi32(inputs, _mm256_slli_epi32(differing, 1));
    std::int32_t* out = a.out + (pixel + p) * a.channels + block * kLanes;
    _mm256_maskstore_epi32(out, mask, acc);
  }
}

}  // namespace

void bit_gemm_avx2(const BitGemm& a) noexcept {
  const std::int64_t blocks = (a.channels + kLanes - 1) / kLanes;
  for (std::int64_t block = 0; block < blocks; ++block) {
    std::int64_t p = 0;
    for (; p + 2 <= a.pixels; p += 2) bit_tile<2>(a, p, block);
    for (; p < a.pixels; ++p) bit_tile<1>(a, p, block);
  }
}

}  // namespace andpop

#endif
