// SPDX-License-Identifier: Apache-2.0
// Steps that compare with thresholds or look codes up.

#include <algorithm>
#include <limits>

#include "kernels/acc_levels/acc_levels.hpp"
#include "kernels/levels/levels.hpp"
#include "kernels/lookup/lookup.hpp"
#include "kernels/search_levels/search_levels.hpp"
#include "kernels/sign_bits/sign_bits.hpp"
#include "ops/packing.hpp"
#include "ops/site.hpp"

namespace andpop {
namespace {

class Sign final : public PixelStep {
 public:
  explicit Sign(const Site& s)
      : PixelStep(s.input(), s.output()),
        kernel_(s.kernel(kSignBits)),
        bound_(pack_channels(s.constant<std::int8_t>("bound", in_.tensor.channels), 1,
                             in_.tensor.channels, kernel_.tile.lanes, std::int8_t{127})),
        always_(pack_channels(s.constant<std::uint8_t>("always", out_.tensor.pixel_bytes()), 1,
                              out_.tensor.pixel_bytes(), kernel_.tile.lanes / 8)) {
    args_.bound = bound_.data();
    args_.always = always_.data();
    args_.channels = in_.tensor.channels;
    args_.bytes = out_.tensor.pixel_bytes();
  }

  void run_pixels(const Workspace& w, const Pixels& p) const noexcept override {
    pieces(w, p.count, args_.channels, [&](std::int64_t start, std::int64_t count) {
      SignBits args = args_;
      args.in = reinterpret_cast<const std::int8_t*>(p.in) + start * args_.channels;
      args.out = p.out + start * args_.bytes;
      args.pixels = count;
      kernel_.run(args);
    });
  }

 private:
  const Variant<SignBits>& kernel_;
  Values<std::int8_t> bound_;
  Values<std::uint8_t> always_;
  SignBits args_{};
};

// base + number of thresholds not above x
class Thresholds final : public PixelStep {
 public:
  explicit Thresholds(const Site& s)
      : PixelStep(s.input(), s.output()),
        count_(s("steps")),
        base_(s("base")),
        thresholds_(s.values<std::int32_t>("thresholds", in_.tensor.channels * count_)) {}

  void run_pixels(const Workspace& w, const Pixels& p) const noexcept override {
    const auto* in = reinterpret_cast<const std::int32_t*>(p.in);
    auto* out = reinterpret_cast<std::int32_t*>(p.out);
    const std::int64_t channels = in_.tensor.channels;
    pieces(w, p.count, channels * count_, [&](std::int64_t, std::int64_t count) {
      for (std::int64_t pixel = 0; pixel < count; ++pixel) {
        for (std::int64_t c = 0; c < channels; ++c) {
          std::int64_t level = base_;
          for (std::int64_t n = 0; n < count_; ++n) level += *in >= thresholds_[c * count_ + n];
          ++in;
          *out++ = static_cast<std::int32_t>(level);
        }
      }
    });
  }

 private:
  std::int64_t count_, base_;
  Values<std::int32_t> thresholds_;
};

// Codes of bytes or accumulators: steps up and down at thresholds per channel.
template <typename Args, const Variants<Args>& kList, typename In, typename Sum>
class Compared final : public PixelStep {
 public:
  explicit Compared(const Site& s)
      : PixelStep(s.input(), s.output()),
        kernel_(s.kernel(kList)),
        lanes_(in_.tensor.channels, kernel_.tile),
        bounds_(
            lanes_.pack(s.constant<In>("bounds", s("steps") * in_.tensor.channels), s("steps"))),
        steps_(lanes_.pack(s.constant<Sum>("steps", s("steps") * in_.tensor.channels), s("steps"))),
        base_(lanes_.pack(s.constant<Sum>("base", in_.tensor.channels), 1)) {
    args_.bounds = bounds_.data();
    args_.steps = steps_.data();
    args_.base = base_.data();
    args_.channels = lanes_.channels;
    args_.count = s("steps");
    args_.lanes = lanes_.lanes;
  }

  void run_pixels(const Workspace& w, const Pixels& p) const noexcept override {
    const std::int64_t work = args_.channels * args_.count;
    pieces(w, lanes_.pixels(p.count), work, [&](std::int64_t start, std::int64_t count) {
      Args args = args_;
      args.in = reinterpret_cast<const In*>(p.in) + start * args_.channels;
      args.out = p.out + start * args_.channels;
      args.pixels = count;
      kernel_.run(args);
    });
  }

