// SPDX-License-Identifier: Apache-2.0

#include "kernels/search_levels/search_levels.hpp"

namespace andpop {

void search_levels_scalar(const SearchLevels& a) noexcept {
  const std::int64_t size = std::int64_t{1} << a.bits;
  for (std::int64_t p = 0; p < a.pixels; ++p) {
    for (std::int64_t c = 0; c < a.channels; ++c) {
      const std::int32_t x = a.in[p * a.channels + c];
      std::int64_t reached = 0;
      for (std::int64_t half = size / 2; half > 0; half /= 2)
        if (x >= a.thresholds[c * size + reached + half - 1]) reached += half;
      a.out[p * a.channels + c] = a.codes[c * size + reached];
    }
  }
}

}  // namespace andpop
