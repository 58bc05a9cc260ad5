// SPDX-License-Identifier: Apache-2.0
// The steps of a plan: addressing and copying here, arithmetic in the kernel tables.

#include "steps.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace andpop {
namespace {

// Constants in own memory, aligned to a cache line, with readable slack behind them.
template <typename T>
class Values {
 public:
  explicit Values(const Constant& c) : data_(allocate_aligned(c.bytes + kSlack)) {
    if (c.bytes != 0) std::memcpy(data_.get(), c.data, c.bytes);
  }
  const T* data() const noexcept { return reinterpret_cast<const T*>(data_.get()); }
  const T& operator[](std::int64_t i) const noexcept { return data()[i]; }

 private:
  AlignedBytes data_;
};

// Calls part(first, count) for all pixels, piece by piece: between two of them, `work` operations
// for each pixel later, the run may be stopped.
template <typename Part>
void pieces(const Workspace& w, std::int64_t pixels, std::int64_t work, Part part) noexcept {
  const std::int64_t most = std::max<std::int64_t>(kPieceWork / work, 1);
  for (std::int64_t first = 0; first < pixels; first += most) {
    const std::int64_t count = std::min(most, pixels - first);
    part(first, count);
    if (w.stopped(count * work)) return;
  }
}

std::int64_t attribute(const StepSpec& spec, const char* name) {
  const auto found = spec.attributes.find(name);
  if (found == spec.attributes.end())
    throw std::invalid_argument("step " + spec.op + ": attribute " + name + " is missing");
  return found->second;
}

// A tensor's place in the arena.
struct Slot {
  Tensor tensor;
  std::size_t offset;

  template <typename T = std::uint8_t>
  T* in(const Workspace& w) const noexcept {
    return reinterpret_cast<T*>(w.arena() + offset);
  }
};

// Everything a step is made from.
struct Site {
  const StepSpec& spec;
  const std::vector<Tensor>& tensors;
  const std::vector<std::size_t>& offsets;
  const Kernels& kernels;

  Slot slot(int tensor) const {
    const auto i = static_cast<std::size_t>(tensor);
    return {tensors.at(i), offsets.at(i)};
  }
  Slot input(std::size_t i = 0) const { return slot(spec.inputs.at(i)); }
  Slot output(std::size_t i = 0) const { return slot(spec.outputs.at(i)); }
  std::int64_t operator()(const char* name) const { return attribute(spec, name); }
  template <typename T>
  Values<T> constant(std::size_t i) const {
    return Values<T>(spec.constants.at(i));
  }
};

// Kernel, stride and border of a convolution or pool over a picture.
struct Geometry {
  explicit Geometry(const Site& s)
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

// Cuts windows (ky, kx, channels) out of a padded picture. A window is a few runs of bytes.
class Windows {
 public:
  Windows(const Geometry& g, std::int64_t pixel_bytes) : g_(g), pixel_bytes_(pixel_bytes) {
    const bool joined = g.dilation_x == 1;
    run_bytes_ = (joined ? g.kernel_x : 1) * pixel_bytes;
    for (std::int64_t ky = 0; ky < g.kernel_y; ++ky)
      for (std::int64_t kx = 0; kx < (joined ? 1 : g.kernel_x); ++kx)
        runs_.push_back((ky * g.dilation_y * g.padded_width() + kx * g.dilation_x) * pixel_bytes);
    bytes_ = g.kernel_y * g.kernel_x * pixel_bytes;
  }

  std::int64_t bytes() const noexcept { return bytes_; }

  // Runs of a window, all of one length and one distance where `regular`.
  std::int64_t runs() const noexcept { return static_cast<std::int64_t>(runs_.size()); }
  std::int64_t run_bytes() const noexcept { return run_bytes_; }
  std::int64_t run_step() const noexcept { return runs() > 1 ? runs_[1] - runs_[0] : 0; }
  bool regular() const noexcept {
    for (std::size_t i = 0; i < runs_.size(); ++i)
      if (runs_[i] != static_cast<std::int64_t>(i) * run_step()) return false;
    return true;
  }

  // Writes windows first..last-1 (in raster order), `stride` bytes apart, a multiple of `kWord`;
  // the bytes between a window and the next are 0. Copies 8 bytes at a time: reads and writes run
  // over their ends, what was written too far is written again by the next run or cleared.
  template <std::int64_t kWord>
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
      if constexpr (kWord > 1) std::memset(to, 0, kWord - 1);
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

std::int64_t round_up(std::int64_t v, std::int64_t unit) noexcept {
  return (v + unit - 1) / unit * unit;
}

// What 1-bit and 8-bit convolutions share: the picture with its border, and windows cut from it.
class Convolution : public AccumulatingStep {
 public:
  // Most pixels of a tile: its windows and its sums stay in the caches next to the core.
  static constexpr std::int64_t kTile = 128;
  // Most bytes that a tile multiplies: a fraction of a second in plain loops.
  static constexpr std::int64_t kTileWork = 1 << 28;

  Convolution(const Site& s, std::int64_t word, std::uint8_t flip)
      : geometry_(s),
        windows_(geometry_, s.input().tensor.pixel_bytes()),
        in_(s.input()),
        out_(s.output()),
        stride_(round_up(windows_.bytes(), word)),
        flip_(flip) {
    const std::int64_t allowed = kTileWork / (windows_.bytes() * out_.tensor.channels);
    tile_ = std::min(std::clamp<std::int64_t>(allowed, 1, kTile), out_.tensor.pixels);
    copied_ = geometry_.padded() || flip_ != 0;
    picture_bytes_ = round_up(copied_ ? geometry_.padded_height() * geometry_.padded_width() *
                                            in_.tensor.pixel_bytes()
                                      : 0,
                              kSlack) +
                     kSlack;
  }

