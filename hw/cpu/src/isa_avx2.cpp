// SPDX-License-Identifier: Apache-2.0
// Kernels for AVX2: nibble-table popcounts and 16-bit multiply-adds.

#if defined(__x86_64__)

#include <immintrin.h>

#include "kernels.hpp"

#pragma GCC push_options
#pragma GCC target("avx2,popcnt")

#include "loops.hpp"

namespace andpop {
namespace {

inline __m256i load(const void* from) noexcept {
  return _mm256_loadu_si256(static_cast<const __m256i*>(from));
}

// Lanes below `count` (all of 8 from 8 on) for _mm256_maskstore_epi32.
inline __m256i lanes_below(std::int64_t count) noexcept {
  const __m256i index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count < 8 ? count : 8)), index);
}

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
  const std::uint64_t* weights = a.weights + block * a.words * kBitLanes;
  const __m256i zero = _mm256_setzero_si256();
  __m256i sum[P][2];
  for (int p = 0; p < P; ++p) sum[p][0] = sum[p][1] = zero;
  for (std::int64_t start = 0; start < a.words; start += kBytesFull) {
    const std::int64_t stop = start + kBytesFull < a.words ? start + kBytesFull : a.words;
    __m256i bytes[P][2];
    for (int p = 0; p < P; ++p) bytes[p][0] = bytes[p][1] = zero;
    for (std::int64_t k = start; k < stop; ++k) {
      const __m256i w0 = load(weights + k * kBitLanes);
      const __m256i w1 = load(weights + k * kBitLanes + 4);
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
  const __m256i mask = lanes_below(a.channels - block * kBitLanes);
  const __m256i even = _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6);
  for (int p = 0; p < P; ++p) {
    const __m256i low = _mm256_permutevar8x32_epi32(sum[p][0], even);
    const __m256i high = _mm256_permutevar8x32_epi32(sum[p][1], even);
    const __m256i differing = _mm256_blend_epi32(low, high, 0xF0);
    const __m256i acc = _mm256_sub_epi32(inputs, _mm256_slli_epi32(differing, 1));
    std::int32_t* out = a.out + (pixel + p) * a.channels + block * kBitLanes;
    _mm256_maskstore_epi32(out, mask, acc);
  }
}

