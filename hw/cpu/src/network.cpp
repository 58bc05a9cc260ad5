// SPDX-License-Identifier: Apache-2.0
// Finding chains, placing tensors in memory, running pictures on threads.

#include "network.hpp"

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "ops/site.hpp"

namespace andpop {
namespace {

std::int64_t reserved_bytes(const Tensor& t) {
  const std::int64_t bytes = t.bytes() + kSlack;
  return round_up(bytes, kCacheLine);
}

// Places tensors first-fit: two tensors share memory only if they never live at the same time.
class Placement {
 public:
  std::int64_t take(int tensor, std::int64_t bytes) {
    std::int64_t offset = 0;
    auto before = live_.begin();
    for (; before != live_.end() && before->offset < offset + bytes; ++before)
      offset = before->offset + before->bytes;
    live_.insert(before, {tensor, offset, bytes});
    end_ = std::max(end_, offset + bytes);
    return offset;
  }

  void give_back(int tensor) {
    live_.erase(std::remove_if(live_.begin(), live_.end(),
                               [tensor](const Place& p) { return p.tensor == tensor; }),
                live_.end());
  }

  std::int64_t end() const noexcept { return end_; }

 private:
  struct Place {
    int tensor;
    std::int64_t offset;
    std::int64_t bytes;
  };
  std::vector<Place> live_;  // by offset
  std::int64_t end_ = 0;
};

// Joins its threads also when starting one of them failed.
class Joined {
 public:
  Joined() = default;
  Joined(const Joined&) = delete;
  Joined& operator=(const Joined&) = delete;
  ~Joined() {
    for (std::thread& t : threads_) t.join();
  }
  template <typename F>
  void start(F f) {
    threads_.emplace_back(std::move(f));
  }

 private:
  std::vector<std::thread> threads_;
};

// The last step that reads each tensor, -1 for none. Raises std::invalid_argument for a tensor that
// has no place in memory when it is read: reading it would read anything.
std::vector<int> last_uses(std::size_t tensors, const std::vector<StepSpec>& steps,
                           const std::vector<int>& inputs, std::vector<int>& producers) {
  std::vector<bool> written(tensors, false);
  const auto write = [&](int t) {
    if (written.at(static_cast<std::size_t>(t)))
      throw std::invalid_argument("tensor " + std::to_string(t) + " is written twice");
    written[static_cast<std::size_t>(t)] = true;
  };
  std::vector<int> last_use(tensors, -1);
  for (int t : inputs) write(t);
  for (std::size_t i = 0; i < steps.size(); ++i) {
    for (int t : steps[i].inputs) {
      if (!written.at(static_cast<std::size_t>(t)))
        throw std::invalid_argument("tensor " + std::to_string(t) +
                                    " is read before it is written");
      last_use[static_cast<std::size_t>(t)] = static_cast<int>(i);
    }
    for (int t : steps[i].outputs) {
      write(t);
      last_use[static_cast<std::size_t>(t)] = static_cast<int>(i);
      producers[static_cast<std::size_t>(t)] = static_cast<int>(i);
    }
  }
  const auto never = std::find(written.begin(), written.end(), false);
  if (never != written.end())
    throw std::invalid_argument("tensor " + std::to_string(never - written.begin()) +
                                " is never written");
  return last_use;
}

}  // namespace

Network::Network(std::vector<Tensor> tensors, const std::vector<StepSpec>& steps,
                 std::vector<int> inputs, const Selection& selection)
    : tensors_(std::move(tensors)),
      inputs_(std::move(inputs)),
      offsets_(tensors_.size(), 0),
      producers_(tensors_.size(), -1),
      chained_(steps.size(), 0) {
  const std::vector<int> last_use = last_uses(tensors_.size(), steps, inputs_, producers_);
  find_chains(steps, last_use);
  place(steps, last_use);
  for (const StepSpec& spec : steps) {
    const Op& op = find_op(spec.op);
    check_constants(op, spec);
    steps_.push_back(op.make({spec, tensors_, offsets_, selection}));
    pixel_steps_.push_back(dynamic_cast<const PixelStep*>(steps_.back().get()));
    scratch_bytes_ = std::max(scratch_bytes_, steps_.back()->scratch_bytes());
  }
  scratch_bytes_ = round_up(scratch_bytes_ + kSlack, kCacheLine);
  size_buffers(steps);
}

void Network::find_chains(const std::vector<StepSpec>& steps, const std::vector<int>& last_use) {
  for (std::size_t i = steps.size(); i-- > 1;) {
    const int between = steps[i - 1].outputs.at(0);
    const std::vector<int>& read = steps[i].inputs;
    const bool alone = !read.empty() && read[0] == between &&
                       std::count(read.begin(), read.end(), between) == 1 &&
                       last_use.at(static_cast<std::size_t>(between)) == static_cast<int>(i);
    if (alone && find_op(steps[i - 1].op).source && find_op(steps[i].op).pixel)
      chained_[i - 1] = 1 + chained_[i];
  }
}

void Network::place(const std::vector<StepSpec>& steps, std::vector<int> last_use) {
  // Pieces go through a whole chain one after the other: what its steps read and write has to live
  // until the last one ends.
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const int end = static_cast<int>(i + static_cast<std::size_t>(chained_[i]));
    for (int t : steps[i].inputs) {
      int& last = last_use[static_cast<std::size_t>(t)];
      last = std::max(last, end);
    }
  }
  Placement placement;
  const auto take = [&](int t) {
    const auto k = static_cast<std::size_t>(t);
    offsets_.at(k) = placement.take(t, reserved_bytes(tensors_.at(k)));
  };
  for (int t : inputs_) take(t);
  for (std::size_t i = 0; i < steps.size(); ++i) {
    for (int t : steps[i].outputs) take(t);
    for (std::size_t t = 0; t < tensors_.size(); ++t)
      if (last_use[t] == static_cast<int>(i)) placement.give_back(static_cast<int>(t));
  }
  arena_bytes_ = placement.end() + kSlack;
}

