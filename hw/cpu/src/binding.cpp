// SPDX-License-Identifier: Apache-2.0
// The Python face of the engine: one object per network, one call per batch.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "network.hpp"
#include "selection.hpp"

namespace py = pybind11;

namespace andpop {
namespace {

using Bytes = py::array_t<std::uint8_t, py::array::c_style>;
// (storage, pixels, channels)
using TensorTuple = std::tuple<std::string, std::int64_t, std::int64_t>;
// (op, inputs, outputs, attributes, constants)
using StepTuple = std::tuple<std::string, std::vector<int>, std::vector<int>,
                             std::map<std::string, std::int64_t>, std::map<std::string, py::array>>;

Storage storage_of(const std::string& name) {
  if (name == "bits") return Storage::kBits;
  if (name == "u8") return Storage::kU8;
  if (name == "i8") return Storage::kI8;
  if (name == "i32") return Storage::kI32;
  throw std::invalid_argument("tensor storage " + name + " does not exist");
}

std::unique_ptr<Network> make_network(const std::vector<TensorTuple>& tensors,
                                      const std::vector<StepTuple>& steps,
                                      const std::vector<int>& inputs, const std::string& isa,
                                      const std::vector<std::string>& kernels) {
  std::vector<Tensor> all;
  for (const auto& [storage, pixels, channels] : tensors)
    all.push_back({storage_of(storage), pixels, channels});
  std::vector<StepSpec> specs;
  for (const auto& [op, ins, outs, attributes, constants] : steps) {
    StepSpec spec{op, ins, outs, attributes, {}};
    for (const auto& [name, c] : constants) {
      if ((c.flags() & py::array::c_style) == 0)
        throw std::invalid_argument("step " + op + ": constant " + name + " is not contiguous");
      spec.constants[name] = {c.data(), c.size(), c.itemsize()};
    }
    specs.push_back(std::move(spec));
  }
  return std::make_unique<Network>(std::move(all), specs, inputs, Selection(isa, kernels));
}

// Returns one (count, bytes) array per wanted tensor. Signals are handled while it runs: what their
// handlers raise, KeyboardInterrupt for one, ends the run.
std::vector<Bytes> run(Network& network, const std::vector<Bytes>& inputs, std::int64_t count,
                       const std::vector<int>& wanted, int threads) {
  std::vector<const std::uint8_t*> in;
  for (const Bytes& array : inputs) in.push_back(array.data());
  std::vector<Bytes> out;
  std::vector<Capture> captures;
  for (int t : wanted) {
    const std::int64_t bytes = network.tensors().at(static_cast<std::size_t>(t)).bytes();
    out.emplace_back(std::vector<py::ssize_t>{count, bytes});
    captures.push_back({t, out.back().mutable_data()});
  }
  bool complete = false;
  {
    const py::gil_scoped_release release;
    complete = network.run(in, count, captures, threads, [] {
      const py::gil_scoped_acquire acquire;
      return PyErr_CheckSignals() != 0;
    });
  }
  if (!complete) throw py::error_already_set();
  return out;
}

// Returns the seconds of the fastest of `rounds` runs of one picture on one thread.
double time_run(Network& network, const std::vector<Bytes>& inputs, int rounds) {
  std::vector<const std::uint8_t*> in;
  for (const Bytes& array : inputs) in.push_back(array.data());
  const py::gil_scoped_release release;
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < rounds; ++i) {
    const auto start = std::chrono::steady_clock::now();
    network.run(in, 1, {}, 1, [] { return false; });
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    best = std::min(best, seconds.count());
  }
  return best;
}

// (op, name, instruction set, lanes, depth)
using KernelTuple = std::tuple<std::string, std::string, std::string, std::int64_t, std::int64_t>;

std::vector<KernelTuple> kernels() {
  std::vector<KernelTuple> all;
  for (const Listed& k : available_kernels())
    all.emplace_back(k.op, k.name, k.isa, k.tile.lanes, k.tile.depth);
  return all;
}

}  // namespace
}  // namespace andpop

PYBIND11_MODULE(_engine, m) {
  m.doc() = "Binary networks on bit-packed tensors; use andpop.hw.cpu.engine, which checks input.";
  m.attr("PLAN_VERSION") = andpop::kPlanVersion;
  py::class_<andpop::Network>(m, "Network")
      .def(py::init(&andpop::make_network), py::arg("tensors"), py::arg("steps"), py::arg("inputs"),
           py::arg("isa"), py::arg("kernels") = std::vector<std::string>{})
      .def("run", &andpop::run, py::arg("inputs"), py::arg("count"), py::arg("wanted"),
           py::arg("threads"))
      .def("time", &andpop::time_run, py::arg("inputs"), py::arg("rounds"))
      .def_property_readonly("arena_bytes", &andpop::Network::arena_bytes)
      .def_property_readonly("chained", &andpop::Network::chained);
  m.def("instruction_sets", &andpop::available_isas);
  m.def("kernels", &andpop::kernels);
}
