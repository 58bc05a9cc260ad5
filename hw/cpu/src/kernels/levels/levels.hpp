// SPDX-License-Identifier: Apache-2.0

#pragma once

#include "kernels/variants.hpp"

namespace andpop {

// out[p][c] = base[c] + sum of steps[i][c] where in[p][c] > bounds[i][c], modulo 256
struct Levels {
  const std::int8_t* in;                        // [pixels][channels]
  const std::int8_t* bounds;                    // [count][lanes]
  const std::uint8_t* steps;                    // [count][lanes]
  const std::uint8_t* base;                     // [lanes]
  std::uint8_t* out;                            // [pixels][channels]
  std::int64_t pixels, channels, count, lanes;  // lanes: channels padded to the tile's
};

#define ANDPOP_VARIANT(isa, function, ...) void function(const Levels&) noexcept;
#include "kernels/levels/variants.inc"
#undef ANDPOP_VARIANT

inline constexpr Variant<Levels> kLevelsList[] = {
#define ANDPOP_VARIANT(isa, function, ...) {Isa::isa, #function, function, {__VA_ARGS__}},
#include "kernels/levels/variants.inc"
#undef ANDPOP_VARIANT
};
inline constexpr Variants<Levels> kLevels = variants_of("levels", kLevelsList);

}  // namespace andpop
