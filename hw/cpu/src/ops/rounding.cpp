// SPDX-License-Identifier: Apache-2.0
// Steps that multiply, shift and saturate.

#include <algorithm>

#include "kernels/affine/affine.hpp"
#include "kernels/epilogue/epilogue.hpp"
#include "kernels/requantise/requantise.hpp"
#include "ops/packing.hpp"
#include "ops/site.hpp"

namespace andpop {
namespace {

// Rows of the parameters of an epilogue: m, b, zeta, slope, eta.
constexpr std::int64_t kParams = 5;

// A shortcut's values at pixel `first` of `channels`, null without a shortcut.
template <typename T>
const T* at(const std::optional<Slot>& shortcut, const Workspace& w, std::int64_t first,
            std::int64_t channels) noexcept {
  return shortcut ? shortcut->in<T>(w) + first * channels : nullptr;
}

class EpilogueStep final : public PixelStep {
 public:
  explicit EpilogueStep(const Site& s)
      : PixelStep(s.input(), s.output()),
        kernel_(s.kernel(kEpilogue)),
        shortcut_(s.shortcut()),
        params_(pack_channels(s.constant<std::int32_t>("params", kParams * in_.tensor.channels),
                              kParams, in_.tensor.channels, kernel_.tile.lanes)) {
    args_.params = params_.data();
    args_.channels = in_.tensor.channels;
    args_.stride = round_up(in_.tensor.channels, kernel_.tile.lanes);
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

  void run_pixels(const Workspace& w, const Pixels& p) const noexcept override {
    pieces(w, p.count, args_.channels, [&](std::int64_t start, std::int64_t count) {
      Epilogue args = args_;
      args.acc = reinterpret_cast<const std::int32_t*>(p.in) + start * args_.channels;
      args.shortcut = at<std::int8_t>(shortcut_, w, p.first + start, args_.channels);
      args.out = reinterpret_cast<std::int8_t*>(p.out) + start * args_.channels;
      args.pixels = count;
      kernel_.run(args);
    });
  }

 private:
  const Variant<Epilogue>& kernel_;
  std::optional<Slot> shortcut_;
  Values<std::int32_t> params_;
  Epilogue args_{};
};

std::int64_t shift_round(std::int64_t v, std::int64_t shift) noexcept {
  return shift == 0 ? v : (v + (std::int64_t{1} << (shift - 1))) >> shift;
}

// The epilogue in 64 bits, for formats that the fast one does not cover.
class WideEpilogue final : public PixelStep {
 public:
  explicit WideEpilogue(const Site& s)
      : PixelStep(s.input(), s.output()),
        shortcut_(s.shortcut()),
        params_(s.values<std::int64_t>("params", kParams * in_.tensor.channels)),
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

  void run_pixels(const Workspace& w, const Pixels& p) const noexcept override {
    const std::int64_t channels = in_.tensor.channels;
    const auto* acc = reinterpret_cast<const std::int32_t*>(p.in);
    const auto* shortcut = at<std::int32_t>(shortcut_, w, p.first, channels);
    auto* out = reinterpret_cast<std::int32_t*>(p.out);
    pieces(w, p.count, channels, [&](std::int64_t start, std::int64_t count) {
      for (std::int64_t i = start * channels; i < (start + count) * channels; ++i)
        out[i] = value(acc[i], shortcut == nullptr ? 0 : shortcut[i], i % channels);
    });
  }

 private:
  std::int32_t value(std::int64_t a, std::int64_t shortcut, std::int64_t c) const noexcept {
    const std::int64_t channels = in_.tensor.channels;
    if (acc_shift_ != 0) a = std::clamp(shift_round(a, acc_shift_), acc_low_, acc_high_);
    const std::int64_t y =
        a * params_[c] + params_[channels + c] + shortcut * (std::int64_t{1} << shortcut_shift_);
    const std::int64_t t = std::clamp(shift_round(y, pre_shift_), pre_low_, pre_high_);
    const std::int64_t u = t - params_[2 * channels + c];
    const std::int64_t v =
        (u >= 0 ? u : (u * params_[3 * channels + c]) >> slope_shift_) + params_[4 * channels + c];
    return static_cast<std::int32_t>(std::clamp(shift_round(v, out_shift_), out_low_, out_high_));
  }

