// SPDX-License-Identifier: Apache-2.0
// Memories of every kind that Yosys puts into block RAM: `test_xc7_cells.py`.

/// Each read and written with the low bits of `a_i` and `b_i`.
module memories_bench (
  input  logic        clk_i,
  input  logic        rst_i,
  input  logic        en_i,
  input  logic [3:0]  we_i,
  input  logic [13:0] a_i,
  input  logic [13:0] b_i,
  input  logic [63:0] data_i,
  output logic [63:0] wide_o,    // 72 bits a word, read while it is written
  output logic [31:0] half_o,    // 36 bits a word
  output logic [35:0] bytes_o,   // four bytes that are written apart
  output logic        bit_o,     // one bit a word, which holds while it is written
  output logic [8:0]  through_o, // what is written shows
  output logic [17:0] rom_o,     // contents, and a word after reset
  output logic [17:0] first_o,   // two ports that read and write
  output logic [17:0] second_o
);
  (* ram_style = "block" *) logic [63:0] wide    [512];
  (* ram_style = "block" *) logic [31:0] half    [512];
  (* ram_style = "block" *) logic [35:0] parts   [1024];
  (* ram_style = "block" *) logic        one     [16384];
  (* ram_style = "block" *) logic [8:0]  through [2048];
  (* rom_style = "block" *) logic [17:0] rom     [1024];
  (* ram_style = "block" *) logic [17:0] both    [1024];
  initial $readmemh("rom.mem", rom);

  always_ff @(posedge clk_i) begin
    if (we_i[0]) wide[a_i[8:0]] <= data_i;
    if (en_i) wide_o <= wide[b_i[8:0]];
  end
  always_ff @(posedge clk_i) begin
    if (we_i[1]) half[a_i[8:0]] <= data_i[31:0];
    half_o <= half[b_i[8:0]];
  end
  always_ff @(posedge clk_i) begin
    for (int b = 0; b < 4; b++) if (we_i[b]) parts[a_i[9:0]][9*b+:9] <= data_i[9*b+:9];
    if (en_i) bytes_o <= parts[b_i[9:0]];
  end
  always_ff @(posedge clk_i) begin
    if (we_i[2]) one[a_i] <= data_i[0];
    else bit_o <= one[a_i];
  end
  always_ff @(posedge clk_i) begin
    if (en_i && we_i[3]) through[a_i[10:0]] <= data_i[8:0];
    if (en_i) through_o <= we_i[3] ? data_i[8:0] : through[a_i[10:0]];
  end
  always_ff @(posedge clk_i) begin
    if (en_i) rom_o <= rst_i ? 18'h2C35A : rom[a_i[9:0]];
  end
  always_ff @(posedge clk_i) begin
    if (we_i[0]) both[a_i[9:0]] <= data_i[17:0];
    if (we_i[1] && a_i[9:0] != b_i[9:0]) both[b_i[9:0]] <= data_i[35:18];
    first_o  <= both[a_i[9:0]];
    second_o <= both[b_i[9:0]];
  end
endmodule
