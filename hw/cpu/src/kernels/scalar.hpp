// SPDX-License-Identifier: Apache-2.0
// What the reference kernels share.

#pragma once

#include <cstdint>

namespace andpop {
namespace {

inline std::int32_t clamp(std::int32_t v, std::int32_t low, std::int32_t high) noexcept {
  return v < low ? low : (v > high ? high : v);
}

inline std::int32_t shift_round(std::int32_t v, int shift) noexcept {
  return shift == 0 ? v : (v + (1 << (shift - 1))) >> shift;
}

}  // namespace
}  // namespace andpop