  std::optional<Slot> shortcut_;
  Values<std::int64_t> params_;
  std::int64_t acc_shift_, shortcut_shift_, pre_shift_, slope_shift_, out_shift_;
  std::int64_t acc_low_, acc_high_, pre_low_, pre_high_, out_low_, out_high_;
};

// Shortcut, rounding shift, saturation to 8 bits.
class RequantiseStep final : public PixelStep {
 public:
  explicit RequantiseStep(const Site& s)
      : PixelStep(s.input(), s.output()), kernel_(s.kernel(kRequantise)), shortcut_(s.shortcut()) {
    args_.shift = static_cast<int>(s("shift"));
    args_.shortcut_shift = static_cast<int>(s("shortcut_shift"));
  }

  void run_pixels(const Workspace& w, const Pixels& p) const noexcept override {
    const std::int64_t channels = in_.tensor.channels;
    pieces(w, p.count, channels, [&](std::int64_t start, std::int64_t count) {
      Requantise args = args_;
      args.in = reinterpret_cast<const std::int32_t*>(p.in) + start * channels;
      args.shortcut = at<std::int8_t>(shortcut_, w, p.first + start, channels);
      args.out = reinterpret_cast<std::int8_t*>(p.out) + start * channels;
      args.count = count * channels;
      kernel_.run(args);
    });
  }

 private:
  const Variant<Requantise>& kernel_;
  std::optional<Slot> shortcut_;
  Requantise args_{};
};

// A product, a sum and a shift per channel, to bytes.
class AffineStep final : public PixelStep {
 public:
  explicit AffineStep(const Site& s)
      : PixelStep(s.input(), s.output()),
        kernel_(s.kernel(kAffine)),
        factors_(pack_channels(s.constant<std::int64_t>("factors", in_.tensor.channels), 1,
                               in_.tensor.channels, kernel_.tile.lanes)),
        summands_(pack_channels(s.constant<std::int64_t>("summands", in_.tensor.channels), 1,
                                in_.tensor.channels, kernel_.tile.lanes)) {
    const std::int64_t whole = std::int64_t{1} << s("shift");
    args_.factors = factors_.data();
    args_.summands = summands_.data();
    args_.channels = in_.tensor.channels;
    args_.low = s("first") * whole;
    args_.high = s("last") * whole;
    args_.shift = static_cast<int>(s("shift"));
  }

  void run_pixels(const Workspace& w, const Pixels& p) const noexcept override {
    pieces(w, p.count, args_.channels, [&](std::int64_t start, std::int64_t count) {
      Affine args = args_;
      args.in = reinterpret_cast<const std::int32_t*>(p.in) + start * args_.channels;
      args.out = p.out + start * args_.channels;
      args.pixels = count;
      kernel_.run(args);
    });
  }

 private:
  const Variant<Affine>& kernel_;
  Values<std::int64_t> factors_, summands_;
  Affine args_{};
};

// The rounding shift in 64 bits, to any range.
class ShiftStep final : public PixelStep {
 public:
  explicit ShiftStep(const Site& s)
      : PixelStep(s.input(), s.output()),
        shortcut_(s.shortcut()),
        shift_(s("shift")),
        scale_(std::int64_t{1} << (shortcut_ ? s("shortcut_shift") : 0)),
        low_(s("low")),
        high_(s("high")) {}

  void run_pixels(const Workspace& w, const Pixels& p) const noexcept override {
    const std::int64_t channels = in_.tensor.channels;
    const auto* in = reinterpret_cast<const std::int32_t*>(p.in);
    const auto* shortcut = at<std::int32_t>(shortcut_, w, p.first, channels);
    auto* out = reinterpret_cast<std::int32_t*>(p.out);
    pieces(w, p.count * channels, 1, [&](std::int64_t start, std::int64_t count) {
      for (std::int64_t i = start; i < start + count; ++i) {
        const std::int64_t sum = in[i] + (shortcut == nullptr ? 0 : shortcut[i] * scale_);
        out[i] = static_cast<std::int32_t>(std::clamp(shift_round(sum, shift_), low_, high_));
      }
    });
  }

