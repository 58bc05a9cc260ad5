// SPDX-License-Identifier: Apache-2.0
// Kernels for AVX-512 with VPOPCNTDQ (1-bit products) and VNNI (8-bit products).

#if defined(__x86_64__)

#include <immintrin.h>

#include "kernels.hpp"

// GCC 12's own intrinsics start from a register that they leave undefined on purpose.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512vpopcntdq,popcnt,bmi2")

#include "loops.hpp"

namespace andpop {
namespace {

// P pixels times Q blocks of 8 output channels, all accumulators in registers.
template <int P, int Q>
inline void bit_tile(const BitGemm& a, std::int64_t pixel, std::int64_t block) noexcept {
  const std::uint64_t* window = a.windows + pixel * a.words;
  const std::uint64_t* weights = a.weights + block * a.words * kBitLanes;
  __m512i sum[P][Q];
  for (int p = 0; p < P; ++p)
    for (int q = 0; q < Q; ++q) sum[p][q] = _mm512_setzero_si512();
  for (std::int64_t k = 0; k < a.words; ++k) {
    __m512i w[Q];
    for (int q = 0; q < Q; ++q) w[q] = _mm512_loadu_si512(weights + (q * a.words + k) * kBitLanes);
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
    const std::int64_t channel = (block + q) * kBitLanes;
    const std::int64_t left = a.channels - channel;
    const __mmask8 mask = left >= kBitLanes ? 0xFF : static_cast<__mmask8>((1U << left) - 1U);
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

void bit_gemm(const BitGemm& a) noexcept {
  const std::int64_t blocks = (a.channels + kBitLanes - 1) / kBitLanes;
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

// sum += x * w in groups of 4 bytes. GCC 12 copies the accumulator of the intrinsic twice.
inline void multiply_add(__m512i& sum, __m512i x, __m512i w) noexcept {
  asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(x), "v"(w));
}

// P pixels times Q blocks of 16 output channels. Every loop over the tile is unrolled: an
// accumulator that is indexed would live in memory.
template <int P, int Q>
inline void int_tile(const IntGemm& a, const std::uint8_t* window, std::int32_t* out,
                     std::int64_t block) noexcept {
  const std::int64_t block_bytes = a.runs * a.groups * kIntDepth * kIntLanes;
  const std::int8_t* weights = a.weights + block * block_bytes;
  __m512i sum[P][Q];
#pragma GCC unroll 8
  for (int q = 0; q < Q; ++q) {
    const __m512i bias = _mm512_loadu_si512(a.bias + (block + q) * kIntLanes);
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p) sum[p][q] = bias;
  }
  for (std::int64_t run = 0; run < a.runs; ++run, window += a.run_step) {
    for (std::int64_t g = 0; g < a.groups; ++g, weights += kIntLanes * kIntDepth) {
      __m512i w[Q];
#pragma GCC unroll 8
      for (int q = 0; q < Q; ++q) w[q] = _mm512_loadu_si512(weights + q * block_bytes);
#pragma GCC unroll 8
      for (int p = 0; p < P; ++p) {
        std::int32_t four;
        __builtin_memcpy(&four, window + p * a.step + g * kIntDepth, sizeof four);
        const __m512i x = _mm512_set1_epi32(four);
#pragma GCC unroll 8
        for (int q = 0; q < Q; ++q) multiply_add(sum[p][q], x, w[q]);
      }
    }
  }
#pragma GCC unroll 8
  for (int q = 0; q < Q; ++q) {
    const std::int64_t channel = (block + q) * kIntLanes;
    const std::int64_t left = a.channels - channel;
    const __mmask16 mask = left >= kIntLanes ? 0xFFFF : static_cast<__mmask16>((1U << left) - 1U);
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

void int_gemm(const IntGemm& a) noexcept {
  const std::int64_t blocks = (a.channels + kIntLanes - 1) / kIntLanes;
  std::int64_t block = 0;
  for (; block + 4 <= blocks; block += 4) int_columns<4>(a, block);
  for (; block + 2 <= blocks; block += 2) int_columns<2>(a, block);
  if (block < blocks) int_columns<1>(a, block);
}

inline __m512i half(int shift) noexcept {
  return _mm512_set1_epi32(shift == 0 ? 0 : 1 << (shift - 1));
}

template <bool kRoundAcc, bool kShortcut>
void epilogue_as(const Epilogue& a) noexcept {
  const __m128i acc_shift = _mm_cvtsi32_si128(a.acc_shift);
  const __m128i shortcut_shift = _mm_cvtsi32_si128(a.shortcut_shift);
  const __m128i pre_shift = _mm_cvtsi32_si128(a.pre_shift);
  const __m128i slope_shift = _mm_cvtsi32_si128(a.slope_shift);
  const __m128i out_shift = _mm_cvtsi32_si128(a.out_shift);
  const __m512i acc_half = half(a.acc_shift);
  const __m512i pre_half = half(a.pre_shift);
  const __m512i out_half = half(a.out_shift);
  const __m512i acc_low = _mm512_set1_epi32(a.acc_low);
  const __m512i acc_high = _mm512_set1_epi32(a.acc_high);
  const __m512i pre_low = _mm512_set1_epi32(a.pre_low);
  const __m512i pre_high = _mm512_set1_epi32(a.pre_high);
  for (std::int64_t p = 0; p < a.pixels; ++p) {
    // The last vector of a pixel may run over into the next pixel, which is written later.
    for (std::int64_t c = 0; c < a.channels; c += 16) {
      const std::int64_t i = p * a.channels + c;
      const std::int32_t* row = a.params + c;
      const auto param = [&](int r) { return _mm512_loadu_si512(row + r * a.stride); };
      __m512i acc = _mm512_loadu_si512(a.acc + i);
      if constexpr (kRoundAcc) {
        acc = _mm512_sra_epi32(_mm512_add_epi32(acc, acc_half), acc_shift);
        acc = _mm512_min_epi32(_mm512_max_epi32(acc, acc_low), acc_high);
      }
      __m512i y = _mm512_add_epi32(_mm512_mullo_epi32(acc, param(0)), param(1));
      if constexpr (kShortcut) {
        const __m512i x =
            _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(a.shortcut + i)));
        y = _mm512_add_epi32(y, _mm512_sll_epi32(x, shortcut_shift));
      }
      __m512i t = _mm512_sra_epi32(_mm512_add_epi32(y, pre_half), pre_shift);
      t = _mm512_min_epi32(_mm512_max_epi32(t, pre_low), pre_high);
      const __m512i u = _mm512_sub_epi32(t, param(2));
      const __m512i sloped = _mm512_sra_epi32(_mm512_mullo_epi32(u, param(3)), slope_shift);
      const __m512i v = _mm512_mask_mov_epi32(u, _mm512_movepi32_mask(u), sloped);
      const __m512i out =
          _mm512_sra_epi32(_mm512_add_epi32(_mm512_add_epi32(v, param(4)), out_half), out_shift);
      _mm_storeu_si128(reinterpret_cast<__m128i*>(a.out + i), _mm512_cvtsepi32_epi8(out));
    }
  }
}

void epilogue(const Epilogue& a) noexcept {
  if (a.acc_shift != 0) {
    a.shortcut != nullptr ? epilogue_as<true, true>(a) : epilogue_as<true, false>(a);
  } else {
    a.shortcut != nullptr ? epilogue_as<false, true>(a) : epilogue_as<false, false>(a);
  }
}

template <bool kShortcut>
void requantise_as(const Requantise& a) noexcept {
  const __m128i shift = _mm_cvtsi32_si128(a.shift);
  const __m128i shortcut_shift = _mm_cvtsi32_si128(a.shortcut_shift);
  const __m512i rounding = half(a.shift);
  // The last vector may run over the end, into the slack.
  for (std::int64_t i = 0; i < a.count; i += 16) {
    __m512i v = _mm512_add_epi32(_mm512_loadu_si512(a.in + i), rounding);
    if constexpr (kShortcut) {
      const __m512i x =
          _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(a.shortcut + i)));
      v = _mm512_add_epi32(v, _mm512_sll_epi32(x, shortcut_shift));
    }
    v = _mm512_sra_epi32(v, shift);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(a.out + i), _mm512_cvtsepi32_epi8(v));
  }
}

