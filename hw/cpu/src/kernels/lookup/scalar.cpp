// SPDX-License-Identifier: Apache-2.0

#include "kernels/lookup/loops.hpp"

namespace andpop {

void lookup_scalar(const Lookup& a) noexcept { lookup_bytes(a); }

}  // namespace andpop