void bit_gemm(const BitGemm& a) noexcept {
  const std::int64_t blocks = (a.channels + kBitLanes - 1) / kBitLanes;
  for (std::int64_t block = 0; block < blocks; ++block) {
    std::int64_t p = 0;
    for (; p + 2 <= a.pixels; p += 2) bit_tile<2>(a, p, block);
    for (; p < a.pixels; ++p) bit_tile<1>(a, p, block);
  }
}

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
    for (std::int64_t g = 0; g < a.groups; ++g, weights += kIntLanes * kIntDepth) {
      __m256i x[P];
      for (int p = 0; p < P; ++p) {
        std::int32_t four;
        __builtin_memcpy(&four, window + p * a.step + g * kIntDepth, sizeof four);
        x[p] = _mm256_cvtepu8_epi16(_mm_set1_epi32(four));
      }
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        const __m256i w = _mm256_cvtepi8_epi16(
            _mm_loadu_si128(reinterpret_cast<const __m128i*>(weights + v * 4 * kIntDepth)));
#pragma GCC unroll 4
        for (int p = 0; p < P; ++p)
          sum[p][v] = _mm256_add_epi32(sum[p][v], _mm256_madd_epi16(x[p], w));
      }
    }
  }
  const __m256i order = _mm256_setr_epi32(0, 1, 4, 5, 2, 3, 6, 7);
  for (int p = 0; p < P; ++p)
    for (int h = 0; h < 2; ++h)
      total[p][h] = _mm256_permutevar8x32_epi32(
          _mm256_hadd_epi32(sum[p][2 * h], sum[p][2 * h + 1]), order);
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
  for (std::int64_t g = 0; g < groups; ++g, window += kIntDepth) {
    const __m256i w0 = load(weights + g * kIntLanes * kIntDepth);
    const __m256i w1 = load(weights + g * kIntLanes * kIntDepth + 8 * kIntDepth);
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
      short_sums<P>(window + start * kIntDepth, a.step, weights, groups, sum);
      weights += groups * kIntLanes * kIntDepth;
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
  const std::int8_t* weights = a.weights + block * a.runs * a.groups * kIntDepth * kIntLanes;
  __m256i total[P][2];
  if (a.short_groups > 0)
    short_tile<P>(a, window, weights, total);
  else
    wide_tile<P>(a, window, weights, total);
  for (int h = 0; h < 2; ++h) {
    const std::int64_t channel = block * kIntLanes + h * 8;
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

void int_gemm(const IntGemm& a) noexcept {
  const std::int64_t blocks = (a.channels + kIntLanes - 1) / kIntLanes;
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

inline __m256i half(int shift) noexcept {
  return _mm256_set1_epi32(shift == 0 ? 0 : 1 << (shift - 1));
}

void epilogue(const Epilogue& a) noexcept {
  const __m128i acc_shift = _mm_cvtsi32_si128(a.acc_shift);
  const __m128i shortcut_shift = _mm_cvtsi32_si128(a.shortcut_shift);
  const __m128i pre_shift = _mm_cvtsi32_si128(a.pre_shift);
  const __m128i slope_shift = _mm_cvtsi32_si128(a.slope_shift);
  const __m128i out_shift = _mm_cvtsi32_si128(a.out_shift);
  const __m256i acc_half = half(a.acc_shift);
  const __m256i pre_half = half(a.pre_shift);
  const __m256i out_half = half(a.out_shift);
  const __m256i acc_low = _mm256_set1_epi32(a.acc_low);
  const __m256i acc_high = _mm256_set1_epi32(a.acc_high);
  const __m256i pre_low = _mm256_set1_epi32(a.pre_low);
  const __m256i pre_high = _mm256_set1_epi32(a.pre_high);
  const __m256i zero = _mm256_setzero_si256();
  for (std::int64_t p = 0; p < a.pixels; ++p) {
    // The last vector of a pixel may run over into the next pixel, which is written later.
    for (std::int64_t c = 0; c < a.channels; c += 8) {
      const std::int64_t i = p * a.channels + c;
      const std::int32_t* row = a.params + c;
      __m256i acc = load(a.acc + i);
      if (a.acc_shift != 0) {
        acc = _mm256_sra_epi32(_mm256_add_epi32(acc, acc_half), acc_shift);
        acc = _mm256_min_epi32(_mm256_max_epi32(acc, acc_low), acc_high);
      }
      __m256i y = _mm256_add_epi32(_mm256_mullo_epi32(acc, load(row)), load(row + a.stride));
      if (a.shortcut != nullptr) {
        const __m256i x =
            _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(a.shortcut + i)));
        y = _mm256_add_epi32(y, _mm256_sll_epi32(x, shortcut_shift));
      }
      __m256i t = _mm256_sra_epi32(_mm256_add_epi32(y, pre_half), pre_shift);
      t = _mm256_min_epi32(_mm256_max_epi32(t, pre_low), pre_high);
      const __m256i u = _mm256_sub_epi32(t, load(row + 2 * a.stride));
      const __m256i sloped =
          _mm256_sra_epi32(_mm256_mullo_epi32(u, load(row + 3 * a.stride)), slope_shift);
      const __m256i v = _mm256_blendv_epi8(u, sloped, _mm256_cmpgt_epi32(zero, u));
      const __m256i out = _mm256_sra_epi32(
          _mm256_add_epi32(_mm256_add_epi32(v, load(row + 4 * a.stride)), out_half), out_shift);
      const __m128i words =
          _mm_packs_epi32(_mm256_castsi256_si128(out), _mm256_extracti128_si256(out, 1));
      _mm_storel_epi64(reinterpret_cast<__m128i*>(a.out + i), _mm_packs_epi16(words, words));
    }
  }
}

void requantise(const Requantise& a) noexcept {
  const __m128i shift = _mm_cvtsi32_si128(a.shift);
  const __m128i shortcut_shift = _mm_cvtsi32_si128(a.shortcut_shift);
  const __m256i rounding = half(a.shift);
  // The last vector may run over the end, into the slack.
  for (std::int64_t i = 0; i < a.count; i += 8) {
    __m256i v = _mm256_add_epi32(load(a.in + i), rounding);
    if (a.shortcut != nullptr) {
      const __m256i x =
          _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(a.shortcut + i)));
      v = _mm256_add_epi32(v, _mm256_sll_epi32(x, shortcut_shift));
    }
    v = _mm256_sra_epi32(v, shift);
    const __m128i words =
        _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(a.out + i), _mm_packs_epi16(words, words));
  }
}

