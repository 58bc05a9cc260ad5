// SPDX-License-Identifier: Apache-2.0
// Matrix-vector unit of k-bit codes and +-1 weights, weights from a stream.

/// Per input vector: Mh / Pe passes over its Mw / Simd words; after each pass one word of Pe sums.
/// Weight bit 0 stands for -1, 1 for +1. One weight word of Pe * Simd bits per step, in step order:
/// bit p * Simd + s multiplies input s for output p. One word of `init` per pass, what the sums
/// start from: 0 for `serial`, for `addsub` -(2**InWidth - 1) for each weight bit 0 of the output.
/// One step per cycle, without bubbles; sums are modulo 2**AccWidth. `Implementation` changes area,
/// no value and no cycle.
module binary_mvu #(
  parameter int unsigned Mw             = 8, // input elements per vector
  parameter int unsigned Mh             = 4, // outputs per vector
  parameter int unsigned Simd           = 4, // input elements per cycle
  parameter int unsigned Pe             = 2, // outputs computed in parallel
  parameter int unsigned InWidth        = 4, // bits of an input code, unsigned, 1 to 8
  parameter int unsigned AccWidth       = 8, // bits of an output, two's complement
  parameter int unsigned Implementation = 0, // 0 serial, 1 addsub
  parameter int unsigned Primitives     = 0  // 1: LUT6_2 and CARRY4 of the 7 series
) (
  input  logic                    clk_i,
  input  logic                    rst_ni,

  input  logic                    in_valid_i,
  output logic                    in_ready_o,
  input  logic [Simd*InWidth-1:0] in_data_i,

  input  logic                    weight_valid_i,
  output logic                    weight_ready_o,
  input  logic [Pe*Simd-1:0]      weight_data_i,

  input  logic                    init_valid_i,
  output logic                    init_ready_o,
  input  logic [Pe*AccWidth-1:0]  init_data_i,

  output logic                    out_valid_o,
  input  logic                    out_ready_i,
  output logic [Pe*AccWidth-1:0]  out_data_o
);

  if (Implementation > 1) begin : gen_check
    $error("binary_mvu: Implementation %0d is none of 0 serial, 1 addsub", Implementation);
  end
  if (InWidth < 1 || InWidth > 8) begin : gen_check_in
    $error("binary_mvu: InWidth %0d is not 1 to 8", InWidth);
  end

  logic                    enable, step, dot_valid;
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
    .init_valid_i,
    .init_ready_o,
    .init_data_i,
    .out_valid_o,
    .out_ready_i,
    .out_data_o
  );

  if (Implementation == 0) begin : gen_serial
    binary_dot_serial #(
      .Pe(Pe),
      .Simd(Simd),
      .InWidth(InWidth),
      .OutWidth(AccWidth),
      .TagWidth(2),
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
  end else begin : gen_addsub
    binary_dot_addsub #(
      .Pe(Pe),
      .Simd(Simd),
      .InWidth(InWidth),
      .OutWidth(AccWidth),
      .TagWidth(2),
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
  end

endmodule
