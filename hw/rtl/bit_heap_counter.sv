// SPDX-License-Identifier: Apache-2.0
// Ones among up to seven bits: one LUT for three bits, two LUTs and a carry chain for more.

/// The chain's first place adds the parity of bits 0 to 4, bit 5 and the carry input, bit 6; its
/// second place what is left of bits 0 to 4: 0, 2 or 4. The first LUT itself makes the carry's data
/// input, so the bypass pin of the slice is free for the carry input. Sum and carry of the second
/// place can leave a slice together only if one of them is registered: register `count_o`.
module bit_heap_counter #(
  parameter int unsigned Count = 7 // bits: 3, 6 or 7
) (
  input  logic [Count-1:0] bits_i,
  output logic [2:0]       count_o
);

  // One bit per value of I4 to I0: whether its number of ones lies in first..last.
  function automatic logic [31:0] ones_within(int unsigned first, int unsigned last);
    logic [31:0] hits;
    for (int unsigned i = 0; i < 32; i++) begin
      hits[i] = $unsigned($countones(i)) >= first && $unsigned($countones(i)) <= last;
    end
    return hits;
  endfunction

  localparam logic [63:0] Pairs = {ones_within(2, 3), ones_within(4, 5)};

  if (Count == 3) begin : gen_adder
    LUT6_2 #(
      .INIT(64'h96969696_E8E8E8E8) // O6: parity of I0, I1, I2; O5: their majority
    ) u_lut (
      .I0(bits_i[0]),
      .I1(bits_i[1]),
      .I2(bits_i[2]),
      .I3(1'b0),
      .I4(1'b0),
      .I5(1'b1),
      .O6(count_o[0]),
      .O5(count_o[1])
    );
    assign count_o[2] = 1'b0;
  end else begin : gen_chain
    logic [6:0] bits;
    logic [1:0] propagate, generated;
    logic [3:0] carry, sum;

    assign bits = 7'(bits_i);

    LUT6_2 #(
      .INIT(64'h69969669_96696996) // O6: parity of I0 to I5; O5: of I0 to I4
    ) u_parity (
      .I0(bits[0]),
      .I1(bits[1]),
      .I2(bits[2]),
      .I3(bits[3]),
      .I4(bits[4]),
      .I5(bits[5]),
      .O6(propagate[0]),
      .O5(generated[0])
    );
    LUT6_2 #(
      .INIT(Pairs) // O6: 2 or 3 ones among I0 to I4; O5: 4 or 5
    ) u_pairs (
      .I0(bits[0]),
      .I1(bits[1]),
      .I2(bits[2]),
      .I3(bits[3]),
      .I4(bits[4]),
      .I5(1'b1),
      .O6(propagate[1]),
      .O5(generated[1])
    );
    CARRY4 u_carry (
      .CI(1'b0),
      .CYINIT(bits[6]),
      .S({2'b00, propagate}),
      .DI({2'b00, generated}),
      .O(sum),
      .CO(carry)
    );
    assign count_o = {carry[1], sum[1:0]};

    logic unused;
    assign unused = &{carry, sum};
  end

endmodule
