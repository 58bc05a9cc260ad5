// SPDX-License-Identifier: Apache-2.0

#include "ops/picture.hpp"

namespace andpop {

Geometry::Geometry(const Site& s)
    : height(s("height")),
      width(s("width")),
      out_height(s("out_height")),
      out_width(s("out_width")),
      kernel_y(s("kernel_y")),
      kernel_x(s("kernel_x")),
      stride_y(s("stride_y")),
      stride_x(s("stride_x")),
      dilation_y(s("dilation_y")),
      dilation_x(s("dilation_x")),
      pad_top(s("pad_top")),
      pad_left(s("pad_left")),
      pad_bottom(s("pad_bottom")),
      pad_right(s("pad_right")) {}

void pad(const Workspace& w, const Geometry& g, const std::uint8_t* in, std::int64_t pixel_bytes,
         std::uint8_t fill, std::uint8_t* out) noexcept {
  const auto row = static_cast<std::size_t>(g.width * pixel_bytes);
  const auto padded_row = static_cast<std::size_t>(g.padded_width() * pixel_bytes);
  const auto left = static_cast<std::size_t>(g.pad_left * pixel_bytes);
  const auto right = static_cast<std::size_t>(g.pad_right * pixel_bytes);
  const auto top = static_cast<std::size_t>(g.pad_top) * padded_row;
  const auto bottom = static_cast<std::size_t>(g.pad_bottom) * padded_row;
  std::memset(out, fill, top);
  out += top;
  for (std::int64_t y = 0; y < g.height; ++y) {
    std::memset(out, fill, left);
    std::memcpy(out + left, in, row);
    std::memset(out + left + row, fill, right);
    in += row;
    out += padded_row;
    if (w.stopped(g.padded_width() * pixel_bytes)) return;
  }
  std::memset(out, fill, bottom);
}

Windows::Windows(const Geometry& g, std::int64_t pixel_bytes) : g_(g), pixel_bytes_(pixel_bytes) {
  const bool joined = g.dilation_x == 1;
  run_bytes_ = (joined ? g.kernel_x : 1) * pixel_bytes;
  for (std::int64_t ky = 0; ky < g.kernel_y; ++ky)
    for (std::int64_t kx = 0; kx < (joined ? 1 : g.kernel_x); ++kx)
      runs_.push_back((ky * g.dilation_y * g.padded_width() + kx * g.dilation_x) * pixel_bytes);
  bytes_ = g.kernel_y * g.kernel_x * pixel_bytes;
}

bool Windows::regular() const noexcept {
  for (std::size_t i = 0; i < runs_.size(); ++i)
    if (runs_[i] != static_cast<std::int64_t>(i) * run_step()) return false;
  return true;
}

}  // namespace andpop
