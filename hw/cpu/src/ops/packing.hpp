// SPDX-License-Identifier: Apache-2.0
// From the canonical order of constants to the blocks in which a microkernel reads them.

#pragma once

#include <cstdint>

#include "kernels/variants.hpp"
#include "memory.hpp"

namespace andpop {

// Packs rows of inputs, one per output, as [blocks of lanes][groups of depth][lanes][depth]; what
// fills blocks and groups up is 0.
template <typename T>
Values<T> pack_blocks(const T* rows, std::int64_t outputs, std::int64_t inputs, const Tile& tile) {
  const std::int64_t groups = round_up(inputs, tile.depth) / tile.depth;
  const std::int64_t block = groups * tile.lanes * tile.depth;
  Values<T> packed(round_up(outputs, tile.lanes) / tile.lanes * block);
  for (std::int64_t o = 0; o < outputs; ++o) {
    T* to = packed.data() + o / tile.lanes * block + o % tile.lanes * tile.depth;
    for (std::int64_t i = 0; i < inputs; ++i)
      to[i / tile.depth * tile.lanes * tile.depth + i % tile.depth] = rows[o * inputs + i];
  }
  return packed;
}

// Lays the channels of rows out in whole lanes, `fill` behind them.
template <typename T>
Values<T> pack_channels(const T* rows, std::int64_t count, std::int64_t channels,
                        std::int64_t lanes, T fill = 0) {
  const std::int64_t stride = round_up(channels, lanes);
  Values<T> packed(count * stride);
  for (std::int64_t i = 0; i < count * stride; ++i)
    packed[i] = i % stride < channels ? rows[i / stride * channels + i % stride] : fill;
  return packed;
}

// Channels in lanes. Where a few fill a whole number of pixels into the lanes they are repeated:
// the pixels share a vector, and count as one of `channels`.
struct Lanes {
  Lanes(std::int64_t of_tensor, const Tile& tile)
      : channels(tile.lanes % of_tensor == 0 ? tile.lanes : of_tensor),
        lanes(round_up(of_tensor, tile.lanes)),
        repeat(channels / of_tensor) {}

  // Pixels of a kernel that are so many of a tensor's, the last one filled up.
  std::int64_t pixels(std::int64_t of_tensor) const noexcept {
    return round_up(of_tensor, repeat) / repeat;
  }

  // Lays out rows of channels.
  template <typename T>
  Values<T> pack(const T* rows, std::int64_t count) const {
    const std::int64_t of_tensor = channels / repeat;
    Values<T> packed(count * lanes);
    for (std::int64_t i = 0; i < count; ++i)
      for (std::int64_t c = 0; c < channels; ++c)
        packed[i * lanes + c] = rows[i * of_tensor + c % of_tensor];
    return packed;
  }

  std::int64_t channels, lanes, repeat;
};

}  // namespace andpop
