// SPDX-License-Identifier: Apache-2.0
// Dot product of k-bit codes and +-1 weights: a sum of codes, inverted where the weight is -1.

/// dot = sum over s of (weight s ? code s : ~code s), modulo 2**OutWidth, in each of Pe lanes. As
/// ~x = 2**InWidth - 1 - x, that is the sum of +-code plus 2**InWidth - 1 for each weight bit 0: a
/// constant of the weights, which the caller takes off. Takes max(ceil(log2(Simd)), 4) + 2 enabled
/// cycles, with and without Primitives.
module binary_dot_addsub #(
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

  localparam int unsigned SumWidth = $clog2(Simd * ((1 << InWidth) - 1) + 1);
  // Those of `binary_dot_serial`.
  localparam int unsigned Cycles   = (($clog2(Simd) > 4) ? $clog2(Simd) : 4) + 2;

  logic [Pe*SumWidth-1:0] sum;

  if (Primitives == 0) begin : gen_behavioural
    logic [Pe*Simd*InWidth-1:0] term;

    for (genvar p = 0; p < Pe; p++) begin : gen_lane
      for (genvar s = 0; s < Simd; s++) begin : gen_simd
        assign term[(p*Simd+s)*InWidth+:InWidth] =
            data_i[s*InWidth+:InWidth] ^ {InWidth{~weight_i[p*Simd+s]}};
      end
    end

    adder_tree #(
      .Lanes(Pe),
      .Count(Simd),
      .InWidth(InWidth),
      .OutWidth(SumWidth),
      .Signed(0),
      .TagWidth(TagWidth),
      .Levels(Cycles)
    ) u_tree (
      .clk_i,
      .rst_ni,
      .enable_i,
      .valid_i,
      .tag_i,
      .data_i(term),
      .valid_o,
      .tag_o,
      .sum_o(sum)
    );
  end else begin : gen_primitives
    for (genvar p = 0; p < Pe; p++) begin : gen_lane
      binary_plane_heap #(
        .Simd(Simd),
        .InWidth(InWidth),
        .Gate(2),
        .Stages(Cycles)
      ) u_heap (
        .clk_i,
        .rst_ni,
        .enable_i,
        .data_i,
        .weight_i(weight_i[p*Simd+:Simd]),
        .sum_o(sum[p*SumWidth+:SumWidth])
      );
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

  for (genvar p = 0; p < Pe; p++) begin : gen_dot
    assign dot_o[p*OutWidth+:OutWidth] = OutWidth'(sum[p*SumWidth+:SumWidth]);
  end

endmodule
