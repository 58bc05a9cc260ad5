// SPDX-License-Identifier: Apache-2.0
// From a step of the plan to a step that runs.

#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "network.hpp"

namespace andpop {

// `offsets[t]` is where tensor t lies in the arena. Raises std::invalid_argument for an unknown op
// or a missing attribute.
std::unique_ptr<Step> make_step(const StepSpec& spec, const std::vector<Tensor>& tensors,
                                const std::vector<std::size_t>& offsets, const Kernels& kernels);

}  // namespace andpop
