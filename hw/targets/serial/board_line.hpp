// SPDX-License-Identifier: Apache-2.0
// The bytes of a simulated board at the streams of the serial link.

#ifndef ANDPOP_BOARD_LINE_HPP
#define ANDPOP_BOARD_LINE_HPP

#include <cstdint>
#include <vector>

#include "Vtop.h"
#include "board_arguments.hpp"

// The two streams of bytes of the serial link.
class Board {
 public:
  Board(Vtop* top, Arguments&) : top_(top) {
    top_->rx_valid_i = 0;
    top_->rx_broken_i = 0;
    top_->tx_ready_i = 0;
    top_->rst_ni = 0;
    for (int i = 0; i < 4; ++i) {
      clock(0);
      clock(1);
    }
    top_->rst_ni = 1;
  }

  // One cycle. `byte` is offered to the board unless null; true if it was taken.
  bool cycle(const uint8_t* byte, bool room, std::vector<uint8_t>& out) {
    // What is offered while the receiver has no room is lost, as on a UART; here it can wait.
    const bool taken = byte && top_->rx_ready_o;
    top_->clk_i = 0;
    top_->rx_valid_i = taken;
    if (taken) top_->rx_data_i = *byte;
    top_->tx_ready_i = room;
    top_->eval();
    if (top_->tx_valid_o && room) out.push_back(top_->tx_data_o);
    clock(1);
    return taken;
  }

  bool busy() const { return false; }

 private:
  void clock(int level) {
    top_->clk_i = level;
    top_->eval();
  }

  Vtop* top_;
};

#endif
