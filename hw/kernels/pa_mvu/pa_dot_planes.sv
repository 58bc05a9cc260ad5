// SPDX-License-Identifier: Apache-2.0
// Dot product of codes that are their own levels: shifted AND-popcounts of their bit planes.

/// dot = sum over s of weight code * input code, modulo 2**OutWidth, in each of Pe lanes, written
/// as sum over b, c of 2**(b+c) * popcount(plane b of the weights & plane c of the inputs); the
/// top plane of the weights, two's complement, counts negative. Takes the cycles of
/// `gated_popcount` on Simd bits and ceil(log4(WeightWidth * InWidth)) of the adder tree.
module pa_dot_planes #(
  parameter int unsigned Pe          = 2, // lanes
  parameter int unsigned Simd        = 4, // code pairs per lane
  parameter int unsigned InWidth     = 3, // bits of an input code, unsigned
  parameter int unsigned WeightWidth = 3, // bits of a weight code, two's complement
  parameter int unsigned OutWidth    = 8, // bits of a dot product
  parameter int unsigned TagWidth    = 2, // bits of the tag
  parameter int unsigned Primitives  = 0  // 1: LUT6_2 and CARRY4 of the 7 series
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

  localparam int unsigned Pairs      = WeightWidth * InWidth;
  localparam int unsigned CountWidth = $clog2(Simd + 1);
  localparam int unsigned FullWidth  = CountWidth + WeightWidth + InWidth - 1;
  // Sums are modulo 2**OutWidth, so higher bits of a term would be lost anyway.
  localparam int unsigned TermWidth  = (FullWidth < OutWidth) ? FullWidth : OutWidth;

  logic [Pairs*Pe*Simd-1:0]       input_planes, weight_planes;
  logic [Pairs*Pe*CountWidth-1:0] count;
  logic                           count_valid;
  logic [TagWidth-1:0]            count_tag;
  logic [Pe*Pairs*TermWidth-1:0]  term;

  for (genvar c = 0; c < InWidth; c++) begin : gen_input_plane
    logic [Simd-1:0] plane;

    for (genvar s = 0; s < Simd; s++) begin : gen_bit
      assign plane[s] = data_i[s*InWidth+c];
    end
    for (genvar b = 0; b < WeightWidth; b++) begin : gen_pair
      assign input_planes[(b*InWidth+c)*Pe*Simd+:Pe*Simd] = {Pe{plane}};
    end
  end

  for (genvar b = 0; b < WeightWidth; b++) begin : gen_weight_plane
    logic [Pe*Simd-1:0] plane;

    for (genvar s = 0; s < Pe * Simd; s++) begin : gen_bit
      assign plane[s] = weight_i[s*WeightWidth+b];
    end
    assign weight_planes[b*InWidth*Pe*Simd+:InWidth*Pe*Simd] = {InWidth{plane}};
  end

  gated_popcount #(
    .Lanes(Pairs * Pe),
    .Width(Simd),
    .Gate(1),
    .TagWidth(TagWidth),
    .Primitives(Primitives)
  ) u_count (
    .clk_i,
    .rst_ni,
    .enable_i,
    .valid_i,
    .tag_i,
    .a_i(input_planes),
    .b_i(weight_planes),
    .valid_o(count_valid),
    .tag_o(count_tag),
    .count_o(count)
  );

  for (genvar k = 0; k < Pairs; k++) begin : gen_term
    localparam int unsigned Shift    = k / InWidth + k % InWidth;
    localparam bit          Negative = k / InWidth == WeightWidth - 1;

    for (genvar p = 0; p < Pe; p++) begin : gen_pe
      logic [TermWidth-1:0] shifted;

      assign shifted = TermWidth'(count[(k*Pe+p)*CountWidth+:CountWidth]) << Shift;
      assign term[(p*Pairs+k)*TermWidth+:TermWidth] = Negative ? -shifted : shifted;
    end
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
    .valid_i(count_valid),
    .tag_i(count_tag),
    .data_i(term),
    .valid_o,
    .tag_o,
    .sum_o(dot_o)
  );

endmodule
