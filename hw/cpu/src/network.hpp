// SPDX-License-Identifier: Apache-2.0
// A packed network in memory: tensors, steps, and the run over a batch of pictures.

#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "kernels.hpp"

namespace andpop {

// Element storage of a tensor; bits are packed per pixel, channel c at bit c % 8 of byte c / 8.
enum class Storage { kBits, kU8, kI8, kI32 };

// A tensor of one picture, channels last.
struct Tensor {
  Storage storage;
  std::int64_t pixels;
  std::int64_t channels;

  std::int64_t pixel_bytes() const noexcept;
  std::int64_t bytes() const noexcept { return pixels * pixel_bytes(); }
};

// A constant of the network as it stands in the packed file.
struct Constant {
  const void* data;
  std::size_t bytes;
};

// One step as the plan states it. The plan was checked before (checks/): shapes, attributes and
// constants agree with the kernels, and no integer overflows.
struct StepSpec {
  std::string op;
  std::vector<int> inputs;
  std::vector<int> outputs;
  std::map<std::string, std::int64_t> attributes;
  std::vector<Constant> constants;
};

struct AlignedFree {
  void operator()(std::uint8_t* p) const noexcept;
};
using AlignedBytes = std::unique_ptr<std::uint8_t, AlignedFree>;

// Zeroed memory that starts at a cache line.
AlignedBytes allocate_aligned(std::size_t bytes);

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
  Workspace(std::size_t arena_bytes, std::size_t scratch_bytes);

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

// A step ready to run: constants copied, tensors resolved to arena offsets.
class Step {
 public:
  virtual ~Step() = default;
  virtual void run(const Workspace& w) const noexcept = 0;
  virtual std::size_t scratch_bytes() const noexcept { return 0; }
};

// A step that turns accumulators into a stream, pixel by pixel.
class PixelStep : public Step {
 public:
  // Handles pixels first..first+count-1, whose accumulators lie at `in`; called in their order.
  virtual void run_pixels(const Workspace& w, const std::int32_t* in, std::int64_t first,
                          std::int64_t count) const noexcept = 0;
};

// A step that writes accumulators.
class AccumulatingStep : public Step {
 public:
  // Runs together with the only step that reads the accumulators: they never leave the cache.
  virtual void run_into(const Workspace& w, const PixelStep& next) const noexcept = 0;
};

// A tensor to be copied out of a run: picture n goes to data + n * bytes of the tensor.
struct Capture {
  int tensor;
  std::uint8_t* data;
};

class Network {
 public:
  // Raises std::invalid_argument for an op that does not exist, a missing attribute, and a tensor
  // that is read before it is written, written twice or never.
  Network(std::vector<Tensor> tensors, const std::vector<StepSpec>& steps, std::vector<int> inputs,
          const Kernels& kernels);

  // Runs `count` pictures on up to `threads` threads. `inputs[i]` holds the packed bytes of graph
  // input i for all pictures. Allocates workspaces on first use only. Thread-safe. Returns false,
  // with what was captured incomplete, when `ask` returned true.
  bool run(const std::vector<const std::uint8_t*>& inputs, std::int64_t count,
           const std::vector<Capture>& captures, int threads, std::function<bool()> ask);

  const std::vector<Tensor>& tensors() const noexcept { return tensors_; }
  std::size_t arena_bytes() const noexcept { return arena_bytes_; }

 private:
  std::unique_ptr<Workspace> take_workspace();
  void return_workspace(std::unique_ptr<Workspace> w);

  std::vector<Tensor> tensors_;
  std::vector<int> inputs_;
  std::vector<std::size_t> offsets_;
  std::vector<int> producers_;  // step that writes a tensor; -1 for graph inputs
  std::vector<std::unique_ptr<Step>> steps_;
  // Two steps that run together unless the tensor between them is captured.
  struct Pair {
    const AccumulatingStep* source = nullptr;
    const PixelStep* sink = nullptr;
    int between = -1;
  };
  std::vector<Pair> pairs_;  // by the first one's number
  std::size_t arena_bytes_ = 0;
  std::size_t scratch_bytes_ = 0;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Workspace>> idle_;
};

// The kernels of `isa` ("scalar", "avx2", "avx512"), or of the best this machine has if empty.
// Raises std::invalid_argument when the machine lacks them.
const Kernels& select_kernels(const std::string& isa);

// Names of the instruction sets that this machine can run, slowest first.
std::vector<std::string> available_kernels();

}  // namespace andpop
