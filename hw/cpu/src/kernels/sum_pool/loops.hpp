// SPDX-License-Identifier: Apache-2.0
// Plain loops, compiled for each instruction set in the file that includes them.

#pragma once

#include "kernels/sum_pool/sum_pool.hpp"

namespace andpop {
namespace {

template <typename T>
void sum(const SumPool& a) noexcept {
  const T* __restrict in = static_cast<const T*>(a.in);
  std::int32_t* __restrict out = a.out;
  for (std::int64_t p = 0; p < a.pixels; ++p)
    for (std::int64_t c = 0; c < a.channels; ++c) out[c] += in[p * a.channels + c];
}

inline void sum_pool(const SumPool& a) noexcept {
  switch (a.storage) {
    case Storage::kBits:
    case Storage::kU8:
      sum<std::uint8_t>(a);
      break;
    case Storage::kI8:
      sum<std::int8_t>(a);
      break;
    case Storage::kI32:
      sum<std::int32_t>(a);
      break;
  }
}

}  // namespace
}  // namespace andpop
