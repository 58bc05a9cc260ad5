// SPDX-License-Identifier: Apache-2.0
// A simulated board: a network behind the serial link, its bytes at a pseudo-terminal.
//
// The first line on standard output is the name of the pseudo-terminal. The board runs until its
// standard input ends. Arguments are key=value pairs: `quiet` cycles after the last byte the clock
// stops until the next one comes. Memories are read relative to the working directory.

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

int run(uint64_t quiet) {
  auto context = std::make_unique<VerilatedContext>();
  auto top = std::make_unique<Vtop>(context.get());
  top->rx_valid_i = 0;
  top->rx_broken_i = 0;
  top->tx_ready_i = 0;
  const auto clock = [&](int level) {
    top->clk_i = level;
    top->eval();
  };
  top->rst_ni = 0;
  for (int i = 0; i < 4; ++i) {
    clock(0);
    clock(1);
  }
  top->rst_ni = 1;

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
      top->clk_i = 0;
      const bool offer = next < in.size();
      top->rx_valid_i = offer;
      if (offer) top->rx_data_i = in[next];
      top->tx_ready_i = out.size() < kPiece;
      top->eval();
      const bool taken = offer && top->rx_ready_o;
      const bool given = top->tx_valid_o && top->tx_ready_i;
      if (given) out.push_back(top->tx_data_o);
      clock(1);
      if (taken) ++next;
      silent = taken || given ? 0 : silent + 1;
    }
    if (context->gotFinish()) throw std::runtime_error("the simulation ended by itself");
  }
  top->final();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    uint64_t quiet = 1000000;
    for (int i = 1; i < argc; ++i) {
      const std::string item = argv[i];
      if (item.rfind("quiet=", 0) != 0) throw std::runtime_error("found " + item + ", expected quiet=N");
      quiet = std::stoull(item.substr(6));
    }
    return run(quiet);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "simulated board: %s\n", error.what());
    return 1;
  }
}
