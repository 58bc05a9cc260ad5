// SPDX-License-Identifier: Apache-2.0
// Steps that move values without arithmetic: casts, borders, windows, splits and joins.

#include <cstring>

#include "kernels/shuffle/shuffle.hpp"
#include "ops/picture.hpp"

namespace andpop {
namespace {

// The same integers in another storage; the plan states that they fit.
class Cast final : public PixelStep {
 public:
  explicit Cast(const Site& s) : PixelStep(s.input(), s.output()) {}

  void run_pixels(const Workspace& w, const Pixels& p) const noexcept override {
    const std::int64_t channels = in_.tensor.channels;
    const std::int64_t in_bytes = in_.tensor.pixel_bytes();
    const std::int64_t out_bytes = out_.tensor.pixel_bytes();
    pieces(w, p.count, channels, [&](std::int64_t start, std::int64_t count) {
      for (std::int64_t i = start; i < start + count; ++i) {
        const std::uint8_t* from = p.in + i * in_bytes;
        std::uint8_t* to = p.out + i * out_bytes;
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

// Every pixel becomes a rectangle of pixels: of itself, or of phases, each place of its own
// channels: 1: the places of a channel lie side by side, 2: the channels of a place.
class UpsampleStep final : public Step {
 public:
  explicit UpsampleStep(const Site& s)
      : in_(s.input()),
        out_(s.output()),
        height_(s("height")),
        width_(s("width")),
        rows_(s("scale_y")),
        columns_(s("scale_x")),
        phases_(s("phases")) {}

  void run(const Workspace& w) const noexcept override {
    const std::int64_t in_bytes = in_.tensor.pixel_bytes();
    const std::int64_t out_bytes = out_.tensor.pixel_bytes();
    const std::int64_t run = phases_ == 1 ? out_bytes / out_.tensor.channels : out_bytes;
    const std::int64_t next = phases_ == 1 ? rows_ * columns_ * run : run;
    std::uint8_t* to = out_.in(w);
    for (std::int64_t y = 0; y < rows_ * height_; ++y) {
      const std::uint8_t* row = in_.in(w) + y / rows_ * width_ * in_bytes;
      for (std::int64_t x = 0; x < columns_ * width_; ++x) {
        const std::int64_t place = phases_ > 0 ? y % rows_ * columns_ + x % columns_ : 0;
        const std::uint8_t* from = row + x / columns_ * in_bytes + place * run;
        for (std::int64_t at = 0; at < out_bytes; at += run, from += next, to += run)
          std::memcpy(to, from, static_cast<std::size_t>(run));
      }
      if (w.stopped(columns_ * width_ * out_bytes)) return;
    }
  }

 private:
  Slot in_, out_;
  std::int64_t height_, width_, rows_, columns_, phases_;
};

// The sliding window as a tensor, where no convolution takes it in.
class WindowStep final : public Step {
 public:
  explicit WindowStep(const Site& s)
      : windows_(Geometry(s), s.input().tensor.pixel_bytes()), in_(s.input()), out_(s.output()) {}

  void run(const Workspace& w) const noexcept override {
    const std::int64_t bytes = windows_.bytes();
    pieces(w, out_.tensor.pixels, bytes, [&](std::int64_t first, std::int64_t count) {
      windows_.cut(in_.in(w), first, first + count, bytes, out_.in(w) + first * bytes);
    });
  }

 private:
  Windows windows_;
  Slot in_, out_;
};

class SplitStep final : public Step {
 public:
  explicit SplitStep(const Site& s) : in_(s.input()), outs_(s.outputs()) {}

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
  explicit ConcatStep(const Site& s) : ins_(s.inputs()), out_(s.output()) {}

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
  std::vector<Slot> ins_;
  Slot out_;
};

// Channels of two tensors in turn.
class ShuffleStep final : public Step {
 public:
  explicit ShuffleStep(const Site& s)
      : kernel_(s.kernel(kShuffle)), left_(s.input(0)), right_(s.input(1)), out_(s.output()) {}

  void run(const Workspace& w) const noexcept override {
    const std::int64_t bytes = left_.tensor.pixel_bytes();
    pieces(w, left_.tensor.pixels, bytes, [&](std::int64_t first, std::int64_t count) {
      Shuffle args{};
      args.storage = left_.tensor.storage;
      args.left = left_.in(w) + first * bytes;
      args.right = right_.in(w) + first * bytes;
      args.out = out_.in(w) + 2 * first * bytes;
      args.count = count * left_.tensor.channels;
      kernel_.run(args);
    });
  }

 private:
  const Variant<Shuffle>& kernel_;
  Slot left_, right_, out_;
};

}  // namespace

std::vector<Op> moves() {
  return {
      op<Cast>("cast"),
      op<PadStep>("pad"),
      op<ReflectStep>("reflect"),
      op<CropStep>("crop"),
      op<InterleaveStep>("interleave"),
      op<UpsampleStep>("upsample"),
      op<WindowStep>("windows"),
      op<SplitStep>("split"),
      op<ConcatStep>("concat"),
      op<ShuffleStep>("shuffle"),
  };
}

}  // namespace andpop
