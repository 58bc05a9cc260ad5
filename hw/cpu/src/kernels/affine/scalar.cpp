// SPDX-License-Identifier: Apache-2.0

#include "kernels/affine/affine.hpp"

namespace andpop {

void affine_scalar(const Affine& a) noexcept {
  for (std::int64_t p = 0; p < a.pixels; ++p) {
    for (std::int64_t c = 0; c < a.channels; ++c) {
      const std::int64_t y = a.in[p * a.channels + c] * a.factors[c] + a.summands[c];
      const std::int64_t within = y < a.low ? a.low : (y > a.high ? a.high : y);
      a.out[p * a.channels + c] = static_cast<std::uint8_t>(within >> a.shift);
    }
  }
}

}  // namespace andpop
