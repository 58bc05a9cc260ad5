// SPDX-License-Identifier: Apache-2.0
// Receiver of a serial line: eight data bits, no parity, one stop bit.

/// Samples each bit in its middle. A start bit that is not low any more in its middle is a spike
/// and forgotten. The length of a bit is a fraction of the clock: an accumulator counts it, so that
/// no error adds up over a byte. Three samples of the line vote on each of its values.
///
/// `valid_o` and `broken_o` last one cycle: a byte has come, or one whose stop bit was low. After a
/// broken one the line must be high before another byte begins. Nothing here can be held back.
module uart_rx #(
  parameter int unsigned ClockHz = 50_000_000, // clock
  parameter int unsigned Baud    = 3_000_000   // bits per second
) (
  input  logic       clk_i,
  input  logic       rst_ni,

  input  logic       rx_i, // the line, not synchronous to the clock

  output logic       valid_o,
  output logic       broken_o,
  output logic [7:0] data_o
);

  if (ClockHz < 8 * Baud) begin : gen_check
    $error("uart_rx: found ClockHz=%0d, expected 8 clocks per bit or more at Baud=%0d", ClockHz,
           Baud);
  end

  localparam int unsigned PhaseBits = 24;
  localparam logic [PhaseBits:0] Step =
      (PhaseBits + 1)'(((64'(Baud) << PhaseBits) + 64'(ClockHz) / 2) / 64'(ClockHz));
  localparam logic [3:0] StartBit = 4'd0;
  localparam logic [3:0] StopBit  = 4'd9;

  logic [1:0] meta_q; // synchroniser
  logic [2:0] past_q; // the last values of the line
  logic       line_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      meta_q <= '1;
      past_q <= '1;
      line_q <= 1'b1;
    end else begin
      meta_q <= {meta_q[0], rx_i};
      past_q <= {past_q[1:0], meta_q[1]};
      line_q <= (past_q[0] && past_q[1]) || (past_q[0] && past_q[2]) || (past_q[1] && past_q[2]);
    end
  end

  logic                 busy_q, wait_q, sample; // in a byte; waiting for a high line
  logic [PhaseBits-1:0] phase_q;
  logic [PhaseBits:0]   phase_d;
  logic [3:0]           bit_q;
  logic [7:0]           data_q;
  logic                 valid_q, broken_q;

  assign phase_d = {1'b0, phase_q} + Step;
  assign sample  = busy_q && phase_d[PhaseBits];

  always_ff @(posedge clk_i) begin
    // Half a bit from the edge to the middle of the start bit.
    if (!busy_q) phase_q <= {1'b1, {(PhaseBits - 1) {1'b0}}};
    else         phase_q <= phase_d[PhaseBits-1:0];
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      busy_q   <= 1'b0;
      wait_q   <= 1'b1;
      valid_q  <= 1'b0;
      broken_q <= 1'b0;
      bit_q    <= StartBit;
    end else begin
      valid_q  <= sample && bit_q == StopBit && line_q;
      broken_q <= sample && bit_q == StopBit && !line_q;
      if (line_q) wait_q <= 1'b0;
      if (!busy_q) begin
        busy_q <= !line_q && !wait_q;
        bit_q  <= StartBit;
      end else if (sample) begin
        bit_q <= bit_q + 1'b1;
        if (bit_q == StartBit) busy_q <= !line_q;
        if (bit_q == StopBit) begin
          busy_q <= 1'b0;
          wait_q <= !line_q;
        end
      end
    end
  end

  always_ff @(posedge clk_i) begin
    if (sample && bit_q != StopBit) data_q <= {line_q, data_q[7:1]};
  end

  assign valid_o  = valid_q;
  assign broken_o = broken_q;
  assign data_o   = data_q;

endmodule
