// SPDX-License-Identifier: Apache-2.0

#pragma once

#include "kernels/variants.hpp"

namespace andpop {

// out[p][c] = codes[c][number of thresholds[c] not above in[p][c]]
struct SearchLevels {
  const std::int32_t* in;          // [pixels][channels]
  const std::int32_t* thresholds;  // [channels padded to lanes][2**bits], ascending
  const std::uint8_t* codes;       // the same shape
  std::uint8_t* out;               // [pixels][channels]
  std::int64_t pixels, channels;
  int bits;
};

#define ANDPOP_VARIANT(isa, function, ...) void function(const SearchLevels&) noexcept;
#include "kernels/search_levels/variants.inc"
#undef ANDPOP_VARIANT

inline constexpr Variant<SearchLevels> kSearchLevelsList[] = {
#define ANDPOP_VARIANT(isa, function, ...) {Isa::isa, #function, function, {__VA_ARGS__}},
#include "kernels/search_levels/variants.inc"
#undef ANDPOP_VARIANT
};
inline constexpr Variants<SearchLevels> kSearchLevels =
    variants_of("search_levels", kSearchLevelsList);

}  // namespace andpop
