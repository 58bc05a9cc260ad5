// SPDX-License-Identifier: Apache-2.0

#include "selection.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "kernels/acc_levels/acc_levels.hpp"
#include "kernels/affine/affine.hpp"
#include "kernels/bit_gemm/bit_gemm.hpp"
#include "kernels/depthwise/depthwise.hpp"
#include "kernels/epilogue/epilogue.hpp"
#include "kernels/int_gemm/int_gemm.hpp"
#include "kernels/levels/levels.hpp"
#include "kernels/lookup/lookup.hpp"
#include "kernels/max_pool/max_pool.hpp"
#include "kernels/requantise/requantise.hpp"
#include "kernels/search_levels/search_levels.hpp"
#include "kernels/shuffle/shuffle.hpp"
#include "kernels/sign_bits/sign_bits.hpp"
#include "kernels/sum_pool/sum_pool.hpp"

namespace andpop {
namespace {

struct IsaName {
  Isa isa;
  const char* name;
};

constexpr IsaName kIsas[] = {
#define ANDPOP_ISA(isa, name, supported) {Isa::isa, name},
#include "kernels/isa.inc"
#undef ANDPOP_ISA
};

bool supported(Isa isa) {
#if defined(__x86_64__)
  __builtin_cpu_init();
#endif
  switch (isa) {
#define ANDPOP_ISA(isa, name, supported) \
  case Isa::isa:                         \
    return supported;
#include "kernels/isa.inc"
#undef ANDPOP_ISA
  }
  return false;
}

// The best one; each needs those before it.
Isa best_isa() {
  Isa best = Isa::kScalar;
  for (const IsaName& i : kIsas) {
    if (!supported(i.isa)) break;
    best = i.isa;
  }
  return best;
}

template <typename Args>
void append(std::vector<Listed>& all, const Variants<Args>& list) {
  for (const Variant<Args>& v : list)
    if (v.isa <= best_isa())
      all.push_back({list.op, v.name, kIsas[static_cast<std::size_t>(v.isa)].name, v.tile});
}

std::string joined(const std::vector<std::string>& names) {
  std::string list;
  for (const std::string& n : names) list += (list.empty() ? "" : ", ") + n;
  return list;
}

}  // namespace

std::vector<std::string> available_isas() {
  std::vector<std::string> names;
  for (const IsaName& i : kIsas)
    if (i.isa <= best_isa()) names.emplace_back(i.name);
  return names;
}

std::vector<Listed> available_kernels() {
  std::vector<Listed> all;
  append(all, kBitGemm);
  append(all, kIntGemm);
  append(all, kDepthwise);
  append(all, kEpilogue);
  append(all, kRequantise);
  append(all, kAffine);
  append(all, kSignBits);
  append(all, kLevels);
  append(all, kAccLevels);
  append(all, kSearchLevels);
  append(all, kLookup);
  append(all, kMaxPool);
  append(all, kShuffle);
  append(all, kSumPool);
  return all;
}

Selection::Selection(const std::string& isa, std::vector<std::string> kernels)
    : isa_(best_isa()), kernels_(std::move(kernels)) {
  const std::vector<std::string> isas = available_isas();
  if (!isa.empty()) {
    const auto found = std::find(isas.begin(), isas.end(), isa);
    if (found == isas.end())
      throw std::invalid_argument("found instruction set " + isa + ", expected one of " +
                                  joined(isas) + " (this machine has no other)");
    isa_ = kIsas[found - isas.begin()].isa;
  }
  std::vector<std::string> names;
  for (const Listed& k : available_kernels()) names.push_back(k.name);
  for (const std::string& k : kernels_)
    if (std::find(names.begin(), names.end(), k) == names.end())
      throw std::invalid_argument("found microkernel " + k + ", expected one of " + joined(names) +
                                  " (this machine has no other)");
}

bool Selection::named(const char* name) const {
  return std::find(kernels_.begin(), kernels_.end(), name) != kernels_.end();
}

}  // namespace andpop
