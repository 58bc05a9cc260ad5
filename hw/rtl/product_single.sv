// SPDX-License-Identifier: Apache-2.0
// A product of an input and a weight, between registers.

/// product_o = input * weight, exact, four enabled cycles behind its factors: their way to a
/// multiplier, that through it and that from it to the adders each have a cycle of their own.
/// Where the shorter factor has four bits, or three beside a long one, too few for a DSP block, its
/// lower two bits and the others have products of their own, which the last of these cycles adds.
module product_single #(
  parameter int unsigned InWidth     = 8, // bits of the input
  parameter bit          InSigned    = 0, // the input is two's complement
  parameter int unsigned WeightWidth = 8  // bits of a weight, two's complement
) (
  input  logic                           clk_i,
  input  logic                           enable_i,
  input  logic [InWidth-1:0]             data_i,
  input  logic [WeightWidth-1:0]         weight_i,
  output logic [InWidth+WeightWidth-1:0] product_o
);

  localparam int unsigned Width = InWidth + WeightWidth; // enough for signed and unsigned
  localparam int unsigned Short = (WeightWidth <= InWidth) ? WeightWidth : InWidth;

  logic [InWidth-1:0]      data_q, near_data_q;
  logic [WeightWidth-1:0]  weight_q, near_weight_q;
  logic signed [Width-1:0] operand, product_q;

  if (InSigned) begin : gen_signed
    assign operand = Width'($signed(near_data_q));
  end else begin : gen_unsigned
    assign operand = Width'(near_data_q);
  end

  always_ff @(posedge clk_i) begin
    if (enable_i) begin
      data_q        <= data_i;
      weight_q      <= weight_i;
      near_data_q   <= data_q;
      near_weight_q <= weight_q;
    end
  end

  if (Short == 4 || (Short == 3 && Width > 7)) begin : gen_parts
    localparam int unsigned UpperWidth = Width - 2;
    localparam int unsigned LowerWidth = Width - Short + 2;
    localparam bit          OfWeight   = Short == WeightWidth;

    logic [1:0]                   lower;
    logic signed [UpperWidth-1:0] upper, upper_q;
    logic signed [Width-1:0]      other, lower_product;
    logic signed [LowerWidth-1:0] lower_q;

    if (OfWeight) begin : gen_weight
      assign lower = near_weight_q[1:0];
      assign upper = UpperWidth'($signed(near_weight_q[WeightWidth-1:2]));
      assign other = operand;
    end else begin : gen_data
      assign lower = near_data_q[1:0];
      assign upper = UpperWidth'(operand >>> 2);
      assign other = Width'($signed(near_weight_q));
    end

    always_ff @(posedge clk_i) begin
      if (enable_i) begin
        lower_q   <= LowerWidth'(other * $signed(Width'(lower)));
        upper_q   <= UpperWidth'(other) * upper;
        product_q <= lower_product + $signed({upper_q, 2'b00});
      end
    end

    if (OfWeight && !InSigned) begin : gen_zeros
      assign lower_product = {{Width-LowerWidth{1'b0}}, lower_q};
    end else begin : gen_signs
      assign lower_product = {{Width-LowerWidth{lower_q[LowerWidth-1]}}, lower_q};
    end
  end else begin : gen_whole
    logic signed [Width-1:0] near_q;

    always_ff @(posedge clk_i) begin
      if (enable_i) begin
        near_q    <= operand * Width'($signed(near_weight_q));
        product_q <= near_q;
      end
    end
  end
  assign product_o = product_q;

endmodule
