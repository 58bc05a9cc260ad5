// SPDX-License-Identifier: Apache-2.0
// Binary matrix-vector unit: 2 * popcount(xnor(x, w)) - Mw per output, weights from a stream.

/// Per input vector: Mh / Pe passes over its Mw / Simd words; after each pass one word of Pe sums.
/// Bit 0 stands for -1, bit 1 for +1. One weight word of Pe * Simd bits per step, in step order:
/// bit p * Simd + s multiplies input s for output p. One step per cycle, without bubbles.
module xnor_mvu #(
  parameter int unsigned Mw         = 8, // input elements per vector
  parameter int unsigned Mh         = 4, // outputs per vector
  parameter int unsigned Simd       = 4, // input elements per cycle
  parameter int unsigned Pe         = 2, // outputs computed in parallel
  parameter int unsigned AccWidth   = 5, // bits of an output, two's complement
  parameter int unsigned Primitives = 0  // 1: LUT6_2 and CARRY4 of the 7 series
) (
  input  logic                   clk_i,
  input  logic                   rst_ni,

  input  logic                   in_valid_i,
  output logic                   in_ready_o,
  input  logic [Simd-1:0]        in_data_i,

  input  logic                   weight_valid_i,
  output logic                   weight_ready_o,
  input  logic [Pe*Simd-1:0]     weight_data_i,

  output logic                   out_valid_o,
  input  logic                   out_ready_i,
  output logic [Pe*AccWidth-1:0] out_data_o
);

  localparam int unsigned CountWidth = $clog2(Simd + 1);

  if (AccWidth < $clog2(Mw + 1) + 1) begin : gen_check_acc
    $error("xnor_mvu: AccWidth %0d cannot hold -%0d..%0d", AccWidth, Mw, Mw);
  end

  logic                     enable, step, dot_valid, unused_init_ready;
  logic [1:0]               tag, dot_tag;
  logic [Simd-1:0]          data;
  logic [Pe*CountWidth-1:0] count;
  logic [Pe*AccWidth-1:0]   dot;

  mvu_frame #(
    .Mw(Mw),
    .Mh(Mh),
    .Simd(Simd),
    .Pe(Pe),
    .InWidth(1),
    .AccWidth(AccWidth)
  ) u_frame (
    .clk_i,
    .rst_ni,
    .in_valid_i,
    .in_ready_o,
    .in_data_i,
    .weight_valid_i,
    .weight_ready_o,
    .enable_o(enable),
    .step_o(step),
    .tag_o(tag),
    .data_o(data),
    .dot_valid_i(dot_valid),
    .dot_tag_i(dot_tag),
    .dot_data_i(dot),
    .init_valid_i(1'b1),
    .init_ready_o(unused_init_ready),
    .init_data_i({Pe{AccWidth'(-$signed(Mw))}}),
    .out_valid_o,
    .out_ready_i,
    .out_data_o
  );

  gated_popcount #(
    .Lanes(Pe),
    .Width(Simd),
    .Gate(2),
    .TagWidth(2),
    .Primitives(Primitives)
  ) u_popcount (
    .clk_i,
    .rst_ni,
    .enable_i(enable),
    .valid_i(step),
    .tag_i(tag),
    .a_i({Pe{data}}),
    .b_i(weight_data_i),
    .valid_o(dot_valid),
    .tag_o(dot_tag),
    .count_o(count)
  );

  for (genvar p = 0; p < Pe; p++) begin : gen_dot
    assign dot[p*AccWidth+:AccWidth] = AccWidth'({count[p*CountWidth+:CountWidth], 1'b0});
  end

endmodule