  std::size_t scratch_bytes() const noexcept override {
    return static_cast<std::size_t>(tile_bytes() + sums_bytes() + picture_bytes_);
  }

 protected:
  // The picture as windows are cut from it.
  const std::uint8_t* picture(const Workspace& w) const noexcept {
    if (!copied_) return in_.in(w);
    // Flipping the top bit turns signed codes into unsigned ones, 128 higher; code 0 in the
    // border becomes 128 the same way. The bias takes 128 * sum(weights) back.
    pad(w, geometry_, in_.in(w), in_.tensor.pixel_bytes(), 0, w.scratch());
    const std::int64_t size =
        geometry_.padded_height() * geometry_.padded_width() * in_.tensor.pixel_bytes();
    if (flip_ != 0)
      for (std::int64_t i = 0; i < size; ++i)
        w.scratch()[i] = static_cast<std::uint8_t>(w.scratch()[i] ^ flip_);
    return w.scratch();
  }

  // Cuts the windows of one tile after the other and calls product(windows, pixels, sums).
  template <std::int64_t kWord, typename Product>
  void tiles(const Workspace& w, const PixelStep* next, Product product) const noexcept {
    const std::uint8_t* source = picture(w);
    std::uint8_t* tile = w.scratch() + picture_bytes_;
    const std::int64_t pixels = out_.tensor.pixels;
    for (std::int64_t first = 0; first < pixels; first += tile_) {
      const std::int64_t last = std::min(first + tile_, pixels);
      windows_.cut<kWord>(source, first, last, stride_, tile);
      piece(w, next, first, last - first,
            [&](std::int32_t* sums) { product(tile, last - first, sums); });
      if (w.stopped(work(last - first))) return;
    }
  }

  // Lets product(sums) write the sums of some pixels: to their tensor, or for `next` to read.
  template <typename Product>
  void piece(const Workspace& w, const PixelStep* next, std::int64_t first, std::int64_t count,
             Product product) const noexcept {
    if (next == nullptr) {
      product(out_.in<std::int32_t>(w) + first * channels());
      return;
    }
    auto* sums = reinterpret_cast<std::int32_t*>(w.scratch() + picture_bytes_ + tile_bytes());
    product(sums);
    next->run_pixels(w, sums, first, count);
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
  // Both end at a cache line.
  std::int64_t tile_bytes() const noexcept { return round_up(tile_ * stride_, kSlack) + kSlack; }
  std::int64_t sums_bytes() const noexcept { return tile_ * channels() * 4 + kSlack; }

  std::int64_t stride_;
  std::uint8_t flip_;
  std::int64_t tile_ = 0;
  bool copied_ = false;
  std::int64_t picture_bytes_ = 0;
};

class BitConvolution final : public Convolution {
 public:
  explicit BitConvolution(const Site& s)
      : Convolution(s, sizeof(std::uint64_t), 0),
        kernel_(s.kernels.bit_gemm),
        weights_(s.constant<std::uint64_t>(0)),
        inputs_(s("kernel_y") * s("kernel_x") * s.input().tensor.channels),
        direct_(geometry_.pointwise() && windows_.bytes() == stride() && !geometry_.padded()) {}

  void run(const Workspace& w) const noexcept override { run(w, nullptr); }
  void run_into(const Workspace& w, const PixelStep& next) const noexcept override {
    run(w, &next);
  }

 private:
  void run(const Workspace& w, const PixelStep* next) const noexcept {
    const auto product = [&](const std::uint8_t* windows, std::int64_t pixels, std::int32_t* out) {
      kernel_({reinterpret_cast<const std::uint64_t*>(windows), weights_.data(), out, pixels,
               stride() / 8, channels(), inputs_});
    };
    if (!direct_) {
      tiles<8>(w, next, product);
      return;
    }
    const std::uint8_t* source = picture(w);
    for (std::int64_t first = 0; first < out_.tensor.pixels; first += tile()) {
      const std::int64_t count = std::min(tile(), out_.tensor.pixels - first);
      piece(w, next, first, count,
            [&](std::int32_t* sums) { product(source + first * stride(), count, sums); });
      if (w.stopped(work(count))) return;
    }
  }

  void (*kernel_)(const BitGemm&) noexcept;
  Values<std::uint64_t> weights_;
  std::int64_t inputs_;
  bool direct_;
};

class IntConvolution final : public Convolution {
 public:
  explicit IntConvolution(const Site& s)
      : Convolution(s, kIntDepth, s.input().tensor.storage == Storage::kI8 ? 0x80 : 0),
        kernel_(s.kernels.int_gemm),
        weights_(s.constant<std::int8_t>(0)),
        bias_(s.constant<std::int32_t>(1)),
        direct_(windows_.regular() && windows_.run_bytes() % kIntDepth == 0),
        short_groups_(short_groups(s.spec.constants.at(0))) {}

  void run(const Workspace& w) const noexcept override { run(w, nullptr); }
  void run_into(const Workspace& w, const PixelStep& next) const noexcept override {
    run(w, &next);
  }

 private:
  void run(const Workspace& w, const PixelStep* next) const noexcept {
    if (direct_) {
      read_in_place(w, next);
      return;
    }
    tiles<kIntDepth>(
        w, next, [&](const std::uint8_t* windows, std::int64_t pixels, std::int32_t* out) {
          kernel_({windows, weights_.data(), bias_.data(), out, 1, 0, pixels, stride(), 1, 0,
                   stride() / kIntDepth, channels(), short_groups_});
        });
  }

