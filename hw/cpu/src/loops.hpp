// SPDX-License-Identifier: Apache-2.0
// Kernels as plain loops, included by each instruction set's file and compiled for it there.
//
// Everything sits in an anonymous namespace and calls nothing of the standard library, so that no
// function compiled for AVX-512 can replace a baseline one at link time.

#pragma once

#include "kernels.hpp"

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
void max_pool(const MaxPool& a) noexcept {
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

template <typename T>
void shuffle(const Shuffle& a) noexcept {
  const T* __restrict left = static_cast<const T*>(a.left);
  const T* __restrict right = static_cast<const T*>(a.right);
  T* __restrict out = static_cast<T*>(a.out);
  for (std::int64_t i = 0; i < a.count; ++i) {
    out[2 * i] = left[i];
    out[2 * i + 1] = right[i];
  }
}

inline void lookup_bytes(const Lookup& a) noexcept {
  const std::uint8_t* __restrict in = a.in;
  const std::uint8_t* __restrict table = a.table;
  std::uint8_t* __restrict out = a.out;
  for (std::int64_t i = 0; i < a.count; ++i) out[i] = table[in[i]];
}

template <typename T>
void sum_pool(const SumPool& a) noexcept {
  const T* __restrict in = static_cast<const T*>(a.in);
  std::int32_t* __restrict out = a.out;
  for (std::int64_t p = 0; p < a.pixels; ++p)
    for (std::int64_t c = 0; c < a.channels; ++c) out[c] += in[p * a.channels + c];
}

}  // namespace
}  // namespace andpop
