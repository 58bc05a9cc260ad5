// SPDX-License-Identifier: Apache-2.0
// Memory for lines of a picture: one write port, one read port whose word is registered.

/// A word written in one cycle may be read in the next one. Reading the address that is being
/// written gives the old word or the new one, so nobody may do it.
module line_memory #(
  parameter int unsigned Width    = 8, // bits of a word
  parameter int unsigned Depth    = 2, // words, 2 or more
  parameter bit          BlockRam = 0  // in block RAM, otherwise in LUTs
) (
  input  logic                     clk_i,

  input  logic                     write_i,
  input  logic [$clog2(Depth)-1:0] write_address_i,
  input  logic [Width-1:0]         write_data_i,

  input  logic                     read_i,
  input  logic [$clog2(Depth)-1:0] read_address_i,
  output logic [Width-1:0]         read_data_o
);

  if (Depth < 2) begin : gen_check
    $error("line_memory: found Depth=%0d, expected 2 or more", Depth);
  end

  logic [Width-1:0] data_q;

  assign read_data_o = data_q;

  if (BlockRam) begin : gen_block
    (* ram_style = "block", no_rw_check *) logic [Width-1:0] memory [Depth];
    always_ff @(posedge clk_i) begin
      if (write_i) memory[write_address_i] <= write_data_i;
      if (read_i) data_q <= memory[read_address_i];
    end
  end else begin : gen_distributed
    (* ram_style = "distributed" *) logic [Width-1:0] memory [Depth];
    always_ff @(posedge clk_i) begin
      if (write_i) memory[write_address_i] <= write_data_i;
      if (read_i) data_q <= memory[read_address_i];
    end
  end

endmodule
