// SPDX-License-Identifier: Apache-2.0
// The plain loop, compiled for each instruction set in the file that includes it.

#pragma once

#include "kernels/lookup/lookup.hpp"

namespace andpop {
namespace {

inline void lookup_bytes(const Lookup& a) noexcept {
  const std::uint8_t* __restrict in = a.in;
  const std::uint8_t* __restrict table = a.table;
  std::uint8_t* __restrict out = a.out;
  for (std::int64_t i = 0; i < a.count; ++i) out[i] = table[in[i]];
}

}  // namespace
}  // namespace andpop
