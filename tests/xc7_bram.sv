// SPDX-License-Identifier: Apache-2.0
// A block RAM of the 7 series, as simulation of a netlist sees it (AMD UG473).

/// Two ports, A (0) and B (1), over bytes of nine bits, as Yosys' memory_libmap uses them.
///
/// Ports of 1, 2 and 4 bits use eight of each nine. A port reads what was there before the edge.
/// Where the other one, on the same clock, writes it at that edge and is not READ_FIRST, the device
/// promises nothing: the bits come inverted, so that nobody relies on them.
module xc7_bram #(
  parameter int                 Bytes       = 2048,
  parameter logic [8*Bytes-1:0] Init        = (8 * Bytes)'(0),
  parameter logic [Bytes-1:0]   InitParity  = '0,
  parameter int                 ReadWidthA  = 0,  // bits: 0, 1, 2, 4, 9, 18, 36 or 72
  parameter int                 ReadWidthB  = 0,
  parameter int                 WriteWidthA = 0,
  parameter int                 WriteWidthB = 0,
  parameter logic [87:0]        ModeA       = "WRITE_FIRST",
  parameter logic [87:0]        ModeB       = "WRITE_FIRST",
  parameter logic [71:0]        StartA      = '0, // of the output: parities above the data
  parameter logic [71:0]        StartB      = '0,
  parameter logic [71:0]        ResetA      = '0,
  parameter logic [71:0]        ResetB      = '0
) (
  input  logic [1:0]       clk_i,
  input  logic [1:0]       en_i,
  input  logic [1:0]       rst_i,  // of the output, where the port is on
  input  logic [1:0][15:0] addr_i, // of a bit
  input  logic [1:0][7:0]  we_i,
  input  logic [1:0][71:0] data_i,
  output logic [1:0][71:0] data_o
);
  localparam int AddrWidth = $clog2(Bytes);

  logic [8:0] memory [Bytes];
  initial for (int b = 0; b < Bytes; b++) memory[b] = {InitParity[b], Init[8*b+:8]};

  // What each port writes at the next edge.
  logic [1:0][7:0][AddrWidth-1:0] byte_w;
  logic [1:0][7:0][8:0] mask_w, bits_w;

  for (genvar p = 0; p < 2; p++) begin : gen_port
    localparam int Rd         = p == 0 ? ReadWidthA : ReadWidthB;
    localparam int Wr         = p == 0 ? WriteWidthA : WriteWidthB;
    localparam int RdBytes    = Rd == 0 ? 0 : Rd < 9 ? 1 : Rd / 9;
    localparam int WrBytes    = Wr == 0 ? 0 : Wr < 9 ? 1 : Wr / 9;
    localparam logic [87:0] Mode  = p == 0 ? ModeA : ModeB;
    localparam logic [87:0] Other = p == 0 ? ModeB : ModeA;
    localparam bit ReadFirst  = Mode == 88'("READ_FIRST");
    localparam bit WriteFirst = Mode == 88'("WRITE_FIRST");
    localparam bit OtherReads = Other == 88'("READ_FIRST");

    if (!(Rd inside {0, 1, 2, 4, 9, 18, 36, 72} && Wr inside {0, 1, 2, 4, 9, 18, 36, 72})) begin
      : gen_width
      $error("xc7_bram: port %0d reads %0d bits and writes %0d, expected 0, 1, 2, 4, 9, 18, 36, 72",
             p, Rd, Wr);
    end
    if (!(ReadFirst || WriteFirst || Mode == 88'("NO_CHANGE"))) begin : gen_mode
      $error("xc7_bram: port %0d, found write mode %s, expected READ_FIRST, WRITE_FIRST, NO_CHANGE",
             p, Mode);
    end
    if (WriteFirst && Rd != 0 && Wr != 0 && Rd != Wr) begin : gen_mixed
      $error("xc7_bram: port %0d, WRITE_FIRST, reads %0d bits and writes %0d, expected as many",
             p, Rd, Wr);
    end

    function automatic logic [71:0] word(input logic [71:0] value);
      word = '0;
      for (int b = 0; b < RdBytes; b++) begin
        word[9*b+:8] = value[8*b+:8];
        if (Rd >= 9) word[9*b+8] = value[8*RdBytes+b];
      end
    endfunction

    function automatic logic [2:0] shift(input int width);
      return width < 9 ? addr_i[p][2:0] & ~3'(width - 1) : '0;
    endfunction

    function automatic logic [AddrWidth-1:0] place(input int bytes, input logic [2:0] b);
      return (addr_i[p][3+:AddrWidth] & ~AddrWidth'(bytes - 1)) | AddrWidth'(b);
    endfunction

    function automatic logic [8:0] bits(input int width);
      return width < 9 ? 9'((1 << width) - 1) : '1;
    endfunction

    always_comb begin
      for (int b = 0; b < 8; b++) begin
        byte_w[p][b] = place(WrBytes, 3'(b));
        mask_w[p][b] = b < WrBytes && en_i[p] && we_i[p][b] ? bits(Wr) << shift(Wr) : '0;
        bits_w[p][b] = (data_i[p][9*b+:9] << shift(Wr)) & mask_w[p][b];
      end
    end

    logic [71:0] old, fresh;
    always_comb begin
      old   = '0;
      fresh = '0;
      for (int b = 0; b < RdBytes; b++) begin
        logic [8:0] found;
        found = memory[place(RdBytes, 3'(b))];
        for (int c = 0; c < 8; c++) begin
          if (!OtherReads && byte_w[1-p][c] == place(RdBytes, 3'(b))) found ^= mask_w[1-p][c];
        end
        old[9*b+:9]   = (found >> shift(Rd)) & bits(Rd);
        fresh[9*b+:9] = (((found & ~mask_w[p][b]) | bits_w[p][b]) >> shift(Rd)) & bits(Rd);
      end
    end

    logic [71:0] out_q;
    initial out_q = word(p == 0 ? StartA : StartB);
    always @(posedge clk_i[p]) begin
      if (en_i[p]) begin
        if (rst_i[p]) out_q <= word(p == 0 ? ResetA : ResetB);
        else if (mask_w[p] == '0 || ReadFirst) out_q <= old;
        else if (WriteFirst) out_q <= fresh;
      end
      for (int b = 0; b < WrBytes; b++) begin
        for (int k = 0; k < 9; k++) begin
          if (mask_w[p][b][k]) memory[byte_w[p][b]][k] <= bits_w[p][b][k];
        end
      end
    end
    assign data_o[p] = out_q;
  end
endmodule
