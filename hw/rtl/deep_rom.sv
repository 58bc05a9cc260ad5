// SPDX-License-Identifier: Apache-2.0
// Constants in LUTs for many words: parts that are read side by side, one of them selected behind.

/// A cycle after `read_i` the word of its address is at the output, and stays until the next one.
/// Above 64 words it comes late in a cycle, as that of `deep_memory`: parts hold 64 words, and what
/// selects among them lies behind their registers. The reader puts a register there.
module deep_rom #(
  parameter int unsigned  Width        = 8,  // bits of a word
  parameter int unsigned  Depth        = 64, // words
  parameter               File         = "", // $readmemh image
  localparam int unsigned AddressWidth = (Depth > 1) ? $clog2(Depth) : 1
) (
  input  logic                    clk_i,
  input  logic                    read_i,
  input  logic [AddressWidth-1:0] address_i,
  output logic [Width-1:0]        word_o
);

  localparam int unsigned PartBits = 6;
  localparam int unsigned Parts    = (Depth + 2 ** PartBits - 1) >> PartBits;

  (* rom_style = "logic", ram_style = "logic" *) logic [Width-1:0] memory [Depth];
  initial $readmemh(File, memory);

  if (Parts == 1) begin : gen_whole
    logic [Width-1:0] word_q;

    assign word_o = word_q;

    always_ff @(posedge clk_i) begin
      if (read_i) word_q <= memory[address_i];
    end
  end else begin : gen_parts
    localparam int unsigned SelectBits = AddressWidth - PartBits;

    logic [Parts*Width-1:0] words_q;
    logic [SelectBits-1:0]  part_q;

    assign word_o = words_q[part_q*Width+:Width];

    always_ff @(posedge clk_i) begin
      if (read_i) part_q <= address_i[PartBits+:SelectBits];
    end

    for (genvar p = 0; p < Parts; p++) begin : gen_part
      localparam int unsigned Left     = Depth - (p << PartBits);
      localparam int unsigned WordBits = (Left >= 2 ** PartBits) ? PartBits : $clog2(Left);

      logic [AddressWidth-1:0] place;

      // A part of few words has a short address.
      assign place = AddressWidth'(p << PartBits) |
                     (address_i & AddressWidth'((1 << WordBits) - 1));

      always_ff @(posedge clk_i) begin
        if (read_i) words_q[p*Width+:Width] <= memory[place];
      end
    end
  end

endmodule
