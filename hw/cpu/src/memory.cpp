// SPDX-License-Identifier: Apache-2.0

#include "memory.hpp"

#include <new>

namespace andpop {

void AlignedFree::operator()(std::uint8_t* p) const noexcept {
  ::operator delete(p, std::align_val_t{kCacheLine});
}

AlignedBytes allocate_aligned(std::int64_t bytes) {
  const auto size = static_cast<std::size_t>(bytes);
  auto* p = static_cast<std::uint8_t*>(::operator new(size, std::align_val_t{kCacheLine}));
  // Kernels read the slack behind tensors: what they read there is ignored, but must be defined.
  std::memset(p, 0, size);
  return AlignedBytes(p);
}

}  // namespace andpop
