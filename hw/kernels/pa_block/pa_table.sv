// SPDX-License-Identifier: Apache-2.0
// A small constant table: with Primitives two bits of it per LUT.

/// value = word `address_i` of Table. Combinational.
module pa_table #(
  parameter int unsigned                   Address    = 3,  // bits of the address
  parameter int unsigned                   Width      = 8,  // bits of a word
  parameter logic [Width*(2**Address)-1:0] Table      = '0, // word 0 lowest
  parameter int unsigned                   Primitives = 0   // 1: LUT6_2 of the 7 series
) (
  input  logic [Address-1:0] address_i,
  output logic [Width-1:0]   value_o
);

  // O6: bit 2 * lut + 1 by I0 to I4; O5: bit 2 * lut.
  function automatic logic [63:0] lut_init(int unsigned lut);
    for (int unsigned i = 0; i < 64; i++) lut_init[i] = table_bit(i % 32, 2 * lut + i / 32);
  endfunction

  function automatic logic table_bit(int unsigned address, int unsigned index);
    if (index >= Width) return 1'b0; // no partner for the last bit
    return Table[(address%(2**Address))*Width+index];
  endfunction

  if (Primitives == 0 || Address > 5) begin : gen_plain
    // No multiplexer with constants, of which Yosys would make resets of the registers behind:
    // these keep them out of a multiplier.
    always_comb begin
      value_o = '0;
      for (int unsigned a = 0; a < 2 ** Address; a++) begin
        value_o |= {Width{address_i == Address'(a)}} & Table[a*Width+:Width];
      end
    end
  end else begin : gen_luts
    localparam int unsigned Luts = (Width + 1) / 2;

    logic [4:0]        address;
    logic [2*Luts-1:0] bits;

    assign address = 5'(address_i);
    for (genvar b = 0; b < Luts; b++) begin : gen_lut
      LUT6_2 #(
        .INIT(lut_init(b))
      ) u_lut (
        .I0(address[0]),
        .I1(address[1]),
        .I2(address[2]),
        .I3(address[3]),
        .I4(address[4]),
        .I5(1'b1),
        .O6(bits[2*b+1]),
        .O5(bits[2*b])
      );
    end
    assign value_o = bits[Width-1:0];

    logic unused;
    assign unused = &bits;
  end

endmodule
