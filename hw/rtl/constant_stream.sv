// SPDX-License-Identifier: Apache-2.0
// Constants as an endless stream, from a memory or from banks of one.

/// `rom_stream` in LUTs or in block RAM, or with `Bank` a `banked_stream`.
module constant_stream #(
  parameter int unsigned Width    = 8, // bits of a word
  parameter int unsigned Depth    = 2, // words
  parameter bit          BlockRom = 0, // in block RAM, otherwise in LUTs
  parameter int unsigned Bank     = 0, // words of a bank; 0: there is one memory
  parameter              InitFile = "" // memory image ($readmemh)
) (
  input  logic             clk_i,
  input  logic             rst_ni,

  output logic             out_valid_o,
  input  logic             out_ready_i,
  output logic [Width-1:0] out_data_o
);

  if (Bank > 0) begin : gen_banks
    banked_stream #(
      .Width   (Width),
      .Depth   (Depth),
      .Bank    (Bank),
      .InitFile(InitFile)
    ) u_words (
      .clk_i,
      .rst_ni,
      .out_valid_o,
      .out_ready_i,
      .out_data_o
    );
  end else begin : gen_memory
    rom_stream #(
      .Width   (Width),
      .Depth   (Depth),
      .Style   (BlockRom ? 2 : 1),
      .InitFile(InitFile)
    ) u_words (
      .clk_i,
      .rst_ni,
      .out_valid_o,
      .out_ready_i,
      .out_data_o
    );
  end

endmodule
