// SPDX-License-Identifier: Apache-2.0
// Memory as kernels need it: aligned, zeroed, with slack behind it.

#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>

namespace andpop {

// Bytes behind every buffer that a kernel may read, and behind every output that it may overwrite:
// kernels work in whole vectors and leave the tail to be overwritten or ignored.
constexpr std::int64_t kSlack = 128;

constexpr std::int64_t kCacheLine = 64;

constexpr std::int64_t round_up(std::int64_t v, std::int64_t unit) noexcept {
  return (v + unit - 1) / unit * unit;
}

struct AlignedFree {
  void operator()(std::uint8_t* p) const noexcept;
};
using AlignedBytes = std::unique_ptr<std::uint8_t, AlignedFree>;

// Zeroed memory that starts at a cache line.
AlignedBytes allocate_aligned(std::int64_t bytes);

// Zeroed values of a step's own, aligned to a cache line, with readable slack behind them.
template <typename T>
class Values {
 public:
  explicit Values(std::int64_t count)
      : data_(allocate_aligned(count * static_cast<std::int64_t>(sizeof(T)) + kSlack)) {}

  T* data() noexcept { return reinterpret_cast<T*>(data_.get()); }
  const T* data() const noexcept { return reinterpret_cast<const T*>(data_.get()); }
  T& operator[](std::int64_t i) noexcept { return data()[i]; }
  const T& operator[](std::int64_t i) const noexcept { return data()[i]; }

 private:
  AlignedBytes data_;
};

}  // namespace andpop
