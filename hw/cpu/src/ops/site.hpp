// SPDX-License-Identifier: Apache-2.0
// What a step is made from, and the table of steps.

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "selection.hpp"
#include "step.hpp"

namespace andpop {

// A step of the plan with its tensors, attributes and constants in reach.
class Site {
 public:
  Site(const StepSpec& spec, const std::vector<Tensor>& tensors,
       const std::vector<std::int64_t>& offsets, const Selection& selection)
      : spec_(spec), tensors_(tensors), offsets_(offsets), selection_(selection) {}

  Slot input(std::size_t i = 0) const { return slot(spec_.inputs.at(i)); }
  Slot output(std::size_t i = 0) const { return slot(spec_.outputs.at(i)); }
  std::vector<Slot> inputs() const { return slots(spec_.inputs); }
  std::vector<Slot> outputs() const { return slots(spec_.outputs); }

  // The second input, which some steps have.
  std::optional<Slot> shortcut() const {
    if (spec_.inputs.size() < 2) return std::nullopt;
    return input(1);
  }

  // An attribute; raises std::invalid_argument where it is missing.
  std::int64_t operator()(const char* name) const;

  // The `count` values of a constant as they stand in the file; raises std::invalid_argument where
  // it has others.
  template <typename T>
  const T* constant(const char* name, std::int64_t count) const {
    return static_cast<const T*>(constant(name, count, sizeof(T)).data);
  }

  // A copy of them that steps without a microkernel read.
  template <typename T>
  Values<T> values(const char* name, std::int64_t count) const {
    Values<T> copy(count);
    std::memcpy(copy.data(), constant<T>(name, count), static_cast<std::size_t>(count) * sizeof(T));
    return copy;
  }

  // The microkernel that is to run.
  template <typename Args>
  const Variant<Args>& kernel(const Variants<Args>& list) const {
    return selection_.of(list);
  }

 private:
  Slot slot(int tensor) const {
    const auto i = static_cast<std::size_t>(tensor);
    return {tensors_.at(i), offsets_.at(i)};
  }
  std::vector<Slot> slots(const std::vector<int>& indices) const {
    std::vector<Slot> all;
    for (const int i : indices) all.push_back(slot(i));
    return all;
  }
  const Constant& constant(const char* name, std::int64_t count, std::size_t item_bytes) const;

  const StepSpec& spec_;
  const std::vector<Tensor>& tensors_;
  const std::vector<std::int64_t>& offsets_;
  const Selection& selection_;
};

// An op of a plan: the names of its constants, and its step.
struct Op {
  const char* name;
  std::vector<const char*> constants;
  std::unique_ptr<Step> (*make)(const Site&);
  bool source;  // may begin a chain
  bool pixel;   // may follow in one
};

template <typename T>
std::unique_ptr<Step> make(const Site& s) {
  return std::make_unique<T>(s);
}

// The op of a step T, or of steps derived from it that `maker` chooses from.
template <typename T>
Op op(const char* name, std::vector<const char*> constants = {},
      std::unique_ptr<Step> (*maker)(const Site&) = nullptr) {
  if constexpr (!std::is_abstract_v<T>)
    if (maker == nullptr) maker = make<T>;
  return {name, std::move(constants), maker, std::is_base_of_v<Source, T>,
          std::is_base_of_v<PixelStep, T>};
}

// The ops by idea, each list in its file.
std::vector<Op> products();
std::vector<Op> thresholds();
std::vector<Op> rounding();
std::vector<Op> moves();
std::vector<Op> pools();

// The op of that name; raises std::invalid_argument where there is none.
const Op& find_op(const std::string& name);

// Raises std::invalid_argument where a step has other constants than those of its op.
void check_constants(const Op& op, const StepSpec& spec);

}  // namespace andpop
