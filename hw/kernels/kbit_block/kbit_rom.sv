// SPDX-License-Identifier: Apache-2.0
// Weights of a k-bit block, one word per step, read through two registers.

/// The memory runs on without an enable: two cycles after a step, its word is at the output.
module kbit_rom #(
  parameter int unsigned Depth    = 8, // words: steps of an output pixel
  parameter int unsigned Width    = 4, // bits of a word
  parameter bit          BlockRom = 1, // in block RAM, otherwise in LUTs
  parameter              InitFile = "" // $readmemh image
) (
  input  logic             clk_i,
  input  logic             rst_ni,

  input  logic             step_i,    // on to the next word
  input  logic             restart_i, // back to the first one
  output logic [Width-1:0] word_o
);

  localparam int unsigned AddressWidth = (Depth > 1) ? $clog2(Depth) : 1;

  logic [AddressWidth-1:0] address_q;
  logic [Width-1:0]        word, word2_q;

  assign word_o = word2_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) address_q <= '0;
    else if (step_i) address_q <= restart_i ? '0 : address_q + 1'b1;
  end

  always_ff @(posedge clk_i) begin
    word2_q <= word;
  end

  if (BlockRom) begin : gen_block
    (* rom_style = "block", ram_style = "block" *) logic [Width-1:0] memory [Depth];
    initial $readmemh(InitFile, memory);

    logic [Width-1:0] word_q;

    assign word = word_q;

    always_ff @(posedge clk_i) begin
      word_q <= memory[address_q];
    end
  end else begin : gen_logic
    logic [Width-1:0] whole;

    deep_rom #(
      .Width(Width),
      .Depth(Depth),
      .File(InitFile)
    ) u_memory (
      .clk_i,
      .read_i(1'b1),
      .address_i(address_q),
      .word_o(whole)
    );

    if (Width <= 64) begin : gen_one
      assign word = whole;
    end else begin : gen_two
      // Half of a wide word has an address of its own, inverted lest a tool makes one of both.
      localparam int unsigned Half = Width / 2;

      logic [AddressWidth-1:0] inverse_q;
      logic [Width-1:0]        other;
      logic                    unused;

      assign word   = {other[Width-1:Half], whole[Half-1:0]};
      assign unused = &{other[Half-1:0], whole[Width-1:Half]};

      always_ff @(posedge clk_i) begin
        if (!rst_ni) inverse_q <= '1;
        else if (step_i) inverse_q <= restart_i ? '1 : inverse_q - 1'b1;
      end

      deep_rom #(
        .Width(Width),
        .Depth(Depth),
        .File(InitFile)
      ) u_memory (
        .clk_i,
        .read_i(1'b1),
        .address_i(~inverse_q),
        .word_o(other)
      );
    end
  end

endmodule
