// SPDX-License-Identifier: Apache-2.0

#pragma once

#include "kernels/variants.hpp"

namespace andpop {

// out[i] = in[i] + shortcut[i] * 2**shortcut_shift, `shift` fraction bits rounded away, in 8 bits;
// every intermediate fits 32 bits
struct Requantise {
  const std::int32_t* in;
  const std::int8_t* shortcut;  // or null
  std::int8_t* out;
  std::int64_t count;
  int shift, shortcut_shift;
};

#define ANDPOP_VARIANT(isa, function, ...) void function(const Requantise&) noexcept;
#include "kernels/requantise/variants.inc"
#undef ANDPOP_VARIANT

inline constexpr Variant<Requantise> kRequantiseList[] = {
#define ANDPOP_VARIANT(isa, function, ...) {Isa::isa, #function, function, {__VA_ARGS__}},
#include "kernels/requantise/variants.inc"
#undef ANDPOP_VARIANT
};
inline constexpr Variants<Requantise> kRequantise = variants_of("requantise", kRequantiseList);

}  // namespace andpop
