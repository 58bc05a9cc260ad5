// SPDX-License-Identifier: Apache-2.0

#include "kernels/sum_pool/loops.hpp"

namespace andpop {

void sum_pool_scalar(const SumPool& a) noexcept { sum_pool(a); }

}  // namespace andpop
