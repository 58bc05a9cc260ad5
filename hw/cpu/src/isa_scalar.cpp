// SPDX-License-Identifier: Apache-2.0
// The reference kernels: plain loops that read like the equations.

#include "loops.hpp"

namespace andpop {
namespace {

void bit_gemm(const BitGemm& a) noexcept {
  for (std::int64_t p = 0; p < a.pixels; ++p) {
    const std::uint64_t* window = a.windows + p * a.words;
    for (std::int64_t o = 0; o < a.channels; ++o) {
      const std::uint64_t* weights =
          a.weights + (o / kBitLanes) * a.words * kBitLanes + o % kBitLanes;
      std::int64_t differing = 0;
      for (std::int64_t k = 0; k < a.words; ++k)
        differing += __builtin_popcountll(window[k] ^ weights[k * kBitLanes]);
      a.out[p * a.channels + o] = static_cast<std::int32_t>(a.inputs - 2 * differing);
    }
  }
}

std::int32_t int_product(const IntGemm& a, const std::uint8_t* window, std::int64_t o) noexcept {
  const std::int8_t* weights =
      a.weights + ((o / kIntLanes) * a.runs * a.groups * kIntLanes + o % kIntLanes) * kIntDepth;
  std::int32_t sum = a.bias[o];
  for (std::int64_t run = 0; run < a.runs; ++run, window += a.run_step) {
    for (std::int64_t g = 0; g < a.groups; ++g, weights += kIntLanes * kIntDepth)
      for (std::int64_t k = 0; k < kIntDepth; ++k) sum += window[g * kIntDepth + k] * weights[k];
  }
  return sum;
}

void int_gemm(const IntGemm& a) noexcept {
  std::int32_t* out = a.out;
  for (std::int64_t r = 0; r < a.rows; ++r)
    for (std::int64_t p = 0; p < a.pixels; ++p)
      for (std::int64_t o = 0; o < a.channels; ++o)
        *out++ = int_product(a, a.windows + r * a.row_step + p * a.step, o);
}

std::int32_t clamp(std::int32_t v, std::int32_t low, std::int32_t high) noexcept {
  return v < low ? low : (v > high ? high : v);
}

std::int32_t shift_round(std::int32_t v, int shift) noexcept {
  return shift == 0 ? v : (v + (1 << (shift - 1))) >> shift;
}

void epilogue(const Epilogue& a) noexcept {
  const std::int32_t* m = a.params;
  const std::int32_t* b = m + a.stride;
  const std::int32_t* zeta = b + a.stride;
  const std::int32_t* slope = zeta + a.stride;
  const std::int32_t* eta = slope + a.stride;
  for (std::int64_t p = 0; p < a.pixels; ++p) {
    for (std::int64_t c = 0; c < a.channels; ++c) {
      const std::int64_t i = p * a.channels + c;
      std::int32_t acc = a.acc[i];
      if (a.acc_shift != 0) acc = clamp(shift_round(acc, a.acc_shift), a.acc_low, a.acc_high);
      std::int32_t y = acc * m[c] + b[c];
      // A product: shifting a negative number left is undefined before C++20.
      if (a.shortcut != nullptr) y += a.shortcut[i] * (1 << a.shortcut_shift);
      const std::int32_t t = clamp(shift_round(y, a.pre_shift), a.pre_low, a.pre_high);
      const std::int32_t u = t - zeta[c];
      const std::int32_t v = (u >= 0 ? u : (u * slope[c]) >> a.slope_shift) + eta[c];
      a.out[i] = static_cast<std::int8_t>(clamp(shift_round(v, a.out_shift), -128, 127));
    }
  }
}

void requantise(const Requantise& a) noexcept {
  for (std::int64_t i = 0; i < a.count; ++i) {
    std::int32_t v = a.in[i];
    if (a.shortcut != nullptr) v += a.shortcut[i] * (1 << a.shortcut_shift);
    a.out[i] = static_cast<std::int8_t>(clamp(shift_round(v, a.shift), -128, 127));
  }
}

void sign_bits(const SignBits& a) noexcept {
  for (std::int64_t p = 0; p < a.pixels; ++p) {
    for (std::int64_t byte = 0; byte < a.bytes; ++byte) {
      std::uint8_t bits = a.always[byte];
      for (std::int64_t c = byte * 8; c < byte * 8 + 8 && c < a.channels; ++c)
        if (a.in[p * a.channels + c] > a.bound[c])
          bits = static_cast<std::uint8_t>(bits | (1U << (c % 8)));
      a.out[p * a.bytes + byte] = bits;
    }
  }
}

void levels(const Levels& a) noexcept {
  for (std::int64_t p = 0; p < a.pixels; ++p) {
    for (std::int64_t c = 0; c < a.channels; ++c) {
      unsigned level = a.base[c];
      for (std::int64_t i = 0; i < a.count; ++i)
        if (a.in[p * a.channels + c] > a.bounds[i * a.lanes + c]) level += a.steps[i * a.lanes + c];
      a.out[p * a.channels + c] = static_cast<std::uint8_t>(level);
    }
  }
}

void acc_levels(const AccLevels& a) noexcept {
  for (std::int64_t p = 0; p < a.pixels; ++p) {
    for (std::int64_t c = 0; c < a.channels; ++c) {
      std::int32_t level = a.base[c];
      for (std::int64_t i = 0; i < a.count; ++i)
        if (a.in[p * a.channels + c] > a.bounds[i * a.lanes + c]) level += a.steps[i * a.lanes + c];
      a.out[p * a.channels + c] = static_cast<std::uint8_t>(level);
    }
  }
}

void search_levels(const SearchLevels& a) noexcept {
  const std::int64_t size = std::int64_t{1} << a.bits;
  for (std::int64_t p = 0; p < a.pixels; ++p) {
    for (std::int64_t c = 0; c < a.channels; ++c) {
      const std::int32_t x = a.in[p * a.channels + c];
      std::int64_t reached = 0;
      for (std::int64_t half = size / 2; half > 0; half /= 2)
        if (x >= a.thresholds[c * size + reached + half - 1]) reached += half;
      a.out[p * a.channels + c] = a.codes[c * size + reached];
    }
  }
}

}  // namespace

const Kernels& scalar_kernels() noexcept {
  static constexpr Kernels kKernels = {
      "scalar",
      bit_gemm,
      int_gemm,
      epilogue,
      sign_bits,
      levels,
      acc_levels,
      search_levels,
      lookup_bytes,
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
