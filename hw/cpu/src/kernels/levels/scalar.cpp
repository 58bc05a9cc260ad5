// SPDX-License-Identifier: Apache-2.0

#include "kernels/levels/levels.hpp"

namespace andpop {

void levels_scalar(const Levels& a) noexcept {
  for (std::int64_t p = 0; p < a.pixels; ++p) {
    for (std::int64_t c = 0; c < a.channels; ++c) {
      unsigned level = a.base[c];
      for (std::int64_t i = 0; i < a.count; ++i)
        if (a.in[p * a.channels + c] > a.bounds[i * a.lanes + c]) level += a.steps[i * a.lanes + c];
      a.out[p * a.channels + c] = static_cast<std::uint8_t>(level);
    }
  }
}

}  // namespace andpop
