// SPDX-License-Identifier: Apache-2.0

#pragma once

#include "kernels/variants.hpp"

namespace andpop {

// One bit per channel: x > bound, or always
struct SignBits {
  const std::int8_t* in;       // [pixels][channels]
  const std::int8_t* bound;    // [channels padded to lanes], 127 in the padding
  const std::uint8_t* always;  // the same as bits
  std::uint8_t* out;           // [pixels][bytes]
  std::int64_t pixels, channels, bytes;
};

#define ANDPOP_VARIANT(isa, function, ...) void function(const SignBits&) noexcept;
#include "kernels/sign_bits/variants.inc"
#undef ANDPOP_VARIANT

inline constexpr Variant<SignBits> kSignBitsList[] = {
#define ANDPOP_VARIANT(isa, function, ...) {Isa::isa, #function, function, {__VA_ARGS__}},
#include "kernels/sign_bits/variants.inc"
#undef ANDPOP_VARIANT
};
inline constexpr Variants<SignBits> kSignBits = variants_of("sign_bits", kSignBitsList);

}  // namespace andpop
