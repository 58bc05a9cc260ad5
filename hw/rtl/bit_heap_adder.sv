// SPDX-License-Identifier: Apache-2.0
// Three-operand adder on one carry chain, one LUT per bit.

/// sum = a + b + c modulo 2**Width. The LUT of a place gives the parity of its three bits and the
/// majority of the place below to the carry chain, and its own majority to the place above; that
/// takes the output pin which an unregistered sum would need: register `sum_o`.
module bit_heap_adder #(
  parameter int unsigned Width = 8 // bits of operands and sum
) (
  input  logic [Width-1:0] a_i,
  input  logic [Width-1:0] b_i,
  input  logic [Width-1:0] c_i,
  output logic [Width-1:0] sum_o
);

  localparam int unsigned Slices = (Width + 3) / 4;

  logic [4*Slices-1:0] propagate, generated, sum;
  logic [4*Slices:0]   carry;
  logic [Width:0]      majority; // of the place below

  assign majority[0] = 1'b0;
  assign carry[0]    = 1'b0;

  for (genvar i = 0; i < 4 * Slices; i++) begin : gen_place
    if (i < Width) begin : gen_lut
      LUT6_2 #(
        .INIT(64'h69966996_E8E8E8E8) // O6: parity of I0 to I3; O5: majority of I0, I1, I2
      ) u_lut (
        .I0(a_i[i]),
        .I1(b_i[i]),
        .I2(c_i[i]),
        .I3(majority[i]),
        .I4(1'b0),
        .I5(1'b1),
        .O6(propagate[i]),
        .O5(majority[i+1])
      );
      assign generated[i] = majority[i];
    end else begin : gen_none
      assign propagate[i] = 1'b0;
      assign generated[i] = 1'b0;
    end
  end

  for (genvar s = 0; s < Slices; s++) begin : gen_slice
    CARRY4 u_carry (
      .CI(carry[4*s]),
      .CYINIT(1'b0),
      .S(propagate[4*s+:4]),
      .DI(generated[4*s+:4]),
      .O(sum[4*s+:4]),
      .CO(carry[4*s+1+:4])
    );
  end

  assign sum_o = sum[Width-1:0];

  logic unused;
  assign unused = &{carry, sum, majority};

endmodule
