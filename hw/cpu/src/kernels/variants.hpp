// SPDX-License-Identifier: Apache-2.0
// What a list of microkernels holds. kernels/<op>/variants.inc is the list of an operation: one
// line per microkernel with its instruction set, its function and its tile.

#pragma once

#include <cstdint>

namespace andpop {

// The instruction sets, slowest first; a machine that has one has those before it.
enum class Isa {
#define ANDPOP_ISA(isa, name, supported) isa,
#include "kernels/isa.inc"
#undef ANDPOP_ISA
};

// Blocks in which a microkernel reads its constants. They are packed so when a model is loaded.
struct Tile {
  std::int64_t lanes = 1;  // output channels that lie next to one another
  std::int64_t depth = 1;  // inputs of a channel that lie next to one another, at most 8 bytes
};

template <typename Args>
struct Variant {
  Isa isa;
  const char* name;
  void (*run)(const Args&) noexcept;
  Tile tile;
};

// The microkernels of an operation. Of several for one instruction set the first is chosen.
template <typename Args>
struct Variants {
  const char* op;
  const Variant<Args>* first;
  std::int64_t count;

  constexpr const Variant<Args>* begin() const noexcept { return first; }
  constexpr const Variant<Args>* end() const noexcept { return first + count; }
};

template <typename Args, std::int64_t N>
constexpr Variants<Args> variants_of(const char* op, const Variant<Args> (&list)[N]) noexcept {
  return {op, list, N};
}

// The tile that the list states for a microkernel; a constant expression.
template <typename Args>
constexpr Tile tile_of(const Variants<Args>& list, void (*run)(const Args&) noexcept) {
  for (const Variant<Args>& v : list)
    if (v.run == run) return v.tile;
  throw "the microkernel is not in its list";
}

// Where a value of a tensor lies; bits are packed per pixel, channel c at bit c % 8 of byte c / 8.
enum class Storage { kBits, kU8, kI8, kI32 };

}  // namespace andpop
