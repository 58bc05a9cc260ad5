// SPDX-License-Identifier: Apache-2.0
// Matrix products, with the windows and the border in front of them.

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "kernels/bit_gemm/bit_gemm.hpp"
#include "kernels/depthwise/depthwise.hpp"
#include "kernels/int_gemm/int_gemm.hpp"
#include "ops/packing.hpp"
#include "ops/picture.hpp"

namespace andpop {
namespace {

// What 1-bit and 8-bit convolutions share: the picture with its border, and windows cut from it.
class Convolution : public Source {
 public:
  // Most pixels of a tile: its windows and its sums stay in the caches next to the core.
  static constexpr std::int64_t kTile = 128;
  // Most bytes that a tile multiplies: a fraction of a second in plain loops.
  static constexpr std::int64_t kTileWork = 1 << 28;

  // `unit`: bytes of a window in which the microkernel reads it.
  Convolution(const Site& s, std::int64_t unit, std::uint8_t flip)
      : geometry_(s),
        windows_(geometry_, s.input().tensor.pixel_bytes()),
        in_(s.input()),
        out_(s.output()),
        stride_(round_up(windows_.bytes(), unit)),
        flip_(flip) {
    const std::int64_t allowed = kTileWork / (windows_.bytes() * out_.tensor.channels);
    tile_ = std::min(std::clamp<std::int64_t>(allowed, 1, kTile), out_.tensor.pixels);
    copied_ = geometry_.padded() || flip_ != 0;
    if (copied_) picture_bytes_ = round_up(padded_bytes(), kSlack);
    picture_bytes_ += kSlack;
  }

  // Both parts end at a cache line.
  std::int64_t scratch_bytes() const noexcept override {
    return picture_bytes_ + round_up(tile_ * stride_, kSlack) + kSlack;
  }

  std::int64_t piece_pixels() const noexcept override { return tile_; }

 protected:
  // The picture as windows are cut from it.
  const std::uint8_t* picture(const Workspace& w) const noexcept {
    if (!copied_) return in_.in(w);
    // Flipping the top bit turns signed codes into unsigned ones, 128 higher; code 0 in the
    // border becomes 128 the same way. The bias takes 128 * sum(weights) back.
    pad(w, geometry_, in_.in(w), in_.tensor.pixel_bytes(), 0, w.scratch());
    const std::int64_t size = padded_bytes();
    if (flip_ != 0)
      for (std::int64_t i = 0; i < size; ++i)
        w.scratch()[i] = static_cast<std::uint8_t>(w.scratch()[i] ^ flip_);
    return w.scratch();
  }

  // Cuts the windows of one tile after the other and calls product(windows, pixels, sums).
  template <typename Product>
  void tiles(const Workspace& w, const Chain& chain, Product product) const noexcept {
    const std::uint8_t* source = picture(w);
    std::uint8_t* tile = w.scratch() + picture_bytes_;
    const std::int64_t pixels = out_.tensor.pixels;
    for (std::int64_t first = 0; first < pixels; first += tile_) {
      const std::int64_t last = std::min(first + tile_, pixels);
      windows_.cut(source, first, last, stride_, tile);
      piece(w, chain, first, last - first,
            [&](std::int32_t* sums) { product(tile, last - first, sums); });
      if (w.stopped(work(last - first))) return;
    }
  }

  // Lets product(sums) write the sums of some pixels, and the chain go on with them.
  template <typename Product>
  void piece(const Workspace& w, const Chain& chain, std::int64_t first, std::int64_t count,
             Product product) const noexcept {
    std::uint8_t* sums = chain.target(w, out_, first);
    product(reinterpret_cast<std::int32_t*>(sums));
    chain.run(w, sums, first, count);
  }

  // What the sums of some pixels cost.
  std::int64_t work(std::int64_t pixels) const noexcept {
    return pixels * windows_.bytes() * channels();
  }

  std::int64_t tile() const noexcept { return tile_; }
  std::int64_t channels() const noexcept { return out_.tensor.channels; }
  std::int64_t stride() const noexcept { return stride_; }

