// SPDX-License-Identifier: Apache-2.0
// Drives a whole network in Verilator: words of pictures in, words of results out of every head,
// FIFOs watched, streams captured at their taps.
//
// network_outputs.hpp, written for the top, defines ANDPOP_OUTPUTS(X) as X(0) X(1) ...: its result
// streams. Arguments are key=value pairs (see Arguments), lists with a comma between. The model
// reads its memories relative to the working directory. Progress goes to stdout as JSON lines, the
// result to the file `report`. FIFOs and taps talk to the andpop_* functions below while reset is
// low; only a run with capture calls one in its normal cycles.

#include <chrono>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "Vtop.h"
#include "network_outputs.hpp"
#include "verilated.h"
#if VM_TRACE
#include "verilated_vcd_c.h"
#endif

namespace {

struct Captured {
  std::vector<uint32_t> data;
  std::vector<uint32_t> cycles;
};

struct Watch {
  std::vector<uint32_t> capacity;
  std::vector<uint32_t> fill;
  std::vector<uint32_t> peak;
  std::vector<uint64_t> waiting;  // taps at which a word waited at the end
  std::vector<Captured> captured;  // by tap
  bool capture = false;
  uint64_t cycle = 0;
};

Watch watch;

template <typename T>
void grow(std::vector<T>& items, uint32_t id) {
  if (items.size() <= id) items.resize(id + 1);
}

class Arguments {
 public:
  Arguments(int argc, char** argv) {
    for (int i = 1; i < argc; ++i) {
      const std::string item = argv[i];
      const size_t cut = item.find('=');
      if (cut == std::string::npos) throw std::runtime_error("expected key=value, found " + item);
      values_[item.substr(0, cut)] = item.substr(cut + 1);
    }
  }
  std::string text(const std::string& key) const {
    const auto found = values_.find(key);
    return found == values_.end() ? "" : found->second;
  }
  uint64_t number(const std::string& key, uint64_t otherwise) const {
    const std::string value = text(key);
    return value.empty() ? otherwise : std::stoull(value);
  }
  std::vector<uint64_t> numbers(const std::string& key) const {
    std::vector<uint64_t> found;
    std::stringstream items(text(key));
    for (std::string item; std::getline(items, item, ',');) found.push_back(std::stoull(item));
    return found;
  }

 private:
  std::map<std::string, std::string> values_;
};

std::vector<uint8_t> read_bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void write_bytes(const std::string& path, const void* data, size_t size) {
  std::ofstream file(path, std::ios::binary);
  file.write(static_cast<const char*>(data), static_cast<std::streamsize>(size));
  if (!file) throw std::runtime_error("cannot write " + path);
}

// Ports are integers up to 64 bits and VlWide above; both are little-endian words here.
template <typename T>
void set_port(T& port, const uint8_t* bytes, size_t count) {
  std::memset(&port, 0, sizeof(port));
  std::memcpy(&port, bytes, count < sizeof(port) ? count : sizeof(port));
}

template <typename T>
void get_port(const T& port, std::vector<uint8_t>& bytes, size_t count) {
  const auto* start = reinterpret_cast<const uint8_t*>(&port);
  bytes.insert(bytes.end(), start, start + count);
}

void print_list(std::FILE* file, const char* name, const std::vector<uint64_t>& items) {
  std::fprintf(file, "\"%s\": [", name);
  for (size_t i = 0; i < items.size(); ++i) {
    std::fprintf(file, "%s%" PRIu64, i ? ", " : "", items[i]);
  }
  std::fprintf(file, "]");
}

std::vector<uint64_t> widen(const std::vector<uint32_t>& items) {
  return {items.begin(), items.end()};
}

// Random bursts of 1 to 64 cycles in which a side stands still, `percent` of all bursts.
class Pauses {
 public:
  Pauses(uint64_t percent, uint64_t seed) : percent_(percent), random_(seed) {}

  bool next() {
    if (!percent_) return false;
    if (!left_) {
      paused_ = random_() % 100 < percent_;
      left_ = 1 + random_() % 64;
    }
    --left_;
    return paused_;
  }

