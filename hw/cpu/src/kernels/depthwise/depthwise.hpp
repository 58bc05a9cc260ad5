// SPDX-License-Identifier: Apache-2.0

#pragma once

#include "kernels/variants.hpp"

namespace andpop {

// out[p][c] = bias[c] + sum over t of in[p * step + taps[t] + c] * weights[c][t]
struct Depthwise {
  bool is_signed;              // codes are two's complement
  const std::uint8_t* in;      // the first window's first position; positions hold all channels
  const std::int64_t* taps;    // [count], bytes from a window's first position to each
  const std::int16_t* weights; // packed in blocks of the tile's lanes and depth
  const std::int32_t* bias;    // [channels rounded up to the lanes]
  std::int32_t* out;           // [pixels][channels]
  std::int64_t pixels, channels, step;
  std::int64_t count;          // positions, rounded up to the depth; weights behind them are 0
};

#define ANDPOP_VARIANT(isa, function, ...)     \
  void function(const Depthwise&) noexcept;    \
  namespace tiles {                            \
  inline constexpr Tile function{__VA_ARGS__}; \
  }
#include "kernels/depthwise/variants.inc"
#undef ANDPOP_VARIANT

inline constexpr Variant<Depthwise> kDepthwiseList[] = {
#define ANDPOP_VARIANT(isa, function, ...) {Isa::isa, #function, function, tiles::function},
#include "kernels/depthwise/variants.inc"
#undef ANDPOP_VARIANT
};
inline constexpr Variants<Depthwise> kDepthwise = variants_of("depthwise", kDepthwiseList);

}  // namespace andpop
