// SPDX-License-Identifier: Apache-2.0
// Matrix-vector unit of k-bit codes and +-1 weights with its weights in an embedded memory.

/// `binary_mvu` fed from ROMs: word nf * (Mw / Simd) + sf of `WeightFile` holds in bit p * Simd + s
/// the weight of input sf * Simd + s for output nf * Pe + p. For `addsub` word nf of `InitFile`
/// holds what the sums of outputs nf * Pe .. nf * Pe + Pe - 1 start from; `serial` starts from 0.
module binary_mvu_rom #(
  parameter int unsigned Mw             = 8,  // input elements per vector
  parameter int unsigned Mh             = 4,  // outputs per vector
  parameter int unsigned Simd           = 4,  // input elements per cycle
  parameter int unsigned Pe             = 2,  // outputs computed in parallel
  parameter int unsigned InWidth        = 4,  // bits of an input code, unsigned, 1 to 8
  parameter int unsigned AccWidth       = 8,  // bits of an output, two's complement
  parameter int unsigned Implementation = 0,  // 0 serial, 1 addsub
  parameter int unsigned Primitives     = 0,  // 1: LUT6_2 and CARRY4 of the 7 series
  parameter bit          BlockRom       = 0,  // weights in block RAM, otherwise in LUTs
  parameter bit          BlockInit      = 0,  // what sums start from, likewise
  parameter              WeightFile     = "", // $readmemh image
  parameter              InitFile       = ""  // $readmemh image
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

  logic                   weight_valid, weight_ready;
  logic [Pe*Simd-1:0]     weight_data;
  logic                   init_valid, init_ready;
  logic [Pe*AccWidth-1:0] init_data;

  rom_stream #(
    .Width(Pe * Simd),
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

  if (Implementation == 0) begin : gen_no_init
    logic unused_ready;
    assign unused_ready = init_ready;
    assign init_valid   = 1'b1;
    assign init_data    = '0;
  end else begin : gen_init
    rom_stream #(
      .Width(Pe * AccWidth),
      .Depth(Mh / Pe),
      .Style(BlockInit ? 2 : 1),
      .InitFile(InitFile)
    ) u_init (
      .clk_i,
      .rst_ni,
      .out_valid_o(init_valid),
      .out_ready_i(init_ready),
      .out_data_o(init_data)
    );
  end

  binary_mvu #(
    .Mw(Mw),
    .Mh(Mh),
    .Simd(Simd),
    .Pe(Pe),
    .InWidth(InWidth),
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
    .init_valid_i(init_valid),
    .init_ready_o(init_ready),
    .init_data_i(init_data),
    .out_valid_o,
    .out_ready_i,
    .out_data_o
  );

endmodule