void Network::size_buffers(const std::vector<StepSpec>& steps) {
  for (std::size_t i = 0; i < steps.size(); ++i) {
    if (chained_[i] == 0) continue;
    const std::int64_t pixels = static_cast<const Source*>(steps_[i].get())->piece_pixels();
    for (std::size_t k = i; k < i + static_cast<std::size_t>(chained_[i]); ++k) {
      const Tensor& between = tensors_.at(static_cast<std::size_t>(steps[k].outputs.at(0)));
      buffer_bytes_ = std::max(buffer_bytes_, pixels * between.pixel_bytes());
    }
  }
  buffer_bytes_ = round_up(buffer_bytes_ + kSlack, kCacheLine);
}

std::unique_ptr<Workspace> Network::take_workspace() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!idle_.empty()) {
      auto w = std::move(idle_.back());
      idle_.pop_back();
      return w;
    }
  }
  return std::make_unique<Workspace>(arena_bytes_, scratch_bytes_ + 2 * buffer_bytes_);
}

void Network::return_workspace(std::unique_ptr<Workspace> w) {
  const std::lock_guard<std::mutex> lock(mutex_);
  idle_.push_back(std::move(w));
}

std::vector<std::int64_t> Network::chained_up_to(const std::vector<Capture>& captures) const {
  std::vector<std::int64_t> chained = chained_;
  for (const Capture& c : captures) {
    const std::int64_t writer = producers_[static_cast<std::size_t>(c.tensor)];
    for (std::int64_t i = writer; i >= 0; --i) {
      const auto k = static_cast<std::size_t>(i);
      if (i + chained_[k] <= writer) break;
      chained[k] = std::min(chained[k], writer - i);
    }
  }
  return chained;
}

bool Network::run(const std::vector<const std::uint8_t*>& inputs, std::int64_t count,
                  const std::vector<Capture>& captures, int threads, std::function<bool()> ask) {
  if (inputs.size() != inputs_.size())
    throw std::invalid_argument("found " + std::to_string(inputs.size()) + " inputs, expected " +
                                std::to_string(inputs_.size()));
  // Tensors share memory, so a captured one is copied right after the step that wrote it.
  std::vector<std::vector<Capture>> after(steps_.size() + 1);
  for (const Capture& c : captures)
    after.at(static_cast<std::size_t>(producers_.at(static_cast<std::size_t>(c.tensor)) + 1))
        .push_back(c);
  const std::vector<std::int64_t> chained = chained_up_to(captures);
  Stop stop(std::move(ask));
  std::atomic<std::int64_t> next{0};
  const auto work = [&](const Workspace& w) noexcept {
    const auto save = [&](std::size_t step, std::int64_t n) noexcept {
      for (const Capture& c : after[step]) {
        const auto t = static_cast<std::size_t>(c.tensor);
        const auto bytes = static_cast<std::size_t>(tensors_[t].bytes());
        std::memcpy(c.data + static_cast<std::size_t>(n) * bytes, w.arena() + offsets_[t], bytes);
      }
    };
    std::uint8_t* buffer = w.scratch() + scratch_bytes_;
    for (std::int64_t n = next++; n < count; n = next++) {
      for (std::size_t i = 0; i < inputs.size(); ++i) {
        const auto t = static_cast<std::size_t>(inputs_[i]);
        const auto bytes = static_cast<std::size_t>(tensors_[t].bytes());
        std::memcpy(w.arena() + offsets_[t], inputs[i] + static_cast<std::size_t>(n) * bytes,
                    bytes);
      }
      save(0, n);
      for (std::size_t i = 0; i < steps_.size(); ++i) {
        const std::int64_t links = chained[i];
        if (links > 0) {
          static_cast<const Source*>(steps_[i].get())
              ->run_chain(w, Chain(&pixel_steps_[i + 1], links, buffer, buffer + buffer_bytes_));
          i += static_cast<std::size_t>(links);
        } else {
          steps_[i]->run(w);
        }
        if (w.stopped(1)) return;
        save(i + 1, n);
      }
    }
  };
  const auto workers = static_cast<std::size_t>(
      std::clamp<std::int64_t>(std::min<std::int64_t>(threads, count), 1, 1024));
  std::vector<std::unique_ptr<Workspace>> spaces;
  for (std::size_t i = 0; i < workers; ++i) {
    spaces.push_back(take_workspace());
    spaces.back()->join(&stop, i == 0);
  }
  {
    std::mutex mutex;
    std::condition_variable ended;
    std::size_t running = 0;
    // Threads live for one call: starting them costs microseconds against a batch of pictures,
    // and a process that forks between two calls has none to lose.
    Joined pool;
    for (std::size_t i = 1; i < workers; ++i) {
      {
        const std::lock_guard<std::mutex> lock(mutex);
        ++running;
      }
      const auto end = [&] {
        const std::lock_guard<std::mutex> lock(mutex);
        --running;
        ended.notify_one();
      };
      try {
        pool.start([&work, end, w = spaces[i].get()] {
          work(*w);
          end();
        });
      } catch (const std::system_error&) {
        end();
        break;  // the system is out of threads: those that run take the pictures
      }
    }
    work(*spaces[0]);
    // The others may be at their last pictures for long.
    std::unique_lock<std::mutex> lock(mutex);
    while (!ended.wait_for(lock, Stop::kPollInterval, [&] { return running == 0; })) stop.poll();
  }
  for (auto& w : spaces) return_workspace(std::move(w));
  return !stop.asked();
}

}  // namespace andpop
