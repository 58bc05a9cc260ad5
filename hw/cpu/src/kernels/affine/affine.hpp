// SPDX-License-Identifier: Apache-2.0

#pragma once

#include "kernels/variants.hpp"

namespace andpop {

// out[p][c] = (in[p][c] * factors[c] + summands[c], clamped to low..high) >> shift, its low byte;
// every intermediate fits 64 bits, factors fit 48
struct Affine {
  const std::int32_t* in;         // [pixels][channels]
  const std::int64_t* factors;    // [channels padded to lanes]
  const std::int64_t* summands;   // the same shape
  std::uint8_t* out;              // [pixels][channels]
  std::int64_t pixels, channels;
  std::int64_t low, high;
  int shift;
};

#define ANDPOP_VARIANT(isa, function, ...)     \
  void function(const Affine&) noexcept;       \
  namespace tiles {                            \
  inline constexpr Tile function{__VA_ARGS__}; \
  }
#include "kernels/affine/variants.inc"
#undef ANDPOP_VARIANT

inline constexpr Variant<Affine> kAffineList[] = {
#define ANDPOP_VARIANT(isa, function, ...) {Isa::isa, #function, function, tiles::function},
#include "kernels/affine/variants.inc"
#undef ANDPOP_VARIANT
};
inline constexpr Variants<Affine> kAffine = variants_of("affine", kAffineList);

}  // namespace andpop
