// SPDX-License-Identifier: Apache-2.0

#include "kernels/shuffle/loops.hpp"

namespace andpop {

void shuffle_scalar(const Shuffle& a) noexcept { shuffle(a); }

}  // namespace andpop
