// SPDX-License-Identifier: Apache-2.0
// Sender of a serial line: eight data bits, no parity, one stop bit.

/// Takes a byte when the one before is through. The length of a bit is a fraction of the clock, as
/// in `uart_rx`. The line rests high, also before the first clock: registers begin at 0.
module uart_tx #(
  parameter int unsigned ClockHz = 50_000_000, // clock
  parameter int unsigned Baud    = 3_000_000   // bits per second
) (
  input  logic       clk_i,
  input  logic       rst_ni,

  input  logic       valid_i,
  output logic       ready_o,
  input  logic [7:0] data_i,

  output logic       tx_o // the line
);

  if (ClockHz < 2 * Baud) begin : gen_check
    $error("uart_tx: found ClockHz=%0d, expected 2 clocks per bit or more at Baud=%0d", ClockHz,
           Baud);
  end

  localparam int unsigned PhaseBits = 24;
  localparam logic [PhaseBits:0] Step =
      (PhaseBits + 1)'(((64'(Baud) << PhaseBits) + 64'(ClockHz) / 2) / 64'(ClockHz));
  localparam logic [3:0] Bits = 4'd10; // of a byte with its start and its stop bit

  logic [PhaseBits-1:0] phase_q;
  logic [PhaseBits:0]   phase_d;
  logic [9:0]           shift_nq; // the bits to send, inverted, the next one lowest
  logic [3:0]           left_q;

  assign ready_o = left_q == '0;
  assign tx_o    = !shift_nq[0];
  assign phase_d = {1'b0, phase_q} + Step;

  always_ff @(posedge clk_i) begin
    if (left_q == '0) phase_q <= '0;
    else              phase_q <= phase_d[PhaseBits-1:0];
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      shift_nq <= '0;
      left_q   <= '0;
    end else if (left_q == '0) begin
      if (valid_i) begin
        shift_nq <= {1'b0, ~data_i, 1'b1};
        left_q   <= Bits;
      end
    end else if (phase_d[PhaseBits]) begin
      shift_nq <= {1'b0, shift_nq[9:1]};
      left_q   <= left_q - 1'b1;
    end
  end

endmodule
