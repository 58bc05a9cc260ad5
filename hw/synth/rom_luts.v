// SPDX-License-Identifier: Apache-2.0
// Yosys techmap: a read-only memory outside block RAM as one LUT per column and 64 words.

(* techmap_celltype = "$mem_v2" *)
module rom_luts (
  RD_CLK, RD_EN, RD_ARST, RD_SRST, RD_ADDR, RD_DATA, WR_CLK, WR_EN, WR_ADDR, WR_DATA
);
  parameter MEMID = "";
  parameter SIZE = 1;
  parameter OFFSET = 0;
  parameter ABITS = 1;
  parameter WIDTH = 1;
  parameter INIT = 0;
  parameter RD_PORTS = 1;
  parameter RD_CLK_ENABLE = 0;
  parameter RD_CLK_POLARITY = 0;
  parameter RD_TRANSPARENCY_MASK = 0;
  parameter RD_COLLISION_X_MASK = 0;
  parameter RD_WIDE_CONTINUATION = 0;
  parameter RD_CE_OVER_SRST = 0;
  parameter RD_ARST_VALUE = 0;
  parameter RD_SRST_VALUE = 0;
  parameter RD_INIT_VALUE = 0;
  parameter WR_PORTS = 0;
  parameter WR_CLK_ENABLE = 0;
  parameter WR_CLK_POLARITY = 0;
  parameter WR_PRIORITY_MASK = 0;
  parameter WR_WIDE_CONTINUATION = 0;

  input RD_CLK, RD_EN, RD_ARST, RD_SRST;
  input [ABITS-1:0] RD_ADDR;
  output [WIDTH-1:0] RD_DATA;
  input WR_CLK, WR_EN, WR_ADDR, WR_DATA;

  wire _TECHMAP_FAIL_ = WR_PORTS != 0 || RD_PORTS != 1 || RD_CLK_ENABLE != 0 || OFFSET != 0;

  localparam BITS = ABITS < 6 ? ABITS : 6;
  localparam WORDS = 1 << BITS;
  localparam BANKS = (SIZE + WORDS - 1) / WORDS;

  // Column `place` of the words of a bank; what lies behind the last word is 0.
  function [WORDS-1:0] column;
    input integer bank, place;
    integer i;
    begin
      column = 0;
      for (i = 0; i < WORDS; i = i + 1)
        if (bank * WORDS + i < SIZE) column[i] = INIT[(bank * WORDS + i) * WIDTH + place];
    end
  endfunction

  wire [5:0] address = RD_ADDR;

  genvar b, w;
  generate
    for (w = 0; w < WIDTH; w = w + 1) begin : gen_column
      wire [BANKS-1:0] banks;
      for (b = 0; b < BANKS; b = b + 1) begin : gen_bank
        localparam [WORDS-1:0] Column = column(b, w);
        if (Column == 0 || &Column) begin : gen_constant
          assign banks[b] = Column[0];
        end else begin : gen_lut
          LUT6 #(
            .INIT({64 / WORDS{Column}})
          ) u_lut (
            .O(banks[b]),
            .I0(address[0]),
            .I1(address[1]),
            .I2(address[2]),
            .I3(address[3]),
            .I4(address[4]),
            .I5(address[5])
          );
        end
      end
      if (BANKS == 1) begin : gen_one
        assign RD_DATA[w] = banks[0];
      end else begin : gen_several
        assign RD_DATA[w] = banks[RD_ADDR[ABITS-1:BITS]];
      end
    end
  endgenerate
endmodule
