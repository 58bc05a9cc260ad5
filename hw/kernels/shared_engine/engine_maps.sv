// SPDX-License-Identifier: Apache-2.0
// Two buffers for feature maps: the engine works on one while the other is exchanged.

/// Buffer `work_i` has the engine's ports while `running_i`; the other one is written by the input.
/// Words that leave are read wherever the engine is not. Words come three cycles after their address
/// (`out_data_o` two: its reader waits and takes it into a register of its own).
module engine_maps #(
  parameter int unsigned Width    = 8,  // bits of a word
  parameter int unsigned Depth    = 64, // words of a frame
  parameter bit          BlockRam = 1,  // in block RAM, otherwise in LUTs
  localparam int unsigned AddressWidth = $clog2(Depth)
) (
  input  logic                    clk_i,

  input  logic                    running_i,
  input  logic                    work_i,

  input  logic                    write_i,
  input  logic [AddressWidth-1:0] write_address_i,
  input  logic [Width-1:0]        write_data_i,
  input  logic [AddressWidth-1:0] read_address_i,
  output logic [Width-1:0]        read_data_o,

  input  logic                    in_write_i,
  input  logic [AddressWidth-1:0] in_address_i,
  input  logic [Width-1:0]        in_data_i,
  input  logic                    out_buffer_i,
  input  logic [AddressWidth-1:0] out_address_i,
  output logic [Width-1:0]        out_data_o
);

  logic [Width-1:0] word [2];
  logic [Width-1:0] read_data_q;

  for (genvar i = 0; i < 2; i++) begin : gen_buffer
    logic                    mine;
    logic [AddressWidth-1:0] address, read_address;
    logic [Width-1:0]        read_word;

    assign mine    = work_i == (i == 1);
    assign address = (mine && running_i) ? read_address_i : out_address_i;

    // One more register: behind block RAM, whose word comes late, in front of many LUTs.
    if (BlockRam) begin : gen_behind
      logic [Width-1:0] word_q;

      assign read_address = address;
      assign word[i]      = word_q;

      always_ff @(posedge clk_i) begin
        word_q <= read_word;
      end
    end else begin : gen_before
      logic [AddressWidth-1:0] address_q;

      assign read_address = address_q;
      assign word[i]      = read_word;

      always_ff @(posedge clk_i) begin
        address_q <= address;
      end
    end

    line_memory #(
      .Width(Width),
      .Depth(Depth),
      .BlockRam(BlockRam)
    ) u_memory (
      .clk_i,
      .write_i(mine ? write_i : in_write_i),
      .write_address_i(mine ? write_address_i : in_address_i),
      .write_data_i(mine ? write_data_i : in_data_i),
      .read_i(1'b1),
      .read_address_i(read_address),
      .read_data_o(read_word)
    );
  end

  assign read_data_o = read_data_q;
  assign out_data_o  = word[out_buffer_i];

  always_ff @(posedge clk_i) begin
    read_data_q <= word[work_i];
  end

endmodule
