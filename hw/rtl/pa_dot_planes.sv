// SPDX-License-Identifier: Apache-2.0
// Dot product of codes that are their own levels: shifted AND-popcounts of their bit planes.

/// dot = sum over s of weight code * input code, modulo 2**OutWidth, in each of Pe lanes, written
/// as sum over b, c of 2**(b+c) * popcount(plane b of the weights & plane c of the inputs); the
/// top plane of the weights, two's complement, counts negative. Takes max(ceil(log2(Simd)), 2) + 3
/// enabled cycles, with and without Primitives.
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

  localparam int unsigned Pairs  = WeightWidth * InWidth;
  // The cycles that the bit heap of the primitives needs.
  localparam int unsigned Cycles = (($clog2(Simd) > 2) ? $clog2(Simd) : 2) + 3;

  // The bit heap of the primitives: what `bit_heap_gates` leaves of every pair of planes.
  localparam int unsigned ChainLength = 5;
  localparam int unsigned Carries     = (Simd + 1) / 2;
  localparam int unsigned Sums        = (Carries + ChainLength - 1) / ChainLength;
  localparam int unsigned SumWidth    = $clog2(Simd + 1) + WeightWidth + InWidth;
  localparam int unsigned HeapWidth   = (SumWidth < OutWidth) ? SumWidth : OutWidth;

  // Pairs of planes whose bits weigh 2**shift.
  function automatic int unsigned pairs_at(int unsigned shift);
    int unsigned found;
    found = 0;
    for (int unsigned k = 0; k < Pairs; k++) begin
      if (k / InWidth + k % InWidth == shift) found++;
    end
    return found;
  endfunction

  // Bits in a column: first the sums, then the carries of the column below.
  function automatic int unsigned height_of(int unsigned column);
    return pairs_at(column) * Sums + ((column > 0) ? pairs_at(column - 1) * Carries : 0);
  endfunction

  function automatic int unsigned start_of(int unsigned column);
    int unsigned start;
    start = 0;
    for (int unsigned c = 0; c < column; c++) start += height_of(c);
    return start;
  endfunction

  function automatic logic [16*HeapWidth-1:0] heights();
    for (int unsigned c = 0; c < HeapWidth; c++) heights[16*c+:16] = 16'(height_of(c));
  endfunction

  logic [Pairs*Pe*Simd-1:0] input_planes, weight_planes; // pair b * InWidth + c, lane, bit

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

  if (Primitives == 0) begin : gen_behavioural
    localparam int unsigned CountWidth  = $clog2(Simd + 1);
    localparam int unsigned CountCycles = (($clog2(Simd) > 4) ? $clog2(Simd) : 4) - 1;
    localparam int unsigned FullWidth   = CountWidth + WeightWidth + InWidth - 1;
    // Sums are modulo 2**OutWidth, so higher bits of a term would be lost anyway.
    localparam int unsigned TermWidth   = (FullWidth < OutWidth) ? FullWidth : OutWidth;

    logic [Pairs*Pe*CountWidth-1:0] count;
    logic                           count_valid;
    logic [TagWidth-1:0]            count_tag;
    logic [Pe*Pairs*TermWidth-1:0]  term;

    gated_popcount #(
      .Lanes(Pairs * Pe),
      .Width(Simd),
      .Gate(1),
      .TagWidth(TagWidth)
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
      .TagWidth(TagWidth),
      .Levels(Cycles - CountCycles)
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
  end else begin : gen_primitives
    // The planes that count negative come inverted: -x = ~x - 1 for each of their products.
    localparam logic [HeapWidth-1:0] Constant =
        HeapWidth'(-(int'(Simd) << (WeightWidth - 1)) * ((1 << InWidth) - 1));
    localparam int unsigned HeapBits = start_of(HeapWidth);

    for (genvar p = 0; p < Pe; p++) begin : gen_lane
      logic [HeapBits-1:0]  columns;
      logic [HeapWidth-1:0] sum;

      for (genvar k = 0; k < Pairs; k++) begin : gen_pair
        localparam int unsigned Plane = k / InWidth; // of the weights
        localparam int unsigned Shift = Plane + k % InWidth;
        localparam int unsigned Rank  = (Shift < InWidth) ? Plane : Plane - (Shift - InWidth + 1);

        if (Shift < HeapWidth) begin : gen_used
          logic [Sums-1:0]    sums;
          logic [Carries-1:0] carries;

          bit_heap_gates #(
            .Pairs(Simd),
            .Gate((Plane == WeightWidth - 1) ? 3 : 1),
            .ChainLength(ChainLength)
          ) u_gates (
            .clk_i,
            .rst_ni,
            .enable_i,
            .a_i(input_planes[(k*Pe+p)*Simd+:Simd]),
            .b_i(weight_planes[(k*Pe+p)*Simd+:Simd]),
            .sums_o(sums),
            .carries_o(carries)
          );
          assign columns[start_of(Shift)+Rank*Sums+:Sums] = sums;
          if (Shift + 1 < HeapWidth) begin : gen_carries
            assign columns[start_of(Shift+1)+pairs_at(Shift+1)*Sums+Rank*Carries+:Carries] =
                carries;
          end else begin : gen_lost
            logic unused;
            assign unused = &carries;
          end
        end
      end

      bit_heap #(
        .OutWidth(HeapWidth),
        .Heights(heights()),
        .Bits(HeapBits),
        .Constant(Constant),
        .Stages(Cycles - 1)
      ) u_heap (
        .clk_i,
        .rst_ni,
        .enable_i,
        .bits_i(columns),
        .sum_o(sum)
      );
      assign dot_o[p*OutWidth+:OutWidth] = OutWidth'($signed(sum));
    end

    bit_heap_tag #(
      .Cycles(Cycles),
      .TagWidth(TagWidth)
    ) u_tag (
      .clk_i,
      .rst_ni,
      .enable_i,
      .valid_i,
      .tag_i,
      .valid_o,
      .tag_o
    );
  end

endmodule
