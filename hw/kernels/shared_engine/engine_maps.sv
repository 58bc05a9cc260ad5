// SPDX-License-Identifier: Apache-2.0
// Two buffers for feature maps: the engine works on one while the other is exchanged.

/// Buffer `work_i` has the engine's ports while `running_i`; the other one is written by the input.
/// Words that leave are read wherever the engine is not. Words come three cycles after their
/// address (`out_data_o` two: its reader waits and takes it into a register of its own).
module engine_maps #(
  parameter int unsigned Width     = 8,  // bits of a word
  parameter int unsigned Depth     = 64, // words of a frame
  parameter int unsigned BankWords = 64, // of a bank, a power of two where there are several
  parameter bit          BlockRam  = 1,  // in block RAM, otherwise in LUTs
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

  // Which bank counts is chosen behind their registers. Shapes of blocks as in `banked_rom`.
  localparam int unsigned Widest    = 512;
  localparam int unsigned Least     = 1024;
  localparam int unsigned Banks     = (Depth + BankWords - 1) / BankWords;
  localparam int unsigned BankWidth = (Banks > 1) ? $clog2(Banks) : 1;

  if (Banks > 1 && 2 ** $clog2(BankWords) != BankWords) begin : gen_check
    $error("engine_maps: found BankWords=%0d of Depth=%0d, expected a power of two", BankWords,
           Depth);
  end

  logic [Width-1:0] word [2];
  logic [Width-1:0] read_data_q;

  for (genvar i = 0; i < 2; i++) begin : gen_buffer
    logic                    mine, write;
    logic [AddressWidth-1:0] read_address, write_address;
    logic [Width-1:0]        write_data;

    assign mine          = work_i == (i == 1);
    assign read_address  = (mine && running_i) ? read_address_i : out_address_i;
    assign write         = mine ? write_i : in_write_i;
    assign write_address = mine ? write_address_i : in_address_i;
    assign write_data    = mine ? write_data_i : in_data_i;

    logic [BankWidth-1:0]    bank_q, bank2_q;
    logic [Width-1:0]        words [Banks];
    logic [AddressWidth-1:0] address;

    assign word[i] = words[bank2_q];

    always_ff @(posedge clk_i) begin
      bank_q  <= (Banks > 1) ? BankWidth'(32'(read_address) / BankWords) : '0;
      bank2_q <= bank_q;
    end

    // One more register: behind block RAM, whose word comes late, in front of many LUTs.
    if (BlockRam) begin : gen_block
      assign address = read_address;
    end else begin : gen_logic
      logic [AddressWidth-1:0] address_q;

      assign address = address_q;

      always_ff @(posedge clk_i) begin
        address_q <= read_address;
      end
    end

    for (genvar b = 0; b < Banks; b++) begin : gen_bank
      localparam int unsigned Left  = Depth - BankWords * b;
      localparam int unsigned Used  = (Left > BankWords) ? BankWords : (Left < 2) ? 2 : Left;
      // The last one is as deep as a shape of a block: otherwise parts of it may be cheaper.
      localparam int unsigned Words = (!BlockRam || Depth <= Widest) ? Used :
                                      (Used > Least) ? 2 ** $clog2(Used) : Least;
      localparam int unsigned Bits  = $clog2(Words);

      logic [Width-1:0] read_data;
      logic             unused_address; // bits above those of a bank choose it

      assign unused_address = &address;

      line_memory #(
        .Width(Width),
        .Depth(Words),
        .BlockRam(BlockRam)
      ) u_memory (
        .clk_i,
        .write_i(write && (Banks == 1 || 32'(write_address) / BankWords == b)),
        .write_address_i(Bits'(write_address)),
        .write_data_i(write_data),
        .read_i(1'b1),
        .read_address_i(Bits'(address)),
        .read_data_o(read_data)
      );

      if (BlockRam) begin : gen_late
        logic [Width-1:0] word_q;

        assign words[b] = word_q;

        always_ff @(posedge clk_i) begin
          word_q <= read_data;
        end
      end else begin : gen_early
        assign words[b] = read_data;
      end
    end
  end

  assign read_data_o = read_data_q;
  assign out_data_o  = word[out_buffer_i];

  always_ff @(posedge clk_i) begin
    read_data_q <= word[work_i];
  end

endmodule
