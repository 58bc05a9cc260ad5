// SPDX-License-Identifier: Apache-2.0

#include "ops/site.hpp"

#include <algorithm>

namespace andpop {

std::int64_t Site::operator()(const char* name) const {
  const auto found = spec_.attributes.find(name);
  if (found == spec_.attributes.end())
    throw std::invalid_argument("step " + spec_.op + ": attribute " + name + " is missing");
  return found->second;
}

const Constant& Site::constant(const char* name, std::int64_t count, std::size_t item_bytes) const {
  const std::string where = "step " + spec_.op + ": constant " + name;
  const auto found = spec_.constants.find(name);
  if (found == spec_.constants.end())
    throw std::logic_error(where + " is not in the table of ops");
  const Constant& c = found->second;
  const auto bytes = static_cast<std::int64_t>(item_bytes);
  if (c.count != count || c.item_bytes != bytes)
    throw std::invalid_argument(where + " has " + std::to_string(c.count) + " values of " +
                                std::to_string(c.item_bytes) + " bytes, expected " +
                                std::to_string(count) + " of " + std::to_string(bytes));
  return c;
}

const Op& find_op(const std::string& name) {
  static const std::vector<Op> kOps = [] {
    std::vector<Op> all;
    for (const auto list : {products, thresholds, rounding, moves, pools})
      for (Op& op : list()) all.push_back(std::move(op));
    return all;
  }();
  for (const Op& op : kOps)
    if (name == op.name) return op;
  throw std::invalid_argument("step op " + name + " does not exist");
}

void check_constants(const Op& op, const StepSpec& spec) {
  for (const char* name : op.constants)
    if (spec.constants.count(name) == 0)
      throw std::invalid_argument("step " + spec.op + ": constant " + name + " is missing");
  if (spec.constants.size() == op.constants.size()) return;
  for (const auto& [name, constant] : spec.constants)
    if (std::find(op.constants.begin(), op.constants.end(), name) == op.constants.end())
      throw std::invalid_argument("step " + spec.op + ": constant " + name + " is unknown");
}

}  // namespace andpop
