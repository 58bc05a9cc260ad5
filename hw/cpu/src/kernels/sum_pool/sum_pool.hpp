// SPDX-License-Identifier: Apache-2.0

#pragma once

#include "kernels/variants.hpp"

namespace andpop {

// out[c] += sum over pixels
struct SumPool {
  Storage storage;  // no bits
  const void* in;
  std::int32_t* out;
  std::int64_t pixels, channels;
};

#define ANDPOP_VARIANT(isa, function, ...) void function(const SumPool&) noexcept;
#include "kernels/sum_pool/variants.inc"
#undef ANDPOP_VARIANT

inline constexpr Variant<SumPool> kSumPoolList[] = {
#define ANDPOP_VARIANT(isa, function, ...) {Isa::isa, #function, function, {__VA_ARGS__}},
#include "kernels/sum_pool/variants.inc"
#undef ANDPOP_VARIANT
};
inline constexpr Variants<SumPool> kSumPool = variants_of("sum_pool", kSumPoolList);

}  // namespace andpop
