// SPDX-License-Identifier: Apache-2.0

#if defined(__x86_64__)

#include "kernels/shuffle/shuffle.hpp"

// Last: what follows is compiled for the instruction set.
#include "kernels/avx2.hpp"
#include "kernels/shuffle/loops.hpp"

namespace andpop {

void shuffle_avx2(const Shuffle& a) noexcept { shuffle(a); }

}  // namespace andpop

#endif