  // Groups whose products, with codes of 255, fit 16 bits in each of their two sums.
  static std::int64_t short_groups(const Constant& weights) noexcept {
    const auto* w = static_cast<const std::int8_t*>(weights.data);
    int largest = 1;
    for (std::size_t i = 0; i + 1 < weights.bytes; i += 2)
      largest = std::max(largest, std::abs(int{w[i]}) + std::abs(int{w[i + 1]}));
    return 32767 / (255 * largest);
  }

  // Windows are not copied: a tile is a few rows of a small picture or a piece of a long row.
  void read_in_place(const Workspace& w, const PixelStep* next) const noexcept {
    const std::uint8_t* source = picture(w);
    const Geometry& g = geometry_;
    const std::int64_t step = g.stride_x * in_.tensor.pixel_bytes();
    const std::int64_t row_step = g.stride_y * g.padded_width() * in_.tensor.pixel_bytes();
    const std::int64_t width = std::min(g.out_width, tile());
    const std::int64_t height = tile() / width;
    for (std::int64_t y = 0; y < g.out_height; y += height) {
      const std::int64_t rows = std::min(height, g.out_height - y);
      for (std::int64_t x = 0; x < g.out_width; x += width) {
        const std::int64_t pixels = std::min(width, g.out_width - x);
        piece(w, next, y * g.out_width + x, rows * pixels, [&](std::int32_t* sums) {
          kernel_({source + y * row_step + x * step, weights_.data(), bias_.data(), sums, rows,
                   row_step, pixels, step, windows_.runs(), windows_.run_step(),
                   windows_.run_bytes() / kIntDepth, channels(), short_groups_});
        });
        if (w.stopped(work(rows * pixels))) return;
      }
    }
  }

  void (*kernel_)(const IntGemm&) noexcept;
  Values<std::int8_t> weights_;
  Values<std::int32_t> bias_;
  bool direct_;
  std::int64_t short_groups_;
};

// Products of any width, where 8 bits are not enough.
class WideProduct final : public Step {
 public:
  explicit WideProduct(const Site& s)
      : in_(s.input()),
        out_(s.output()),
        weights_(s.constant<std::int32_t>(0)),
        bias_(s.constant<std::int32_t>(1)) {}

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
            sum += std::int64_t{x[p * depth + k]} * weights_[k * channels + o];
          out[p * channels + o] = static_cast<std::int32_t>(sum);
        }
      }
    });
  }

 private:
  Slot in_, out_;
  Values<std::int32_t> weights_, bias_;
};

class EpilogueStep final : public PixelStep {
 public:
  explicit EpilogueStep(const Site& s)
      : kernel_(s.kernels.epilogue),
        acc_(s.input(0)),
        shortcut_(s.spec.inputs.size() > 1 ? s.input(1) : Slot{}),
        has_shortcut_(s.spec.inputs.size() > 1),
        out_(s.output()),
        params_(s.constant<std::int32_t>(0)) {
    args_.channels = acc_.tensor.channels;
    args_.stride = round_up(acc_.tensor.channels, kParamLanes);
    args_.params = params_.data();
    args_.acc_shift = static_cast<int>(s("acc_shift"));
    args_.shortcut_shift = static_cast<int>(s("shortcut_shift"));
    args_.pre_shift = static_cast<int>(s("pre_shift"));
    args_.slope_shift = static_cast<int>(s("slope_shift"));
    args_.out_shift = static_cast<int>(s("out_shift"));
    args_.acc_low = static_cast<std::int32_t>(s("acc_low"));
    args_.acc_high = static_cast<std::int32_t>(s("acc_high"));
    args_.pre_low = static_cast<std::int32_t>(s("pre_low"));
    args_.pre_high = static_cast<std::int32_t>(s("pre_high"));
  }

  void run(const Workspace& w) const noexcept override {
    run_pixels(w, acc_.in<std::int32_t>(w), 0, acc_.tensor.pixels);
  }

  void run_pixels(const Workspace& w, const std::int32_t* in, std::int64_t first,
                  std::int64_t count) const noexcept override {
    pieces(w, count, args_.channels, [&](std::int64_t start, std::int64_t part) {
      const std::int64_t at = (first + start) * args_.channels;
      Epilogue args = args_;
      args.acc = in + start * args_.channels;
      args.shortcut = has_shortcut_ ? shortcut_.in<std::int8_t>(w) + at : nullptr;
      args.out = out_.in<std::int8_t>(w) + at;
      args.pixels = part;
      kernel_(args);
    });
  }

 private:
  void (*kernel_)(const Epilogue&) noexcept;
  Slot acc_, shortcut_;
  bool has_shortcut_;
  Slot out_;
  Values<std::int32_t> params_;
  Epilogue args_{};
};

std::int64_t shift_round(std::int64_t v, std::int64_t shift) noexcept {
  return shift == 0 ? v : (v + (std::int64_t{1} << (shift - 1))) >> shift;
}

// The epilogue in 64 bits, for formats that the fast one does not cover.
class WideEpilogue final : public Step {
 public:
  explicit WideEpilogue(const Site& s)
      : acc_(s.input(0)),
        shortcut_(s.spec.inputs.size() > 1 ? s.input(1) : Slot{}),
        has_shortcut_(s.spec.inputs.size() > 1),
        out_(s.output()),
        params_(s.constant<std::int64_t>(0)),
        acc_shift_(s("acc_shift")),
        shortcut_shift_(s("shortcut_shift")),
        pre_shift_(s("pre_shift")),
        slope_shift_(s("slope_shift")),
        out_shift_(s("out_shift")),
        acc_low_(s("acc_low")),
        acc_high_(s("acc_high")),
        pre_low_(s("pre_low")),
        pre_high_(s("pre_high")),
        out_low_(s("out_low")),
        out_high_(s("out_high")) {}

