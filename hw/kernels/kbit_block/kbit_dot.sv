// SPDX-License-Identifier: Apache-2.0
// Sums of a k-bit block: products of codes and +-1 weights of Pe outputs, accumulated.

/// Sum of the words from one `first_i` to the next `last_i`: the code where the weight is 1, what
/// is missing to the largest code where it is 0. That is the sum of +-code and a constant of the
/// weights, the largest code for each weight 0. Nothing waits. `done_o` is high for one cycle when
/// the last word is in; the sums stay until the next first word.
module kbit_dot #(
  parameter int unsigned Simd       = 4, // codes of a word
  parameter int unsigned Pe         = 1, // outputs at once
  parameter int unsigned CodeBits   = 4, // bits of a code
  parameter int unsigned SumWidth   = 8, // bits of the sum of all words
  parameter int unsigned Primitives = 0  // 1: LUT6_2 and CARRY4 of the 7 series
) (
  input  logic                     clk_i,
  input  logic                     rst_ni,

  input  logic                     valid_i,
  input  logic                     first_i,
  input  logic                     last_i,
  input  logic [Simd*CodeBits-1:0] data_i,
  input  logic [Pe*Simd-1:0]       weights_i,

  output logic                     done_o,
  output logic [Pe*SumWidth-1:0]   sum_o
);

  localparam int unsigned WordWidth = $clog2(Simd * ((1 << CodeBits) - 1) + 1);

  logic                    valid, first, last, done_q;
  logic [Pe*WordWidth-1:0] word;

  binary_dot_addsub #(
    .Pe(Pe),
    .Simd(Simd),
    .InWidth(CodeBits),
    .OutWidth(WordWidth),
    .TagWidth(2),
    .Primitives(Primitives)
  ) u_dot (
    .clk_i,
    .rst_ni,
    .enable_i(1'b1),
    .valid_i,
    .tag_i({first_i, last_i}),
    .data_i,
    .weight_i(weights_i),
    .valid_o(valid),
    .tag_o({first, last}),
    .dot_o(word)
  );

  for (genvar p = 0; p < Pe; p++) begin : gen_accumulate
    logic [SumWidth-1:0] sum_q;

    assign sum_o[p*SumWidth+:SumWidth] = sum_q;

    always_ff @(posedge clk_i) begin
      if (valid) sum_q <= SumWidth'(word[p*WordWidth+:WordWidth]) + (first ? '0 : sum_q);
    end
  end

  assign done_o = done_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) done_q <= 1'b0;
    else         done_q <= valid && last;
  end

endmodule
