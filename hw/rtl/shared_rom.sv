// SPDX-License-Identifier: Apache-2.0
// Constants of two nodes in one block RAM, a port each.

/// Each port reads a word into its register where it is enabled; nothing is written. The words of
/// one node lie behind those of the other, and both are as wide as the wider of them.
module shared_rom #(
  parameter int unsigned Width        = 18, // bits of a word
  parameter int unsigned Depth        = 64, // words of both nodes
  parameter int unsigned AddressWidth = 6,  // bits of an address
  parameter              InitFile     = ""  // $readmemh image
) (
  input  logic                    clk_i,

  input  logic                    a_enable_i,
  input  logic [AddressWidth-1:0] a_address_i,
  output logic [Width-1:0]        a_word_o,

  input  logic                    b_enable_i,
  input  logic [AddressWidth-1:0] b_address_i,
  output logic [Width-1:0]        b_word_o
);

  if (Depth > 2 ** AddressWidth) begin : gen_check
    $error("shared_rom: Depth %0d, expected at most %0d of AddressWidth=%0d", Depth,
           2 ** AddressWidth, AddressWidth);
  end

  (* rom_style = "block", ram_style = "block" *) logic [Width-1:0] memory [Depth];
  initial $readmemh(InitFile, memory);

  logic [Width-1:0] a_word_q, b_word_q;

  assign a_word_o = a_word_q;
  assign b_word_o = b_word_q;

  always_ff @(posedge clk_i) begin
    if (a_enable_i) a_word_q <= memory[a_address_i];
    if (b_enable_i) b_word_q <= memory[b_address_i];
  end

endmodule
