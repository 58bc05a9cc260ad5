// SPDX-License-Identifier: Apache-2.0
// VPOPCNTDQ: one instruction counts the bits of eight words.

#if defined(__x86_64__)

#include "kernels/bit_gemm/bit_gemm.hpp"

// Last: what follows is compiled for the instruction set.
#include "kernels/avx512.hpp"

namespace andpop {
namespace {

constexpr std::int64_t kLanes = tile_of(kBitGemm, bit_gemm_avx512).lanes;
static_assert(kLanes == 8);

// P pixels times Q blocks of 8 output channels, all accumulators in registers.
template <int P, int Q>
inline void bit_tile(const BitGemm& a, std::int64_t pixel, std::int64_t block) noexcept {
  const std::uint64_t* window = a.windows + pixel * a.words;
  const std::uint64_t* weights = a.weights + block * a.words * kLanes;
  __m512i sum[P][Q];
  for (int p = 0; p < P; ++p)
    for (int q = 0; q < Q; ++q) sum[p][q] = _mm512_setzero_si512();
  for (std::int64_t k = 0; k < a.words; ++k) {
    __m512i w[Q];
    for (int q = 0; q < Q; ++q) w[q] = _mm512_loadu_si512(weights + (q * a.words + k) * kLanes);
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p) {
      const __m512i x = _mm512_set1_epi64(static_cast<long long>(window[p * a.words + k]));
#pragma GCC unroll 8
      for (int q = 0; q < Q; ++q)
        sum[p][q] = _mm512_add_epi64(sum[p][q], _mm512_popcnt_epi64(_mm512_xor_si512(x, w[q])));
    }
  }
  const __m256i inputs = _mm256_set1_epi32(static_cast<int>(a.inputs));
  for (int q = 0; q < Q; ++q) {
    const std::int64_t channel = (block + q) * kLanes;
    const std::int64_t left = a.channels - channel;
    const __mmask8 mask = left >= kLanes ? 0xFF : static_cast<__mmask8>((1U << left) - 1U);
    for (int p = 0; p < P; ++p) {
      const __m256i differing = _mm512_cvtepi64_epi32(sum[p][q]);
      const __m256i acc = _mm256_sub_epi32(inputs, _mm256_slli_epi32(differing, 1));
      _mm256_mask_storeu_epi32(a.out + (pixel + p) * a.channels + channel, mask, acc);
    }
  }
}

template <int Q>
inline void bit_columns(const BitGemm& a, std::int64_t block) noexcept {
  std::int64_t p = 0;
  for (; p + 4 <= a.pixels; p += 4) bit_tile<4, Q>(a, p, block);
  for (; p < a.pixels; ++p) bit_tile<1, Q>(a, p, block);
}

}  // namespace

void bit_gemm_avx512(const BitGemm& a) noexcept {
  const std::int64_t blocks = (a.channels + kLanes - 1) / kLanes;
  std::int64_t block = 0;
  for (; block + 4 <= blocks; block += 4) bit_columns<4>(a, block);
  switch (blocks - block) {
    case 3:
      bit_columns<3>(a, block);
      break;
    case 2:
      bit_columns<2>(a, block);
      break;
    case 1:
      bit_columns<1>(a, block);
      break;
    default:
      break;
  }
}

}  // namespace andpop

#endif
