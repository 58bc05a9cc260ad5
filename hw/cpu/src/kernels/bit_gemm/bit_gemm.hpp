// SPDX-License-Identifier: Apache-2.0

#pragma once

#include "kernels/variants.hpp"

namespace andpop {

// out[p][o] = inputs - 2 * popcount(windows[p] ^ weights[o])
struct BitGemm {
  const std::uint64_t* windows;  // [pixels][words]; bits behind the inputs are 0
  const std::uint64_t* weights;  // [blocks of lanes][words][lanes]
  std::int32_t* out;             // [pixels][channels]
  std::int64_t pixels, words, channels, inputs;
};

#define ANDPOP_VARIANT(isa, function, ...) void function(const BitGemm&) noexcept;
#include "kernels/bit_gemm/variants.inc"
#undef ANDPOP_VARIANT

inline constexpr Variant<BitGemm> kBitGemmList[] = {
#define ANDPOP_VARIANT(isa, function, ...) {Isa::isa, #function, function, {__VA_ARGS__}},
#include "kernels/bit_gemm/variants.inc"
#undef ANDPOP_VARIANT
};
inline constexpr Variants<BitGemm> kBitGemm = variants_of("bit_gemm", kBitGemmList);

}  // namespace andpop
