// SPDX-License-Identifier: Apache-2.0

#if defined(__x86_64__)

#include "kernels/sum_pool/sum_pool.hpp"

// Last: what follows is compiled for the instruction set.
#include "kernels/avx512.hpp"
#include "kernels/sum_pool/loops.hpp"

namespace andpop {

void sum_pool_avx512(const SumPool& a) noexcept { sum_pool(a); }

}  // namespace andpop

#endif
