// SPDX-License-Identifier: Apache-2.0

#pragma once

#include "kernels/variants.hpp"

namespace andpop {

// out[i] = table[in[i]]
struct Lookup {
  const std::uint8_t* in;
  const std::uint8_t* table;  // 256 entries
  std::uint8_t* out;
  std::int64_t count;
  bool nibbles;  // every in[i] is below 16
};

#define ANDPOP_VARIANT(isa, function, ...) void function(const Lookup&) noexcept;
#include "kernels/lookup/variants.inc"
#undef ANDPOP_VARIANT

inline constexpr Variant<Lookup> kLookupList[] = {
#define ANDPOP_VARIANT(isa, function, ...) {Isa::isa, #function, function, {__VA_ARGS__}},
#include "kernels/lookup/variants.inc"
#undef ANDPOP_VARIANT
};
inline constexpr Variants<Lookup> kLookup = variants_of("lookup", kLookupList);

}  // namespace andpop
