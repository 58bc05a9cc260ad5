// SPDX-License-Identifier: Apache-2.0
// What steps are made from and how they run: tensors, workspaces, chains.

#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kernels/variants.hpp"
#include "memory.hpp"

namespace andpop {

// A tensor of one picture, channels last.
struct Tensor {
  Storage storage;
  std::int64_t pixels;
  std::int64_t channels;

  std::int64_t pixel_bytes() const noexcept {
    if (storage == Storage::kBits) return (channels + 7) / 8;
    return storage == Storage::kI32 ? channels * 4 : channels;
  }
  std::int64_t bytes() const noexcept { return pixels * pixel_bytes(); }
};

// A constant of the network as it stands in the packed file: in an order that no instruction set
// dictates.
struct Constant {
  const void* data;
  std::int64_t count;
  std::int64_t item_bytes;
};

// One step as the plan states it. The plan was checked before (checks/): shapes, attributes and
// constants agree with the steps, and no integer overflows.
struct StepSpec {
  std::string op;
  std::vector<int> inputs;
  std::vector<int> outputs;
  std::map<std::string, std::int64_t> attributes;
  std::map<std::string, Constant> constants;
};

// Ends a run early on all its threads.
class Stop {
 public:
  static constexpr std::chrono::milliseconds kPollInterval{100};

  // `ask` says whether the user wants to stop; only the thread that called run() asks, once in
  // kPollInterval at most.
  explicit Stop(std::function<bool()> ask) : ask_(std::move(ask)) {}

  bool asked() const noexcept { return asked_.load(std::memory_order_relaxed); }
  bool poll() noexcept;

 private:
  using Clock = std::chrono::steady_clock;

  std::function<bool()> ask_;
  std::atomic<bool> asked_{false};
  Clock::time_point next_ = Clock::now() + kPollInterval;
};

// Operations between two looks at the clock: milliseconds at most, on any instruction set.
constexpr std::int64_t kPieceWork = 1 << 24;

// Memory of one worker: every tensor at its offset in the arena, and scratch shared by the steps.
class Workspace {
 public:
  Workspace(std::int64_t arena_bytes, std::int64_t scratch_bytes)
      : arena_(allocate_aligned(arena_bytes)), scratch_(allocate_aligned(scratch_bytes)) {}

  std::uint8_t* arena() const noexcept { return arena_.get(); }
  std::uint8_t* scratch() const noexcept { return scratch_.get(); }

  // Joins a run; `caller` is the thread that called it.
  void join(Stop* stop, bool caller) noexcept {
    stop_ = stop;
    caller_ = caller;
    work_ = 0;
  }

  // Whether the run ends early, after `work` more operations. What steps leave unwritten then is
  // read by nobody but steps, whose results nobody gets.
  bool stopped(std::int64_t work) const noexcept {
    work_ += work;
    if (!caller_ || work_ < kPieceWork) return stop_->asked();
    work_ = 0;
    return stop_->poll();
  }

 private:
  AlignedBytes arena_;
  AlignedBytes scratch_;
  Stop* stop_ = nullptr;
  bool caller_ = false;
  mutable std::int64_t work_ = 0;
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

// A tensor's place in the arena.
struct Slot {
  Tensor tensor;
  std::int64_t offset;

  template <typename T = std::uint8_t>
  T* in(const Workspace& w) const noexcept {
    return reinterpret_cast<T*>(w.arena() + offset);
  }
};

// A step ready to run: constants packed for its microkernel, tensors resolved to arena offsets.
class Step {
 public:
  virtual ~Step() = default;
  virtual void run(const Workspace& w) const noexcept = 0;
  virtual std::int64_t scratch_bytes() const noexcept { return 0; }
};

// Pixels first..first+count-1 of a step that works pixel by pixel.
struct Pixels {
  const std::uint8_t* in;
  std::uint8_t* out;
  std::int64_t first;
  std::int64_t count;
};

class PixelStep;

// The steps behind a source that run together with it, each reading what the one before wrote: a
// piece goes through all of them before the next one begins, and never leaves the cache. What lies
// between two of them is written to one buffer and the other in turn, piece over piece.
class Chain {
 public:
  Chain() = default;
  Chain(const PixelStep* const* links, std::int64_t count, std::uint8_t* buffer,
        std::uint8_t* other)
      : links_(links), count_(count), buffer_(buffer), other_(other) {}

  bool empty() const noexcept { return count_ == 0; }
  // Where the source writes pixels first.. of its tensor.
  std::uint8_t* target(const Workspace& w, const Slot& out, std::int64_t first) const noexcept {
    return count_ == 0 ? out.in(w) + first * out.tensor.pixel_bytes() : buffer_;
  }
  // Goes on with what the source wrote there.
  inline void run(const Workspace& w, const std::uint8_t* written, std::int64_t first,
                  std::int64_t count) const noexcept;

 private:
  const PixelStep* const* links_ = nullptr;
  std::int64_t count_ = 0;
  std::uint8_t* buffer_ = nullptr;
  std::uint8_t* other_ = nullptr;
};

// A step that writes its only output piece by piece, in the order of pixels.
class Source : public Step {
 public:
  void run(const Workspace& w) const noexcept final { run_chain(w, {}); }
  virtual void run_chain(const Workspace& w, const Chain& chain) const noexcept = 0;
  // Pixels of a piece, at most, where a chain follows.
  virtual std::int64_t piece_pixels() const noexcept = 0;
};

// A step that reads a pixel of its first input, and of others if any, for every pixel it writes.
class PixelStep : public Source {
 public:
  PixelStep(const Slot& in, const Slot& out) : in_(in), out_(out) {}

  // Called for pieces in their order.
  virtual void run_pixels(const Workspace& w, const Pixels& p) const noexcept = 0;

  void run_chain(const Workspace& w, const Chain& chain) const noexcept override;
  std::int64_t piece_pixels() const noexcept override;
  const Slot& out() const noexcept { return out_; }

 protected:
  Slot in_, out_;
};

void Chain::run(const Workspace& w, const std::uint8_t* written, std::int64_t first,
                std::int64_t count) const noexcept {
  std::uint8_t* buffers[] = {other_, buffer_};
  for (std::int64_t i = 0; i < count_; ++i) {
    const Chain left(links_ + i + 1, count_ - i - 1, buffers[i % 2], nullptr);
    std::uint8_t* out = left.target(w, links_[i]->out(), first);
    links_[i]->run_pixels(w, {written, out, first, count});
    written = out;
  }
}

}  // namespace andpop
