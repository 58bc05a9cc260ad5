// SPDX-License-Identifier: Apache-2.0
// A packed network in memory: tensors, steps, and the run over a batch of pictures.

#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "selection.hpp"
#include "step.hpp"

namespace andpop {

// Raised, with PLAN_VERSION of plan.py, when operations or what they take change.
constexpr int kPlanVersion = 2;

// A tensor to be copied out of a run: picture n goes to data + n * bytes of the tensor.
struct Capture {
  int tensor;
  std::uint8_t* data;
};

class Network {
 public:
  // Raises std::invalid_argument for an op that does not exist, a missing attribute, constants that
  // are not those of the op, and a tensor that is read before it is written, written twice or never.
  Network(std::vector<Tensor> tensors, const std::vector<StepSpec>& steps, std::vector<int> inputs,
          const Selection& selection);

  // Runs `count` pictures on up to `threads` threads. `inputs[i]` holds the packed bytes of graph
  // input i for all pictures. Allocates workspaces on first use only. Thread-safe. Returns false,
  // with what was captured incomplete, when `ask` returned true.
  bool run(const std::vector<const std::uint8_t*>& inputs, std::int64_t count,
           const std::vector<Capture>& captures, int threads, std::function<bool()> ask);

  const std::vector<Tensor>& tensors() const noexcept { return tensors_; }
  std::int64_t arena_bytes() const noexcept { return arena_bytes_; }

  // How many steps behind each one run together with it when nothing between them is captured.
  const std::vector<std::int64_t>& chained() const noexcept { return chained_; }

 private:
  void find_chains(const std::vector<StepSpec>& steps, const std::vector<int>& last_use);
  void size_buffers(const std::vector<StepSpec>& steps);
  void place(const std::vector<StepSpec>& steps, std::vector<int> last_use);
  // What is asked for is written whole: chains end at it.
  std::vector<std::int64_t> chained_up_to(const std::vector<Capture>& captures) const;
  std::unique_ptr<Workspace> take_workspace();
  void return_workspace(std::unique_ptr<Workspace> w);

  std::vector<Tensor> tensors_;
  std::vector<int> inputs_;
  std::vector<std::int64_t> offsets_;
  std::vector<int> producers_;  // step that writes a tensor; -1 for graph inputs
  std::vector<std::unique_ptr<Step>> steps_;
  std::vector<const PixelStep*> pixel_steps_;  // the same, null for others
  std::vector<std::int64_t> chained_;
  std::int64_t arena_bytes_ = 0;
  std::int64_t scratch_bytes_ = 0;  // of a step; two buffers of chains lie behind it
  std::int64_t buffer_bytes_ = 0;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Workspace>> idle_;
};

}  // namespace andpop
