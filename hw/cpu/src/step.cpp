// SPDX-License-Identifier: Apache-2.0

#include "step.hpp"

namespace andpop {

bool Stop::poll() noexcept {
  const Clock::time_point now = Clock::now();
  if (!asked() && now >= next_) {
    next_ = now + kPollInterval;
    if (ask_()) asked_.store(true, std::memory_order_relaxed);
  }
  return asked();
}

void PixelStep::run_chain(const Workspace& w, const Chain& chain) const noexcept {
  // Bytes of a piece of the input: it fits a cache next to the core with what is made of it.
  constexpr std::int64_t kPieceBytes = 1 << 14;
  const std::int64_t pixels = in_.tensor.pixels;
  const std::int64_t bytes = in_.tensor.pixel_bytes();
  const std::int64_t most = chain.empty() ? pixels : std::max<std::int64_t>(kPieceBytes / bytes, 1);
  for (std::int64_t first = 0; first < pixels; first += most) {
    const std::int64_t count = std::min(most, pixels - first);
    std::uint8_t* out = chain.target(w, out_, first);
    run_pixels(w, {in_.in(w) + first * bytes, out, first, count});
    chain.run(w, out, first, count);
    if (w.stopped(0)) return;
  }
}

}  // namespace andpop
