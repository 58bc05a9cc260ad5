// SPDX-License-Identifier: Apache-2.0
// Dot product of k-bit codes and +-1 weights: AND-popcounts of the bit planes of the codes.

/// dot = sum over b of 2**b * (2 * popcount(plane b & weights) - popcount(plane b)), modulo
/// 2**OutWidth, in each of Pe lanes; weight bit 0 is -1, 1 is +1. What is subtracted, the sum of
/// the codes, is the same in all lanes and computed once. Takes max(ceil(log2(Simd)), 4) + 2
/// enabled cycles, with and without Primitives.
module binary_dot_serial #(
  parameter int unsigned Pe         = 2, // lanes
  parameter int unsigned Simd       = 4, // codes per lane
  parameter int unsigned InWidth    = 4, // bits of a code, unsigned
  parameter int unsigned OutWidth   = 8, // bits of a dot product
  parameter int unsigned TagWidth   = 2, // bits of the tag
  parameter int unsigned Primitives = 0  // 1: LUT6_2 and CARRY4 of the 7 series
) (
  input  logic                    clk_i,
  input  logic                    rst_ni,
  input  logic                    enable_i,

  input  logic                    valid_i,
  input  logic [TagWidth-1:0]     tag_i,
  input  logic [Simd*InWidth-1:0] data_i,
  input  logic [Pe*Simd-1:0]      weight_i, // bit p * Simd + s meets code s in lane p

  output logic                    valid_o,
  output logic [TagWidth-1:0]     tag_o,
  output logic [Pe*OutWidth-1:0]  dot_o
);

  localparam int unsigned SumWidth  = $clog2(Simd * ((1 << InWidth) - 1) + 1);
  // The cycles of the longest way: popcount, adder tree over eight planes; then the difference.
  localparam int unsigned SumCycles = (($clog2(Simd) > 4) ? $clog2(Simd) : 4) + 1;

  logic                       sum_valid, valid_q;
  logic [TagWidth-1:0]        sum_tag, tag_q;
  logic [(Pe+1)*SumWidth-1:0] sum; // in lane Pe of all codes

  if (Primitives == 0) begin : gen_behavioural
    localparam int unsigned CountWidth  = $clog2(Simd + 1);
    localparam int unsigned CountCycles = (($clog2(Simd) > 4) ? $clog2(Simd) : 4) - 1;
    localparam int unsigned Lanes       = Pe + 1;

    logic [Lanes*InWidth*Simd-1:0]       planes, weights;
    logic [Lanes*InWidth*CountWidth-1:0] count;
    logic [Lanes*InWidth*SumWidth-1:0]   term;
    logic                                count_valid;
    logic [TagWidth-1:0]                 count_tag;

    for (genvar b = 0; b < InWidth; b++) begin : gen_plane
      logic [Simd-1:0] plane;

      for (genvar s = 0; s < Simd; s++) begin : gen_bit
        assign plane[s] = data_i[s*InWidth+b];
      end
      for (genvar p = 0; p < Lanes; p++) begin : gen_lane
        assign planes[(p*InWidth+b)*Simd+:Simd] = plane;
        if (p < Pe) begin : gen_gated
          assign weights[(p*InWidth+b)*Simd+:Simd] = weight_i[p*Simd+:Simd];
        end else begin : gen_all
          assign weights[(p*InWidth+b)*Simd+:Simd] = '1;
        end
        assign term[(p*InWidth+b)*SumWidth+:SumWidth] =
            SumWidth'(count[(p*InWidth+b)*CountWidth+:CountWidth]) << b;
      end
    end

    gated_popcount #(
      .Lanes(Lanes * InWidth),
      .Width(Simd),
      .Gate(1),
      .TagWidth(TagWidth)
    ) u_count (
      .clk_i,
      .rst_ni,
      .enable_i,
      .valid_i,
      .tag_i,
      .a_i(planes),
      .b_i(weights),
      .valid_o(count_valid),
      .tag_o(count_tag),
      .count_o(count)
    );

    adder_tree #(
      .Lanes(Lanes),
      .Count(InWidth),
      .InWidth(SumWidth),
      .OutWidth(SumWidth),
      .Signed(0),
      .TagWidth(TagWidth),
      .Levels(SumCycles - CountCycles)
    ) u_tree (
      .clk_i,
      .rst_ni,
      .enable_i,
      .valid_i(count_valid),
      .tag_i(count_tag),
      .data_i(term),
      .valid_o(sum_valid),
      .tag_o(sum_tag),
      .sum_o(sum)
    );
  end else begin : gen_primitives
    for (genvar p = 0; p <= Pe; p++) begin : gen_lane
      logic [Simd-1:0] weight;

      if (p < Pe) begin : gen_gated
        assign weight = weight_i[p*Simd+:Simd];
      end else begin : gen_all
        assign weight = '1;
      end

      binary_plane_heap #(
        .Simd(Simd),
        .InWidth(InWidth),
        .Gate((p < Pe) ? 1 : 0),
        .Stages(SumCycles)
      ) u_heap (
        .clk_i,
        .rst_ni,
        .enable_i,
        .data_i,
        .weight_i(weight),
        .sum_o(sum[p*SumWidth+:SumWidth])
      );
    end

    bit_heap_tag #(
      .Cycles(SumCycles),
      .TagWidth(TagWidth)
    ) u_tag (
      .clk_i,
      .rst_ni,
      .enable_i,
      .valid_i,
      .tag_i,
      .valid_o(sum_valid),
      .tag_o(sum_tag)
    );
  end

  for (genvar p = 0; p < Pe; p++) begin : gen_dot
    logic [SumWidth:0] dot_q; // two's complement

    always_ff @(posedge clk_i) begin
      if (enable_i && sum_valid) begin
        dot_q <= {sum[p*SumWidth+:SumWidth], 1'b0} - {1'b0, sum[Pe*SumWidth+:SumWidth]};
      end
    end
    assign dot_o[p*OutWidth+:OutWidth] = OutWidth'($signed(dot_q));
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) valid_q <= 1'b0;
    else if (enable_i) valid_q <= sum_valid;
  end

  always_ff @(posedge clk_i) begin
    if (enable_i) tag_q <= sum_tag;
  end

  assign valid_o = valid_q;
  assign tag_o   = tag_q;

endmodule
