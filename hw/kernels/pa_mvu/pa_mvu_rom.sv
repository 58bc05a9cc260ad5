// SPDX-License-Identifier: Apache-2.0
// AND-popcount matrix-vector unit with its weight codes in an embedded memory.

/// `pa_mvu` fed from a ROM: word nf * (Mw / Simd) + sf of `WeightFile` holds in code p * Simd + s
/// the weight of input sf * Simd + s for output nf * Pe + p.
module pa_mvu_rom #(
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
  parameter int unsigned         Primitives     = 0, // 1: LUT6_2 and CARRY4 of the 7 series
  parameter bit          BlockRom       = 0,  // weights in block RAM, otherwise in LUTs
  parameter                      WeightFile     = "" // $readmemh image
) (
  input  logic                    clk_i,
  input  logic                    rst_ni,

  input  logic                    in_valid_i,
  output logic                    in_ready_o,
  input  logic [Simd*InWidth-1:0] in_data_i,

  output logic                    out_valid_o,
  input  logic                    out_ready_i,
  output logic [Pe*AccWidth-1:0]  out_data_o
);

  logic                           weight_valid, weight_ready;
  logic [Pe*Simd*WeightWidth-1:0] weight_data;

  rom_stream #(
    .Width(Pe * Simd * WeightWidth),
    .Depth((Mw / Simd) * (Mh / Pe)),
    .Style(BlockRom ? 2 : 1),
    .InitFile(WeightFile)
  ) u_weights (
    .clk_i,
    .rst_ni,
    .out_valid_o(weight_valid),
    .out_ready_i(weight_ready),
    .out_data_o(weight_data)
  );

  pa_mvu #(
    .Mw(Mw),
    .Mh(Mh),
    .Simd(Simd),
    .Pe(Pe),
    .InWidth(InWidth),
    .WeightWidth(WeightWidth),
    .M(M),
    .N(N),
    .Zero(Zero),
    .Alpha(Alpha),
    .Beta(Beta),
    .ProductWidth(ProductWidth),
    .AccWidth(AccWidth),
    .Implementation(Implementation),
    .Primitives(Primitives)
  ) u_core (
    .clk_i,
    .rst_ni,
    .in_valid_i,
    .in_ready_o,
    .in_data_i,
    .weight_valid_i(weight_valid),
    .weight_ready_o(weight_ready),
    .weight_data_i(weight_data),
    .out_valid_o,
    .out_ready_i,
    .out_data_o
  );

endmodule
