// SPDX-License-Identifier: Apache-2.0
// Line memory of a block: a ring of words that is written in order and read anywhere.

/// Two cycles after an address its word is at the output, or 0 where it lies in the border. Reads
/// run on without an enable. The writer has to keep off the words that may still be read.
module block_lines #(
  parameter int unsigned Width        = 12, // bits of a word
  parameter int unsigned AddressWidth = 6,  // bits of an address
  parameter bit          BlockRam     = 0   // in block RAM, otherwise in LUTs
) (
  input  logic                    clk_i,
  input  logic                    rst_ni,

  input  logic                    write_i,
  input  logic [Width-1:0]        write_data_i,

  input  logic [AddressWidth-1:0] read_address_i,
  input  logic                    border_i,
  output logic [Width-1:0]        read_data_o
);

  logic [AddressWidth-1:0] write_address_q;
  logic [Width-1:0]        data_q;
  logic                    border_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) write_address_q <= '0;
    else if (write_i) write_address_q <= write_address_q + 1'b1;
  end

  always_ff @(posedge clk_i) begin
    border_q <= border_i;
  end

  if (BlockRam) begin : gen_block
    (* ram_style = "block", no_rw_check *) logic [Width-1:0] memory [2**AddressWidth];
    logic [Width-1:0] word_q;
    logic             border2_q;

    // Behind the block's own output register: a word comes late out of the block.
    assign read_data_o = border2_q ? '0 : data_q;

    always_ff @(posedge clk_i) begin
      if (write_i) memory[write_address_q] <= write_data_i;
      word_q <= memory[read_address_i];
    end

    always_ff @(posedge clk_i) begin
      data_q    <= word_q;
      border2_q <= border_q;
    end
  end else begin : gen_distributed
    logic [Width-1:0] word;

    assign read_data_o = data_q;

    if (AddressWidth <= 6) begin : gen_whole
      (* ram_style = "distributed" *) logic [Width-1:0] memory [2**AddressWidth];
      logic [AddressWidth-1:0] address_q;

      assign word = memory[address_q];

      always_ff @(posedge clk_i) begin
        if (write_i) memory[write_address_q] <= write_data_i;
        address_q <= read_address_i;
      end
    end else begin : gen_deep
      deep_memory #(
        .Width(Width),
        .Depth(2 ** AddressWidth)
      ) u_memory (
        .clk_i,
        .write_i,
        .write_address_i(write_address_q),
        .write_data_i,
        .read_i(1'b1),
        .read_address_i,
        .read_data_o(word)
      );
    end

    always_ff @(posedge clk_i) begin
      if (border_q) data_q <= '0;
      else          data_q <= word;
    end
  end

endmodule