 private:
  std::optional<Slot> shortcut_;
  std::int64_t shift_, scale_, low_, high_;
};

// Tensors times a factor each. No partial sum leaves 32 bits: the plan's check saw to that.
class AddStep final : public PixelStep {
 public:
  explicit AddStep(const Site& s)
      : PixelStep(s.input(), s.output()),
        ins_(s.inputs()),
        factors_(s.values<std::int32_t>("factors", static_cast<std::int64_t>(ins_.size()))) {}

  void run_pixels(const Workspace& w, const Pixels& p) const noexcept override {
    const std::int64_t channels = in_.tensor.channels;
    auto* out = reinterpret_cast<std::int32_t*>(p.out);
    pieces(w, p.count, channels * static_cast<std::int64_t>(ins_.size()),
           [&](std::int64_t start, std::int64_t count) {
             add<false>(reinterpret_cast<const std::int32_t*>(p.in) + start * channels, factors_[0],
                        out + start * channels, count * channels);
             for (std::size_t i = 1; i < ins_.size(); ++i)
               add<true>(ins_[i].in<std::int32_t>(w) + (p.first + start) * channels,
                         factors_[static_cast<std::int64_t>(i)], out + start * channels,
                         count * channels);
           });
  }

 private:
  template <bool kMore>
  static void add(const std::int32_t* in, std::int32_t factor, std::int32_t* out,
                  std::int64_t count) noexcept {
    for (std::int64_t i = 0; i < count; ++i)
      out[i] = static_cast<std::int32_t>((kMore ? out[i] : 0) + in[i] * factor);
  }

  std::vector<Slot> ins_;
  Values<std::int32_t> factors_;
};

// A shift, and the bias that a pixel's row and column choose. No sum leaves 32 bits: the plan's
// check saw to that.
class BorderStep final : public PixelStep {
 public:
  explicit BorderStep(const Site& s)
      : PixelStep(s.input(), s.output()),
        height_(s("height")),
        width_(s("width")),
        factor_(std::int32_t{1} << s("shift")),
        low_(static_cast<std::int32_t>(s("low"))),
        high_(static_cast<std::int32_t>(s("high"))),
        bias_(s.values<std::int32_t>("bias", s("biases") * in_.tensor.channels)),
        rows_(s.values<std::int32_t>("rows", height_)),
        columns_(s.values<std::int32_t>("columns", width_)) {}

  void run_pixels(const Workspace& w, const Pixels& p) const noexcept override {
    const std::int64_t channels = in_.tensor.channels;
    const auto* in = reinterpret_cast<const std::int32_t*>(p.in);
    auto* out = reinterpret_cast<std::int32_t*>(p.out);
    pieces(w, p.count, channels, [&](std::int64_t start, std::int64_t count) {
      for (std::int64_t i = start; i < start + count; ++i) {
        const std::int64_t pixel = p.first + i;
        const std::int64_t place = rows_[pixel / width_] + columns_[pixel % width_];
        const std::int32_t* bias = bias_.data() + place * channels;
        for (std::int64_t c = 0; c < channels; ++c)
          out[i * channels + c] =
              std::clamp(in[i * channels + c] * factor_ + bias[c], low_, high_);
      }
    });
  }

 private:
  std::int64_t height_, width_;
  std::int32_t factor_, low_, high_;
  Values<std::int32_t> bias_;
  Values<std::int32_t> rows_, columns_;
};

}  // namespace

std::vector<Op> rounding() {
  return {
      op<AddStep>("add", {"factors"}),
      op<BorderStep>("border", {"bias", "rows", "columns"}),
      op<EpilogueStep>("epilogue", {"params"}),
      op<WideEpilogue>("wide_epilogue", {"params"}),
      op<RequantiseStep>("requantise"),
      op<AffineStep>("affine", {"factors", "summands"}),
      op<ShiftStep>("shift"),
  };
}

}  // namespace andpop
