// SPDX-License-Identifier: Apache-2.0
// Plain loops, compiled for each instruction set in the file that includes them.

#pragma once

#include "kernels/max_pool/max_pool.hpp"

namespace andpop {
namespace {

struct Maximum {
  template <typename T>
  static T of(T a, T b) noexcept {
    return a > b ? a : b;
  }
};

struct BitOr {
  template <typename T>
  static T of(T a, T b) noexcept {
    return static_cast<T>(a | b);
  }
};

template <typename T, typename Op>
void combine(T* __restrict into, const T* __restrict from, std::int64_t count) noexcept {
  for (std::int64_t i = 0; i < count; ++i) into[i] = Op::of(into[i], from[i]);
}

template <typename T>
void copy(T* __restrict into, const T* __restrict from, std::int64_t count) noexcept {
  for (std::int64_t i = 0; i < count; ++i) into[i] = from[i];
}

// Vertical maxima of a row first (long vectors), then the horizontal ones. A window always covers
// at least one pixel of the picture: the plan checks refuse padding as wide as the kernel.
template <typename T, typename Op>
void pool(const MaxPool& a) noexcept {
  const T* in = static_cast<const T*>(a.in);
  T* row = static_cast<T*>(a.row);
  T* out = static_cast<T*>(a.out);
  const std::int64_t row_size = a.width * a.channels;
  constexpr std::int64_t kLongWork = 1 << 20;
  std::int64_t work = 0;
  for (std::int64_t oy = 0; oy < a.out_height; ++oy) {
    std::int64_t top = oy * a.stride_y - a.pad_top;
    std::int64_t bottom = top + a.kernel_y;
    if (top < 0) top = 0;
    if (bottom > a.height) bottom = a.height;
    copy(row, in + top * row_size, row_size);
    for (std::int64_t y = top + 1; y < bottom; ++y) {
      combine<T, Op>(row, in + y * row_size, row_size);
      if (a.poll.ask(a.poll.whom, row_size)) return;
    }
    for (std::int64_t ox = 0; ox < a.out_width; ++ox) {
      std::int64_t left = ox * a.stride_x - a.pad_left;
      std::int64_t right = left + a.kernel_x;
      if (left < 0) left = 0;
      if (right > a.width) right = a.width;
      copy(out, row + left * a.channels, a.channels);
      for (std::int64_t x = left + 1; x < right; ++x)
        combine<T, Op>(out, row + x * a.channels, a.channels);
      out += a.channels;
      work += (right - left) * a.channels;
      if (work >= kLongWork) {
        if (a.poll.ask(a.poll.whom, work)) return;
        work = 0;
      }
    }
  }
}

inline void max_pool(const MaxPool& a) noexcept {
  switch (a.storage) {
    case Storage::kBits:
      pool<std::uint8_t, BitOr>(a);
      break;
    case Storage::kU8:
      pool<std::uint8_t, Maximum>(a);
      break;
    case Storage::kI8:
      pool<std::int8_t, Maximum>(a);
      break;
    case Storage::kI32:
      pool<std::int32_t, Maximum>(a);
      break;
  }
}

}  // namespace
}  // namespace andpop
