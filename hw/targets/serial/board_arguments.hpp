// SPDX-License-Identifier: Apache-2.0
// Arguments of a simulated board: key=value pairs, of which each part takes its own.

#ifndef ANDPOP_BOARD_ARGUMENTS_HPP
#define ANDPOP_BOARD_ARGUMENTS_HPP

#include <map>
#include <string>

using Arguments = std::map<std::string, double>;

// An argument, which is then no longer among them.
inline double take(Arguments& arguments, const std::string& key, double otherwise) {
  const auto found = arguments.find(key);
  if (found == arguments.end()) return otherwise;
  const double value = found->second;
  arguments.erase(found);
  return value;
}

#endif
