// SPDX-License-Identifier: Apache-2.0
// Dot product of level codes as the definition has it: an AND-popcount for each pair of bases.

/// dot = sum over i, j of Alpha[i] * Beta[j] * popcount(T_i & V_j), modulo 2**OutWidth, in each of
/// Pe lanes: T_i marks the weight codes i - Zero, V_j the input codes j. Levels 0 (i = Zero, j = 0)
/// add nothing and have no popcount. Takes the cycles of `gated_popcount` on Simd bits, 1 for the
/// constant multipliers and ceil(log4(M * N)) of the adder tree.
module pa_dot_literal #(
  parameter int unsigned         Pe           = 2, // lanes
  parameter int unsigned         Simd         = 4, // code pairs per lane
  parameter int unsigned         InWidth      = 3, // bits of an input code, unsigned
  parameter int unsigned         WeightWidth  = 3, // bits of a weight code, two's complement
  parameter int unsigned         M            = 4, // weight levels besides 0
  parameter int unsigned         N            = 5, // input levels besides 0
  parameter int unsigned         Zero         = 2, // index of the weight level 0
  parameter logic [16*(M+1)-1:0] Alpha        = 0, // weight levels, 16 bits each, level 0 lowest
  parameter logic [16*(N+1)-1:0] Beta         = 0, // input levels, likewise
  parameter int unsigned         ProductWidth = 8, // bits of a product of levels, two's complement
  parameter int unsigned         OutWidth     = 8, // bits of a dot product
  parameter int unsigned         TagWidth     = 2, // bits of the tag
  parameter int unsigned         Primitives   = 0  // 1: LUT6_2 and CARRY4 of the 7 series
) (
  input  logic                           clk_i,
  input  logic                           rst_ni,
  input  logic                           enable_i,

  input  logic                           valid_i,
  input  logic [TagWidth-1:0]            tag_i,
  input  logic [Simd*InWidth-1:0]        data_i,
  input  logic [Pe*Simd*WeightWidth-1:0] weight_i, // code p * Simd + s meets input s in lane p

  output logic                           valid_o,
  output logic [TagWidth-1:0]            tag_o,
  output logic [Pe*OutWidth-1:0]         dot_o
);

  localparam int unsigned Pairs      = M * N;
  localparam int unsigned CountWidth = $clog2(Simd + 1);
  localparam int unsigned FullWidth  = CountWidth + ProductWidth;
  // Sums are modulo 2**OutWidth, so higher bits of a term would be lost anyway.
  localparam int unsigned TermWidth  = (FullWidth < OutWidth) ? FullWidth : OutWidth;

  logic [Pairs*Pe*Simd-1:0]       input_bases, weight_bases;
  logic [Pairs*Pe*CountWidth-1:0] count;
  logic                           count_valid;
  logic [TagWidth-1:0]            count_tag;

  for (genvar j = 1; j <= N; j++) begin : gen_input_base
    logic [Simd-1:0] base;

    for (genvar s = 0; s < Simd; s++) begin : gen_bit
      assign base[s] = data_i[s*InWidth+:InWidth] == InWidth'(j);
    end
    for (genvar i = 0; i < M; i++) begin : gen_pair
      assign input_bases[(i*N+j-1)*Pe*Simd+:Pe*Simd] = {Pe{base}};
    end
  end

  for (genvar i = 0; i < M; i++) begin : gen_weight_base
    localparam int unsigned Level = (i < Zero) ? i : i + 1; // the level 0 is left out
    logic [Pe*Simd-1:0] base;

    for (genvar s = 0; s < Pe * Simd; s++) begin : gen_bit
      assign base[s] = weight_i[s*WeightWidth+:WeightWidth] == WeightWidth'(Level - Zero);
    end
    assign weight_bases[i*N*Pe*Simd+:N*Pe*Simd] = {N{base}};
  end

  gated_popcount #(
    .Lanes(Pairs * Pe),
    .Width(Simd),
    .Gate(1),
    .Late(1),
    .TagWidth(TagWidth),
    .Primitives(Primitives)
  ) u_count (
    .clk_i,
    .rst_ni,
    .enable_i,
    .valid_i,
    .tag_i,
    .a_i(input_bases),
    .b_i(weight_bases),
    .valid_o(count_valid),
    .tag_o(count_tag),
    .count_o(count)
  );

  logic                          term_valid_q;
  logic [TagWidth-1:0]           term_tag_q;
  logic [Pe*Pairs*TermWidth-1:0] term;

  for (genvar k = 0; k < Pairs; k++) begin : gen_term
    localparam int unsigned Level = (k / N < Zero) ? k / N : k / N + 1;
    localparam logic signed [31:0] Factor =
        32'($signed(Alpha[16*Level+:16])) * 32'($signed(Beta[16*(k%N+1)+:16]));

    for (genvar p = 0; p < Pe; p++) begin : gen_pe
      logic signed [TermWidth-1:0] term_q;

      always_ff @(posedge clk_i) begin
        if (enable_i && count_valid) begin
          term_q <= TermWidth'(count[(k*Pe+p)*CountWidth+:CountWidth]) * TermWidth'(Factor);
        end
      end
      assign term[(p*Pairs+k)*TermWidth+:TermWidth] = term_q;
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) term_valid_q <= 1'b0;
    else if (enable_i) term_valid_q <= count_valid;
  end

  always_ff @(posedge clk_i) begin
    if (enable_i) term_tag_q <= count_tag;
  end

  adder_tree #(
    .Lanes(Pe),
    .Count(Pairs),
    .InWidth(TermWidth),
    .OutWidth(OutWidth),
    .Signed(1),
    .TagWidth(TagWidth)
  ) u_tree (
    .clk_i,
    .rst_ni,
    .enable_i,
    .valid_i(term_valid_q),
    .tag_i(term_tag_q),
    .data_i(term),
    .valid_o,
    .tag_o,
    .sum_o(dot_o)
  );

endmodule