void sign_bits(const SignBits& a) noexcept {
  for (std::int64_t p = 0; p < a.pixels; ++p) {
    // The last word of a pixel may run over into the next pixel, which is written later; lanes
    // behind the channels compare with 127 and give 0.
    for (std::int64_t c = 0; c < a.channels; c += 32) {
      const __m256i above = _mm256_cmpgt_epi8(load(a.in + p * a.channels + c), load(a.bound + c));
      std::uint32_t always;
      __builtin_memcpy(&always, a.always + c / 8, sizeof always);
      const std::uint32_t bits = static_cast<std::uint32_t>(_mm256_movemask_epi8(above)) | always;
      __builtin_memcpy(a.out + p * a.bytes + c / 8, &bits, sizeof bits);
    }
  }
}

void levels(const Levels& a) noexcept {
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

// The low bytes of 8 lanes.
inline void store_bytes(std::uint8_t* to, __m256i v) noexcept {
  const __m256i order = _mm256_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
                                         0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
  const __m256i bytes = _mm256_shuffle_epi8(v, order);
  _mm_storel_epi64(reinterpret_cast<__m128i*>(to),
                   _mm_unpacklo_epi32(_mm256_castsi256_si128(bytes),
                                      _mm256_extracti128_si256(bytes, 1)));
}

void acc_levels(const AccLevels& a) noexcept {
  for (std::int64_t p = 0; p < a.pixels; ++p) {
    // The last vector of a pixel may run over into the next pixel, which is written later.
    for (std::int64_t c = 0; c < a.channels; c += 8) {
      const __m256i x = load(a.in + p * a.channels + c);
      __m256i level = load(a.base + c);
      for (std::int64_t i = 0; i < a.count; ++i) {
        const __m256i above = _mm256_cmpgt_epi32(x, load(a.bounds + i * a.lanes + c));
        level = _mm256_add_epi32(level, _mm256_and_si256(above, load(a.steps + i * a.lanes + c)));
      }
      store_bytes(a.out + p * a.channels + c, level);
    }
  }
}

void search_levels(const SearchLevels& a) noexcept {
  const int size = 1 << a.bits;
  const __m256i lane = _mm256_mullo_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7),
                                          _mm256_set1_epi32(size));
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

void lookup(const Lookup& a) noexcept {
  if (!a.nibbles) {
    lookup_bytes(a);
    return;
  }
  const __m256i table =
      _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(a.table)));
  // The last vector may run over the end, into the slack.
  for (std::int64_t i = 0; i < a.count; i += 32)
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(a.out + i),
                        _mm256_shuffle_epi8(table, load(a.in + i)));
}

}  // namespace

const Kernels& avx2_kernels() noexcept {
  static constexpr Kernels kKernels = {
      "avx2",
      bit_gemm,
      int_gemm,
      epilogue,
      sign_bits,
      levels,
      acc_levels,
      search_levels,
      lookup,
      requantise,
      max_pool<std::uint8_t, BitOr>,
      max_pool<std::uint8_t, Maximum>,
      max_pool<std::int8_t, Maximum>,
      max_pool<std::int32_t, Maximum>,
      shuffle<std::uint8_t>,
      shuffle<std::uint32_t>,
      sum_pool<std::uint8_t>,
      sum_pool<std::int8_t>,
      sum_pool<std::int32_t>,
  };
  return kKernels;
}

}  // namespace andpop

#pragma GCC pop_options

#endif
