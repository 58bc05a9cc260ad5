// SPDX-License-Identifier: Apache-2.0
// AND-popcount matrix-vector unit: dot products of level codes, weight codes from a stream.

/// Per input vector: Mh / Pe passes over its Mw / Simd words; after each pass one word of Pe sums.
/// Input code j stands for Beta[j], weight code c for Alpha[c + Zero]. One weight word per step, in
/// step order: code p * Simd + s multiplies input s for output p. One step per cycle, without
/// bubbles; sums are modulo 2**AccWidth. `Implementation` changes area and latency, no value.
module pa_mvu #(
  parameter int unsigned         Mw             = 8, // input elements per vector
  parameter int unsigned         Mh             = 4, // outputs per vector
  parameter int unsigned         Simd           = 4, // input elements per cycle
  parameter int unsigned         Pe             = 2, // outputs computed in parallel
  parameter int unsigned         InWidth        = 3, // bits of an input code, unsigned
  parameter int unsigned         WeightWidth    = 3, // bits of a weight code, two's complement
  parameter int unsigned         M              = 4, // weight levels besides 0
  parameter int unsigned         N              = 5, // input levels besides 0
  parameter int unsigned         Zero           = 2, // index of the weight level 0
  parameter logic [16*(M+1)-1:0] Alpha          = 0, // weight levels, 16 bits each, level 0 lowest
  parameter logic [16*(N+1)-1:0] Beta           = 0, // input levels, likewise
  parameter int unsigned         ProductWidth   = 8, // bits of a product of levels
  parameter int unsigned         AccWidth       = 8, // bits of an output, two's complement
  parameter int unsigned         Implementation = 0, // 0 literal, 1 coded, 2 planes
  parameter int unsigned         Primitives     = 0  // 1: LUT6_2 and CARRY4 of the 7 series
) (
  input  logic                           clk_i,
  input  logic                           rst_ni,

  input  logic                           in_valid_i,
  output logic                           in_ready_o,
  input  logic [Simd*InWidth-1:0]        in_data_i,

  input  logic                           weight_valid_i,
  output logic                           weight_ready_o,
  input  logic [Pe*Simd*WeightWidth-1:0] weight_data_i,

  output logic                           out_valid_o,
  input  logic                           out_ready_i,
  output logic [Pe*AccWidth-1:0]         out_data_o
);

  logic                    enable, step, dot_valid, unused_init_ready;
  logic [1:0]              tag, dot_tag;
  logic [Simd*InWidth-1:0] data;
  logic [Pe*AccWidth-1:0]  dot;

  mvu_frame #(
    .Mw(Mw),
    .Mh(Mh),
    .Simd(Simd),
    .Pe(Pe),
    .InWidth(InWidth),
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
    .init_data_i('0),
    .out_valid_o,
    .out_ready_i,
    .out_data_o
  );

  pa_dot #(
    .Pe(Pe),
    .Simd(Simd),
    .InWidth(InWidth),
    .WeightWidth(WeightWidth),
    .M(M),
    .N(N),
    .Zero(Zero),
    .Alpha(Alpha),
    .Beta(Beta),
    .ProductWidth(ProductWidth),
    .OutWidth(AccWidth),
    .TagWidth(2),
    .Implementation(Implementation),
    .Primitives(Primitives)
  ) u_dot (
    .clk_i,
    .rst_ni,
    .enable_i(enable),
    .valid_i(step),
    .tag_i(tag),
    .data_i(data),
    .weight_i(weight_data_i),
    .valid_o(dot_valid),
    .tag_o(dot_tag),
    .dot_o(dot)
  );

endmodule
