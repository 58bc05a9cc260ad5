// SPDX-License-Identifier: Apache-2.0
// Gates and the first level of a bit heap in one: two pairs of bits per 7-series LUT.

/// Gates Pairs pairs of bits and adds the results two at a time along chains of full adders, each
/// one LUT with its gates inside. What remains are the sums of the chains (weight 1) and the
/// carries of the adders (weight 2): the gated bits hold as many ones as `sums_o` plus twice those
/// in `carries_o`, one enabled cycle later.
module bit_heap_gates #(
  parameter int unsigned Pairs       = 8, // pairs of bits
  parameter int unsigned Gate        = 1, // 1: and, 2: xnor, 3: nand
  parameter int unsigned ChainLength = 5, // LUTs in a row
  localparam int unsigned Adders = (Pairs + 1) / 2,
  localparam int unsigned Chains = (Adders + ChainLength - 1) / ChainLength
) (
  input  logic              clk_i,
  input  logic              rst_ni,
  input  logic              enable_i,
  input  logic [Pairs-1:0]  a_i,
  input  logic [Pairs-1:0]  b_i,
  output logic [Chains-1:0] sums_o,
  output logic [Adders-1:0] carries_o
);

  if (Gate < 1 || Gate > 3) begin : gen_check_gate
    $error("bit_heap_gates: Gate %0d is not 1 (and), 2 (xnor) or 3 (nand)", Gate);
  end

  // Four bits: the gate's result for {b, a}.
  localparam logic [3:0] Gated = (Gate == 1) ? 4'b1000 : (Gate == 2) ? 4'b1001 : 4'b0111;

  // O6: sum, O5: carry of gate(I0, I1) + gate(I2, I3) + I4.
  function automatic logic [63:0] adder_tables();
    logic [63:0] init;
    logic [4:0]  address;
    for (int unsigned i = 0; i < 32; i++) begin
      address = 5'(i);
      {init[i], init[32+i]} =
          2'(Gated[address[1:0]]) + 2'(Gated[address[3:2]]) + 2'(address[4]);
    end
    return init;
  endfunction

  localparam logic [63:0] Tables = adder_tables();

  logic [2*Adders-1:0] a, b;
  logic [Chains-1:0]   sums_d, sums_q;
  logic [Adders-1:0]   carries_d, carries_q;

  assign a[Pairs-1:0] = a_i;
  assign b[Pairs-1:0] = b_i;
  if (Pairs % 2 != 0) begin : gen_no_partner
    assign a[Pairs] = Gate == 3; // a pair whose gate gives 0
    assign b[Pairs] = Gate != 1;
  end

  for (genvar n = 0; n < Chains; n++) begin : gen_chain
    localparam int unsigned First = n * ChainLength;
    localparam int unsigned Count = (Adders - First < ChainLength) ? Adders - First : ChainLength;

    logic [Count:0] running;

    assign running[0] = 1'b0;
    for (genvar i = 0; i < Count; i++) begin : gen_adder
      LUT6_2 #(
        .INIT(Tables)
      ) u_lut (
        .I0(a[2*(First+i)]),
        .I1(b[2*(First+i)]),
        .I2(a[2*(First+i)+1]),
        .I3(b[2*(First+i)+1]),
        .I4(running[i]),
        .I5(1'b1),
        .O6(running[i+1]),
        .O5(carries_d[First+i])
      );
    end
    assign sums_d[n] = running[Count];
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      sums_q    <= '0;
      carries_q <= '0;
    end else if (enable_i) begin
      sums_q    <= sums_d;
      carries_q <= carries_d;
    end
  end

  assign sums_o    = sums_q;
  assign carries_o = carries_q;

endmodule
