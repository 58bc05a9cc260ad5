// SPDX-License-Identifier: Apache-2.0
// Placing tensors in memory, choosing kernels, running pictures on threads.

#include "network.hpp"

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <new>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <utility>

#include "steps.hpp"

namespace andpop {
namespace {

constexpr std::size_t kAlignment = 64;

std::size_t reserved_bytes(const Tensor& t) {
  const auto bytes = static_cast<std::size_t>(t.bytes() + kSlack);
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

// Places tensors first-fit: two tensors share memory only if they never live at the same time.
class Placement {
 public:
  std::size_t take(int tensor, std::size_t bytes) {
    std::size_t offset = 0;
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

  std::size_t end() const noexcept { return end_; }

 private:
  struct Place {
    int tensor;
    std::size_t offset;
    std::size_t bytes;
  };
  std::vector<Place> live_;  // by offset
  std::size_t end_ = 0;
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

}  // namespace

std::int64_t Tensor::pixel_bytes() const noexcept {
  switch (storage) {
    case Storage::kBits:
      return (channels + 7) / 8;
    case Storage::kI32:
      return channels * 4;
    default:
      return channels;
  }
}

void AlignedFree::operator()(std::uint8_t* p) const noexcept {
  ::operator delete(p, std::align_val_t{kAlignment});
}

AlignedBytes allocate_aligned(std::size_t bytes) {
  auto* p = static_cast<std::uint8_t*>(::operator new(bytes, std::align_val_t{kAlignment}));
  // Kernels read the slack behind tensors: what they read there is ignored, but must be defined.
  std::memset(p, 0, bytes);
  return AlignedBytes(p);
}

bool Stop::poll() noexcept {
  const Clock::time_point now = Clock::now();
  if (!asked() && now >= next_) {
    next_ = now + kPollInterval;
    if (ask_()) asked_.store(true, std::memory_order_relaxed);
  }
  return asked();
}

Workspace::Workspace(std::size_t arena_bytes, std::size_t scratch_bytes)
    : arena_(allocate_aligned(arena_bytes)), scratch_(allocate_aligned(scratch_bytes)) {}

Network::Network(std::vector<Tensor> tensors, const std::vector<StepSpec>& steps,
                 std::vector<int> inputs, const Kernels& kernels)
    : tensors_(std::move(tensors)),
      inputs_(std::move(inputs)),
      offsets_(tensors_.size(), 0),
      producers_(tensors_.size(), -1) {
  // A tensor that nobody writes has no place in memory: reading it would read anything.
  std::vector<bool> written(tensors_.size(), false);
  const auto write = [&](int t) {
    if (written.at(static_cast<std::size_t>(t)))
      throw std::invalid_argument("tensor " + std::to_string(t) + " is written twice");
    written[static_cast<std::size_t>(t)] = true;
  };
  std::vector<int> last_use(tensors_.size(), -1);
  for (int t : inputs_) write(t);
  for (std::size_t i = 0; i < steps.size(); ++i) {
    for (int t : steps[i].inputs) {
      if (!written.at(static_cast<std::size_t>(t)))
        throw std::invalid_argument("tensor " + std::to_string(t) + " is read before it is written");
      last_use[static_cast<std::size_t>(t)] = static_cast<int>(i);
    }
    for (int t : steps[i].outputs) {
      write(t);
      last_use[static_cast<std::size_t>(t)] = static_cast<int>(i);
      producers_[static_cast<std::size_t>(t)] = static_cast<int>(i);
    }
  }
  const auto never = std::find(written.begin(), written.end(), false);
  if (never != written.end())
    throw std::invalid_argument("tensor " + std::to_string(never - written.begin()) +
                                " is never written");
  // Steps whose result goes to the next one alone may run together with it: what the first reads
  // has to live as long as what the second writes.
  std::vector<bool> feeds_next(steps.size(), false);
  for (std::size_t i = 0; i + 1 < steps.size(); ++i) {
    const int between = steps[i].outputs.at(0);
    const std::vector<int>& read = steps[i + 1].inputs;
    feeds_next[i] = !read.empty() && read[0] == between &&
                    std::count(read.begin(), read.end(), between) == 1 &&
                    last_use.at(static_cast<std::size_t>(between)) == static_cast<int>(i) + 1;
    if (!feeds_next[i]) continue;
    for (int t : steps[i].inputs) {
      int& last = last_use[static_cast<std::size_t>(t)];
      last = std::max(last, static_cast<int>(i) + 1);
    }
  }
  Placement placement;
  const auto place = [&](int t) {
    const auto k = static_cast<std::size_t>(t);
    offsets_.at(k) = placement.take(t, reserved_bytes(tensors_.at(k)));
  };
  for (int t : inputs_) place(t);
  for (std::size_t i = 0; i < steps.size(); ++i) {
    for (int t : steps[i].outputs) place(t);
    for (std::size_t t = 0; t < tensors_.size(); ++t)
      if (last_use[t] == static_cast<int>(i)) placement.give_back(static_cast<int>(t));
  }
  for (const StepSpec& spec : steps) {
    steps_.push_back(make_step(spec, tensors_, offsets_, kernels));
    scratch_bytes_ = std::max(scratch_bytes_, steps_.back()->scratch_bytes());
  }
  pairs_.resize(steps.size());
  for (std::size_t i = 0; i + 1 < steps.size(); ++i) {
    const auto* source = dynamic_cast<const AccumulatingStep*>(steps_[i].get());
    const auto* sink = dynamic_cast<const PixelStep*>(steps_[i + 1].get());
    if (feeds_next[i] && source != nullptr && sink != nullptr)
      pairs_[i] = {source, sink, steps[i].outputs[0]};
  }
  arena_bytes_ = placement.end() + static_cast<std::size_t>(kSlack);
  scratch_bytes_ += static_cast<std::size_t>(kSlack);
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
  return std::make_unique<Workspace>(arena_bytes_, scratch_bytes_);
}

void Network::return_workspace(std::unique_ptr<Workspace> w) {
  const std::lock_guard<std::mutex> lock(mutex_);
  idle_.push_back(std::move(w));
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
  std::vector<Pair> pairs = pairs_;
  for (Pair& pair : pairs)
    for (const Capture& c : captures)
      if (c.tensor == pair.between) pair = {};
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
    for (std::int64_t n = next++; n < count; n = next++) {
      for (std::size_t i = 0; i < inputs.size(); ++i) {
        const auto t = static_cast<std::size_t>(inputs_[i]);
        const auto bytes = static_cast<std::size_t>(tensors_[t].bytes());
        std::memcpy(w.arena() + offsets_[t], inputs[i] + static_cast<std::size_t>(n) * bytes,
                    bytes);
      }
      save(0, n);
      for (std::size_t i = 0; i < steps_.size(); ++i) {
        if (pairs[i].source != nullptr) {
          pairs[i].source->run_into(w, *pairs[i].sink);
          ++i;
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

std::vector<std::string> available_kernels() {
  std::vector<std::string> names{"scalar"};
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt")) {
    names.emplace_back("avx2");
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vpopcntdq") &&
        __builtin_cpu_supports("bmi2"))
      names.emplace_back("avx512");
  }
#endif
  return names;
}

const Kernels& select_kernels(const std::string& isa) {
  const std::vector<std::string> names = available_kernels();
  const std::string name = isa.empty() ? names.back() : isa;
  if (std::find(names.begin(), names.end(), name) == names.end()) {
    std::string list;
    for (const std::string& n : names) list += (list.empty() ? "" : ", ") + n;
    throw std::invalid_argument("found instruction set " + name + ", expected one of " + list +
                                " (this machine has no other)");
  }
#if defined(__x86_64__)
  if (name == "avx512") return avx512_kernels();
  if (name == "avx2") return avx2_kernels();
#endif
  return scalar_kernels();
}

}  // namespace andpop
