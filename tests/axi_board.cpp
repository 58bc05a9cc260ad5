// SPDX-License-Identifier: Apache-2.0
// Stands for the processing system around a Verilator model of andpop_axi: memory behind the AXI
// ports of the DMAs, registers on command.
//
// axi_ports.hpp, written for the top, defines ANDPOP_LITES(X), ANDPOP_READERS(X) and
// ANDPOP_WRITERS(X) as X(name) ...: its blocks of registers and its DMAs; ANDPOP_HANGS is the
// register that stops the network. Arguments: file of the memory, its first address, seed. Commands, one a line on stdin, each answered by a line:
//
//     r BLOCK OFFSET         read a register, then let a pause go by
//     w BLOCK OFFSET VALUE   write one
//     pause CYCLES           set the pause
//     bad FIRST PAST         addresses that are answered with an error
//     hang ON                stop the network, or let it go on
//     load                   reset everything
//     cycles                 cycles so far

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <iostream>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "Vtop.h"
#include "Vtop___024root.h"
#include "axi_ports.hpp"
#include "verilated.h"

namespace {

struct Lite {
  CData *awvalid, *awready, *wvalid, *wready, *wstrb, *bvalid, *bready;
  CData *arvalid, *arready, *rvalid, *rready;
  SData *awaddr, *araddr;
  IData *wdata, *rdata;
};

// A DMA that reads. Data is 32 or 64 bits wide.
struct Reader {
  CData *arvalid, *arready, *arlen;
  QData* araddr;
  CData *rvalid, *rready, *rlast, *rresp;
  void* rdata;
  size_t bytes;
  bool free = true;  // no beat waits to be taken
};

struct Writer {
  CData *awvalid, *awready, *awlen;
  QData* awaddr;
  CData *wvalid, *wready, *wlast, *wstrb;
  const void* wdata;
  size_t bytes;
  CData *bvalid, *bready, *bresp;
  bool free = true;  // no response waits to be taken
};

struct Burst {
  uint64_t address;
  unsigned beats;
  uint64_t from;  // cycle from which it is answered
  bool bad = false;
};

class Board {
 public:
  Board(const char* file, uint64_t base, uint32_t seed) : base_(base), random_(seed) {
    const int handle = open(file, O_RDWR);
    struct stat about;
    if (handle < 0 || fstat(handle, &about) != 0) throw std::runtime_error("no memory");
    size_ = static_cast<uint64_t>(about.st_size);
    void* at = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED, handle, 0);
    if (at == MAP_FAILED) throw std::runtime_error("memory cannot be mapped");
    memory_ = static_cast<uint8_t*>(at);
#define LITE(n)                                                                                 \
  lites_.push_back({&top.s_axi_##n##_awvalid, &top.s_axi_##n##_awready, &top.s_axi_##n##_wvalid, \
                    &top.s_axi_##n##_wready, &top.s_axi_##n##_wstrb, &top.s_axi_##n##_bvalid,    \
                    &top.s_axi_##n##_bready, &top.s_axi_##n##_arvalid, &top.s_axi_##n##_arready, \
                    &top.s_axi_##n##_rvalid, &top.s_axi_##n##_rready, &top.s_axi_##n##_awaddr,   \
                    &top.s_axi_##n##_araddr, &top.s_axi_##n##_wdata, &top.s_axi_##n##_rdata});
    ANDPOP_LITES(LITE)
#define READER(n)                                                                                 \
  readers_.push_back({&top.m_axi_##n##_arvalid, &top.m_axi_##n##_arready, &top.m_axi_##n##_arlen, \
                      &top.m_axi_##n##_araddr, &top.m_axi_##n##_rvalid, &top.m_axi_##n##_rready,  \
                      &top.m_axi_##n##_rlast, &top.m_axi_##n##_rresp, &top.m_axi_##n##_rdata,     \
                      sizeof(top.m_axi_##n##_rdata)});
    ANDPOP_READERS(READER)
#define WRITER(n)                                                                                 \
  writers_.push_back({&top.m_axi_##n##_awvalid, &top.m_axi_##n##_awready, &top.m_axi_##n##_awlen, \
                      &top.m_axi_##n##_awaddr, &top.m_axi_##n##_wvalid, &top.m_axi_##n##_wready,  \
                      &top.m_axi_##n##_wlast, &top.m_axi_##n##_wstrb, &top.m_axi_##n##_wdata,     \
                      sizeof(top.m_axi_##n##_wdata), &top.m_axi_##n##_bvalid,                     \
                      &top.m_axi_##n##_bready, &top.m_axi_##n##_bresp});
    ANDPOP_WRITERS(WRITER)
    load();
  }

  void load() {
    for (Lite& l : lites_) *l.awvalid = *l.wvalid = *l.bready = *l.arvalid = *l.rready = 0;
    for (Reader& r : readers_) *r.arready = *r.rvalid = 0;
    for (Writer& w : writers_) *w.awready = *w.wready = *w.bvalid = 0;
    reads_.assign(readers_.size(), {});
    writes_.assign(writers_.size(), {});
    replies_.assign(writers_.size(), {});
    hang(false);
    top.ap_rst_n = 0;
    for (int i = 0; i < 20; ++i) tick();
    top.ap_rst_n = 1;
    for (int i = 0; i < 4; ++i) tick();
  }

  void hang(bool on) { top.rootp->ANDPOP_HANGS = on; }

  uint32_t read(unsigned block, unsigned offset) {
    Lite& l = lites_.at(block);
    *l.araddr = static_cast<SData>(offset);
    *l.arvalid = 1;
    *l.rready = 1;
    for (bool asked = false;;) {
      settle();
      const bool taken = *l.arvalid && *l.arready;
      const bool given = *l.rvalid;
      const uint32_t value = *l.rdata;
      rise();
      asked = asked || taken;
      if (taken) *l.arvalid = 0;
      if (given && asked) {
        *l.rready = 0;
        for (unsigned i = 0; i < pause; ++i) tick();
        return value;
      }
    }
  }

  void write(unsigned block, unsigned offset, uint32_t value) {
    Lite& l = lites_.at(block);
    *l.awaddr = static_cast<SData>(offset);
    *l.wdata = value;
    *l.wstrb = 15;
    *l.awvalid = *l.wvalid = *l.bready = 1;
    for (;;) {
      settle();
      const bool address = *l.awvalid && *l.awready;
      const bool data = *l.wvalid && *l.wready;
      const bool done = *l.bvalid;
      rise();
      if (address) *l.awvalid = 0;
      if (data) *l.wvalid = 0;
      if (done) {
        *l.bready = 0;
        return;
      }
    }
  }

  Vtop top;
  unsigned pause = 0;
  uint64_t cycle = 0;
  uint64_t bad_first = 0, bad_past = 0;

 private:
  void tick() {
    settle();
    rise();
  }

  void settle() {
    top.ap_clk = 0;
    top.eval();
  }

  // The clock rises; what the memory sees of this cycle decides what it drives in the next.
  void rise() {
    for (size_t i = 0; i < readers_.size(); ++i) sample(readers_[i], reads_[i]);
    for (size_t i = 0; i < writers_.size(); ++i) sample(writers_[i], writes_[i], replies_[i]);
    top.ap_clk = 1;
    top.eval();
    ++cycle;
    for (size_t i = 0; i < readers_.size(); ++i) drive(readers_[i], reads_[i]);
    for (size_t i = 0; i < writers_.size(); ++i) drive(writers_[i], replies_[i]);
  }

  void sample(Reader& r, std::deque<Burst>& bursts) {
    if (*r.rvalid && *r.rready) {
      Burst& burst = bursts.front();
      burst.address += r.bytes;
      if (--burst.beats == 0) bursts.pop_front();
      r.free = true;
    } else {
      r.free = !*r.rvalid;
    }
    if (*r.arvalid && *r.arready) bursts.push_back({*r.araddr, *r.arlen + 1u, later()});
  }

  void drive(Reader& r, std::deque<Burst>& bursts) {
    *r.arready = sometimes();
    if (!r.free) return;
    *r.rvalid = !bursts.empty() && bursts.front().from <= cycle && sometimes();
    if (!*r.rvalid) return;
    const Burst& burst = bursts.front();
    *r.rlast = burst.beats == 1;
    const uint8_t* at = place(burst.address, r.bytes);
    *r.rresp = at == nullptr ? 2 : 0;
    if (at == nullptr) {
      std::memset(r.rdata, 0xEE, r.bytes);
    } else {
      std::memcpy(r.rdata, at, r.bytes);
    }
  }

  void sample(Writer& w, std::deque<Burst>& bursts, std::deque<Burst>& replies) {
    if (*w.bvalid && *w.bready) {
      replies.pop_front();
      w.free = true;
    } else {
      w.free = !*w.bvalid;
    }
    if (*w.awvalid && *w.awready) bursts.push_back({*w.awaddr, *w.awlen + 1u, 0});
    if (*w.wvalid && *w.wready) {
      // The DMA asks before it sends, so the burst is known.
      if (bursts.empty()) throw std::runtime_error("data without an address");
      Burst& burst = bursts.front();
      uint8_t* at = place(burst.address, w.bytes);
      burst.bad = burst.bad || at == nullptr;
      const auto* data = static_cast<const uint8_t*>(w.wdata);
      for (size_t i = 0; at != nullptr && i < w.bytes; ++i) {
        if (*w.wstrb >> i & 1) at[i] = data[i];
      }
      burst.address += w.bytes;
      if ((--burst.beats == 0) != static_cast<bool>(*w.wlast)) {
        throw std::runtime_error("a burst ends elsewhere than its length says");
      }
      if (burst.beats == 0) {
        replies.push_back({0, 0, later(), burst.bad});
        bursts.pop_front();
      }
    }
  }

  void drive(Writer& w, const std::deque<Burst>& replies) {
    *w.awready = sometimes();
    // No data is taken ahead of its address: what is asked for is known when data comes.
    *w.wready = !writes_[static_cast<size_t>(&w - writers_.data())].empty() && sometimes();
    if (!w.free) return;
    *w.bvalid = !replies.empty() && replies.front().from <= cycle;
    if (*w.bvalid) *w.bresp = replies.front().bad ? 2 : 0;
  }

  uint8_t* place(uint64_t address, size_t bytes) {
    if (address < base_ || address + bytes > base_ + size_) return nullptr;
    if (address < bad_past && bad_first < address + bytes) return nullptr;
    return memory_ + (address - base_);
  }

  bool sometimes() { return (random_() & 7) != 0; }
  uint64_t later() { return cycle + 2 + (random_() & 15); }

  uint64_t base_;
  std::minstd_rand random_;
  uint64_t size_ = 0;
  uint8_t* memory_ = nullptr;
  std::vector<Lite> lites_;
  std::vector<Reader> readers_;
  std::vector<Writer> writers_;
  std::vector<std::deque<Burst>> reads_, writes_, replies_;
};

}  // namespace

double sc_time_stamp() { return 0; }

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  Board board(argv[1], std::stoull(argv[2]), static_cast<uint32_t>(std::stoul(argv[3])));
  for (std::string command; std::cin >> command;) {
    uint64_t answer = 0;
    uint64_t a = 0, b = 0, c = 0;
    if (command == "r") {
      std::cin >> a >> b;
      answer = board.read(static_cast<unsigned>(a), static_cast<unsigned>(b));
    } else if (command == "w") {
      std::cin >> a >> b >> c;
      board.write(static_cast<unsigned>(a), static_cast<unsigned>(b), static_cast<uint32_t>(c));
    } else if (command == "pause") {
      std::cin >> board.pause;
    } else if (command == "bad") {
      std::cin >> board.bad_first >> board.bad_past;
    } else if (command == "hang") {
      std::cin >> a;
      board.hang(a != 0);
    } else if (command == "load") {
      board.load();
    } else if (command == "cycles") {
      answer = board.cycle;
    } else {
      return 2;
    }
    std::cout << answer << std::endl;
  }
  return 0;
}
