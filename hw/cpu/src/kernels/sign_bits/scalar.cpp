// SPDX-License-Identifier: Apache-2.0

#include "kernels/sign_bits/sign_bits.hpp"

namespace andpop {

void sign_bits_scalar(const SignBits& a) noexcept {
  for (std::int64_t p = 0; p < a.pixels; ++p) {
    for (std::int64_t byte = 0; byte < a.bytes; ++byte) {
      std::uint8_t bits = a.always[byte];
      for (std::int64_t c = byte * 8; c < byte * 8 + 8 && c < a.channels; ++c)
        if (a.in[p * a.channels + c] > a.bound[c])
          bits = static_cast<std::uint8_t>(bits | (1U << (c % 8)));
      a.out[p * a.bytes + byte] = bits;
    }
  }
}

}  // namespace andpop