void requantise(const Requantise& a) noexcept {
  a.shortcut != nullptr ? requantise_as<true>(a) : requantise_as<false>(a);
}

void sign_bits(const SignBits& a) noexcept {
  for (std::int64_t p = 0; p < a.pixels; ++p) {
    // The last word of a pixel may run over into the next pixel, which is written later; lanes
    // behind the channels compare with 127 and give 0.
    for (std::int64_t c = 0; c < a.channels; c += 64) {
      const __m512i x = _mm512_loadu_si512(a.in + p * a.channels + c);
      const __m512i bound = _mm512_loadu_si512(a.bound + c);
      std::uint64_t bits = _cvtmask64_u64(_mm512_cmpgt_epi8_mask(x, bound));
      std::uint64_t always;
      __builtin_memcpy(&always, a.always + c / 8, sizeof always);
      bits |= always;
      __builtin_memcpy(a.out + p * a.bytes + c / 8, &bits, sizeof bits);
    }
  }
}

void levels(const Levels& a) noexcept {
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

void acc_levels(const AccLevels& a) noexcept {
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

void search_levels(const SearchLevels& a) noexcept {
  const int size = 1 << a.bits;
  const __m512i lane = _mm512_mullo_epi32(
      _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
      _mm512_set1_epi32(size));
  for (std::int64_t p = 0; p < a.pixels; ++p) {
    // The last vector of a pixel may run over into the next pixel, which is written later.
    for (std::int64_t c = 0; c < a.channels; c += 16) {
      const __m512i x = _mm512_loadu_si512(a.in + p * a.channels + c);
      const std::int32_t* thresholds = a.thresholds + c * size;
      __m512i reached = lane;
      for (int half = size / 2; half > 0; half /= 2) {
        const __m512i t = _mm512_i32gather_epi32(reached, thresholds + half - 1, 4);
        const __mmask16 above = _mm512_cmpge_epi32_mask(x, t);
        reached = _mm512_mask_add_epi32(reached, above, reached, _mm512_set1_epi32(half));
      }
      const __m512i codes = _mm512_i32gather_epi32(reached, a.codes + c * size, 1);
      _mm_storeu_si128(reinterpret_cast<__m128i*>(a.out + p * a.channels + c),
                       _mm512_cvtepi32_epi8(codes));
    }
  }
}

void lookup(const Lookup& a) noexcept {
  if (!a.nibbles) {
    lookup_bytes(a);
    return;
  }
  const __m512i table =
      _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(a.table)));
  // The last vector may run over the end, into the slack.
  for (std::int64_t i = 0; i < a.count; i += 64)
    _mm512_storeu_si512(a.out + i, _mm512_shuffle_epi8(table, _mm512_loadu_si512(a.in + i)));
}

}  // namespace

const Kernels& avx512_kernels() noexcept {
  static constexpr Kernels kKernels = {
      "avx512",
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
