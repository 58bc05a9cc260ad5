// SPDX-License-Identifier: Apache-2.0
// Memory in LUTs for many words: parts that are read side by side, one of them selected behind.

/// As `line_memory`, but the word comes late in a cycle, as that of a block RAM does: what selects
/// among the parts lies behind their registers. The reader puts a register there. Parts hold 64
/// words.
module deep_memory #(
  parameter int unsigned Width = 8,  // bits of a word
  parameter int unsigned Depth = 256 // words, above 64
) (
  input  logic                     clk_i,

  input  logic                     write_i,
  input  logic [$clog2(Depth)-1:0] write_address_i,
  input  logic [Width-1:0]         write_data_i,

  input  logic                     read_i,
  input  logic [$clog2(Depth)-1:0] read_address_i,
  output logic [Width-1:0]         read_data_o
);

  localparam int unsigned AddressBits = $clog2(Depth);
  localparam int unsigned PartBits    = 6;
  localparam int unsigned PartWords   = 2 ** PartBits;
  localparam int unsigned Parts       = (Depth + PartWords - 1) / PartWords;
  localparam int unsigned SelectBits  = AddressBits - PartBits;

  if (Depth <= 64) begin : gen_check
    $error("deep_memory: found Depth=%0d, expected more than 64", Depth);
  end

  logic [Width-1:0]      word [Parts];
  logic [SelectBits-1:0] part_q;

  always_ff @(posedge clk_i) begin
    if (read_i) part_q <= read_address_i[PartBits+:SelectBits];
  end
  assign read_data_o = word[part_q];

  for (genvar p = 0; p < Parts; p++) begin : gen_part
    localparam int unsigned Left     = Depth - p * PartWords;
    localparam int unsigned Words    = Left > PartWords ? PartWords : Left > 1 ? Left : 2;
    localparam int unsigned WordBits = $clog2(Words);

    line_memory #(
      .Width   (Width),
      .Depth   (Words),
      .BlockRam(0)
    ) u_memory (
      .clk_i,
      .write_i        (write_i && write_address_i[PartBits+:SelectBits] == SelectBits'(p)),
      .write_address_i(write_address_i[WordBits-1:0]),
      .write_data_i,
      .read_i,
      .read_address_i (read_address_i[WordBits-1:0]),
      .read_data_o    (word[p])
    );
  end

endmodule
