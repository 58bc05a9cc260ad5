// SPDX-License-Identifier: Apache-2.0

#pragma once

#include "kernels/variants.hpp"

namespace andpop {

// out[r][p][o] = bias[o] + sum window(r, p)[k] * weights[o][k], exact in 32 bits. A window is read
// where it lies in the picture: runs of bytes at equal distances.
struct IntGemm {
  const std::uint8_t* windows;  // the first one
  const std::int8_t* weights;   // [blocks of lanes][runs * groups][lanes][depth]
  const std::int32_t* bias;     // [blocks * lanes]
  std::int32_t* out;            // [rows][pixels][channels]
  std::int64_t rows, row_step;  // bytes from a row of windows to the next
  std::int64_t pixels, step;    // windows in a row, bytes from one to the next
  std::int64_t runs, run_step;  // runs in a window, bytes from one to the next
  std::int64_t groups;          // of depth bytes in a run
  std::int64_t channels;
  std::int64_t short_groups;  // products of so many groups fit 16 bits, pair by pair of bytes
};

#define ANDPOP_VARIANT(isa, function, ...) void function(const IntGemm&) noexcept;
#include "kernels/int_gemm/variants.inc"
#undef ANDPOP_VARIANT

inline constexpr Variant<IntGemm> kIntGemmList[] = {
#define ANDPOP_VARIANT(isa, function, ...) {Isa::isa, #function, function, {__VA_ARGS__}},
#include "kernels/int_gemm/variants.inc"
#undef ANDPOP_VARIANT
};
inline constexpr Variants<IntGemm> kIntGemm = variants_of("int_gemm", kIntGemmList);

}  // namespace andpop
