// SPDX-License-Identifier: Apache-2.0
// Integer matrix-vector unit: x @ W + bias, weights and bias from streams.

/// Per input vector: Mh / Pe passes over its Mw / Simd words; after each pass one word of Pe sums.
/// One weight word per step, in step order: element p * Simd + s multiplies input s for output p.
/// One bias word of Pe values of AccWidth bits per pass. One step per cycle, without bubbles; sums
/// are modulo 2**AccWidth.
module int_mvu #(
  parameter int unsigned Mw          = 8,  // input elements per vector
  parameter int unsigned Mh          = 4,  // outputs per vector
  parameter int unsigned Simd        = 4,  // input elements per cycle
  parameter int unsigned Pe          = 2,  // outputs computed in parallel
  parameter int unsigned InWidth     = 8,  // bits of an input element
  parameter bit          InSigned    = 0,  // input elements are two's complement
  parameter int unsigned WeightWidth = 8,  // bits of a weight, two's complement
  parameter int unsigned AccWidth    = 20  // bits of an output, two's complement
) (
  input  logic                           clk_i,
  input  logic                           rst_ni,

  input  logic                           in_valid_i,
  output logic                           in_ready_o,
  input  logic [Simd*InWidth-1:0]        in_data_i,

  input  logic                           weight_valid_i,
  output logic                           weight_ready_o,
  input  logic [Pe*Simd*WeightWidth-1:0] weight_data_i,

  input  logic                           bias_valid_i,
  output logic                           bias_ready_o,
  input  logic [Pe*AccWidth-1:0]         bias_data_i,

  output logic                           out_valid_o,
  input  logic                           out_ready_i,
  output logic [Pe*AccWidth-1:0]         out_data_o
);

  localparam int unsigned FullWidth    = InWidth + WeightWidth; // enough for signed and unsigned
  localparam int unsigned ProductWidth = (FullWidth < AccWidth) ? FullWidth : AccWidth;

  if (Mw % Simd != 0) begin : gen_check_simd
    $error("int_mvu: Mw %0d cannot be split over Simd %0d", Mw, Simd);
  end
  if (Mh % Pe != 0) begin : gen_check_pe
    $error("int_mvu: Mh %0d cannot be split over Pe %0d", Mh, Pe);
  end

  logic                    enable, step;
  logic                    front_valid, front_first, front_last;
  logic [Simd*InWidth-1:0] front_data;

  assign step           = front_valid && weight_valid_i;
  assign weight_ready_o = front_valid && enable;

  mvu_front #(
    .Width(Simd * InWidth),
    .Sf(Mw / Simd),
    .Nf(Mh / Pe)
  ) u_front (
    .clk_i,
    .rst_ni,
    .in_valid_i,
    .in_ready_o,
    .in_data_i,
    .out_valid_o(front_valid),
    .out_ready_i(weight_valid_i && enable),
    .out_data_o(front_data),
    .out_first_o(front_first),
    .out_last_o(front_last)
  );

  logic                            product_valid_q;
  logic [1:0]                      tag_q; // first, last
  logic [Pe*Simd*ProductWidth-1:0] product;

  for (genvar p = 0; p < Pe; p++) begin : gen_pe
    for (genvar s = 0; s < Simd; s++) begin : gen_simd
      logic signed [ProductWidth-1:0] operand, weight, product_q;

      assign weight = ProductWidth'(
          $signed(weight_data_i[(p*Simd+s)*WeightWidth+:WeightWidth]));
      if (InSigned) begin : gen_signed
        assign operand = ProductWidth'($signed(front_data[s*InWidth+:InWidth]));
      end else begin : gen_unsigned
        assign operand = ProductWidth'(front_data[s*InWidth+:InWidth]);
      end

      always_ff @(posedge clk_i) begin
        if (enable && step) product_q <= operand * weight;
      end
      assign product[(p*Simd+s)*ProductWidth+:ProductWidth] = product_q;
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) product_valid_q <= 1'b0;
    else if (enable) product_valid_q <= step;
  end

  always_ff @(posedge clk_i) begin
    if (enable) tag_q <= {front_first, front_last};
  end

  logic                   dot_valid, dot_first, dot_last;
  logic [Pe*AccWidth-1:0] dot;

  adder_tree #(
    .Lanes(Pe),
    .Count(Simd),
    .InWidth(ProductWidth),
    .OutWidth(AccWidth),
    .Signed(1),
    .TagWidth(2)
  ) u_tree (
    .clk_i,
    .rst_ni,
    .enable_i(enable),
    .valid_i(product_valid_q),
    .tag_i(tag_q),
    .data_i(product),
    .valid_o(dot_valid),
    .tag_o({dot_first, dot_last}),
    .sum_o(dot)
  );

  mvu_back #(
    .Pe(Pe),
    .AccWidth(AccWidth)
  ) u_back (
    .clk_i,
    .rst_ni,
    .enable_o(enable),
    .dot_valid_i(dot_valid),
    .dot_first_i(dot_first),
    .dot_last_i(dot_last),
    .dot_data_i(dot),
    .init_valid_i(bias_valid_i),
    .init_ready_o(bias_ready_o),
    .init_data_i(bias_data_i),
    .out_valid_o,
    .out_ready_i,
    .out_data_o
  );

endmodule
