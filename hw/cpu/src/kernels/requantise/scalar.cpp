// SPDX-License-Identifier: Apache-2.0

#include "kernels/scalar.hpp"

#include "kernels/requantise/requantise.hpp"

namespace andpop {

void requantise_scalar(const Requantise& a) noexcept {
  for (std::int64_t i = 0; i < a.count; ++i) {
    std::int32_t v = a.in[i];
    if (a.shortcut != nullptr) v += a.shortcut[i] * (1 << a.shortcut_shift);
    a.out[i] = static_cast<std::int8_t>(clamp(shift_round(v, a.shift), -128, 127));
  }
}

}  // namespace andpop
