// SPDX-License-Identifier: Apache-2.0
// Plain loops, compiled for each instruction set in the file that includes them.

#pragma once

#include "kernels/shuffle/shuffle.hpp"

namespace andpop {
namespace {

template <typename T>
void in_turn(const Shuffle& a) noexcept {
  const T* __restrict left = static_cast<const T*>(a.left);
  const T* __restrict right = static_cast<const T*>(a.right);
  T* __restrict out = static_cast<T*>(a.out);
  for (std::int64_t i = 0; i < a.count; ++i) {
    out[2 * i] = left[i];
    out[2 * i + 1] = right[i];
  }
}

inline void shuffle(const Shuffle& a) noexcept {
  a.storage == Storage::kI32 ? in_turn<std::uint32_t>(a) : in_turn<std::uint8_t>(a);
}

}  // namespace
}  // namespace andpop
