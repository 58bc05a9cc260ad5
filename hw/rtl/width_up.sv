// SPDX-License-Identifier: Apache-2.0
// Gathers narrow words into wide ones.

/// `Ratio` consecutive words of `Width` bits become one, the first in the low bits. One word in per
/// cycle without bubbles; ready depends on `out_ready_i` while a wide word waits.
module width_up #(
  parameter int unsigned Width = 8, // bits of a narrow word
  parameter int unsigned Ratio = 2  // narrow words per wide word, 2 or more
) (
  input  logic                   clk_i,
  input  logic                   rst_ni,

  input  logic                   in_valid_i,
  output logic                   in_ready_o,
  input  logic [Width-1:0]       in_data_i,

  output logic                   out_valid_o,
  input  logic                   out_ready_i,
  output logic [Ratio*Width-1:0] out_data_o
);

  if (Ratio < 2) begin : gen_check
    $error("width_up: found Ratio=%0d, expected 2 or more", Ratio);
  end

  localparam int unsigned CountBits = $clog2(Ratio);

  logic [Ratio*Width-1:0] data_q;
  logic [CountBits-1:0]   count_q; // narrow words gathered for the next wide word
  logic                   full_q, push;

  assign in_ready_o  = !full_q || out_ready_i;
  assign push        = in_valid_i && in_ready_o;
  assign out_valid_o = full_q;
  assign out_data_o  = data_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      full_q  <= 1'b0;
      count_q <= '0;
    end else if (push) begin
      full_q  <= count_q == CountBits'(Ratio - 1);
      count_q <= count_q == CountBits'(Ratio - 1) ? '0 : count_q + 1'b1;
    end else if (out_ready_i) begin
      full_q <= 1'b0;
    end
  end

  always_ff @(posedge clk_i) begin
    if (push) data_q <= {in_data_i, data_q[Ratio*Width-1:Width]};
  end

endmodule
