// SPDX-License-Identifier: Apache-2.0
// Cuts wide words into narrow ones.

/// One word becomes `Ratio` consecutive words of `Width` bits, the low bits first. One word out per
/// cycle without bubbles; ready depends on `out_ready_i` while the last narrow word waits.
module width_down #(
  parameter int unsigned Width = 8, // bits of a narrow word
  parameter int unsigned Ratio = 2  // narrow words per wide word, 2 or more
) (
  input  logic                   clk_i,
  input  logic                   rst_ni,

  input  logic                   in_valid_i,
  output logic                   in_ready_o,
  input  logic [Ratio*Width-1:0] in_data_i,

  output logic                   out_valid_o,
  input  logic                   out_ready_i,
  output logic [Width-1:0]       out_data_o
);

  if (Ratio < 2) begin : gen_check
    $error("width_down: found Ratio=%0d, expected 2 or more", Ratio);
  end

  localparam int unsigned CountBits = $clog2(Ratio);

  logic [Ratio*Width-1:0] data_q;
  logic [CountBits-1:0]   count_q; // narrow words behind the one on offer
  logic                   valid_q, push, pop, moves;
  logic                   last_q; // no narrow word is behind the one on offer, or none is there

  assign moves       = !valid_q || out_ready_i;
  assign pop         = valid_q && out_ready_i;
  assign in_ready_o  = last_q && moves;
  assign push        = in_valid_i && in_ready_o;
  assign out_valid_o = valid_q;
  assign out_data_o  = data_q[Width-1:0];

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      valid_q <= 1'b0;
      count_q <= '0;
      last_q  <= 1'b1;
    end else if (push) begin
      valid_q <= 1'b1;
      count_q <= CountBits'(Ratio - 1);
      last_q  <= 1'b0;
    end else if (pop) begin
      if (last_q) valid_q <= 1'b0;
      else begin
        count_q <= count_q - 1'b1;
        last_q  <= count_q == CountBits'(1);
      end
    end
  end

  // A wide word is taken over before it is known to be one: a register decides for its many bits.
  always_ff @(posedge clk_i) begin
    if (moves) data_q <= last_q ? in_data_i : data_q >> Width;
  end

endmodule