 private:
  const Variant<Args>& kernel_;
  Lanes lanes_;
  Values<In> bounds_;
  Values<Sum> steps_, base_;
  Args args_{};
};

using ByteLevels = Compared<Levels, kLevels, std::int8_t, std::uint8_t>;
using SumLevels = Compared<AccLevels, kAccLevels, std::int32_t, std::int32_t>;

// The same of accumulators where thresholds are many: they are searched.
class Searched final : public PixelStep {
 public:
  explicit Searched(const Site& s)
      : PixelStep(s.input(), s.output()),
        kernel_(s.kernel(kSearchLevels)),
        bits_(bits(s("steps"))),
        thresholds_(rows() << bits_),
        codes_(rows() << bits_) {
    const std::int64_t channels = in_.tensor.channels;
    const std::int64_t count = s("steps");
    const std::int64_t size = std::int64_t{1} << bits_;
    const auto* thresholds = s.constant<std::int32_t>("thresholds", channels * count);
    const auto* codes = s.constant<std::uint8_t>("codes", channels * (count + 1));
    // What fills rows up is reached by the largest integer alone, and changes no code.
    for (std::int64_t i = 0; i < rows() * size; ++i)
      thresholds_[i] = std::numeric_limits<std::int32_t>::max();
    for (std::int64_t c = 0; c < channels; ++c) {
      std::copy_n(thresholds + c * count, count, thresholds_.data() + c * size);
      for (std::int64_t i = 0; i < size; ++i)
        codes_[c * size + i] = codes[c * (count + 1) + std::min(i, count)];
    }
    args_.thresholds = thresholds_.data();
    args_.codes = codes_.data();
    args_.channels = channels;
    args_.bits = bits_;
  }

  void run_pixels(const Workspace& w, const Pixels& p) const noexcept override {
    pieces(w, p.count, args_.channels * bits_, [&](std::int64_t start, std::int64_t count) {
      SearchLevels args = args_;
      args.in = reinterpret_cast<const std::int32_t*>(p.in) + start * args_.channels;
      args.out = p.out + start * args_.channels;
      args.pixels = count;
      kernel_.run(args);
    });
  }

 private:
  // Bits of the number of thresholds.
  static int bits(std::int64_t count) noexcept {
    int n = 0;
    for (; count > 0; count /= 2) ++n;
    return n;
  }
  std::int64_t rows() const noexcept { return round_up(in_.tensor.channels, kernel_.tile.lanes); }

  const Variant<SearchLevels>& kernel_;
  int bits_;
  Values<std::int32_t> thresholds_;
  Values<std::uint8_t> codes_;
  SearchLevels args_{};
};

// The same for inputs and codes of any width.
class WideLevels final : public PixelStep {
 public:
  explicit WideLevels(const Site& s)
      : PixelStep(s.input(), s.output()),
        count_(s("steps")),
        thresholds_(s.values<std::int32_t>("thresholds", in_.tensor.channels * count_)),
        steps_(s.values<std::int32_t>("steps", in_.tensor.channels * count_)),
        base_(s.values<std::int32_t>("base", in_.tensor.channels)) {}

  void run_pixels(const Workspace& w, const Pixels& p) const noexcept override {
    const auto* in = reinterpret_cast<const std::int32_t*>(p.in);
    auto* out = reinterpret_cast<std::int32_t*>(p.out);
    const std::int64_t channels = in_.tensor.channels;
    pieces(w, p.count, channels * count_, [&](std::int64_t, std::int64_t count) {
      for (std::int64_t pixel = 0; pixel < count; ++pixel) {
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
  std::int64_t count_;
  Values<std::int32_t> thresholds_, steps_, base_;
};

constexpr std::int64_t kByteCodes = 256;

// A table over byte codes, to bytes.
class ByteLookup final : public PixelStep {
 public:
  explicit ByteLookup(const Site& s)
      : PixelStep(s.input(), s.output()),
        kernel_(s.kernel(kLookup)),
        table_(s.values<std::uint8_t>("table", kByteCodes)) {
    args_.table = table_.data();
    args_.nibbles = s("levels") <= 16;
  }

  void run_pixels(const Workspace& w, const Pixels& p) const noexcept override {
    pieces(w, p.count * in_.tensor.channels, 1, [&](std::int64_t start, std::int64_t count) {
      Lookup args = args_;
      args.in = p.in + start;
      args.out = p.out + start;
      args.count = count;
      kernel_.run(args);
    });
  }

 private:
  const Variant<Lookup>& kernel_;
  Values<std::uint8_t> table_;
  Lookup args_{};
};

// The same to 32 bits.
class WideLookup final : public PixelStep {
 public:
  explicit WideLookup(const Site& s)
      : PixelStep(s.input(), s.output()), table_(s.values<std::int32_t>("table", kByteCodes)) {}

  void run_pixels(const Workspace& w, const Pixels& p) const noexcept override {
    auto* out = reinterpret_cast<std::int32_t*>(p.out);
    pieces(w, p.count * in_.tensor.channels, 1, [&](std::int64_t start, std::int64_t count) {
      for (std::int64_t i = start; i < start + count; ++i) out[i] = table_[p.in[i]];
    });
  }

 private:
  Values<std::int32_t> table_;
};

std::unique_ptr<Step> make_lookup(const Site& s) {
  if (s.output().tensor.storage == Storage::kI32) return std::make_unique<WideLookup>(s);
  return std::make_unique<ByteLookup>(s);
}

}  // namespace

std::vector<Op> thresholds() {
  return {
      op<Sign>("sign", {"bound", "always"}),
      op<Thresholds>("thresholds", {"thresholds"}),
      op<ByteLevels>("levels", {"bounds", "steps", "base"}),
      op<SumLevels>("acc_levels", {"bounds", "steps", "base"}),
      op<Searched>("search_levels", {"thresholds", "codes"}),
      op<WideLevels>("wide_levels", {"thresholds", "steps", "base"}),
      op<PixelStep>("lookup", {"table"}, make_lookup),
  };
}

}  // namespace andpop
