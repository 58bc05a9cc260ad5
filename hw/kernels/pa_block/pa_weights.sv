// SPDX-License-Identifier: Apache-2.0
// Weight codes of a PA block, read through two registers.

/// Two cycles after a step its word is at the output; reads run on without an enable. A single word
/// is a constant.
module pa_weights #(
  parameter int unsigned Steps    = 8,  // words: steps of an output pixel
  parameter int unsigned Width    = 12, // bits of a word
  parameter bit          BlockRom = 1,  // in block RAM, otherwise in LUTs
  parameter              File     = ""  // $readmemh image
) (
  input  logic             clk_i,
  input  logic             rst_ni,

  input  logic             step_i, // on to the next word
  output logic [Width-1:0] weights_o
);

  if (Steps == 1) begin : gen_constant
    logic [Width-1:0] memory [Steps];
    initial $readmemh(File, memory);

    assign weights_o = memory[0];

    logic unused;
    assign unused = &{clk_i, rst_ni, step_i, BlockRom};
  end else begin : gen_memory
    localparam int unsigned AddressWidth = $clog2(Steps);

    logic [AddressWidth-1:0] address;
    logic [Width-1:0]        word2_q;
    logic                    unused_last;

    assign weights_o = word2_q;

    loop_counter #(
      .Count(Steps)
    ) u_address (
      .clk_i,
      .rst_ni,
      .advance_i(step_i),
      .count_o(address),
      .last_o(unused_last)
    );

    if (BlockRom) begin : gen_block
      (* rom_style = "block", ram_style = "block" *) logic [Width-1:0] memory [Steps];
      initial $readmemh(File, memory);

      logic [Width-1:0] word_q;

      // Without a reset it is the block's own register.
      always_ff @(posedge clk_i) begin
        word_q  <= memory[address];
        word2_q <= word_q;
      end
    end else begin : gen_logic
      logic [Width-1:0] word;

      deep_rom #(
        .Width(Width),
        .Depth(Steps),
        .File(File)
      ) u_memory (
        .clk_i,
        .read_i(1'b1),
        .address_i(address),
        .word_o(word)
      );

      // The reset keeps it from becoming part of a shift register in LUTs.
      always_ff @(posedge clk_i) begin
        if (!rst_ni) word2_q <= '0;
        else         word2_q <= word;
      end
    end
  end

endmodule
