// SPDX-License-Identifier: Apache-2.0
// Integer matrix-vector unit: x @ W + bias, weights and bias from streams.

/// Per input vector: Mh / Pe passes over its Mw / Simd words; after each pass one word of Pe sums.
/// One weight word per step, in step order: element p * Simd + s multiplies input s for output p.
/// One bias word of Pe values of AccWidth bits per pass. One step per cycle, without bubbles; sums
/// are modulo 2**AccWidth. With Primitives a DSP block computes the products of two outputs where
/// Paired says so; an odd one's last output has products of its own.
module int_mvu #(
  parameter int unsigned Mw          = 8,  // input elements per vector
  parameter int unsigned Mh          = 4,  // outputs per vector
  parameter int unsigned Simd        = 4,  // input elements per cycle
  parameter int unsigned Pe          = 2,  // outputs computed in parallel
  parameter int unsigned InWidth     = 8,  // bits of an input element
  parameter bit          InSigned    = 0,  // input elements are two's complement
  parameter int unsigned WeightWidth = 8,  // bits of a weight, two's complement
  parameter int unsigned AccWidth    = 20, // bits of an output, two's complement
  parameter bit          Paired      = 0,  // products of two outputs from one multiplier
  parameter bit          Primitives  = 0   // explicit DSP48E1 for these
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

  // Products come this many enabled cycles after their factors.
  localparam int unsigned Latency = 4;
  logic [Latency-1:0]              valid_q;
  logic [Latency-1:0][1:0]         tag_q;
  logic [Pe*Simd*ProductWidth-1:0] product;

  for (genvar p = 0; p < Pe; p++) begin : gen_pe
    for (genvar s = 0; s < Simd; s++) begin : gen_simd
      logic [FullWidth-1:0] full;

      if (Paired && p % 2 == 1) begin : gen_second
        assign full = gen_pe[p-1].gen_simd[s].gen_first.full_second;
      end else if (Paired && p + 1 < Pe) begin : gen_first
        logic [FullWidth-1:0] full_second;

        product_pair #(
          .InWidth    (InWidth),
          .InSigned   (InSigned),
          .WeightWidth(WeightWidth),
          .Primitives (Primitives)
        ) u_pair (
          .clk_i,
          .enable_i  (enable),
          .data_i    (data[s*InWidth +: InWidth]),
          .weights_i ({weight_data_i[((p+1)*Simd+s)*WeightWidth +: WeightWidth],
                       weight_data_i[(p*Simd+s)*WeightWidth +: WeightWidth]}),
          .products_o({full_second, full})
        );
      end else begin : gen_single
        product_single #(
          .InWidth    (InWidth),
          .InSigned   (InSigned),
          .WeightWidth(WeightWidth)
        ) u_single (
          .clk_i,
          .enable_i (enable),
          .data_i   (data[s*InWidth +: InWidth]),
          .weight_i (weight_data_i[(p*Simd+s)*WeightWidth +: WeightWidth]),
          .product_o(full)
        );
      end

      assign product[(p*Simd+s)*ProductWidth +: ProductWidth] = full[ProductWidth-1:0];

      if (ProductWidth < FullWidth) begin : gen_unused
        logic unused;
        assign unused = &full[FullWidth-1:ProductWidth];
      end
    end
  end

  // The reset keeps the tags out of shift registers of LUTs.
  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      valid_q <= '0;
      tag_q   <= '0;
    end else if (enable) begin
      valid_q <= {valid_q[Latency-2:0], step};
      tag_q   <= {tag_q[Latency-2:0], tag};
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
    .valid_i(valid_q[Latency-1]),
    .tag_i(tag_q[Latency-1]),
    .data_i(product),
    .valid_o(dot_valid),
    .tag_o(dot_tag),
    .sum_o(dot)
  );

endmodule
