// SPDX-License-Identifier: Apache-2.0
// VNNI: one instruction multiplies and sums four bytes of sixteen outputs.

#if defined(__x86_64__)

#include "kernels/int_gemm/int_gemm.hpp"

// Last: what follows is compiled for the instruction set.
#include "kernels/avx512.hpp"

namespace andpop {
namespace {

constexpr std::int64_t kLanes = tile_of(kIntGemm, int_gemm_avx512).lanes;
constexpr std::int64_t kDepth = tile_of(kIntGemm, int_gemm_avx512).depth;
static_assert(kLanes == 16 && kDepth == 4);

// sum += x * w in groups of 4 bytes. GCC 12 copies the accumulator of the intrinsic twice.
inline void multiply_add(__m512i& sum, __m512i x, __m512i w) noexcept {
  asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(x), "v"(w));
}

// P pixels times Q blocks of 16 output channels. Every loop over the tile is unrolled: an
// accumulator that is indexed would live in memory.
template <int P, int Q>
inline void int_tile(const IntGemm& a, const std::uint8_t* window, std::int32_t* out,
                     std::int64_t block) noexcept {
  const std::int64_t block_bytes = a.runs * a.groups * kDepth * kLanes;
  const std::int8_t* weights = a.weights + block * block_bytes;
  __m512i sum[P][Q];
#pragma GCC unroll 8
  for (int q = 0; q < Q; ++q) {
    const __m512i bias = _mm512_loadu_si512(a.bias + (block + q) * kLanes);
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p) sum[p][q] = bias;
  }
  for (std::int64_t run = 0; run < a.runs; ++run, window += a.run_step) {
    for (std::int64_t g = 0; g < a.groups; ++g, weights += kLanes * kDepth) {
      __m512i w[Q];
#pragma GCC unroll 8
      for (int q = 0; q < Q; ++q) w[q] = _mm512_loadu_si512(weights + q * block_bytes);
#pragma GCC unroll 8
      for (int p = 0; p < P; ++p) {
        std::int32_t four;
        __builtin_memcpy(&four, window + p * a.step + g * kDepth, sizeof four);
        const __m512i x = _mm512_set1_epi32(four);
#pragma GCC unroll 8
        for (int q = 0; q < Q; ++q) multiply_add(sum[p][q], x, w[q]);
      }
    }
  }
#pragma GCC unroll 8
  for (int q = 0; q < Q; ++q) {
    const std::int64_t channel = (block + q) * kLanes;
    const std::int64_t left = a.channels - channel;
    const __mmask16 mask = left >= kLanes ? 0xFFFF : static_cast<__mmask16>((1U << left) - 1U);
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p)
      _mm512_mask_storeu_epi32(out + p * a.channels + channel, mask, sum[p][q]);
  }
}

template <int P, int Q>
inline void int_pixels(const IntGemm& a, const std::uint8_t*& window, std::int32_t*& out,
                       std::int64_t& left, std::int64_t block) noexcept {
  for (; left >= P; left -= P, window += P * a.step, out += P * a.channels)
    int_tile<P, Q>(a, window, out, block);
}

// Sixteen accumulators hide the latency of the product, in whatever shape.
template <int Q>
inline void int_columns(const IntGemm& a, std::int64_t block) noexcept {
  for (std::int64_t r = 0; r < a.rows; ++r) {
    const std::uint8_t* window = a.windows + r * a.row_step;
    std::int32_t* out = a.out + r * a.pixels * a.channels;
    std::int64_t left = a.pixels;
    if constexpr (Q < 4) int_pixels<8, Q>(a, window, out, left, block);
    int_pixels<4, Q>(a, window, out, left, block);
    int_pixels<2, Q>(a, window, out, left, block);
    int_pixels<1, Q>(a, window, out, left, block);
  }
}

}  // namespace

void int_gemm_avx512(const IntGemm& a) noexcept {
  const std::int64_t blocks = (a.channels + kLanes - 1) / kLanes;
  std::int64_t block = 0;
  for (; block + 4 <= blocks; block += 4) int_columns<4>(a, block);
  for (; block + 2 <= blocks; block += 2) int_columns<2>(a, block);
  if (block < blocks) int_columns<1>(a, block);
}

}  // namespace andpop

#endif
