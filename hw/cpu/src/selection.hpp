// SPDX-License-Identifier: Apache-2.0
// Which microkernel of each operation runs.

#pragma once

#include <string>
#include <vector>

#include "kernels/variants.hpp"

namespace andpop {

// Names of the instruction sets that this machine can run, slowest first.
std::vector<std::string> available_isas();

// A microkernel of the lists.
struct Listed {
  std::string op;
  std::string name;
  std::string isa;
  Tile tile;
};

// The microkernels that this machine can run, by operation, slowest first.
std::vector<Listed> available_kernels();

class Selection {
 public:
  // Chooses up to the instruction set `isa`, or the best that this machine has if empty;
  // `kernels` names microkernels to take instead. Raises std::invalid_argument when the machine
  // cannot run them.
  Selection(const std::string& isa, std::vector<std::string> kernels);

  // The microkernel of an operation: one that was named, or else that of the best instruction set
  // that has one. Every list holds plain loops.
  template <typename Args>
  const Variant<Args>& of(const Variants<Args>& list) const {
    const Variant<Args>* best = list.begin();
    for (const Variant<Args>& v : list) {
      if (named(v.name)) return v;
      if (v.isa <= isa_ && v.isa > best->isa) best = &v;
    }
    return *best;
  }

 private:
  bool named(const char* name) const;

  Isa isa_;
  std::vector<std::string> kernels_;
};

}  // namespace andpop
