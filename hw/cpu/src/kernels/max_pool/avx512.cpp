// SPDX-License-Identifier: Apache-2.0

#if defined(__x86_64__)

#include "kernels/max_pool/max_pool.hpp"

// Last: what follows is compiled for the instruction set.
#include "kernels/avx512.hpp"
#include "kernels/max_pool/loops.hpp"

namespace andpop {

void max_pool_avx512(const MaxPool& a) noexcept { max_pool(a); }

}  // namespace andpop

#endif
