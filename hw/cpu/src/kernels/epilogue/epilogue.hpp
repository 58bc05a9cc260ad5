// SPDX-License-Identifier: Apache-2.0

#pragma once

#include "kernels/variants.hpp"

namespace andpop {

// BN -> + shortcut -> RPReLU -> 8 bits, as quant/grid.py `epilogue`; every intermediate fits 32
// bits
struct Epilogue {
  const std::int32_t* acc;      // [pixels][channels]
  const std::int8_t* shortcut;  // [pixels][channels] or null
  const std::int32_t* params;   // rows m, b, zeta, slope, eta of `stride` values: channels, padded
  std::int8_t* out;             // [pixels][channels]
  std::int64_t pixels, channels, stride;
  int acc_shift, shortcut_shift, pre_shift, slope_shift, out_shift;
  std::int32_t acc_low, acc_high, pre_low, pre_high;
};

#define ANDPOP_VARIANT(isa, function, ...) void function(const Epilogue&) noexcept;
#include "kernels/epilogue/variants.inc"
#undef ANDPOP_VARIANT

inline constexpr Variant<Epilogue> kEpilogueList[] = {
#define ANDPOP_VARIANT(isa, function, ...) {Isa::isa, #function, function, {__VA_ARGS__}},
#include "kernels/epilogue/variants.inc"
#undef ANDPOP_VARIANT
};
inline constexpr Variants<Epilogue> kEpilogue = variants_of("epilogue", kEpilogueList);

}  // namespace andpop
