// SPDX-License-Identifier: Apache-2.0
// A multiplier of a routed ECP5, as simulation sees it (Lattice FPGA-TN-02205).

/// One multiplier of 18 by 18 bits with registers in front, between and behind.
module ecp5_mult18 #(
  parameter bit RegA        = 1'b0,
  parameter bit RegB        = 1'b0,
  parameter bit RegPipeline = 1'b0,
  parameter bit RegOut      = 1'b0
) (
  input  logic        clk_a_i, clk_b_i, clk_p_i, clk_o_i,
  input  logic        ce_a_i, ce_b_i, ce_p_i, ce_o_i,
  input  logic        rst_a_i, rst_b_i, rst_p_i, rst_o_i,
  input  logic        signed_a_i, signed_b_i,
  input  logic [17:0] a_i, b_i,
  output logic [35:0] p_o
);
  logic [17:0] a_q, b_q, a, b;
  logic [35:0] product, p_q, inner, out_q;
  always_ff @(posedge clk_a_i) if (rst_a_i) a_q <= '0; else if (ce_a_i) a_q <= a_i;
  always_ff @(posedge clk_b_i) if (rst_b_i) b_q <= '0; else if (ce_b_i) b_q <= b_i;
  assign a       = RegA ? a_q : a_i;
  assign b       = RegB ? b_q : b_i;
  assign product = 36'($signed({signed_a_i & a[17], a})) * 36'($signed({signed_b_i & b[17], b}));
  always_ff @(posedge clk_p_i) if (rst_p_i) p_q <= '0; else if (ce_p_i) p_q <= product;
  assign inner   = RegPipeline ? p_q : product;
  always_ff @(posedge clk_o_i) if (rst_o_i) out_q <= '0; else if (ce_o_i) out_q <= inner;
  assign p_o     = RegOut ? out_q : inner;
endmodule
