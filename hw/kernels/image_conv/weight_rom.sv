// SPDX-License-Identifier: Apache-2.0
// A small table in LUTs.

/// data = word `address_i` of Contents, word 0 lowest, in the same cycle. The explicit LUTs hold 2
/// bits of up to 32 words each, or one of up to 64.
module weight_rom #(
  parameter int unsigned            Depth      = 4,  // words, 2 or more
  parameter int unsigned            Width      = 8,  // bits of a word
  parameter logic [Depth*Width-1:0] Contents   = '0,
  parameter bit                     Primitives = 0   // explicit LUT6_2 cells, up to 64 words
) (
  input  logic [$clog2(Depth)-1:0] address_i,
  output logic [Width-1:0]         data_o
);

  localparam int unsigned AddrBits = $clog2(Depth);

  // Column `bit_number` of the first 64 words.
  function automatic logic [63:0] column(int unsigned bit_number);
    column = '0;
    for (int unsigned i = 0; i < Depth && i < 64; i++) begin
      if (bit_number < Width) column[i] = Contents[i*Width + bit_number];
    end
  endfunction

  if (Primitives && AddrBits <= 5) begin : gen_pairs
    for (genvar i = 0; i < Width; i += 2) begin : gen_lut
      localparam logic [63:0] Low  = column(i);
      localparam logic [63:0] High = column(i + 1);
      logic [4:0] address;
      logic       high;

      assign address = 5'(address_i);
      LUT6_2 #(
        .INIT({High[31:0], Low[31:0]})
      ) u_lut (
        .I0(address[0]),
        .I1(address[1]),
        .I2(address[2]),
        .I3(address[3]),
        .I4(address[4]),
        .I5(1'b1),
        .O6(high),
        .O5(data_o[i])
      );
      if (i + 1 < Width) begin : gen_high
        assign data_o[i+1] = high;
      end else begin : gen_unused
        logic unused;
        assign unused = high;
      end
    end
  end else if (Primitives && AddrBits == 6) begin : gen_single
    for (genvar i = 0; i < Width; i++) begin : gen_lut
      logic unused;

      LUT6_2 #(
        .INIT(column(i))
      ) u_lut (
        .I0(address_i[0]),
        .I1(address_i[1]),
        .I2(address_i[2]),
        .I3(address_i[3]),
        .I4(address_i[4]),
        .I5(address_i[5]),
        .O6(data_o[i]),
        .O5(unused)
      );
    end
  end else begin : gen_plain
    for (genvar i = 0; i < Width; i++) begin : gen_bit
      logic [(1 << AddrBits)-1:0] words;

      for (genvar w = 0; w < (1 << AddrBits); w++) begin : gen_word
        if (w < Depth) begin : gen_used
          assign words[w] = Contents[w*Width + i];
        end else begin : gen_free
          assign words[w] = 1'b0;
        end
      end
      assign data_o[i] = words[address_i];
    end
  end

endmodule
