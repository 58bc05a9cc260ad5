// SPDX-License-Identifier: Apache-2.0
// A simulated board: a network behind the serial link, its bytes at a pseudo-terminal.
//
// The first line on standard output is the name of the pseudo-terminal. The board runs until its
// standard input ends. Arguments are key=value pairs: `quiet` cycles after the last byte the clock
// stops until the next one comes. Memories are read relative to the working directory.
//
// How bytes get into the model and out of it says the header `board_line.hpp`: one lies here, for
// the link's own streams, another one beside the boards, for the pins of a UART. It may take
// arguments of its own.

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "Vtop.h"
#include "board_arguments.hpp"
#include "board_line.hpp"
#include "verilated.h"

namespace {

constexpr size_t kPiece = 1 << 16;  // bytes kept on the way to the host before the board waits
constexpr int kCycles = 256;        // between two looks at the pseudo-terminal

std::runtime_error failure(const std::string& what) {
  return std::runtime_error(what + ": " + std::strerror(errno));
}

class Terminal {
 public:
  Terminal() {
    master_ = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK);
    if (master_ < 0 || grantpt(master_) != 0 || unlockpt(master_) != 0) {
      throw failure("pseudo-terminal");
    }
    // Held open, so that a host that leaves does not hang the line up.
    slave_ = open(ptsname(master_), O_RDWR | O_NOCTTY);
    termios raw;
    if (slave_ < 0 || tcgetattr(slave_, &raw) != 0) throw failure("pseudo-terminal");
    cfmakeraw(&raw);
    if (tcsetattr(slave_, TCSANOW, &raw) != 0) throw failure("pseudo-terminal");
  }

  const char* name() const { return ptsname(master_); }

  // Moves what can be moved; returns false once standard input has ended.
  bool exchange(std::vector<uint8_t>& in, std::vector<uint8_t>& out, bool wait) {
    pollfd files[2] = {{STDIN_FILENO, POLLIN, 0}, {master_, POLLIN, 0}};
    if (!out.empty()) files[1].events |= POLLOUT;
    if (poll(files, 2, wait ? -1 : 0) < 0 && errno != EINTR) throw failure("poll");
    uint8_t piece[4096];
    if (files[0].revents && read(STDIN_FILENO, piece, sizeof(piece)) <= 0) return false;
    if (files[1].revents & POLLIN) {
      const ssize_t got = read(master_, piece, sizeof(piece));
      if (got > 0) in.insert(in.end(), piece, piece + got);
    }
    if (files[1].revents & POLLOUT) {
      const ssize_t sent = write(master_, out.data(), out.size());
      if (sent > 0) out.erase(out.begin(), out.begin() + sent);
    }
    return true;
  }

 private:
  int master_;
  int slave_;
};

int run(Arguments arguments) {
  const auto quiet = static_cast<uint64_t>(take(arguments, "quiet", 1000000));
  auto context = std::make_unique<VerilatedContext>();
  auto top = std::make_unique<Vtop>(context.get());
  Board board(top.get(), arguments);
  if (!arguments.empty()) throw std::runtime_error("unknown argument " + arguments.begin()->first);

  Terminal terminal;
  std::printf("%s\n", terminal.name());
  std::fflush(stdout);
  std::vector<uint8_t> in;
  std::vector<uint8_t> out;
  size_t next = 0;      // of `in`
  uint64_t silent = 0;  // cycles since the last byte
  while (terminal.exchange(in, out, silent > quiet && out.empty())) {
    if (next == in.size()) {
      in.clear();
      next = 0;
    }
    if (silent > quiet && in.empty()) continue;
    for (int i = 0; i < kCycles; ++i) {
      const size_t before = out.size();
      const uint8_t* byte = next < in.size() ? &in[next] : nullptr;
      const bool taken = board.cycle(byte, before < kPiece, out);
      if (taken) ++next;
      silent = taken || out.size() > before || board.busy() ? 0 : silent + 1;
    }
    if (context->gotFinish()) throw std::runtime_error("the simulation ended by itself");
  }
  top->final();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    Arguments arguments;
    for (int i = 1; i < argc; ++i) {
      const std::string item = argv[i];
      const size_t at = item.find('=');
      if (at == std::string::npos) throw std::runtime_error("found " + item + ", expected key=value");
      arguments[item.substr(0, at)] = std::stod(item.substr(at + 1));
    }
    return run(arguments);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "simulated board: %s\n", error.what());
    return 1;
  }
}