  void run(const Workspace& w) const noexcept override {
    const auto* acc = acc_.in<std::int32_t>(w);
    const auto* shortcut = has_shortcut_ ? shortcut_.in<std::int32_t>(w) : nullptr;
    auto* out = out_.in<std::int32_t>(w);
    const std::int64_t channels = acc_.tensor.channels;
    pieces(w, acc_.tensor.pixels, channels, [&](std::int64_t first, std::int64_t count) {
      for (std::int64_t i = first * channels; i < (first + count) * channels; ++i)
        out[i] = value(acc[i], shortcut == nullptr ? 0 : shortcut[i], i % channels);
    });
  }

 private:
  std::int32_t value(std::int64_t a, std::int64_t shortcut, std::int64_t c) const noexcept {
    const std::int64_t channels = acc_.tensor.channels;
    if (acc_shift_ != 0) a = std::clamp(shift_round(a, acc_shift_), acc_low_, acc_high_);
    const std::int64_t y = a * params_[c] + params_[channels + c] +
                           shortcut * (std::int64_t{1} << shortcut_shift_);
    const std::int64_t t = std::clamp(shift_round(y, pre_shift_), pre_low_, pre_high_);
    const std::int64_t u = t - params_[2 * channels + c];
    const std::int64_t v = (u >= 0 ? u : (u * params_[3 * channels + c]) >> slope_shift_) +
                           params_[4 * channels + c];
    return static_cast<std::int32_t>(std::clamp(shift_round(v, out_shift_), out_low_, out_high_));
  }

  Slot acc_, shortcut_;
  bool has_shortcut_;
  Slot out_;
  Values<std::int64_t> params_;
  std::int64_t acc_shift_, shortcut_shift_, pre_shift_, slope_shift_, out_shift_;
  std::int64_t acc_low_, acc_high_, pre_low_, pre_high_, out_low_, out_high_;
};

class SignStep final : public Step {
 public:
  explicit SignStep(const Site& s)
      : kernel_(s.kernels.sign_bits),
        in_(s.input()),
        out_(s.output()),
        bound_(s.constant<std::int8_t>(0)),
        always_(s.constant<std::uint8_t>(1)) {}

  void run(const Workspace& w) const noexcept override {
    const std::int64_t channels = in_.tensor.channels;
    const std::int64_t bytes = out_.tensor.pixel_bytes();
    pieces(w, in_.tensor.pixels, channels, [&](std::int64_t first, std::int64_t count) {
      kernel_({in_.in<std::int8_t>(w) + first * channels, bound_.data(), always_.data(),
               out_.in(w) + first * bytes, count, channels, bytes});
    });
  }

 private:
  void (*kernel_)(const SignBits&) noexcept;
  Slot in_, out_;
  Values<std::int8_t> bound_;
  Values<std::uint8_t> always_;
};

// base + number of thresholds not above x
class Thresholds final : public Step {
 public:
  explicit Thresholds(const Site& s)
      : in_(s.input()),
        out_(s.output()),
        thresholds_(s.constant<std::int32_t>(0)),
        steps_(s("steps")),
        base_(s("base")) {}

  void run(const Workspace& w) const noexcept override {
    const auto* in = in_.in<std::int32_t>(w);
    auto* out = out_.in<std::int32_t>(w);
    const std::int64_t channels = in_.tensor.channels;
    pieces(w, in_.tensor.pixels, channels * steps_, [&](std::int64_t, std::int64_t count) {
      for (std::int64_t p = 0; p < count; ++p) {
        for (std::int64_t c = 0; c < channels; ++c) {
          std::int64_t level = base_;
          for (std::int64_t n = 0; n < steps_; ++n) level += *in >= thresholds_[c * steps_ + n];
          ++in;
          *out++ = static_cast<std::int32_t>(level);
        }
      }
    });
  }

 private:
  Slot in_, out_;
  Values<std::int32_t> thresholds_;
  std::int64_t steps_, base_;
};

// Codes of 8-bit inputs: steps up and down at thresholds per channel.
class LevelsStep final : public Step {
 public:
  explicit LevelsStep(const Site& s)
      : kernel_(s.kernels.levels),
        in_(s.input()),
        out_(s.output()),
        bounds_(s.constant<std::int8_t>(0)),
        steps_(s.constant<std::uint8_t>(1)),
        base_(s.constant<std::uint8_t>(2)) {
    const std::int64_t channels = in_.tensor.channels;
    // Pixels of a few channels share a vector: the packer repeats the parameters for that.
    args_.channels = kThresholdLanes % channels == 0 ? kThresholdLanes : channels;
    args_.pixels = round_up(in_.tensor.pixels * channels, args_.channels) / args_.channels;
    args_.count = s("steps");
    args_.lanes = round_up(channels, kThresholdLanes);
    args_.bounds = bounds_.data();
    args_.steps = steps_.data();
    args_.base = base_.data();
  }

  void run(const Workspace& w) const noexcept override {
    pieces(w, args_.pixels, args_.channels * args_.count, [&](std::int64_t first, std::int64_t n) {
      Levels args = args_;
      args.in = in_.in<std::int8_t>(w) + first * args_.channels;
      args.out = out_.in(w) + first * args_.channels;
      args.pixels = n;
      kernel_(args);
    });
  }

 private:
  void (*kernel_)(const Levels&) noexcept;
  Slot in_, out_;
  Values<std::int8_t> bounds_;
  Values<std::uint8_t> steps_, base_;
  Levels args_{};
};

