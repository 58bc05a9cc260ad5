// SPDX-License-Identifier: Apache-2.0
// Two-entry stream register: cuts valid, data and ready at one word per cycle.

/// Words leave in the order they came. `in_ready_o` is a register itself, as it may be the enable
/// of much: it is high while the spare entry is empty. One cycle of latency, 2 * Width + 2
/// flip-flops.
module stream_register #(
  parameter int unsigned Width = 8 // bits of a word
) (
  input  logic             clk_i,
  input  logic             rst_ni,

  input  logic             in_valid_i,
  output logic             in_ready_o,
  input  logic [Width-1:0] in_data_i,

  output logic             out_valid_o,
  input  logic             out_ready_i,
  output logic [Width-1:0] out_data_o
);

  logic             valid_q, ready_q;
  logic [Width-1:0] data_q, spare_data_q;
  logic             stalled;

  assign stalled     = valid_q && !out_ready_i;
  assign in_ready_o  = ready_q;
  assign out_valid_o = valid_q;
  assign out_data_o  = data_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      valid_q <= 1'b0;
      ready_q <= 1'b1;
    end else if (stalled) begin
      ready_q <= ready_q && !in_valid_i;
    end else begin
      valid_q <= !ready_q || in_valid_i;
      ready_q <= 1'b1;
    end
  end

  always_ff @(posedge clk_i) begin
    if (!stalled) begin
      if (!ready_q) data_q <= spare_data_q;
      else if (in_valid_i) data_q <= in_data_i;
    end else if (in_valid_i && ready_q) begin
      spare_data_q <= in_data_i;
    end
  end

endmodule
