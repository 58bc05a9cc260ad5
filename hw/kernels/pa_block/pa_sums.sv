// SPDX-License-Identifier: Apache-2.0
// Sums of a PA block: products of level codes of Pe outputs, added up over the words of a group.

/// Sum of products from one `first_i` to the next `last_i`, plus `Start`, for Pe outputs at once.
/// Nothing waits: the marks travel with the data. `done_o` is high for one cycle when the sums of
/// the last word are in; they stay until the next first word. Latency: the dot product's and 1.
module pa_sums #(
  parameter int unsigned         Simd           = 4,  // codes of a word
  parameter int unsigned         Pe             = 1,  // outputs at once
  parameter int unsigned         InWidth        = 3,  // bits of an input code, unsigned
  parameter int unsigned         WeightWidth    = 3,  // bits of a weight code, two's complement
  parameter int unsigned         M              = 4,  // weight levels besides 0
  parameter int unsigned         N              = 5,  // input levels besides 0
  parameter int unsigned         Zero           = 2,  // index of the weight level 0
  parameter logic [16*(M+1)-1:0] Alpha          = 0,  // weight levels, 16 bits each, level 0 lowest
  parameter logic [16*(N+1)-1:0] Beta           = 0,  // input levels, likewise
  parameter int unsigned         ProductWidth   = 8,  // bits of a product of levels
  parameter int unsigned         SumWidth       = 20, // bits of a sum, two's complement
  parameter logic [SumWidth-1:0] Start          = 0,  // what a sum starts from
  parameter int unsigned         Implementation = 1,  // 1 coded, 2 planes, 3 packed
  parameter int unsigned         Field          = 16, // packed: bits of a cascade's sum
  parameter int unsigned         Chain          = 1,  // packed: products of a cascade
  parameter int unsigned         Primitives     = 0   // 1: LUT6_2 and CARRY4 of the 7 series
) (
  input  logic                           clk_i,
  input  logic                           rst_ni,

  input  logic                           valid_i,
  input  logic                           first_i,
  input  logic                           last_i,
  input  logic                           border_i, // the word counts as zeros
  input  logic [Simd*InWidth-1:0]        data_i,
  input  logic [Pe*Simd*WeightWidth-1:0] weights_i,

  output logic                           done_o,
  output logic [Pe*SumWidth-1:0]         sum_o
);

  logic                   valid, first, last, border;
  logic [Pe*SumWidth-1:0] dot;

  if (Implementation == 3) begin : gen_packed
    pa_pairs #(
      .Pe(Pe),
      .Simd(Simd),
      .InWidth(InWidth),
      .WeightWidth(WeightWidth),
      .M(M),
      .N(N),
      .Zero(Zero),
      .Alpha(Alpha),
      .Beta(Beta),
      .Field(Field),
      .Chain(Chain),
      .OutWidth(SumWidth),
      .TagWidth(3),
      .Primitives(Primitives)
    ) u_dot (
      .clk_i,
      .rst_ni,
      .valid_i,
      .tag_i({border_i, first_i, last_i}),
      .data_i,
      .weight_i(weights_i),
      .valid_o(valid),
      .tag_o({border, first, last}),
      .dot_o(dot)
    );
  end else begin : gen_luts
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
      .OutWidth(SumWidth),
      .TagWidth(3),
      .Implementation(Implementation),
      .Primitives(Primitives)
    ) u_dot (
      .clk_i,
      .rst_ni,
      .enable_i(1'b1),
      .valid_i,
      .tag_i({border_i, first_i, last_i}),
      .data_i,
      .weight_i(weights_i),
      .valid_o(valid),
      .tag_o({border, first, last}),
      .dot_o(dot)
    );
  end

  for (genvar p = 0; p < Pe; p++) begin : gen_accumulate
    logic [SumWidth-1:0] sum_q;

    assign sum_o[p*SumWidth+:SumWidth] = sum_q;

    always_ff @(posedge clk_i) begin
      if (valid && border && first) sum_q <= Start;
      else if (valid && !border) sum_q <= dot[p*SumWidth+:SumWidth] + (first ? Start : sum_q);
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) done_o <= 1'b0;
    else         done_o <= valid && last;
  end

endmodule