// The same of accumulators.
class AccLevelsStep final : public PixelStep {
 public:
  explicit AccLevelsStep(const Site& s)
      : kernel_(s.kernels.acc_levels),
        in_(s.input()),
        out_(s.output()),
        bounds_(s.constant<std::int32_t>(0)),
        steps_(s.constant<std::int32_t>(1)),
        base_(s.constant<std::int32_t>(2)) {
    const std::int64_t channels = in_.tensor.channels;
    // As in LevelsStep.
    args_.channels = kParamLanes % channels == 0 ? kParamLanes : channels;
    args_.count = s("steps");
    args_.lanes = round_up(channels, kParamLanes);
    args_.bounds = bounds_.data();
    args_.steps = steps_.data();
    args_.base = base_.data();
  }

  void run(const Workspace& w) const noexcept override {
    run_pixels(w, in_.in<std::int32_t>(w), 0, in_.tensor.pixels);
  }

  void run_pixels(const Workspace& w, const std::int32_t* in, std::int64_t first,
                  std::int64_t count) const noexcept override {
    const std::int64_t channels = in_.tensor.channels;
    const std::int64_t pixels = round_up(count * channels, args_.channels) / args_.channels;
    pieces(w, pixels, args_.channels * args_.count, [&](std::int64_t start, std::int64_t n) {
      AccLevels args = args_;
      args.in = in + start * args_.channels;
      args.out = out_.in(w) + first * channels + start * args_.channels;
      args.pixels = n;
      kernel_(args);
    });
  }

 private:
  void (*kernel_)(const AccLevels&) noexcept;
  Slot in_, out_;
  Values<std::int32_t> bounds_, steps_, base_;
  AccLevels args_{};
};

// The same of accumulators where thresholds are many: they are searched.
class SearchLevelsStep final : public PixelStep {
 public:
  explicit SearchLevelsStep(const Site& s)
      : kernel_(s.kernels.search_levels),
        in_(s.input()),
        out_(s.output()),
        thresholds_(s.constant<std::int32_t>(0)),
        codes_(s.constant<std::uint8_t>(1)) {
    args_.channels = in_.tensor.channels;
    args_.bits = static_cast<int>(s("bits"));
    args_.thresholds = thresholds_.data();
    args_.codes = codes_.data();
  }

  void run(const Workspace& w) const noexcept override {
    run_pixels(w, in_.in<std::int32_t>(w), 0, in_.tensor.pixels);
  }

  void run_pixels(const Workspace& w, const std::int32_t* in, std::int64_t first,
                  std::int64_t count) const noexcept override {
    pieces(w, count, args_.channels * args_.bits, [&](std::int64_t start, std::int64_t part) {
      SearchLevels args = args_;
      args.in = in + start * args_.channels;
      args.out = out_.in(w) + (first + start) * args_.channels;
      args.pixels = part;
      kernel_(args);
    });
  }

 private:
  void (*kernel_)(const SearchLevels&) noexcept;
  Slot in_, out_;
  Values<std::int32_t> thresholds_;
  Values<std::uint8_t> codes_;
  SearchLevels args_{};
};

// The same for inputs and codes of any width.
class WideLevels final : public Step {
 public:
  explicit WideLevels(const Site& s)
      : in_(s.input()),
        out_(s.output()),
        thresholds_(s.constant<std::int32_t>(0)),
        steps_(s.constant<std::int32_t>(1)),
        base_(s.constant<std::int32_t>(2)),
        count_(s("steps")) {}

  void run(const Workspace& w) const noexcept override {
    const auto* in = in_.in<std::int32_t>(w);
    auto* out = out_.in<std::int32_t>(w);
    const std::int64_t channels = in_.tensor.channels;
    pieces(w, in_.tensor.pixels, channels * count_, [&](std::int64_t, std::int64_t count) {
      for (std::int64_t p = 0; p < count; ++p) {
        for (std::int64_t c = 0; c < channels; ++c) {
          std::int64_t level = base_[c];
          for (std::int64_t i = c * count_; i < (c + 1) * count_; ++i)
            if (*in >= thresholds_[i]) level += steps_[i];
          ++in;
          *out++ = static_cast<std::int32_t>(level);
        }
      }
    });
  }

 private:
  Slot in_, out_;
  Values<std::int32_t> thresholds_, steps_, base_;
  std::int64_t count_;
};

// A table over byte codes, to bytes or to 32 bits.
class LookupStep final : public Step {
 public:
  explicit LookupStep(const Site& s)
      : kernel_(s.kernels.lookup),
        in_(s.input()),
        out_(s.output()),
        table_(s.spec.constants.at(0)),
        nibbles_(s("levels") <= 16) {}

  void run(const Workspace& w) const noexcept override {
    const std::uint8_t* in = in_.in(w);
    const bool bytes = out_.tensor.storage != Storage::kI32;
    auto* out = out_.in<std::int32_t>(w);
    pieces(w, in_.tensor.pixels * in_.tensor.channels, 1,
           [&](std::int64_t first, std::int64_t count) {
             if (bytes) {
               kernel_({in + first, table_.data(), out_.in(w) + first, count, nibbles_});
               return;
             }
             for (std::int64_t i = first; i < first + count; ++i)
               std::memcpy(out + i, table_.data() + in[i] * sizeof *out, sizeof *out);
           });
  }

 private:
  void (*kernel_)(const Lookup&) noexcept;
  Slot in_, out_;
  Values<std::uint8_t> table_;
  bool nibbles_;
};

// The same integers in another storage; the plan states that they fit.
class Cast final : public Step {
 public:
  explicit Cast(const Site& s) : in_(s.input()), out_(s.output()) {}

