// SPDX-License-Identifier: Apache-2.0

#include "ops/site.hpp"

namespace andpop {

std::int64_t Site::operator()(const char* name) const {
  const auto found = spec_.attributes.find(name);
  if (found == spec_.attributes.end())
    throw std::invalid_argument("step " + spec_.op + ": attribute " + name + " is missing");
  return found->second;
}

const Constant& Site::constant(const char* name, std::int64_t count, std::size_t item_bytes) const {
  const std::string where = "step " + spec_.op + ": constant " + name;
  for (std::size_t i = 0; i < op_.constants.size(); ++i) {
    if (std::string(name) != op_.constants[i]) continue;
    if (i >= spec_.constants.size()) throw std::invalid_argument(where + " is missing");
    const Constant& c = spec_.constants[i];
    const auto bytes = static_cast<std::int64_t>(item_bytes);
    if (c.count != count || c.item_bytes != bytes)
      throw std::invalid_argument(where + " has " + std::to_string(c.count) + " values of " +
                                  std::to_string(c.item_bytes) + " bytes, expected " +
                                  std::to_string(count) + " of " + std::to_string(bytes));
    return c;
  }
  throw std::logic_error(where + " is not in the table of ops");
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

}  // namespace andpop
