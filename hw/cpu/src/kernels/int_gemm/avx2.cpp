// SPDX-License-Identifier: Apache-2.0
// 16-bit multiply-adds.

#if defined(__x86_64__)

#include "kernels/int_gemm/int_gemm.hpp"

// Last: what follows is compiled for the instruction set.
#include "kernels/avx2.hpp"

namespace andpop {
namespace {

constexpr std::int64_t kLanes = tile_of(kIntGemm, int_gemm_avx2).lanes;
constexpr std::int64_t kDepth = tile_of(kIntGemm, int_gemm_avx2).depth;
static_assert(kLanes == 16 && kDepth == 4);

// Bytes are widened to 16 bits first: the 8-bit multiply-add of AVX2 saturates its 16-bit sums. A
// 32-bit lane pair holds one channel's partial sums of inputs 0, 1 and 2, 3 of each group; hadd
// joins them within 128-bit halves, so channels come out as 0 1 4 5 | 2 3 6 7.
template <int P>
inline void wide_tile(const IntGemm& a, const std::uint8_t* window, const std::int8_t* weights,
                      __m256i (&total)[P][2]) noexcept {
  constexpr int kVectors = 4;  // of 4 channels each
  __m256i sum[P][kVectors];
  for (int p = 0; p < P; ++p)
    for (int v = 0; v < kVectors; ++v) sum[p][v] = _mm256_setzero_si256();
  for (std::int64_t run = 0; run < a.runs; ++run, window += a.run_step) {
    for (std::int64_t g = 0; g < a.groups; ++g, weights += kLanes * kDepth) {
      __m256i x[P];
      for (int p = 0; p < P; ++p) {
        std::int32_t four;
        __builtin_memcpy(&four, window + p * a.step + g * kDepth, sizeof four);
        x[p] = _mm256_cvtepu8_epi16(_mm_set1_epi32(four));
      }
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        const __m256i w = _mm256_cvtepi8_epi16(
            _mm_loadu_si128(reinterpret_cast<const __m128i*>(weights + v * 4 * kDepth)));
#pragma GCC unroll 4
        for (int p = 0; p < P; ++p)
          sum[p][v] = _mm256_add_epi32(sum[p][v], _mm256_madd_epi16(x[p], w));
      }
    }
  }
  const __m256i order = _mm256_setr_epi32(0, 1, 4, 5, 2, 3, 6, 7);
  for (int p = 0; p < P; ++p)
    for (int h = 0; h < 2; ++h)
      total[p][h] =
          _mm256_permutevar8x32_epi32(_mm256_hadd_epi32(sum[p][2 * h], sum[p][2 * h + 1]), order);
}

// Products of `groups` groups whose pairs fit 16 bits. Not inlined: among the caller's totals the
// sums would not stay in registers.
template <int P>
__attribute__((noinline)) void short_sums(const std::uint8_t* window, std::int64_t step,
                                          const std::int8_t* weights, std::int64_t groups,
                                          __m256i (&out)[P][2]) noexcept {
  __m256i sum[P][2];
#pragma GCC unroll 4
  for (int p = 0; p < P; ++p) sum[p][0] = sum[p][1] = _mm256_setzero_si256();
  for (std::int64_t g = 0; g < groups; ++g, window += kDepth) {
    const __m256i w0 = load(weights + g * kLanes * kDepth);
    const __m256i w1 = load(weights + g * kLanes * kDepth + 8 * kDepth);
#pragma GCC unroll 4
    for (int p = 0; p < P; ++p) {
      std::int32_t four;
      __builtin_memcpy(&four, window + p * step, sizeof four);
      const __m256i x = _mm256_set1_epi32(four);
      sum[p][0] = _mm256_add_epi16(sum[p][0], _mm256_maddubs_epi16(x, w0));
      sum[p][1] = _mm256_add_epi16(sum[p][1], _mm256_maddubs_epi16(x, w1));
    }
  }
#pragma GCC unroll 4
  for (int p = 0; p < P; ++p) {
    out[p][0] = sum[p][0];
    out[p][1] = sum[p][1];
  }
}

// Small weights: pairs of products are summed in 16 bits for as many groups as fit.
template <int P>
inline void short_tile(const IntGemm& a, const std::uint8_t* window, const std::int8_t* weights,
                       __m256i (&total)[P][2]) noexcept {
  const __m256i ones = _mm256_set1_epi16(1);
  for (int p = 0; p < P; ++p) total[p][0] = total[p][1] = _mm256_setzero_si256();
  for (std::int64_t run = 0; run < a.runs; ++run, window += a.run_step) {
    for (std::int64_t start = 0; start < a.groups; start += a.short_groups) {
      const std::int64_t left = a.groups - start;
      const std::int64_t groups = left < a.short_groups ? left : a.short_groups;
      __m256i sum[P][2];
      short_sums<P>(window + start * kDepth, a.step, weights, groups, sum);
      weights += groups * kLanes * kDepth;
      for (int p = 0; p < P; ++p)
        for (int h = 0; h < 2; ++h)
          total[p][h] = _mm256_add_epi32(total[p][h], _mm256_madd_epi16(sum[p][h], ones));
    }
  }
}

// P pixels times one block of 16 output channels.
template <int P>
inline void int_tile(const IntGemm& a, const std::uint8_t* window, std::int32_t* out,
                     std::int64_t block) noexcept {
  const std::int8_t* weights = a.weights + block * a.runs * a.groups * kDepth * kLanes;
  __m256i total[P][2];
  if (a.short_groups > 0)
    short_tile<P>(a, window, weights, total);
  else
    wide_tile<P>(a, window, weights, total);
  for (int h = 0; h < 2; ++h) {
    const std::int64_t channel = block * kLanes + h * 8;
    if (channel >= a.channels) break;
    const __m256i mask = lanes_below(a.channels - channel);
    const __m256i bias = load(a.bias + channel);
    for (int p = 0; p < P; ++p)
      _mm256_maskstore_epi32(out + p * a.channels + channel, mask,
                             _mm256_add_epi32(total[p][h], bias));
  }
}

template <int P>
inline void int_pixels(const IntGemm& a, const std::uint8_t*& window, std::int32_t*& out,
                       std::int64_t& left, std::int64_t block) noexcept {
  for (; left >= P; left -= P, window += P * a.step, out += P * a.channels)
    int_tile<P>(a, window, out, block);
}

}  // namespace

void int_gemm_avx2(const IntGemm& a) noexcept {
  const std::int64_t blocks = (a.channels + kLanes - 1) / kLanes;
  for (std::int64_t block = 0; block < blocks; ++block) {
    for (std::int64_t r = 0; r < a.rows; ++r) {
      const std::uint8_t* window = a.windows + r * a.row_step;
      std::int32_t* out = a.out + r * a.pixels * a.channels;
      std::int64_t left = a.pixels;
      if (a.short_groups > 0) int_pixels<4>(a, window, out, left, block);
      int_pixels<2>(a, window, out, left, block);
      int_pixels<1>(a, window, out, left, block);
    }
  }
}

}  // namespace andpop

#endif
