// SPDX-License-Identifier: Apache-2.0

#include "kernels/scalar.hpp"

#include "kernels/epilogue/epilogue.hpp"

namespace andpop {

void epilogue_scalar(const Epilogue& a) noexcept {
  const std::int32_t* m = a.params;
  const std::int32_t* b = m + a.stride;
  const std::int32_t* zeta = b + a.stride;
  const std::int32_t* slope = zeta + a.stride;
  const std::int32_t* eta = slope + a.stride;
  for (std::int64_t p = 0; p < a.pixels; ++p) {
    for (std::int64_t c = 0; c < a.channels; ++c) {
      const std::int64_t i = p * a.channels + c;
      std::int32_t acc = a.acc[i];
      if (a.acc_shift != 0) acc = clamp(shift_round(acc, a.acc_shift), a.acc_low, a.acc_high);
      std::int32_t y = acc * m[c] + b[c];
      // A product: shifting a negative number left is undefined before C++20.
      if (a.shortcut != nullptr) y += a.shortcut[i] * (1 << a.shortcut_shift);
      const std::int32_t t = clamp(shift_round(y, a.pre_shift), a.pre_low, a.pre_high);
      const std::int32_t u = t - zeta[c];
      const std::int32_t v = (u >= 0 ? u : (u * slope[c]) >> a.slope_shift) + eta[c];
      a.out[i] = static_cast<std::int8_t>(clamp(shift_round(v, a.out_shift), -128, 127));
    }
  }
}

}  // namespace andpop