  void run(const Workspace& w) const noexcept override {
    const std::int64_t channels = in_.tensor.channels;
    const std::int64_t in_bytes = in_.tensor.pixel_bytes();
    const std::int64_t out_bytes = out_.tensor.pixel_bytes();
    pieces(w, in_.tensor.pixels, channels, [&](std::int64_t first, std::int64_t count) {
      for (std::int64_t p = first; p < first + count; ++p) {
        const std::uint8_t* from = in_.in(w) + p * in_bytes;
        std::uint8_t* to = out_.in(w) + p * out_bytes;
        if (out_.tensor.storage == Storage::kBits)
          std::memset(to, 0, static_cast<std::size_t>(out_bytes));
        for (std::int64_t c = 0; c < channels; ++c) put(to, c, get(from, c));
      }
    });
  }

 private:
  std::int32_t get(const std::uint8_t* pixel, std::int64_t c) const noexcept {
    switch (in_.tensor.storage) {
      case Storage::kBits:
        return (pixel[c / 8] >> (c % 8)) & 1;
      case Storage::kU8:
        return pixel[c];
      case Storage::kI8:
        return static_cast<std::int8_t>(pixel[c]);
      default: {
        std::int32_t v;
        std::memcpy(&v, pixel + c * 4, sizeof v);
        return v;
      }
    }
  }

  void put(std::uint8_t* pixel, std::int64_t c, std::int32_t v) const noexcept {
    switch (out_.tensor.storage) {
      case Storage::kBits:
        pixel[c / 8] = static_cast<std::uint8_t>(pixel[c / 8] | ((v & 1) << (c % 8)));
        break;
      case Storage::kU8:
      case Storage::kI8:
        pixel[c] = static_cast<std::uint8_t>(v);
        break;
      default:
        std::memcpy(pixel + c * 4, &v, sizeof v);
        break;
    }
  }

  Slot in_, out_;
};

class PoolStep final : public Step {
 public:
  explicit PoolStep(const Site& s) : geometry_(s), in_(s.input()), out_(s.output()) {
    args_.channels = in_.tensor.channels;
    switch (in_.tensor.storage) {
      case Storage::kBits:
        kernel_ = s.kernels.max_pool_bits;
        args_.channels = in_.tensor.pixel_bytes();
        break;
      case Storage::kU8:
        kernel_ = s.kernels.max_pool_u8;
        break;
      case Storage::kI8:
        kernel_ = s.kernels.max_pool_i8;
        break;
      default:
        kernel_ = s.kernels.max_pool_i32;
        break;
    }
    args_.height = geometry_.height;
    args_.width = geometry_.width;
    args_.out_height = geometry_.out_height;
    args_.out_width = geometry_.out_width;
    args_.kernel_y = geometry_.kernel_y;
    args_.kernel_x = geometry_.kernel_x;
    args_.stride_y = geometry_.stride_y;
    args_.stride_x = geometry_.stride_x;
    args_.pad_top = geometry_.pad_top;
    args_.pad_left = geometry_.pad_left;
  }

  std::size_t scratch_bytes() const noexcept override {
    return static_cast<std::size_t>(geometry_.width * in_.tensor.pixel_bytes() + kSlack);
  }

  void run(const Workspace& w) const noexcept override {
    MaxPool args = args_;
    args.in = in_.in(w);
    args.row = w.scratch();
    args.out = out_.in(w);
    args.poll = {[](const void* whom, std::int64_t work) noexcept {
                   return static_cast<const Workspace*>(whom)->stopped(work);
                 },
                 &w};
    kernel_(args);
  }

 private:
  void (*kernel_)(const MaxPool&) noexcept = nullptr;
  Geometry geometry_;
  Slot in_, out_;
  MaxPool args_{};
};

// A border of code 0, where no convolution takes it in.
class PadStep final : public Step {
 public:
  explicit PadStep(const Site& s) : geometry_(s), in_(s.input()), out_(s.output()) {}

  void run(const Workspace& w) const noexcept override {
    pad(w, geometry_, in_.in(w), in_.tensor.pixel_bytes(), 0, out_.in(w));
  }

 private:
  Geometry geometry_;
  Slot in_, out_;
};

// A border that mirrors the picture, its outermost pixels not repeated.
class ReflectStep final : public Step {
 public:
  explicit ReflectStep(const Site& s) : geometry_(s), in_(s.input()), out_(s.output()) {}

  void run(const Workspace& w) const noexcept override {
    const std::int64_t bytes = in_.tensor.pixel_bytes();
    std::uint8_t* to = out_.in(w);
    for (std::int64_t y = 0; y < geometry_.padded_height(); ++y) {
      const std::uint8_t* row =
          in_.in(w) + mirror(y - geometry_.pad_top, geometry_.height) * geometry_.width * bytes;
      for (std::int64_t x = 0; x < geometry_.padded_width(); ++x, to += bytes)
        std::memcpy(to, row + mirror(x - geometry_.pad_left, geometry_.width) * bytes,
                    static_cast<std::size_t>(bytes));
      if (w.stopped(geometry_.padded_width() * bytes)) return;
    }
  }

 private:
  static std::int64_t mirror(std::int64_t i, std::int64_t size) noexcept {
    if (i < 0) return -i;
    return i < size ? i : 2 * (size - 1) - i;
  }

  Geometry geometry_;
  Slot in_, out_;
};

// The middle of a picture.
class CropStep final : public Step {
 public:
  explicit CropStep(const Site& s)
      : in_(s.input()),
        out_(s.output()),
        width_(s("width")),
        top_(s("top")),
        left_(s("left")),
        out_height_(s("height") - s("top") - s("bottom")),
        out_width_(s("width") - s("left") - s("right")) {}

  void run(const Workspace& w) const noexcept override {
    const std::int64_t bytes = in_.tensor.pixel_bytes();
    for (std::int64_t y = 0; y < out_height_; ++y) {
      std::memcpy(out_.in(w) + y * out_width_ * bytes,
                  in_.in(w) + ((top_ + y) * width_ + left_) * bytes,
                  static_cast<std::size_t>(out_width_ * bytes));
      if (w.stopped(out_width_ * bytes)) return;
    }
  }

