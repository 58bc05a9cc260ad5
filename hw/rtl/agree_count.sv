// SPDX-License-Identifier: Apache-2.0
// Ones of a short vector, counted in groups of three.

/// Combinational. Three bits are two LUTs whatever they are made of; pairs of such groups are added
/// first. Meant for up to 6 bits: longer vectors are cut and added behind a register.
module agree_count #(
  parameter int unsigned Width = 12, // bits
  localparam int unsigned CountWidth = $clog2(Width + 1)
) (
  input  logic [Width-1:0]      bits_i,
  output logic [CountWidth-1:0] count_o
);

  localparam int unsigned Pairs = (Width + 5) / 6;

  logic [6*Pairs-1:0] bits;

  assign bits = (6 * Pairs)'(bits_i);

  always_comb begin
    count_o = '0;
    for (int unsigned i = 0; i < Pairs; i++) begin
      count_o = count_o + CountWidth'(3'($countones(bits[6*i+:3])) +
                                      3'($countones(bits[6*i+3+:3])));
    end
  end

endmodule
