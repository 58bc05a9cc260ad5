// SPDX-License-Identifier: Apache-2.0

#include "kernels/int_gemm/int_gemm.hpp"

namespace andpop {
namespace {

std::int32_t product(const IntGemm& a, const std::uint8_t* window, std::int64_t o) noexcept {
  const std::int8_t* weights = a.weights + o * a.runs * a.groups;
  std::int32_t sum = a.bias[o];
  for (std::int64_t run = 0; run < a.runs; ++run, window += a.run_step)
    for (std::int64_t k = 0; k < a.groups; ++k) sum += window[k] * *weights++;
  return sum;
}

}  // namespace

void int_gemm_scalar(const IntGemm& a) noexcept {
  std::int32_t* out = a.out;
  for (std::int64_t r = 0; r < a.rows; ++r)
    for (std::int64_t p = 0; p < a.pixels; ++p)
      for (std::int64_t o = 0; o < a.channels; ++o)
        *out++ = product(a, a.windows + r * a.row_step + p * a.step, o);
}

}  // namespace andpop
