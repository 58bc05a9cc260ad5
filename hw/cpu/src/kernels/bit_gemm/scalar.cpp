// SPDX-License-Identifier: Apache-2.0

#include "kernels/bit_gemm/bit_gemm.hpp"

namespace andpop {

void bit_gemm_scalar(const BitGemm& a) noexcept {
  for (std::int64_t p = 0; p < a.pixels; ++p) {
    const std::uint64_t* window = a.windows + p * a.words;
    for (std::int64_t o = 0; o < a.channels; ++o) {
      const std::uint64_t* weights = a.weights + o * a.words;
      std::int64_t differing = 0;
      for (std::int64_t k = 0; k < a.words; ++k)
        differing += __builtin_popcountll(window[k] ^ weights[k]);
      a.out[p * a.channels + o] = static_cast<std::int32_t>(a.inputs - 2 * differing);
    }
  }
}

}  // namespace andpop
