// SPDX-License-Identifier: Apache-2.0
// Embedded memory as an endless stream, in banks of block RAM that are as deep as one block.

/// As `rom_stream` in block RAM: words 0 .. Depth-1 in order, for ever, one per cycle. A line of
/// the memory holds one word of every bank: word `i` of bank `b` is word b * Bank + i, its bit k
/// is bit k * Banks + b of line `i`, so that the bits one of which is selected lie in one block. A
/// line has a second register, in which it stands early in a cycle; the selection lies behind it
/// and in front of the output's register, as many blocks lie far apart.
module banked_stream #(
  parameter int unsigned Width    = 8,    // bits of a word
  parameter int unsigned Depth    = 4096, // words, more than a bank has
  parameter int unsigned Bank     = 2048, // words of a bank, a power of two: lines of the memory
  parameter              InitFile = ""    // memory image ($readmemh), one line of words per line
) (
  input  logic             clk_i,
  input  logic             rst_ni,

  output logic             out_valid_o,
  input  logic             out_ready_i,
  output logic [Width-1:0] out_data_o
);

  localparam int unsigned Banks     = (Depth + Bank - 1) / Bank;
  localparam int unsigned BankWidth = (Banks > 1) ? $clog2(Banks) : 1;
  localparam int unsigned AddrWidth = $clog2(Depth);
  localparam int unsigned LineWidth = $clog2(Bank);

  if (Bank < 2 || 2 ** $clog2(Bank) != Bank || Banks < 2) begin : gen_check
    $error("banked_stream: found Bank=%0d of Depth=%0d, expected a power of two below it", Bank,
           Depth);
  end

  (* rom_style = "block", ram_style = "block" *) logic [Banks*Width-1:0] memory [Bank];
  initial $readmemh(InitFile, memory);

  logic [AddrWidth-1:0]   addr_q;
  logic [Banks*Width-1:0] line_q, line2_q;
  logic [BankWidth-1:0]   bank_q, bank2_q; // which word of the line counts
  logic [Width-1:0]       chosen, data_q;
  logic                   valid_q, there_q, read_q, advance;

  assign advance     = !valid_q || out_ready_i;
  assign out_valid_o = valid_q;
  assign out_data_o  = data_q;

  for (genvar k = 0; k < Width; k++) begin : gen_bit
    logic [Banks-1:0] of_banks;

    assign of_banks  = line2_q[k*Banks+:Banks];
    assign chosen[k] = of_banks[bank2_q];
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      read_q  <= 1'b0;
      there_q <= 1'b0;
      valid_q <= 1'b0;
    end else begin
      read_q  <= 1'b1;
      there_q <= read_q;
      valid_q <= there_q;
    end
  end

  always_ff @(posedge clk_i) begin
    if (advance) begin
      line_q  <= memory[addr_q[LineWidth-1:0]];
      line2_q <= line_q;
      data_q  <= chosen;
    end
  end

  always_ff @(posedge clk_i) begin
    if (advance) begin
      bank_q  <= addr_q[AddrWidth-1:LineWidth];
      bank2_q <= bank_q;
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) addr_q <= '0;
    else if (advance) addr_q <= (addr_q == AddrWidth'(Depth - 1)) ? '0 : addr_q + 1'b1;
  end

endmodule