  Geometry geometry_;
  Windows windows_;
  Slot in_;
  Slot out_;

 private:
  std::int64_t padded_bytes() const noexcept {
    return geometry_.padded_height() * geometry_.padded_width() * in_.tensor.pixel_bytes();
  }

  std::int64_t stride_;
  std::uint8_t flip_;
  std::int64_t tile_ = 0;
  bool copied_ = false;
  std::int64_t picture_bytes_ = 0;
};

class BitConvolution final : public Convolution {
 public:
  static constexpr std::int64_t kWord = sizeof(std::uint64_t);

  explicit BitConvolution(const Site& s)
      : Convolution(s, kWord, 0),
        kernel_(s.kernel(kBitGemm)),
        weights_(pack_blocks(s.constant<std::uint64_t>("weights", channels() * stride() / kWord),
                             channels(), stride() / kWord, kernel_.tile)),
        direct_(geometry_.pointwise() && windows_.bytes() == stride() && !geometry_.padded()) {
    args_.weights = weights_.data();
    args_.words = stride() / kWord;
    args_.channels = channels();
    args_.inputs = geometry_.kernel_y * geometry_.kernel_x * in_.tensor.channels;
  }

  void run_chain(const Workspace& w, const Chain& chain) const noexcept override {
    const auto product = [&](const std::uint8_t* windows, std::int64_t pixels, std::int32_t* out) {
      BitGemm args = args_;
      args.windows = reinterpret_cast<const std::uint64_t*>(windows);
      args.out = out;
      args.pixels = pixels;
      kernel_.run(args);
    };
    if (!direct_) {
      tiles(w, chain, product);
      return;
    }
    const std::uint8_t* source = picture(w);
    for (std::int64_t first = 0; first < out_.tensor.pixels; first += tile()) {
      const std::int64_t count = std::min(tile(), out_.tensor.pixels - first);
      piece(w, chain, first, count,
            [&](std::int32_t* sums) { product(source + first * stride(), count, sums); });
      if (w.stopped(work(count))) return;
    }
  }

 private:
  const Variant<BitGemm>& kernel_;
  Values<std::uint64_t> weights_;
  bool direct_;
  BitGemm args_{};
};

class IntConvolution final : public Convolution {
 public:
  explicit IntConvolution(const Site& s)
      : IntConvolution(s, s.kernel(kIntGemm), s.input().tensor.storage == Storage::kI8) {}

  void run_chain(const Workspace& w, const Chain& chain) const noexcept override {
    if (direct_) {
      read_in_place(w, chain);
      return;
    }
    tiles(w, chain, [&](const std::uint8_t* windows, std::int64_t pixels, std::int32_t* out) {
      IntGemm args = args_;
      args.windows = windows;
      args.out = out;
      args.pixels = pixels;
      kernel_.run(args);
    });
  }

 private:
  IntConvolution(const Site& s, const Variant<IntGemm>& kernel, bool is_signed)
      : Convolution(s, kernel.tile.depth, is_signed ? 0x80 : 0),
        kernel_(kernel),
        weights_(pack_blocks(s.constant<std::int8_t>("weights", channels() * windows_.bytes()),
                             channels(), windows_.bytes(), kernel.tile)),
        bias_(pack_channels(s.constant<std::int32_t>("bias", channels()), 1, channels(),
                            kernel.tile.lanes)),
        direct_(windows_.regular() && windows_.run_bytes() % kernel.tile.depth == 0) {
    const auto* rows = s.constant<std::int8_t>("weights", channels() * windows_.bytes());
    if (is_signed) take_back(rows);
    args_.weights = weights_.data();
    args_.bias = bias_.data();
    args_.channels = channels();
    args_.short_groups = short_groups(rows);
    args_.rows = 1;
    args_.runs = direct_ ? windows_.runs() : 1;
    args_.run_step = direct_ ? windows_.run_step() : 0;
    args_.groups = (direct_ ? windows_.run_bytes() : stride()) / kernel.tile.depth;
    args_.step = direct_ ? geometry_.stride_x * in_.tensor.pixel_bytes() : stride();
    args_.row_step =
        direct_ ? geometry_.stride_y * geometry_.padded_width() * in_.tensor.pixel_bytes() : 0;
  }

