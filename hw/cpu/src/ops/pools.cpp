// SPDX-License-Identifier: Apache-2.0
// Pools and the class index.

#include <algorithm>
#include <cstring>

#include "kernels/max_pool/max_pool.hpp"
#include "kernels/sum_pool/sum_pool.hpp"
#include "ops/picture.hpp"

namespace andpop {
namespace {

class MaxPoolStep final : public Step {
 public:
  explicit MaxPoolStep(const Site& s)
      : kernel_(s.kernel(kMaxPool)), in_(s.input()), out_(s.output()) {
    const Geometry g(s);
    args_.storage = in_.tensor.storage;
    args_.height = g.height;
    args_.width = g.width;
    args_.channels =
        args_.storage == Storage::kBits ? in_.tensor.pixel_bytes() : in_.tensor.channels;
    args_.out_height = g.out_height;
    args_.out_width = g.out_width;
    args_.kernel_y = g.kernel_y;
    args_.kernel_x = g.kernel_x;
    args_.stride_y = g.stride_y;
    args_.stride_x = g.stride_x;
    args_.pad_top = g.pad_top;
    args_.pad_left = g.pad_left;
  }

  std::int64_t scratch_bytes() const noexcept override {
    return args_.width * in_.tensor.pixel_bytes() + kSlack;
  }

  void run(const Workspace& w) const noexcept override {
    MaxPool args = args_;
    args.in = in_.in(w);
    args.row = w.scratch();
    args.out = out_.in(w);
    args.poll.whom = &w;
    args.poll.ask = [](const void* whom, std::int64_t work) noexcept {
      return static_cast<const Workspace*>(whom)->stopped(work);
    };
    kernel_.run(args);
  }

 private:
  const Variant<MaxPool>& kernel_;
  Slot in_, out_;
  MaxPool args_{};
};

class SumPoolStep final : public Step {
 public:
  explicit SumPoolStep(const Site& s)
      : kernel_(s.kernel(kSumPool)), in_(s.input()), out_(s.output()) {}

  void run(const Workspace& w) const noexcept override {
    const std::int64_t channels = in_.tensor.channels;
    const std::int64_t bytes = in_.tensor.pixel_bytes();
    std::memset(out_.in(w), 0, static_cast<std::size_t>(out_.tensor.bytes()));
    pieces(w, in_.tensor.pixels, channels, [&](std::int64_t first, std::int64_t count) {
      SumPool args{};
      args.storage = in_.tensor.storage;
      args.in = in_.in(w) + first * bytes;
      args.out = out_.in<std::int32_t>(w);
      args.pixels = count;
      args.channels = channels;
      kernel_.run(args);
    });
  }

 private:
  const Variant<SumPool>& kernel_;
  Slot in_, out_;
};

// Sums over windows; the border counts 0.
class WindowSumStep final : public Step {
 public:
  explicit WindowSumStep(const Site& s)
      : kernel_(s.kernel(kSumPool)), geometry_(s), in_(s.input()), out_(s.output()) {}

  void run(const Workspace& w) const noexcept override {
    const Geometry& g = geometry_;
    const std::int64_t channels = in_.tensor.channels;
    const std::int64_t bytes = in_.tensor.pixel_bytes();
    SumPool args{};
    args.storage = in_.tensor.storage;
    args.channels = channels;
    std::memset(out_.in(w), 0, static_cast<std::size_t>(out_.tensor.bytes()));
    pieces(w, g.out_height * g.out_width, g.kernel_y * g.kernel_x * channels,
           [&](std::int64_t start, std::int64_t count) {
             for (std::int64_t i = start; i < start + count; ++i) {
               const std::int64_t y = i / g.out_width * g.stride_y - g.pad_top;
               const std::int64_t x = i % g.out_width * g.stride_x - g.pad_left;
               const std::int64_t left = std::max<std::int64_t>(x, 0);
               args.out = out_.in<std::int32_t>(w) + i * channels;
               args.pixels = std::min(x + g.kernel_x, g.width) - left;
               for (std::int64_t row = std::max<std::int64_t>(y, 0);
                    row < std::min(y + g.kernel_y, g.height); ++row) {
                 args.in = in_.in(w) + (row * g.width + left) * bytes;
                 kernel_.run(args);
               }
             }
           });
  }

 private:
  const Variant<SumPool>& kernel_;
  Geometry geometry_;
  Slot in_, out_;
};

// Index of every pixel's largest value, the lowest of equals.
class ArgmaxStep final : public PixelStep {
 public:
  explicit ArgmaxStep(const Site& s) : PixelStep(s.input(), s.output()) {}

  void run_pixels(const Workspace& w, const Pixels& p) const noexcept override {
    const auto* in = reinterpret_cast<const std::int32_t*>(p.in);
    auto* out = reinterpret_cast<std::int32_t*>(p.out);
    const std::int64_t channels = in_.tensor.channels;
    pieces(w, p.count, channels, [&](std::int64_t start, std::int64_t count) {
      for (std::int64_t i = start; i < start + count; ++i, in += channels)
        out[i] = static_cast<std::int32_t>(std::max_element(in, in + channels) - in);
    });
  }
};

// Index of every pixel's largest value * factor + offset, the lowest of equals.
class ArgmaxScoresStep final : public PixelStep {
 public:
  explicit ArgmaxScoresStep(const Site& s)
      : PixelStep(s.input(), s.output()),
        factors_(s.values<std::int64_t>("factors", in_.tensor.channels)),
        high_(s.values<std::int64_t>("high", in_.tensor.channels)),
        low_(s.values<std::uint64_t>("low", in_.tensor.channels)) {}

  void run_pixels(const Workspace& w, const Pixels& p) const noexcept override {
    const auto* in = reinterpret_cast<const std::int32_t*>(p.in);
    auto* out = reinterpret_cast<std::int32_t*>(p.out);
    const std::int64_t channels = in_.tensor.channels;
    pieces(w, p.count, channels, [&](std::int64_t start, std::int64_t count) {
      for (std::int64_t i = start; i < start + count; ++i, in += channels) {
        std::int64_t label = 0;
        Wide best = score(in, 0);
        for (std::int64_t c = 1; c < channels; ++c) {
          const Wide found = score(in, c);
          if (found > best) {
            best = found;
            label = c;
          }
        }
        out[i] = static_cast<std::int32_t>(label);
      }
    });
  }

 private:
  __extension__ using Wide = __int128;

  Wide score(const std::int32_t* in, std::int64_t c) const noexcept {
    const Wide offset = (Wide{high_[c]} * (Wide{1} << 64)) + Wide{low_[c]};
    return Wide{in[c]} * factors_[c] + offset;
  }

  Values<std::int64_t> factors_, high_;
  Values<std::uint64_t> low_;
};

}  // namespace

std::vector<Op> pools() {
  return {
      op<MaxPoolStep>("max_pool"),
      op<WindowSumStep>("window_sum"),
      op<SumPoolStep>("sum_pool"),
      op<ArgmaxStep>("argmax"),
      op<ArgmaxScoresStep>("argmax_scores", {"factors", "high", "low"}),
  };
}

}  // namespace andpop
