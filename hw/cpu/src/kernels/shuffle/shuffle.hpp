// SPDX-License-Identifier: Apache-2.0

#pragma once

#include "kernels/variants.hpp"

namespace andpop {

// out[p][2j] = left[p][j], out[p][2j+1] = right[p][j]; count = pixels * channels
struct Shuffle {
  Storage storage;  // no bits
  const void* left;
  const void* right;
  void* out;
  std::int64_t count;
};

#define ANDPOP_VARIANT(isa, function, ...) void function(const Shuffle&) noexcept;
#include "kernels/shuffle/variants.inc"
#undef ANDPOP_VARIANT

inline constexpr Variant<Shuffle> kShuffleList[] = {
#define ANDPOP_VARIANT(isa, function, ...) {Isa::isa, #function, function, {__VA_ARGS__}},
#include "kernels/shuffle/variants.inc"
#undef ANDPOP_VARIANT
};
inline constexpr Variants<Shuffle> kShuffle = variants_of("shuffle", kShuffleList);

}  // namespace andpop