 private:
  uint64_t percent_;
  std::mt19937_64 random_;
  uint64_t left_ = 0;
  bool paused_ = false;
};

// A result stream of the top.
struct Output {
  uint64_t words;  // per frame
  uint64_t bytes;  // per word
  Pauses pauses;
  uint64_t got = 0;
  std::vector<uint8_t> results;
};

#define ANDPOP_ONE(n) +1
constexpr size_t kOutputs = 0 ANDPOP_OUTPUTS(ANDPOP_ONE);

std::vector<Output> make_outputs(const Arguments& arguments) {
  const std::vector<uint64_t> words = arguments.numbers("words_out");
  const std::vector<uint64_t> bytes = arguments.numbers("bytes_out");
  if (words.size() != kOutputs || bytes.size() != kOutputs) {
    throw std::runtime_error("words_out, bytes_out: expected " + std::to_string(kOutputs) +
                             " numbers, one per result stream");
  }
  const uint64_t seed = 2 * arguments.number("seed", 0) + 1;
  const uint64_t percent = arguments.number("pauses_out", 0);
  std::vector<Output> outputs;
  for (size_t n = 0; n < kOutputs; ++n) {
    outputs.push_back({words[n], bytes[n], Pauses(percent, seed + (n << 32)), 0, {}});
  }
  return outputs;
}

int run(const Arguments& arguments) {
  const std::vector<uint8_t> pixels = read_bytes(arguments.text("input"));
  const uint64_t frames = arguments.number("frames", 1);
  const uint64_t words_in = arguments.number("words_in", 1);
  const uint64_t bytes_in = arguments.number("bytes_in", 1);
  std::vector<Output> outputs = make_outputs(arguments);
  const uint64_t throttle = arguments.number("throttle", 0);
  Pauses pauses_in(arguments.number("pauses_in", 0), 2 * arguments.number("seed", 0));
  const uint64_t watchdog = arguments.number("watchdog", 1000000);
  const uint64_t last_cycle = arguments.number("last_cycle", UINT64_MAX);
  const std::string capture = arguments.text("capture");
  if (pixels.size() != frames * words_in * bytes_in) {
    throw std::runtime_error("input: found " + std::to_string(pixels.size()) +
                             " bytes, expected frames*words_in*bytes_in");
  }
  std::ifstream capacities(arguments.text("capacities"));
  for (uint32_t value; capacities >> value;) watch.capacity.push_back(value);
  watch.capture = !capture.empty();

  auto context = std::make_unique<VerilatedContext>();
  auto top = std::make_unique<Vtop>(context.get());
#if VM_TRACE
  const std::string vcd = arguments.text("vcd");
  const uint64_t vcd_from = arguments.number("vcd_from", 0);
  std::unique_ptr<VerilatedVcdC> trace;
  if (!vcd.empty()) {
    context->traceEverOn(true);
    trace = std::make_unique<VerilatedVcdC>();
    top->trace(trace.get(), 99);
    trace->open(vcd.c_str());
  }
  const auto dump = [&](uint64_t half) {
    if (trace && watch.cycle >= vcd_from) trace->dump(watch.cycle * 10 + half * 5);
  };
#else
  const auto dump = [](uint64_t) {};
#endif

  top->ap_clk = 0;
  top->ap_rst_n = 0;
  top->s_axis_0_tvalid = 0;
#define ANDPOP_READY(n) top->m_axis_##n##_tready = 1;
  ANDPOP_OUTPUTS(ANDPOP_READY)
  const auto pulse = [&] {
    top->ap_clk = 0;
    top->eval();
    top->ap_clk = 1;
    top->eval();
  };
  pulse();  // one edge is all that a kernel asks for
  top->ap_rst_n = 1;

  const uint64_t total_in = frames * words_in;
  std::vector<uint64_t> started;
  std::vector<uint64_t> finished;  // a frame is, when the last of its results is out
  std::vector<size_t> unfinished(frames, kOutputs);
  uint64_t sent = 0;
  uint64_t last_event = 0;
  uint64_t next_word = 0;  // earliest cycle of the next input word
  const char* status = "done";
  const auto begin = std::chrono::steady_clock::now();
  auto last_print = begin;
  const auto seconds = [&](std::chrono::steady_clock::time_point from) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - from).count();
  };
  bool loaded = false;

  const auto take = [&](Output& output, const auto& port) {
    const uint64_t frame = output.got / output.words;
    get_port(port, output.results, output.bytes);
    last_event = watch.cycle;
    if (++output.got % output.words == 0 && frame < frames && --unfinished[frame] == 0) {
      finished.push_back(watch.cycle);
    }
  };

  while (finished.size() < frames) {
    if (watch.cycle >= last_cycle) {
      status = "stopped";
      break;
    }
    if (watch.cycle - last_event > watchdog) {
      status = "deadlock";
      break;
    }
    top->ap_clk = 0;
    const bool pause_in = pauses_in.next();
    // What has been offered once stays offered.
    const bool offer = sent < total_in && (loaded || (watch.cycle >= next_word && !pause_in));
#define ANDPOP_PAUSE(n) top->m_axis_##n##_tready = !outputs[n].pauses.next();
    ANDPOP_OUTPUTS(ANDPOP_PAUSE)
    if (offer && !loaded) {
      set_port(top->s_axis_0_tdata, &pixels[sent * bytes_in], bytes_in);
      loaded = true;
    }
    top->s_axis_0_tvalid = offer;
    top->eval();
    dump(0);
    const bool taken = offer && top->s_axis_0_tready;
#define ANDPOP_TAKE(n) \
  if (top->m_axis_##n##_tvalid && top->m_axis_##n##_tready) { \
    take(outputs[n], top->m_axis_##n##_tdata);               \
  }
    ANDPOP_OUTPUTS(ANDPOP_TAKE)
    top->ap_clk = 1;
    top->eval();
    dump(1);
    if (taken) {
      if (sent % words_in == 0) started.push_back(watch.cycle);
      ++sent;
      loaded = false;
      last_event = watch.cycle;
      if (throttle) next_word = sent / words_in * throttle + sent % words_in * throttle / words_in;
    }
    ++watch.cycle;
    if ((watch.cycle & 0xFFF) == 0 && seconds(last_print) > 1.0) {
      last_print = std::chrono::steady_clock::now();
      std::printf("{\"cycle\": %" PRIu64 ", \"frames_in\": %" PRIu64 ", \"frames_out\": %" PRIu64
                  "}\n",
                  watch.cycle, sent / words_in, static_cast<uint64_t>(finished.size()));
      std::fflush(stdout);
    }
    if (context->gotFinish()) {
      status = "finish";
      break;
    }
  }
  const double wall = seconds(begin);
  watch.waiting.clear();
  top->ap_rst_n = 0;
  pulse();  // FIFOs report fill and peak now, taps what waits
  top->final();
#if VM_TRACE
  if (trace) trace->close();
#endif

  for (size_t n = 0; n < kOutputs; ++n) {
    const std::vector<uint8_t>& results = outputs[n].results;
    write_bytes(arguments.text("output") + std::to_string(n), results.data(), results.size());
  }
  if (watch.capture) {
    for (size_t id = 0; id < watch.captured.size(); ++id) {
      const Captured& stream = watch.captured[id];
      const std::string base = capture + "/" + std::to_string(id);
      write_bytes(base + ".data", stream.data.data(), stream.data.size() * 4);
      write_bytes(base + ".cycle", stream.cycles.data(), stream.cycles.size() * 4);
    }
  }
  std::FILE* report = std::fopen(arguments.text("report").c_str(), "w");
  if (!report) throw std::runtime_error("cannot write " + arguments.text("report"));
  std::fprintf(report, "{\"status\": \"%s\", \"cycles\": %" PRIu64 ", \"seconds\": %.6f,\n", status,
               watch.cycle, wall);
  std::fprintf(report, "\"words_in\": %" PRIu64 ",\n", sent);
  print_list(report, "started", started);
  std::fprintf(report, ",\n");
  print_list(report, "finished", finished);
  std::fprintf(report, ",\n");
  print_list(report, "fill", widen(watch.fill));
  std::fprintf(report, ",\n");
  print_list(report, "peak", widen(watch.peak));
  std::fprintf(report, ",\n");
  print_list(report, "waiting", watch.waiting);
  std::fprintf(report, "}\n");
  if (std::fclose(report) != 0) throw std::runtime_error("cannot write the report");
  return 0;
}

}  // namespace