 private:
  Slot in_, out_;
  std::int64_t width_, top_, left_, out_height_, out_width_;
};

// Four groups of channels become the pixels of a 2x2 square: two runs of a pixel, one per row.
class InterleaveStep final : public Step {
 public:
  explicit InterleaveStep(const Site& s)
      : in_(s.input()), out_(s.output()), height_(s("height")), width_(s("width")) {}

  void run(const Workspace& w) const noexcept override {
    const std::int64_t run = 2 * out_.tensor.pixel_bytes();
    const std::uint8_t* from = in_.in(w);
    for (std::int64_t y = 0; y < height_; ++y) {
      std::uint8_t* upper = out_.in(w) + 2 * y * width_ * run;
      std::uint8_t* lower = upper + width_ * run;
      for (std::int64_t x = 0; x < width_; ++x, from += 2 * run) {
        std::memcpy(upper + x * run, from, static_cast<std::size_t>(run));
        std::memcpy(lower + x * run, from + run, static_cast<std::size_t>(run));
      }
      if (w.stopped(2 * width_ * run)) return;
    }
  }

 private:
  Slot in_, out_;
  std::int64_t height_, width_;
};

// The sliding window as a tensor, where no convolution takes it in.
class WindowStep final : public Step {
 public:
  explicit WindowStep(const Site& s)
      : windows_(Geometry(s), s.input().tensor.pixel_bytes()), in_(s.input()), out_(s.output()) {}

  void run(const Workspace& w) const noexcept override {
    const std::int64_t bytes = windows_.bytes();
    pieces(w, out_.tensor.pixels, bytes, [&](std::int64_t first, std::int64_t count) {
      windows_.cut<1>(in_.in(w), first, first + count, bytes, out_.in(w) + first * bytes);
    });
  }

 private:
  Windows windows_;
  Slot in_, out_;
};

class SplitStep final : public Step {
 public:
  explicit SplitStep(const Site& s) : in_(s.input()) {
    for (std::size_t i = 0; i < s.spec.outputs.size(); ++i) outs_.push_back(s.output(i));
  }

  void run(const Workspace& w) const noexcept override {
    const std::uint8_t* from = in_.in(w);
    const std::int64_t pixel = in_.tensor.pixel_bytes();
    for (const Slot& out : outs_) {
      const std::int64_t bytes = out.tensor.pixel_bytes();
      std::uint8_t* to = out.in(w);
      pieces(w, in_.tensor.pixels, bytes, [&](std::int64_t first, std::int64_t count) {
        for (std::int64_t p = first; p < first + count; ++p)
          std::memcpy(to + p * bytes, from + p * pixel, static_cast<std::size_t>(bytes));
      });
      from += bytes;
    }
  }

 private:
  Slot in_;
  std::vector<Slot> outs_;
};

// Channels of several tensors behind one another.
class ConcatStep final : public Step {
 public:
  explicit ConcatStep(const Site& s) : out_(s.output()) {
    for (std::size_t i = 0; i < s.spec.inputs.size(); ++i) ins_.push_back(s.input(i));
  }

  void run(const Workspace& w) const noexcept override {
    std::uint8_t* to = out_.in(w);
    const std::int64_t pixel = out_.tensor.pixel_bytes();
    for (const Slot& in : ins_) {
      const std::int64_t bytes = in.tensor.pixel_bytes();
      const std::uint8_t* from = in.in(w);
      pieces(w, out_.tensor.pixels, bytes, [&](std::int64_t first, std::int64_t count) {
        for (std::int64_t p = first; p < first + count; ++p)
          std::memcpy(to + p * pixel, from + p * bytes, static_cast<std::size_t>(bytes));
      });
      to += bytes;
    }
  }

 private:
  Slot out_;
  std::vector<Slot> ins_;
};

class ShuffleStep final : public Step {
 public:
  explicit ShuffleStep(const Site& s)
      : kernel_(s.input().tensor.storage == Storage::kI32 ? s.kernels.shuffle_32
                                                          : s.kernels.shuffle_8),
        left_(s.input(0)),
        right_(s.input(1)),
        out_(s.output()) {}

  void run(const Workspace& w) const noexcept override {
    const std::int64_t bytes = left_.tensor.pixel_bytes();
    pieces(w, left_.tensor.pixels, bytes, [&](std::int64_t first, std::int64_t count) {
      kernel_({left_.in(w) + first * bytes, right_.in(w) + first * bytes,
               out_.in(w) + 2 * first * bytes, count * left_.tensor.channels});
    });
  }

 private:
  void (*kernel_)(const Shuffle&) noexcept;
  Slot left_, right_, out_;
};

class SumStep final : public Step {
 public:
  explicit SumStep(const Site& s) : in_(s.input()), out_(s.output()) {
    switch (in_.tensor.storage) {
      case Storage::kU8:
        kernel_ = s.kernels.sum_pool_u8;
        break;
      case Storage::kI8:
        kernel_ = s.kernels.sum_pool_i8;
        break;
      default:
        kernel_ = s.kernels.sum_pool_i32;
        break;
    }
  }

  void run(const Workspace& w) const noexcept override {
    const std::int64_t channels = in_.tensor.channels;
    const std::int64_t bytes = in_.tensor.pixel_bytes();
    std::memset(out_.in(w), 0, static_cast<std::size_t>(out_.tensor.bytes()));
    pieces(w, in_.tensor.pixels, channels, [&](std::int64_t first, std::int64_t count) {
      kernel_({in_.in(w) + first * bytes, out_.in<std::int32_t>(w), count, channels});
    });
  }

