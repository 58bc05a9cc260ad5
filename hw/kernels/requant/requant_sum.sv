// SPDX-License-Identifier: Apache-2.0
// A product and a summand, by multipliers as long as a family has them.

/// sum = x * factor + summand, exact, one a cycle. Both bodies have registers at the operands, at
/// products and at sums, and take XDigits + FactorDigits + 1 enabled cycles.
///
/// The plain one multiplies digits of 17 bits, without sign but for the upper ones: multipliers of
/// most families have 18 bits, and what puts longer products together has a cycle of its own. With
/// Primitives a product is one DSP48E1, of 25 by 18 bits, and with Split two: the lower 17 bits of
/// the factor, without sign, and a cycle later those above them.
module requant_sum #(
  parameter int unsigned XBits       = 8,  // bits of x, two's complement
  parameter int unsigned FactorBits  = 18, // bits of a factor, two's complement
  parameter int unsigned SummandBits = 24, // bits of a summand, two's complement
  parameter int unsigned SumBits     = 27, // bits of the sum, room for all of it
  parameter int unsigned DigitBits   = 17, // bits of a digit
  parameter bit          Split       = 0,  // the factor in two parts
  parameter bit          Primitives  = 0   // products of 25 by 18 bits
) (
  input  logic                          clk_i,
  input  logic                          rst_ni,
  input  logic                          enable_i,

  input  logic signed [XBits-1:0]       x_i,
  input  logic signed [FactorBits-1:0]  factor_i,
  input  logic signed [SummandBits-1:0] summand_i,

  output logic signed [SumBits-1:0]     sum_o
);

  localparam int unsigned XDigits      = XBits > DigitBits + 1 ? 2 : 1;
  localparam int unsigned FactorDigits = FactorBits > DigitBits + 1 ? 2 : 1;

  if (XBits > 2 * DigitBits + 1 || FactorBits > 2 * DigitBits + 1) begin : gen_check
    $error("requant_sum: found XBits %0d and FactorBits %0d, expected at most %0d", XBits,
           FactorBits, 2 * DigitBits + 1);
  end

  logic signed [XBits-1:0]       x_q;
  logic signed [FactorBits-1:0]  factor_q;
  logic signed [SummandBits-1:0] summand_q, summand1_q;

  always_ff @(posedge clk_i) begin
    if (enable_i) begin
      x_q        <= x_i;
      factor_q   <= factor_i;
      summand_q  <= summand_i;
      summand1_q <= summand_q;
    end
  end

  if (Primitives) begin : gen_blocks
    localparam int unsigned Waits = XDigits + FactorDigits - (Split ? 3 : 2);

    logic signed [SumBits-1:0] sum [Waits+1];

    if (Split) begin : gen_split
      localparam int unsigned UpperBits = FactorBits - DigitBits;

      logic signed [DigitBits:0]         lower;
      logic signed [XBits-1:0]           x1_q;
      logic signed [UpperBits-1:0]       factor1_q;
      logic signed [XBits+DigitBits:0]   lower_q;
      logic signed [XBits+UpperBits-1:0] upper_q;
      logic signed [SumBits-1:0]         part_q, sum_q;

      assign lower = {1'b0, factor_q[DigitBits-1:0]};

      always_ff @(posedge clk_i) begin
        if (enable_i) begin
          lower_q   <= x_q * lower;
          x1_q      <= x_q;
          factor1_q <= factor_q[FactorBits-1:DigitBits];
          part_q    <= SumBits'(lower_q) + SumBits'(summand1_q);
          upper_q   <= x1_q * factor1_q;
          sum_q     <= part_q + (SumBits'(upper_q) <<< DigitBits);
        end
      end
      assign sum[0] = sum_q;
    end else begin : gen_single
      logic signed [XBits+FactorBits-1:0] product_q;
      logic signed [SumBits-1:0]          sum_q;

      always_ff @(posedge clk_i) begin
        if (enable_i) begin
          product_q <= x_q * factor_q;
          sum_q     <= SumBits'(product_q) + SumBits'(summand1_q);
        end
      end
      assign sum[0] = sum_q;
    end

    for (genvar w = 0; w < Waits; w++) begin : gen_wait
      logic signed [SumBits-1:0] sum_q;

      // The reset keeps sums of constants from becoming shift registers in LUTs.
      always_ff @(posedge clk_i) begin
        if (!rst_ni) sum_q <= '0;
        else if (enable_i) sum_q <= sum[w];
      end
      assign sum[w+1] = sum_q;
    end
    assign sum_o = sum[Waits];
  end else begin : gen_digits
    localparam int unsigned Weights     = XDigits + FactorDigits - 1;
    localparam int unsigned ProductBits = 2 * (DigitBits + 1);

    logic signed [DigitBits:0] x_digit [XDigits];
    logic signed [DigitBits:0] factor_digit [FactorDigits];
    logic signed [SumBits-1:0] sum [Weights+1];

    for (genvar i = 0; i < XDigits; i++) begin : gen_x
      if (i == XDigits - 1) begin : gen_upper
        assign x_digit[i] = (DigitBits + 1)'(x_q >>> DigitBits * i);
      end else begin : gen_lower
        assign x_digit[i] = {1'b0, x_q[DigitBits*i+:DigitBits]};
      end
    end
    for (genvar j = 0; j < FactorDigits; j++) begin : gen_factor
      if (j == FactorDigits - 1) begin : gen_upper
        assign factor_digit[j] = (DigitBits + 1)'(factor_q >>> DigitBits * j);
      end else begin : gen_lower
        assign factor_digit[j] = {1'b0, factor_q[DigitBits*j+:DigitBits]};
      end
    end

    assign sum[0] = SumBits'(summand1_q);

    for (genvar k = 0; k < Weights; k++) begin : gen_weight
      // Digits of x and of the factor whose product has this weight, and whether others do, too.
      localparam int unsigned OfX      = k < XDigits ? k : XDigits - 1;
      localparam int unsigned OfFactor = k - OfX;
      localparam bit          Other    = OfX > 0 && OfFactor + 1 < FactorDigits;

      logic signed [ProductBits-1:0] product_q, other;
      logic signed [ProductBits:0]   held [k+1]; // waits for the sum of what has less weight
      logic signed [SumBits-1:0]     sum_q;

      always_ff @(posedge clk_i) begin
        if (enable_i) begin
          product_q <= x_digit[OfX] * factor_digit[OfFactor];
          sum_q     <= sum[k] + (SumBits'(held[k]) <<< DigitBits * k);
        end
      end

      if (Other) begin : gen_other
        logic signed [ProductBits-1:0] other_q;

        always_ff @(posedge clk_i) begin
          if (enable_i) other_q <= x_digit[OfX-1] * factor_digit[OfFactor+1];
        end
        assign other = other_q;
      end else begin : gen_alone
        assign other = '0;
      end

      assign held[0] = (ProductBits + 1)'(product_q) + (ProductBits + 1)'(other);
      for (genvar w = 1; w <= k; w++) begin : gen_wait
        logic signed [ProductBits:0] held_q;

        always_ff @(posedge clk_i) begin
          if (enable_i) held_q <= held[w-1];
        end
        assign held[w] = held_q;
      end
      assign sum[k+1] = sum_q;
    end
    assign sum_o = sum[Weights];

    logic unused;
    assign unused = rst_ni;
  end

endmodule
