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

  logic                    enable, step, dot_valid;
  logic [1:0]              tag, dot_tag;
  logic [Simd*InWidth-1:0] data;
  logic [Pe*AccWidth-1:0]  dot;

  mvu_frame #(
    .Mw(Mw),
    .Mh(Mh),
    .Simd(Simd),
    .Pe(Pe),
    .InWidth(InWidth),
    .AccWidth(AccWidth)
  ) u_frame (
    .clk_i,
    .rst_ni,
    .in_valid_i,
    .in_ready_o,
    .in_data_i,
    .weight_valid_i,
    .weight_ready_o,
    .enable_o(enable),
    .step_o(step),
    .tag_o(tag),
    .data_o(data),
    .dot_valid_i(dot_valid),
    .dot_tag_i(dot_tag),
    .dot_data_i(dot),
    .init_valid_i(bias_valid_i),
    .init_ready_o(bias_ready_o),
    .init_data_i(bias_data_i),
    .out_valid_o,
    .out_ready_i,
    .out_data_o
  );

  // Factors, product, product again: a multiplier has registers in front of it and behind it, and
  // lies far from the adders.
  logic                            factor_valid_q, near_valid_q, product_valid_q;
  logic [1:0]                      factor_tag_q, near_tag_q, tag_q;
  logic [Simd*InWidth-1:0]         data_q;
  logic [Pe*Simd*WeightWidth-1:0]  weight_q;
  logic [Pe*Simd*ProductWidth-1:0] product;

  always_ff @(posedge clk_i) begin
    if (enable) begin
      data_q   <= data;
      weight_q <= weight_data_i;
    end
  end

  for (genvar p = 0; p < Pe; p++) begin : gen_pe
    for (genvar s = 0; s < Simd; s++) begin : gen_simd
      logic signed [ProductWidth-1:0] operand, weight, near_q, product_q;

      assign weight = ProductWidth'(
          $signed(weight_q[(p*Simd+s)*WeightWidth+:WeightWidth]));
      if (InSigned) begin : gen_signed
        assign operand = ProductWidth'($signed(data_q[s*InWidth+:InWidth]));
      end else begin : gen_unsigned
        assign operand = ProductWidth'(data_q[s*InWidth+:InWidth]);
      end

      always_ff @(posedge clk_i) begin
        if (enable) begin
          near_q    <= operand * weight;
          product_q <= near_q;
        end
      end
      assign product[(p*Simd+s)*ProductWidth+:ProductWidth] = product_q;
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      factor_valid_q  <= 1'b0;
      near_valid_q    <= 1'b0;
      product_valid_q <= 1'b0;
      factor_tag_q    <= '0; // the reset keeps the tags out of shift registers of LUTs
      near_tag_q      <= '0;
      tag_q           <= '0;
    end else if (enable) begin
      factor_valid_q  <= step;
      near_valid_q    <= factor_valid_q;
      product_valid_q <= near_valid_q;
      factor_tag_q    <= tag;
      near_tag_q      <= factor_tag_q;
      tag_q           <= near_tag_q;
    end
  end

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
    .tag_o(dot_tag),
    .sum_o(dot)
  );

endmodule
