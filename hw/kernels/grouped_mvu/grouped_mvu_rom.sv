// SPDX-License-Identifier: Apache-2.0
// Matrix-vector unit of a grouped convolution with its weights and bias in embedded memories.

/// `grouped_mvu` fed from ROMs: word r * Turns + t of `WeightFile` holds the weights of the word of
/// round r and turn t, in the order of the core; word t of `BiasFile` the bias of the outputs of
/// turn t. Without bias no second memory is made.
module grouped_mvu_rom #(
  parameter int unsigned Groups       = 4,  // groups of channels
  parameter int unsigned GroupInputs  = 1,  // channels of a group
  parameter int unsigned GroupOutputs = 1,  // outputs of a group
  parameter int unsigned Taps         = 9,  // positions of a window
  parameter int unsigned Simd         = 4,  // elements of a word
  parameter int unsigned InWidth      = 8,  // bits of an element
  parameter bit          InSigned     = 0,  // elements are two's complement
  parameter bit          InBinary     = 0,  // elements are bits: 0 is -1, 1 is +1
  parameter int unsigned WeightWidth  = 8,  // bits of a weight, two's complement
  parameter bit          WeightBinary = 0,  // weights are bits: 0 is -1, 1 is +1
  parameter int unsigned AccWidth     = 20, // bits of an output, two's complement
  parameter bit          BlockRam     = 0,  // running sums in block RAM, otherwise in LUTs
  parameter bit          HasBias      = 0,  // add a bias
  parameter bit          BlockRom     = 0,  // weights in block RAM, otherwise in LUTs
  parameter bit          BlockBias    = 0,  // the bias, likewise
  parameter int unsigned RomBank      = 0,  // words of a bank of weights; 0: there is one memory
  parameter              WeightFile   = "", // $readmemh image
  parameter              BiasFile     = "", // $readmemh image
  localparam int unsigned Channels = Groups * GroupInputs,
  localparam int unsigned Lanes    = Simd > Channels ? Groups : Simd / GroupInputs,
  localparam int unsigned Pe       = Lanes * GroupOutputs
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

  localparam int unsigned RomWidth = Simd * GroupOutputs * WeightWidth;
  localparam int unsigned RomDepth = Channels * Taps / Simd;

  logic                   weight_valid, weight_ready;
  logic [RomWidth-1:0]    weight_data;
  logic                   bias_ready;
  logic [Pe*AccWidth-1:0] bias_data;

  if (RomBank > 0) begin : gen_banks
    banked_stream #(
      .Width   (RomWidth),
      .Depth   (RomDepth),
      .Bank    (RomBank),
      .InitFile(WeightFile)
    ) u_weights (
      .clk_i,
      .rst_ni,
      .out_valid_o(weight_valid),
      .out_ready_i(weight_ready),
      .out_data_o (weight_data)
    );
  end else begin : gen_memory
    rom_stream #(
      .Width   (RomWidth),
      .Depth   (RomDepth),
      .Style   (BlockRom ? 2 : 1),
      .InitFile(WeightFile)
    ) u_weights (
      .clk_i,
      .rst_ni,
      .out_valid_o(weight_valid),
      .out_ready_i(weight_ready),
      .out_data_o (weight_data)
    );
  end

  if (HasBias) begin : gen_bias
    // The first word is there before the first sum, whose products take longer.
    logic unused_valid;

    rom_stream #(
      .Width   (Pe * AccWidth),
      .Depth   (Groups / Lanes),
      .Style   (BlockBias ? 2 : 1),
      .InitFile(BiasFile)
    ) u_bias (
      .clk_i,
      .rst_ni,
      .out_valid_o(unused_valid),
      .out_ready_i(bias_ready),
      .out_data_o (bias_data)
    );
  end else begin : gen_no_bias
    logic unused_ready;
    assign unused_ready = bias_ready;
    assign bias_data    = '0;
  end

  grouped_mvu #(
    .Groups      (Groups),
    .GroupInputs (GroupInputs),
    .GroupOutputs(GroupOutputs),
    .Taps        (Taps),
    .Simd        (Simd),
    .InWidth     (InWidth),
    .InSigned    (InSigned),
    .InBinary    (InBinary),
    .WeightWidth (WeightWidth),
    .WeightBinary(WeightBinary),
    .AccWidth    (AccWidth),
    .BlockRam    (BlockRam)
  ) u_core (
    .clk_i,
    .rst_ni,
    .in_valid_i,
    .in_ready_o,
    .in_data_i,
    .weight_valid_i(weight_valid),
    .weight_ready_o(weight_ready),
    .weight_data_i (weight_data),
    .bias_ready_o  (bias_ready),
    .bias_data_i   (bias_data),
    .out_valid_o,
    .out_ready_i,
    .out_data_o
  );

endmodule
