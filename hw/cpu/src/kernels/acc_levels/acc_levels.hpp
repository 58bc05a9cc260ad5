// SPDX-License-Identifier: Apache-2.0

#pragma once

#include "kernels/variants.hpp"

namespace andpop {

// out[p][c] = base[c] + sum of steps[i][c] where in[p][c] > bounds[i][c], modulo 256
struct AccLevels {
  const std::int32_t* in;                       // [pixels][channels]
  const std::int32_t* bounds;                   // [count][lanes]
  const std::int32_t* steps;                    // [count][lanes]
  const std::int32_t* base;                     // [lanes]
  std::uint8_t* out;                            // [pixels][channels]
  std::int64_t pixels, channels, count, lanes;  // lanes: channels padded to the tile's
};

#define ANDPOP_VARIANT(isa, function, ...) void function(const AccLevels&) noexcept;
#include "kernels/acc_levels/variants.inc"
#undef ANDPOP_VARIANT

inline constexpr Variant<AccLevels> kAccLevelsList[] = {
#define ANDPOP_VARIANT(isa, function, ...) {Isa::isa, #function, function, {__VA_ARGS__}},
#include "kernels/acc_levels/variants.inc"
#undef ANDPOP_VARIANT
};
inline constexpr Variants<AccLevels> kAccLevels = variants_of("acc_levels", kAccLevelsList);

}  // namespace andpop
