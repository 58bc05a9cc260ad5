// SPDX-License-Identifier: Apache-2.0
// Pictures with a border, and the windows that convolutions and pools move over them.

#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

#include "ops/site.hpp"

namespace andpop {

// Kernel, stride and border of a convolution or pool over a picture.
struct Geometry {
  explicit Geometry(const Site& s);

  std::int64_t padded_height() const noexcept { return height + pad_top + pad_bottom; }
  std::int64_t padded_width() const noexcept { return width + pad_left + pad_right; }
  bool pointwise() const noexcept { return kernel_y * kernel_x * stride_y * stride_x == 1; }
  bool padded() const noexcept { return (pad_top | pad_left | pad_bottom | pad_right) != 0; }

  std::int64_t height, width, out_height, out_width;
  std::int64_t kernel_y, kernel_x, stride_y, stride_x, dilation_y, dilation_x;
  std::int64_t pad_top, pad_left, pad_bottom, pad_right;
};

// Copies a picture into one with a border of `fill` bytes.
void pad(const Workspace& w, const Geometry& g, const std::uint8_t* in, std::int64_t pixel_bytes,
         std::uint8_t fill, std::uint8_t* out) noexcept;

// Cuts windows (ky, kx, channels) out of a padded picture. A window is a few runs of bytes.
class Windows {
 public:
  Windows(const Geometry& g, std::int64_t pixel_bytes);

  std::int64_t bytes() const noexcept { return bytes_; }

  // Runs of a window, all of one length and one distance where `regular`.
  std::int64_t runs() const noexcept { return static_cast<std::int64_t>(runs_.size()); }
  std::int64_t run_bytes() const noexcept { return run_bytes_; }
  std::int64_t run_step() const noexcept { return runs() > 1 ? runs_[1] - runs_[0] : 0; }
  bool regular() const noexcept;

  // Writes windows first..last-1 (in raster order), `stride` bytes apart; the bytes between a
  // window and the next are 0. Copies 8 bytes at a time: reads and writes run over their ends,
  // what was written too far is written again by the next run or cleared.
  void cut(const std::uint8_t* picture, std::int64_t first, std::int64_t last, std::int64_t stride,
           std::uint8_t* out) const noexcept {
    std::int64_t oy = first / g_.out_width;
    std::int64_t ox = first % g_.out_width;
    for (std::int64_t p = first; p < last; ++p) {
      const std::uint8_t* corner =
          picture + (oy * g_.stride_y * g_.padded_width() + ox * g_.stride_x) * pixel_bytes_;
      std::uint8_t* to = out;
      for (const std::int64_t run : runs_) {
        for (std::int64_t i = 0; i < run_bytes_; i += 8) std::memcpy(to + i, corner + run + i, 8);
        to += run_bytes_;
      }
      for (std::int64_t i = bytes_; i < stride; i += 8) std::memset(out + i, 0, 8);
      out += stride;
      if (++ox == g_.out_width) {
        ox = 0;
        ++oy;
      }
    }
  }

 private:
  Geometry g_;
  std::int64_t pixel_bytes_;
  std::int64_t run_bytes_ = 0;
  std::int64_t bytes_ = 0;
  std::vector<std::int64_t> runs_;
};

}  // namespace andpop
