// SPDX-License-Identifier: Apache-2.0
// The bytes of a simulated board at the pins of its UART.

#ifndef ANDPOP_BOARD_LINE_HPP
#define ANDPOP_BOARD_LINE_HPP

#include <cstdint>
#include <stdexcept>
#include <vector>

#include "Vtop.h"
#include "board_arguments.hpp"

// The host's end of a serial line: eight data bits, no parity, one stop bit.
class Board {
 public:
  Board(Vtop* top, Arguments& arguments) : top_(top), bit_(take(arguments, "bit", 0)) {
    if (bit_ < 4) throw std::runtime_error("expected bit=N, 4 cycles or more");
    top_->reset_button = !take(arguments, "pressed", 1);
    top_->uart_rx_pin = 1;
    // Longer than the reset that the chip holds itself in.
    for (int i = 0; i < 1024; ++i) clock();
  }

  // One cycle. `byte` is offered to the board unless null; true once it has begun to take it.
  bool cycle(const uint8_t* byte, bool, std::vector<uint8_t>& out) {
    bool taken = false;
    if (sent_ >= 10 * bit_ && byte) {
      frame_ = *byte << 1 | 1 << 9;
      sent_ = 0;
      taken = true;
    }
    top_->uart_rx_pin = sent_ < 10 * bit_ ? frame_ >> static_cast<int>(sent_ / bit_) & 1 : 1;
    sent_ += 1;
    clock();
    if (!hearing_) {
      hearing_ = !top_->uart_tx_pin;
      heard_ = 0;
      bits_ = 0;
      count_ = 0;
    } else if ((heard_ += 1) >= (count_ + 0.5) * bit_) {
      bits_ |= top_->uart_tx_pin << count_;
      if (++count_ == 10) {
        hearing_ = false;
        if (bits_ >> 9 != 1 || bits_ & 1) throw std::runtime_error("the board sent a broken byte");
        out.push_back(bits_ >> 1);
      }
    }
    return taken;
  }

  bool busy() const { return hearing_ || sent_ < 10 * bit_; }

 private:
  void clock() {
    top_->clk = 0;
    top_->eval();
    top_->clk = 1;
    top_->eval();
  }

  Vtop* top_;
  double bit_;
  double sent_ = 1e9;  // cycles since the last byte to the board began
  int frame_ = 0;
  bool hearing_ = false;
  double heard_ = 0;  // cycles since the start bit of the byte from the board
  int bits_ = 0;
  int count_ = 0;
};

#endif
