// SPDX-License-Identifier: Apache-2.0
// One lane of the requantiser: multiply, add, shift, limit.

/// y = clamp((x * factor + summand) >>> Shift, First, Last), exact for all operands. Operands have
/// registers, as have product, sum and what is compared with the limits; the limits are applied
/// behind the last ones. With Split the factor is two, each with a product of its own: the lower
/// 17 bits without sign, and those above them, added a cycle later. Latency 4 enabled cycles, 5
/// with Split.
module requant_lane #(
  parameter int unsigned InBits      = 8,  // bits of x
  parameter bit          InSigned    = 1,
  parameter int unsigned FactorBits  = 18, // bits of a factor, two's complement
  parameter int unsigned SummandBits = 24, // bits of a summand, two's complement
  parameter bit          Split       = 0,  // the factor in two parts
  parameter int unsigned Shift       = 0,  // bits that are shifted away
  parameter int          First       = 0,  // smallest code
  parameter int          Last        = 1,  // largest code
  parameter int unsigned OutBits     = 1   // bits of a code
) (
  input  logic                          clk_i,
  input  logic                          enable_i,

  input  logic [InBits-1:0]             x_i,
  input  logic signed [FactorBits-1:0]  factor_i,
  input  logic signed [SummandBits-1:0] summand_i,

  output logic [OutBits-1:0]            out_o
);

  localparam int unsigned PartBits  = 17;
  localparam int unsigned XBits     = InSigned ? InBits : InBits + 1;
  localparam int unsigned UpperBits = Split ? XBits + FactorBits - PartBits : 1;
  localparam int unsigned LowerBits = Split ? XBits + PartBits + 1 : XBits + FactorBits;
  localparam int unsigned PartSum   = (LowerBits > SummandBits ? LowerBits : SummandBits) + 1;
  localparam int unsigned Above     = Split ? PartSum - PartBits : 1;
  localparam int unsigned SumBits   = !Split ? PartSum :
                                      (UpperBits > Above ? UpperBits : Above) + 1;
  localparam int unsigned Rest      = Split ? Shift - PartBits : Shift;
  // What is left, with room for the limits.
  localparam int unsigned Left      = SumBits > Rest ? SumBits - Rest : 1;
  localparam int unsigned WideBits  = (Left > OutBits + 1 ? Left : OutBits + 1) + 1;

  if (Split && (Shift < PartBits || FactorBits <= PartBits)) begin : gen_check
    $error("requant_lane: Split with Shift %0d and FactorBits %0d, expected %0d and more", Shift,
           FactorBits, PartBits);
  end

  logic signed [XBits-1:0]       x_q;
  logic signed [FactorBits-1:0]  factor_q;
  logic signed [SummandBits-1:0] summand_q, summand1_q;
  logic signed [SumBits-1:0]     sum_q;
  logic signed [WideBits-1:0]    wide;
  logic                          below_q, above_q;
  logic [OutBits-1:0]            code_q;

  always_ff @(posedge clk_i) begin
    if (enable_i) begin
      x_q        <= XBits'(x_i); // wider only without sign
      factor_q   <= factor_i;
      summand_q  <= summand_i;
      summand1_q <= summand_q;
    end
  end

  if (Split) begin : gen_split
    logic signed [PartBits:0]              lower;
    logic signed [FactorBits-PartBits-1:0] factor1_q;
    logic signed [XBits-1:0]               x1_q;
    logic signed [LowerBits-1:0]           lower_q;
    logic signed [PartSum-1:0]             part_q;
    logic signed [UpperBits-1:0]           upper_q;

    assign lower = {1'b0, factor_q[PartBits-1:0]};

    always_ff @(posedge clk_i) begin
      if (enable_i) begin
        lower_q   <= x_q * lower;
        x1_q      <= x_q;
        factor1_q <= factor_q[FactorBits-1:PartBits];
        part_q    <= PartSum'(lower_q) + PartSum'(summand1_q);
        upper_q   <= x1_q * factor1_q;
        sum_q     <= SumBits'(upper_q) + SumBits'($signed(part_q[PartSum-1:PartBits]));
      end
    end

    logic unused;
    assign unused = &{part_q[PartBits-1:0]};
  end else begin : gen_single
    logic signed [LowerBits-1:0] product_q;

    always_ff @(posedge clk_i) begin
      if (enable_i) begin
        product_q <= x_q * factor_q;
        sum_q     <= SumBits'(product_q) + SumBits'(summand1_q);
      end
    end
  end

  assign wide = WideBits'(sum_q >>> Rest);

  always_ff @(posedge clk_i) begin
    if (enable_i) begin
      below_q <= wide < WideBits'(First);
      above_q <= wide > WideBits'(Last);
      code_q  <= wide[OutBits-1:0];
    end
  end

  assign out_o = below_q ? OutBits'(First) : above_q ? OutBits'(Last) : code_q;

endmodule