  // Signed codes are read 128 higher. The checks have shown that the sums still fit 32 bits.
  void take_back(const std::int8_t* rows) {
    for (std::int64_t o = 0; o < channels(); ++o) {
      std::int64_t sum = 0;
      for (std::int64_t i = 0; i < windows_.bytes(); ++i) sum += rows[o * windows_.bytes() + i];
      bias_[o] = static_cast<std::int32_t>(bias_[o] - 128 * sum);
    }
  }

  // Groups of 4 whose products, with codes of 255, fit 16 bits in each of their two sums.
  std::int64_t short_groups(const std::int8_t* rows) const noexcept {
    const std::int64_t inputs = windows_.bytes();
    int largest = 1;
    for (std::int64_t o = 0; o < channels(); ++o, rows += inputs)
      for (std::int64_t i = 0; i < inputs; i += 2)
        largest = std::max(
            largest, std::abs(int{rows[i]}) + (i + 1 < inputs ? std::abs(int{rows[i + 1]}) : 0));
    return 32767 / (255 * largest);
  }

  // Windows are not copied: a tile is a few rows of a small picture or a piece of a long row.
  void read_in_place(const Workspace& w, const Chain& chain) const noexcept {
    const std::uint8_t* source = picture(w);
    const Geometry& g = geometry_;
    const std::int64_t width = std::min(g.out_width, tile());
    const std::int64_t height = tile() / width;
    for (std::int64_t y = 0; y < g.out_height; y += height) {
      const std::int64_t rows = std::min(height, g.out_height - y);
      for (std::int64_t x = 0; x < g.out_width; x += width) {
        const std::int64_t pixels = std::min(width, g.out_width - x);
        piece(w, chain, y * g.out_width + x, rows * pixels, [&](std::int32_t* sums) {
          IntGemm args = args_;
          args.windows = source + y * args_.row_step + x * args_.step;
          args.out = sums;
          args.rows = rows;
          args.pixels = pixels;
          kernel_.run(args);
        });
        if (w.stopped(work(rows * pixels))) return;
      }
    }
  }

  const Variant<IntGemm>& kernel_;
  Values<std::int8_t> weights_;
  Values<std::int32_t> bias_;
  bool direct_;
  IntGemm args_{};
};

// Every channel times weights of its own. Where it has several outputs it is repeated for them.
class DepthwiseConvolution final : public Source {
 public:
  static constexpr std::int64_t kTile = 128;

  explicit DepthwiseConvolution(const Site& s)
      : geometry_(s),
        in_(s.input()),
        out_(s.output()),
        kernel_(s.kernel(kDepthwise)),
        positions_(geometry_.kernel_y * geometry_.kernel_x),
        weights_(pack_blocks(s.constant<std::int16_t>("weights", channels() * positions_),
                             channels(), positions_, kernel_.tile)),
        bias_(pack_channels(s.constant<std::int32_t>("bias", channels()), 1, channels(),
                            kernel_.tile.lanes)) {
    const Geometry& g = geometry_;
    if (repeats()) repeated_ = round_up(g.height * g.width * channels(), kSlack) + kSlack;
    if (g.padded())
      padded_ = round_up(g.padded_height() * g.padded_width() * channels(), kSlack) + kSlack;
    for (std::int64_t y = 0; y < g.kernel_y; ++y)
      for (std::int64_t x = 0; x < g.kernel_x; ++x)
        taps_.push_back((y * g.dilation_y * g.padded_width() + x * g.dilation_x) * channels());
    // What fills up is multiplied by 0: any position will do.
    while (taps_.size() % static_cast<std::size_t>(kernel_.tile.depth) != 0)
      taps_.push_back(taps_.front());
    args_.is_signed = in_.tensor.storage == Storage::kI8;
    args_.taps = taps_.data();
    args_.weights = weights_.data();
    args_.bias = bias_.data();
    args_.channels = channels();
    args_.step = g.stride_x * channels();
    args_.count = static_cast<std::int64_t>(taps_.size());
  }