extern "C" {

// Words FIFO `id` may hold; 0 leaves it its storage.
unsigned int andpop_fifo_capacity(unsigned int id) {
  return id < watch.capacity.size() ? watch.capacity[id] : 0;
}

unsigned int andpop_capture_enabled() { return watch.capture ? 1 : 0; }

// Called while reset is low with the values from before it: at the end of a run, what was left and
// the most there ever was.
void andpop_fifo_report(unsigned int id, unsigned int fill, unsigned int peak) {
  grow(watch.fill, id);
  grow(watch.peak, id);
  watch.fill[id] = fill;
  watch.peak[id] = peak;
}

// Called while reset is low: tap `id` had a word that was not taken. At the start of a run none has.
void andpop_tap_waits(unsigned int id) { watch.waiting.push_back(id); }

// One 32-bit chunk of a word that passed tap `id`, low chunk first.
void andpop_capture(unsigned int id, unsigned int chunk, unsigned int data) {
  grow(watch.captured, id);
  Captured& stream = watch.captured[id];
  if (chunk == 0) stream.cycles.push_back(static_cast<uint32_t>(watch.cycle));
  stream.data.push_back(data);
}

}  // extern "C"

int main(int argc, char** argv) {
  try {
    return run(Arguments(argc, argv));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "network simulation: %s\n", error.what());
    return 1;
  }
}
