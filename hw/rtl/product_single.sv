// SPDX-License-Identifier: Apache-2.0
// A product of an input and a weight, between registers.

/// product_o = input * weight, exact, four enabled cycles behind its factors: their way to a
/// multiplier, that through it and that from it to the adders each have a cycle of their own.
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

  logic [InWidth-1:0]      data_q, near_data_q;
  logic [WeightWidth-1:0]  weight_q, near_weight_q;
  logic signed [Width-1:0] operand, near_q, product_q;

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
      near_q        <= operand * Width'($signed(near_weight_q));
      product_q     <= near_q;
    end
  end
  assign product_o = product_q;

endmodule
