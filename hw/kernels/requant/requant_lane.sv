// SPDX-License-Identifier: Apache-2.0
// One lane of the requantiser: multiply, add, shift, limit.

/// y = clamp((x * factor + summand) >>> Shift, First, Last), exact for all operands. `requant_sum`
/// multiplies and adds; what is compared with the limits has registers, and the limits are applied
/// behind those. One enabled cycle more than `requant_sum` has.
module requant_lane #(
  parameter int unsigned InBits      = 8,  // bits of x
  parameter bit          InSigned    = 1,
  parameter int unsigned FactorBits  = 18, // bits of a factor, two's complement
  parameter int unsigned SummandBits = 24, // bits of a summand, two's complement
  parameter bit          Split       = 0,  // the factor in two parts; see requant_sum
  parameter int unsigned Shift       = 0,  // bits that are shifted away
  parameter int          First       = 0,  // smallest code
  parameter int          Last        = 1,  // largest code
  parameter int unsigned OutBits     = 1,  // bits of a code
  parameter bit          Primitives  = 0   // see requant_sum
) (
  input  logic                          clk_i,
  input  logic                          rst_ni,
  input  logic                          enable_i,

  input  logic [InBits-1:0]             x_i,
  input  logic signed [FactorBits-1:0]  factor_i,
  input  logic signed [SummandBits-1:0] summand_i,

  output logic [OutBits-1:0]            out_o
);

  localparam int unsigned XBits    = InSigned ? InBits : InBits + 1;
  localparam int unsigned Product  = XBits + FactorBits;
  localparam int unsigned SumBits  = (Product > SummandBits ? Product : SummandBits) + 1;
  // What is left, with room for the limits.
  localparam int unsigned Left     = SumBits > Shift ? SumBits - Shift : 1;
  localparam int unsigned WideBits = (Left > OutBits + 1 ? Left : OutBits + 1) + 1;

  logic signed [SumBits-1:0]  sum;
  logic signed [WideBits-1:0] wide;
  logic                       below_q, above_q;
  logic [OutBits-1:0]         code_q;

  requant_sum #(
    .XBits      (XBits),
    .FactorBits (FactorBits),
    .SummandBits(SummandBits),
    .SumBits    (SumBits),
    .Split      (Split),
    .Primitives (Primitives)
  ) u_sum (
    .clk_i,
    .rst_ni,
    .enable_i,
    .x_i  (XBits'(x_i)), // wider only without sign
    .factor_i,
    .summand_i,
    .sum_o(sum)
  );

  assign wide = WideBits'(sum >>> Shift);

  always_ff @(posedge clk_i) begin
    if (enable_i) begin
      below_q <= wide < WideBits'(First);
      above_q <= wide > WideBits'(Last);
      code_q  <= wide[OutBits-1:0];
    end
  end

  assign out_o = below_q ? OutBits'(First) : above_q ? OutBits'(Last) : code_q;

endmodule
