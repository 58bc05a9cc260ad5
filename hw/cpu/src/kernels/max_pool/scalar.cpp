// SPDX-License-Identifier: Apache-2.0

#include "kernels/max_pool/loops.hpp"

namespace andpop {

void max_pool_scalar(const MaxPool& a) noexcept { max_pool(a); }

}  // namespace andpop
