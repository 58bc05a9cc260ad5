// SPDX-License-Identifier: Apache-2.0
// Integer matrix-vector unit with its weights and bias in embedded memories.

/// `int_mvu` fed from ROMs: word nf * (Mw / Simd) + sf of `WeightFile` holds in element
/// p * Simd + s the weight of input sf * Simd + s for output nf * Pe + p; word nf of `BiasFile`
/// holds the bias of outputs nf * Pe .. nf * Pe + Pe - 1. Without bias no second memory is made.
module int_mvu_rom #(
  parameter int unsigned Mw          = 8,  // input elements per vector
  parameter int unsigned Mh          = 4,  // outputs per vector
  parameter int unsigned Simd        = 4,  // input elements per cycle
  parameter int unsigned Pe          = 2,  // outputs computed in parallel
  parameter int unsigned InWidth     = 8,  // bits of an input element
  parameter bit          InSigned    = 0,  // input elements are two's complement
  parameter int unsigned WeightWidth = 8,  // bits of a weight, two's complement
  parameter int unsigned AccWidth    = 20, // bits of an output, two's complement
  parameter bit          Paired      = 0,  // products of two outputs from one multiplier
  parameter bit          Primitives  = 0,  // explicit DSP48E1 for these
  parameter bit          HasBias     = 0,  // add a bias
  parameter bit          BlockRom    = 0,  // weights in block RAM, otherwise in LUTs
  parameter bit          BlockBias   = 0,  // the bias, likewise
  parameter int unsigned RomBank     = 0,  // words of a bank of weights; 0: there is one memory
  parameter              WeightFile  = "", // $readmemh image
  parameter              BiasFile    = ""  // $readmemh image
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
  logic                           bias_valid, bias_ready;
  logic [Pe*AccWidth-1:0]         bias_data;

  if (RomBank > 0) begin : gen_banks
    banked_stream #(
      .Width(Pe * Simd * WeightWidth),
      .Depth((Mw / Simd) * (Mh / Pe)),
      .Bank(RomBank),
      .InitFile(WeightFile)
    ) u_weights (
      .clk_i,
      .rst_ni,
      .out_valid_o(weight_valid),
      .out_ready_i(weight_ready),
      .out_data_o(weight_data)
    );
  end else begin : gen_memory
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
  end

  if (HasBias) begin : gen_bias
    logic unused_valid;

    rom_stream #(
      .Width(Pe * AccWidth),
      .Depth(Mh / Pe),
      .Style(BlockBias ? 2 : 1),
      .InitFile(BiasFile)
    ) u_bias (
      .clk_i,
      .rst_ni,
      .out_valid_o(unused_valid),
      .out_ready_i(bias_ready),
      .out_data_o(bias_data)
    );

    // The first word is there before the first sum, whose products take longer.
    assign bias_valid = 1'b1;
  end else begin : gen_no_bias
    logic unused_ready;
    assign unused_ready = bias_ready;
    assign bias_valid   = 1'b1;
    assign bias_data    = '0;
  end

  int_mvu #(
    .Mw(Mw),
    .Mh(Mh),
    .Simd(Simd),
    .Pe(Pe),
    .InWidth(InWidth),
    .InSigned(InSigned),
    .WeightWidth(WeightWidth),
    .AccWidth(AccWidth),
    .Paired(Paired),
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
    .bias_valid_i(bias_valid),
    .bias_ready_o(bias_ready),
    .bias_data_i(bias_data),
    .out_valid_o,
    .out_ready_i,
    .out_data_o
  );

endmodule
