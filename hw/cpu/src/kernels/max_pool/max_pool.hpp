// SPDX-License-Identifier: Apache-2.0

#pragma once

#include "kernels/variants.hpp"

namespace andpop {

// Asks whether the run shall end early, after `work` operations since it was asked last.
struct Poll {
  bool (*ask)(const void* whom, std::int64_t work) noexcept;
  const void* whom;
};

// Maximum over windows that are clipped to the picture; incomplete when `poll` said stop
struct MaxPool {
  Storage storage;
  const void* in;                                               // [height][width][channels]
  void* row;                                                    // scratch [width][channels]
  void* out;                                                    // [out_height][out_width][channels]
  std::int64_t height, width, channels, out_height, out_width;  // channels: of bits bytes
  std::int64_t kernel_y, kernel_x, stride_y, stride_x, pad_top, pad_left;
  Poll poll;
};

#define ANDPOP_VARIANT(isa, function, ...) void function(const MaxPool&) noexcept;
#include "kernels/max_pool/variants.inc"
#undef ANDPOP_VARIANT

inline constexpr Variant<MaxPool> kMaxPoolList[] = {
#define ANDPOP_VARIANT(isa, function, ...) {Isa::isa, #function, function, {__VA_ARGS__}},
#include "kernels/max_pool/variants.inc"
#undef ANDPOP_VARIANT
};
inline constexpr Variants<MaxPool> kMaxPool = variants_of("max_pool", kMaxPoolList);

}  // namespace andpop
