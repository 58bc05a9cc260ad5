// SPDX-License-Identifier: Apache-2.0

#include "kernels/acc_levels/acc_levels.hpp"

namespace andpop {

void acc_levels_scalar(const AccLevels& a) noexcept {
  for (std::int64_t p = 0; p < a.pixels; ++p) {
    for (std::int64_t c = 0; c < a.channels; ++c) {
      std::int32_t level = a.base[c];
      for (std::int64_t i = 0; i < a.count; ++i)
        if (a.in[p * a.channels + c] > a.bounds[i * a.lanes + c]) level += a.steps[i * a.lanes + c];
      a.out[p * a.channels + c] = static_cast<std::uint8_t>(level);
    }
  }
}

}  // namespace andpop
