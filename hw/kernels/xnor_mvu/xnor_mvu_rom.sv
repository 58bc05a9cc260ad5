// SPDX-License-Identifier: Apache-2.0
// Binary matrix-vector unit with its weights in an embedded memory.

/// `xnor_mvu` fed from a ROM: word nf * (Mw / Simd) + sf of `WeightFile` holds bit p * Simd + s =
/// weight of input sf * Simd + s for output nf * Pe + p.
module xnor_mvu_rom #(
  parameter int unsigned Mw         = 8, // input elements per vector
  parameter int unsigned Mh         = 4, // outputs per vector
  parameter int unsigned Simd       = 4, // input elements per cycle
  parameter int unsigned Pe         = 2, // outputs computed in parallel
  parameter int unsigned AccWidth   = 5, // bits of an output, two's complement
  parameter int unsigned Spread     = 0, // outputs to a copy of the inputs; 0: no copies
  parameter int unsigned Primitives = 0, // 1: LUT6_2 and CARRY4 of the 7 series
  parameter bit          BlockRom   = 0, // weights in block RAM, otherwise in LUTs
  parameter int unsigned RomParts   = 1, // memories side by side
  parameter              WeightFile = "" // $readmemh image; of parts <WeightFile>_<part>.mem
) (
  input  logic                   clk_i,
  input  logic                   rst_ni,

  input  logic                   in_valid_i,
  output logic                   in_ready_o,
  input  logic [Simd-1:0]        in_data_i,

  output logic                   out_valid_o,
  input  logic                   out_ready_i,
  output logic [Pe*AccWidth-1:0] out_data_o
);

  logic               weight_valid, weight_ready;
  logic [Pe*Simd-1:0] weight_data;

  if (Spread > 0) begin : gen_spread
    assign weight_valid = 1'b1;

    spread_rom #(
      .Width(Pe * Simd / RomParts),
      .Parts(RomParts),
      .Depth((Mw / Simd) * (Mh / Pe)),
      .InitPrefix(WeightFile)
    ) u_weights (
      .clk_i,
      .rst_ni,
      .next_i(weight_ready),
      .data_o(weight_data)
    );
  end else begin : gen_stream
    rom_stream #(
      .Width(Pe * Simd),
      .Depth((Mw / Simd) * (Mh / Pe)),
      .Style(BlockRom ? 2 : 1),
      .Parts(RomParts),
      .InitFile(WeightFile)
    ) u_weights (
      .clk_i,
      .rst_ni,
      .out_valid_o(weight_valid),
      .out_ready_i(weight_ready),
      .out_data_o(weight_data)
    );
  end

  xnor_mvu #(
    .Mw(Mw),
    .Mh(Mh),
    .Simd(Simd),
    .Pe(Pe),
    .AccWidth(AccWidth),
    .Spread(Spread),
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
