// SPDX-License-Identifier: Apache-2.0
// Constants in block RAM, in banks: each has two registers, and one of them counts.

/// Two cycles after an address its word is at the output. A bank is as deep as one block can be, so
/// that nothing that selects lies between a block and its output register: a word comes late out of
/// a block. Which bank counts is chosen behind these registers. In LUTs there is one bank. Above
/// 512 words a bank has 1,024 or more: no block is 36 bits wide there.
module banked_rom #(
  parameter int unsigned Width  = 8,  // bits of a word
  parameter int unsigned Words  = 64, // words
  parameter int unsigned Bank   = 64, // words of a bank, a power of two where there are several
  parameter bit          Block  = 1,  // in block RAM, otherwise in LUTs
  parameter              Prefix = "", // $readmemh images <Prefix>_<bank>.mem
  localparam int unsigned AddressWidth = (Words > 1) ? $clog2(Words) : 1
) (
  input  logic                    clk_i,

  input  logic [AddressWidth-1:0] address_i,
  output logic [Width-1:0]        word_o
);

  localparam int unsigned Widest    = 512;  // words of the widest shape of a block
  localparam int unsigned Least     = 1024; // of the one behind it
  localparam int unsigned Banks     = (Words + Bank - 1) / Bank;
  localparam int unsigned BankWidth = (Banks > 1) ? $clog2(Banks) : 1;

  if (Banks > 1 && 2 ** $clog2(Bank) != Bank) begin : gen_check
    $error("banked_rom: found Bank=%0d of Words=%0d, expected a power of two", Bank, Words);
  end

  logic [Width-1:0]     words [Banks];
  logic [BankWidth-1:0] bank_q, bank2_q;

  assign word_o = words[bank2_q];

  always_ff @(posedge clk_i) begin
    bank_q  <= (Banks > 1) ? BankWidth'(32'(address_i) / Bank) : '0;
    bank2_q <= bank_q;
  end

  for (genvar b = 0; b < Banks; b++) begin : gen_bank
    localparam int unsigned Left  = Words - Bank * b;
    localparam int unsigned Used  = (Left > Bank) ? Bank : Left;
    // The last one is as deep as a shape of a block too: otherwise parts of it may be cheaper.
    localparam int unsigned Depth = (!Block || Words <= Widest) ? Used :
                                    (Used > Least) ? 2 ** $clog2(Used) : Least;
    localparam int unsigned Bits  = (Depth > 1) ? $clog2(Depth) : 1;

    logic [Bits-1:0]  address;
    logic [Width-1:0] word2_q;

    assign address  = Bits'(address_i);
    assign words[b] = word2_q;

    // LUTs have the other register in front: a third one behind them would make shift registers,
    // which are slow to come out.
    if (Block) begin : gen_block
      logic [Width-1:0] word_q;
      (* rom_style = "block", ram_style = "block" *) logic [Width-1:0] memory [Depth];
      initial $readmemh($sformatf("%s_%0d.mem", Prefix, b), memory);

      always_ff @(posedge clk_i) begin
        word_q  <= memory[address];
        word2_q <= word_q;
      end
    end else begin : gen_logic
      logic [Bits-1:0] address_q;
      (* rom_style = "logic", ram_style = "logic" *) logic [Width-1:0] memory [Depth];
      initial $readmemh($sformatf("%s_%0d.mem", Prefix, b), memory);

      always_ff @(posedge clk_i) begin
        address_q <= address;
        word2_q   <= memory[address_q];
      end
    end
  end

endmodule