  std::int64_t scratch_bytes() const noexcept override { return repeated_ + padded_; }
  std::int64_t piece_pixels() const noexcept override { return kTile; }

  void run_chain(const Workspace& w, const Chain& chain) const noexcept override {
    const Geometry& g = geometry_;
    const std::uint8_t* source = picture(w);
    const std::int64_t row_step = g.stride_y * g.padded_width() * channels();
    for (std::int64_t y = 0; y < g.out_height; ++y) {
      for (std::int64_t x = 0; x < g.out_width; x += kTile) {
        Depthwise args = args_;
        args.pixels = std::min(kTile, g.out_width - x);
        args.in = source + y * row_step + x * args.step;
        const std::int64_t first = y * g.out_width + x;
        std::uint8_t* sums = chain.target(w, out_, first);
        args.out = reinterpret_cast<std::int32_t*>(sums);
        kernel_.run(args);
        chain.run(w, sums, first, args.pixels);
        if (w.stopped(args.pixels * args.count * channels())) return;
      }
    }
  }

 private:
  std::int64_t channels() const noexcept { return out_.tensor.channels; }
  bool repeats() const noexcept { return channels() != in_.tensor.channels; }

  // The picture as windows lie in it.
  const std::uint8_t* picture(const Workspace& w) const noexcept {
    const std::uint8_t* source = in_.in(w);
    if (repeats()) {
      std::uint8_t* to = w.scratch() + padded_;
      const std::int64_t times = channels() / in_.tensor.channels;
      pieces(w, in_.tensor.pixels, channels(), [&](std::int64_t first, std::int64_t count) {
        const std::int64_t end = (first + count) * in_.tensor.channels;
        for (std::int64_t i = first * in_.tensor.channels; i < end; ++i)
          std::memset(to + i * times, source[i], static_cast<std::size_t>(times));
      });
      source = to;
    }
    if (!geometry_.padded()) return source;
    pad(w, geometry_, source, channels(), 0, w.scratch());
    return w.scratch();
  }

  Geometry geometry_;
  Slot in_, out_;
  const Variant<Depthwise>& kernel_;
  std::int64_t positions_;
  Values<std::int16_t> weights_;
  Values<std::int32_t> bias_;
  std::vector<std::int64_t> taps_;
  std::int64_t repeated_ = 0;
  std::int64_t padded_ = 0;
  Depthwise args_{};
};

// Products of any width, where 8 bits are not enough.
class WideProduct final : public Step {
 public:
  explicit WideProduct(const Site& s)
      : in_(s.input()),
        out_(s.output()),
        weights_(s.values<std::int32_t>("weights", out_.tensor.channels * in_.tensor.channels)),
        bias_(s.values<std::int32_t>("bias", out_.tensor.channels)) {}

  void run(const Workspace& w) const noexcept override {
    const auto* x = in_.in<std::int32_t>(w);
    auto* out = out_.in<std::int32_t>(w);
    const std::int64_t depth = in_.tensor.channels;
    const std::int64_t channels = out_.tensor.channels;
    pieces(w, out_.tensor.pixels, depth * channels, [&](std::int64_t first, std::int64_t count) {
      for (std::int64_t p = first; p < first + count; ++p) {
        for (std::int64_t o = 0; o < channels; ++o) {
          std::int64_t sum = bias_[o];
          for (std::int64_t k = 0; k < depth; ++k)
            sum += std::int64_t{x[p * depth + k]} * weights_[o * depth + k];
          out[p * channels + o] = static_cast<std::int32_t>(sum);
        }
      }
    });
  }

 private:
  Slot in_, out_;
  Values<std::int32_t> weights_, bias_;
};

}  // namespace

std::vector<Op> products() {
  return {
      op<BitConvolution>("bit_convolution", {"weights"}),
      op<IntConvolution>("int_convolution", {"weights", "bias"}),
      op<DepthwiseConvolution>("depthwise_convolution", {"weights", "bias"}),
      op<WideProduct>("wide_product", {"weights", "bias"}),
  };
}

}  // namespace andpop
