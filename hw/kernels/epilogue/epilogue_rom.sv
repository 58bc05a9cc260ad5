// SPDX-License-Identifier: Apache-2.0
// Epilogue with its parameters in an embedded memory.

/// Implementation 0: `epilogue` fed from a ROM: word c of `ParamFile` holds the parameters of
/// channels c * Pe .. c * Pe + Pe - 1. Implementation 1: `epilogue_serial` for every lane; words
/// 5 * c .. 5 * c + 4 hold its words of these channels, those of lane 0 lowest.
module epilogue_rom #(
  parameter int unsigned Channels      = 2,  // channels, a multiple of Pe
  parameter int unsigned Pe            = 1,  // lanes
  parameter int unsigned AccWidth      = 12, // bits of the accumulator
  parameter int unsigned AccShift      = 0,  // rounding shift before the multiplication
  parameter int unsigned AccBits       = 16, // bits after that shift
  parameter bit          HasShortcut   = 0,  // add a shortcut
  parameter int unsigned ShortcutWidth = 8,  // bits of the shortcut
  parameter int unsigned ShortcutShift = 0,  // left shift of the shortcut
  parameter int unsigned PreShift      = 0,  // rounding shift to the pre-activation
  parameter int unsigned PreBits       = 14, // bits of the pre-activation, zeta and eta
  parameter int unsigned SlopeShift    = 6,  // fraction bits of the slope
  parameter int unsigned OutShift      = 4,  // rounding shift to the output
  parameter int unsigned OutWidth      = 8,  // bits of the output
  parameter int unsigned MulWidth      = 10, // bits of m
  parameter int unsigned BiasWidth     = 24, // bits of b; of b' where serial
  parameter int unsigned SlopeWidth    = 8,  // bits of the slope
  parameter bit          BlockRom      = 0,  // parameters in block RAM, otherwise in LUTs
  parameter int unsigned RomBank       = 0,  // words of a bank of these; 0: there is one memory
  parameter              ParamFile     = "", // $readmemh image
  parameter int unsigned Implementation = 0, // 0: pipelined, 1: serial
  parameter bit          Primitives    = 0   // DSP blocks of the serial one as cells
) (
  input  logic                        clk_i,
  input  logic                        rst_ni,

  input  logic                        acc_valid_i,
  output logic                        acc_ready_o,
  input  logic [Pe*AccWidth-1:0]      acc_data_i,

  input  logic                        shortcut_valid_i,
  output logic                        shortcut_ready_o,
  input  logic [Pe*ShortcutWidth-1:0] shortcut_data_i,

  output logic                        out_valid_o,
  input  logic                        out_ready_i,
  output logic [Pe*OutWidth-1:0]      out_data_o
);

  if (Channels % Pe != 0) begin : gen_check_channels
    $error("epilogue_rom: %0d channels cannot be split over Pe %0d", Channels, Pe);
  end

  if (Implementation > 1) begin : gen_check_implementation
    $error("epilogue_rom: Implementation %0d is not 0 (pipelined) or 1 (serial)", Implementation);
  end

  if (Implementation == 0) begin : gen_pipelined
    localparam int unsigned ParamWidth = MulWidth + BiasWidth + 2 * PreBits + SlopeWidth;

    logic                     param_valid, param_ready;
    logic [Pe*ParamWidth-1:0] param_data;

    if (RomBank > 0) begin : gen_banks
      banked_stream #(
        .Width(Pe * ParamWidth),
        .Depth(Channels / Pe),
        .Bank(RomBank),
        .InitFile(ParamFile)
      ) u_params (
        .clk_i,
        .rst_ni,
        .out_valid_o(param_valid),
        .out_ready_i(param_ready),
        .out_data_o(param_data)
      );
    end else begin : gen_memory
      rom_stream #(
        .Width(Pe * ParamWidth),
        .Depth(Channels / Pe),
        .Style(BlockRom ? 2 : 1),
        .InitFile(ParamFile)
      ) u_params (
        .clk_i,
        .rst_ni,
        .out_valid_o(param_valid),
        .out_ready_i(param_ready),
        .out_data_o(param_data)
      );
    end

    epilogue #(
      .Pe(Pe),
      .AccWidth(AccWidth),
      .AccShift(AccShift),
      .AccBits(AccBits),
      .HasShortcut(HasShortcut),
      .ShortcutWidth(ShortcutWidth),
      .ShortcutShift(ShortcutShift),
      .PreShift(PreShift),
      .PreBits(PreBits),
      .SlopeShift(SlopeShift),
      .OutShift(OutShift),
      .OutWidth(OutWidth),
      .MulWidth(MulWidth),
      .BiasWidth(BiasWidth),
      .SlopeWidth(SlopeWidth)
    ) u_core (
      .clk_i,
      .rst_ni,
      .acc_valid_i,
      .acc_ready_o,
      .acc_data_i,
      .shortcut_valid_i,
      .shortcut_ready_o,
      .shortcut_data_i,
      .param_valid_i(param_valid),
      .param_ready_o(param_ready),
      .param_data_i(param_data),
      .out_valid_o,
      .out_ready_i,
      .out_data_o
    );
  end else begin : gen_serial
    logic             param_valid;
    logic [Pe*18-1:0] rom_data, param_data;
    logic [Pe-1:0]    param_next, acc_ready, shortcut_ready, out_valid; // all lanes do the same

    if (RomBank > 0) begin : gen_banks
      banked_stream #(
        .Width(Pe * 18),
        .Depth(Channels / Pe * 5),
        .Bank(RomBank),
        .InitFile(ParamFile)
      ) u_params (
        .clk_i,
        .rst_ni,
        .out_valid_o(param_valid),
        .out_ready_i(param_next[0]),
        .out_data_o(rom_data)
      );
    end else begin : gen_memory
      rom_stream #(
        .Width(Pe * 18),
        .Depth(Channels / Pe * 5),
        .Style(BlockRom ? 2 : 1),
        .InitFile(ParamFile)
      ) u_params (
        .clk_i,
        .rst_ni,
        .out_valid_o(param_valid),
        .out_ready_i(param_next[0]),
        .out_data_o(rom_data)
      );
    end

    // Block RAM has a second register already.
    if (!BlockRom) begin : gen_register
      always_ff @(posedge clk_i) begin
        if (param_next[0]) param_data <= rom_data;
      end
    end else begin : gen_direct
      assign param_data = rom_data;
    end

    for (genvar p = 0; p < Pe; p++) begin : gen_lane
      epilogue_serial #(
        .AccWidth(AccWidth),
        .AccShift(AccShift),
        .AccBits(AccBits),
        .HasShortcut(HasShortcut),
        .ShortcutWidth(ShortcutWidth),
        .ShortcutShift(ShortcutShift),
        .PreShift(PreShift),
        .PreBits(PreBits),
        .SlopeShift(SlopeShift),
        .OutShift(OutShift),
        .OutWidth(OutWidth),
        .MulWidth(MulWidth),
        .BiasWidth(BiasWidth),
        .SlopeWidth(SlopeWidth),
        .ParamLatency(RomBank > 0 ? 3 : 2),
        .Primitives(Primitives)
      ) u_core (
        .clk_i,
        .rst_ni,
        .acc_valid_i,
        .acc_ready_o(acc_ready[p]),
        .acc_data_i(acc_data_i[p*AccWidth+:AccWidth]),
        .shortcut_valid_i,
        .shortcut_ready_o(shortcut_ready[p]),
        .shortcut_data_i(shortcut_data_i[p*ShortcutWidth+:ShortcutWidth]),
        .param_next_o(param_next[p]),
        .param_data_i(param_data[p*18+:18]),
        .out_valid_o(out_valid[p]),
        .out_ready_i,
        .out_data_o(out_data_o[p*OutWidth+:OutWidth])
      );
    end

    assign acc_ready_o      = acc_ready[0];
    assign shortcut_ready_o = shortcut_ready[0];
    assign out_valid_o      = out_valid[0];

    logic unused;
    assign unused = &{param_valid, param_next, acc_ready, shortcut_ready, out_valid};
  end

endmodule
