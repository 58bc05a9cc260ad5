// SPDX-License-Identifier: Apache-2.0
// Dot product of level codes in one of three ways.

/// dot = sum over s of Alpha[weight code + Zero] * Beta[input code], modulo 2**OutWidth, in each of
/// Pe lanes. `Implementation` changes area and latency, no value.
module pa_dot #(
  parameter int unsigned           Pe             = 2, // lanes
  parameter int unsigned           Simd           = 4, // code pairs per lane
  parameter int unsigned           InWidth        = 3, // bits of an input code, unsigned
  parameter int unsigned           WeightWidth    = 3, // bits of a weight code, two's complement
  parameter int unsigned           M              = 4, // weight levels besides 0
  parameter int unsigned           N              = 5, // input levels besides 0
  parameter int unsigned           Zero           = 2, // index of the weight level 0
  parameter logic [16*(M+1)-1:0]   Alpha          = 0, // weight levels, 16 bits each, lowest first
  parameter logic [16*(N+1)-1:0]   Beta           = 0, // input levels, likewise
  parameter int unsigned           ProductWidth   = 8, // bits of a product of levels
  parameter int unsigned           OutWidth       = 8, // bits of a dot product
  parameter int unsigned           TagWidth       = 2, // bits of the tag
  parameter int unsigned           Implementation = 0, // 0 literal, 1 coded, 2 planes
  parameter int unsigned           Primitives     = 0  // 1: LUT6_2 and CARRY4 of the 7 series
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

  if (Implementation > 2) begin : gen_check
    $error("pa_dot: Implementation %0d is none of 0 literal, 1 coded, 2 planes", Implementation);
  end

  if (Implementation == 0) begin : gen_literal
    pa_dot_literal #(
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
      .OutWidth(OutWidth),
      .TagWidth(TagWidth),
      .Primitives(Primitives)
    ) u_dot (
      .clk_i,
      .rst_ni,
      .enable_i,
      .valid_i,
      .tag_i,
      .data_i,
      .weight_i,
      .valid_o,
      .tag_o,
      .dot_o
    );
  end else if (Implementation == 1) begin : gen_coded
    pa_dot_coded #(
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
      .OutWidth(OutWidth),
      .TagWidth(TagWidth),
      .Primitives(Primitives)
    ) u_dot (
      .clk_i,
      .rst_ni,
      .enable_i,
      .valid_i,
      .tag_i,
      .data_i,
      .weight_i,
      .valid_o,
      .tag_o,
      .dot_o
    );
  end else begin : gen_planes
    for (genvar i = 0; i <= M; i++) begin : gen_alpha
      if (32'($signed(Alpha[16*i+:16])) != int'(i) - int'(Zero)) begin : gen_check
        $error("pa_dot: planes need Alpha[%0d] = %0d, found %0d", i, int'(i) - int'(Zero),
               $signed(Alpha[16*i+:16]));
      end
    end
    for (genvar j = 0; j <= N; j++) begin : gen_beta
      if (Beta[16*j+:16] != 16'(j)) begin : gen_check
        $error("pa_dot: planes need Beta[%0d] = %0d, found %0d", j, j, Beta[16*j+:16]);
      end
    end

    pa_dot_planes #(
      .Pe(Pe),
      .Simd(Simd),
      .InWidth(InWidth),
      .WeightWidth(WeightWidth),
      .OutWidth(OutWidth),
      .TagWidth(TagWidth),
      .Primitives(Primitives)
    ) u_dot (
      .clk_i,
      .rst_ni,
      .enable_i,
      .valid_i,
      .tag_i,
      .data_i,
      .weight_i,
      .valid_o,
      .tag_o,
      .dot_o
    );
  end

endmodule
