// SPDX-License-Identifier: Apache-2.0

#include "kernels/depthwise/depthwise.hpp"

namespace andpop {

void depthwise_scalar(const Depthwise& a) noexcept {
  for (std::int64_t p = 0; p < a.pixels; ++p) {
    for (std::int64_t c = 0; c < a.channels; ++c) {
      std::int32_t sum = a.bias[c];
      for (std::int64_t t = 0; t < a.count; ++t) {
        const std::uint8_t byte = a.in[p * a.step + a.taps[t] + c];
        const std::int32_t code = a.is_signed ? static_cast<std::int8_t>(byte) : byte;
        sum += code * a.weights[c * a.count + t];
      }
      a.out[p * a.channels + c] = sum;
    }
  }
}

}  // namespace andpop