 private:
  void (*kernel_)(const SumPool&) noexcept = nullptr;
  Slot in_, out_;
};

// Shortcut, rounding shift, saturation to 8 bits.
class RequantiseStep final : public PixelStep {
 public:
  explicit RequantiseStep(const Site& s)
      : kernel_(s.kernels.requantise),
        in_(s.input(0)),
        shortcut_(s.spec.inputs.size() > 1 ? s.input(1) : Slot{}),
        has_shortcut_(s.spec.inputs.size() > 1),
        out_(s.output()),
        shift_(static_cast<int>(s("shift"))),
        shortcut_shift_(static_cast<int>(s("shortcut_shift"))) {}

  void run(const Workspace& w) const noexcept override {
    run_pixels(w, in_.in<std::int32_t>(w), 0, in_.tensor.pixels);
  }

  void run_pixels(const Workspace& w, const std::int32_t* in, std::int64_t first,
                  std::int64_t count) const noexcept override {
    const std::int64_t channels = in_.tensor.channels;
    pieces(w, count, channels, [&](std::int64_t start, std::int64_t part) {
      const std::int64_t at = (first + start) * channels;
      kernel_({in + start * channels, has_shortcut_ ? shortcut_.in<std::int8_t>(w) + at : nullptr,
               out_.in<std::int8_t>(w) + at, part * channels, shift_, shortcut_shift_});
    });
  }

 private:
  void (*kernel_)(const Requantise&) noexcept;
  Slot in_, shortcut_;
  bool has_shortcut_;
  Slot out_;
  int shift_, shortcut_shift_;
};

// The same in 64 bits, to any range.
class ShiftStep final : public Step {
 public:
  explicit ShiftStep(const Site& s)
      : in_(s.input(0)),
        shortcut_(s.spec.inputs.size() > 1 ? s.input(1) : Slot{}),
        has_shortcut_(s.spec.inputs.size() > 1),
        out_(s.output()),
        shift_(s("shift")),
        scale_(std::int64_t{1} << (has_shortcut_ ? s("shortcut_shift") : 0)),
        low_(s("low")),
        high_(s("high")) {}

  void run(const Workspace& w) const noexcept override {
    const auto* in = in_.in<std::int32_t>(w);
    const auto* shortcut = has_shortcut_ ? shortcut_.in<std::int32_t>(w) : nullptr;
    auto* out = out_.in<std::int32_t>(w);
    pieces(w, in_.tensor.pixels * in_.tensor.channels, 1,
           [&](std::int64_t first, std::int64_t count) {
             for (std::int64_t i = first; i < first + count; ++i) {
               const std::int64_t sum = in[i] + (shortcut == nullptr ? 0 : shortcut[i] * scale_);
               out[i] = static_cast<std::int32_t>(std::clamp(shift_round(sum, shift_), low_, high_));
             }
           });
  }

 private:
  Slot in_, shortcut_;
  bool has_shortcut_;
  Slot out_;
  std::int64_t shift_, scale_, low_, high_;
};

// Index of every pixel's largest value, the lowest of equals.
class ArgmaxStep final : public Step {
 public:
  explicit ArgmaxStep(const Site& s) : in_(s.input()), out_(s.output()) {}

  void run(const Workspace& w) const noexcept override {
    const auto* in = in_.in<std::int32_t>(w);
    auto* out = out_.in<std::int32_t>(w);
    const std::int64_t channels = in_.tensor.channels;
    pieces(w, in_.tensor.pixels, channels, [&](std::int64_t first, std::int64_t count) {
      for (std::int64_t p = first; p < first + count; ++p, in += channels)
        out[p] = static_cast<std::int32_t>(std::max_element(in, in + channels) - in);
    });
  }

 private:
  Slot in_, out_;
};

template <typename T>
std::unique_ptr<Step> make(const Site& s) {
  return std::make_unique<T>(s);
}

using Maker = std::unique_ptr<Step> (*)(const Site&);

// The ops of a plan; plan.py holds the same list with its checks.
constexpr std::array<std::pair<const char*, Maker>, 26> kMakers{{
    {"bit_convolution", make<BitConvolution>},
    {"int_convolution", make<IntConvolution>},
    {"wide_product", make<WideProduct>},
    {"epilogue", make<EpilogueStep>},
    {"wide_epilogue", make<WideEpilogue>},
    {"sign", make<SignStep>},
    {"thresholds", make<Thresholds>},
    {"levels", make<LevelsStep>},
    {"acc_levels", make<AccLevelsStep>},
    {"search_levels", make<SearchLevelsStep>},
    {"wide_levels", make<WideLevels>},
    {"lookup", make<LookupStep>},
    {"cast", make<Cast>},
    {"max_pool", make<PoolStep>},
    {"pad", make<PadStep>},
    {"reflect", make<ReflectStep>},
    {"crop", make<CropStep>},
    {"interleave", make<InterleaveStep>},
    {"windows", make<WindowStep>},
    {"split", make<SplitStep>},
    {"concat", make<ConcatStep>},
    {"shuffle", make<ShuffleStep>},
    {"sum_pool", make<SumStep>},
    {"requantise", make<RequantiseStep>},
    {"shift", make<ShiftStep>},
    {"argmax", make<ArgmaxStep>},
}};

}  // namespace

std::unique_ptr<Step> make_step(const StepSpec& spec, const std::vector<Tensor>& tensors,
                                const std::vector<std::size_t>& offsets, const Kernels& kernels) {
  const Site site{spec, tensors, offsets, kernels};
  for (const auto& [name, maker] : kMakers)
    if (spec.op == name) return maker(site);
  throw std::invalid_argument("step op " + spec.op + " does not exist");
}

}  // namespace andpop
