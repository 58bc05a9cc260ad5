// SPDX-License-Identifier: Apache-2.0
// Binary matrix-vector unit: 2 * popcount(xnor(x, w)) - Mw per output, weights from a stream.

/// Per input vector: Mh / Pe passes over its Mw / Simd words; after each pass one word of Pe sums.
/// Bit 0 stands for -1, bit 1 for +1. One weight word of Pe * Simd bits per step, in step order:
/// bit p * Simd + s multiplies input s for output p. One step per cycle, without bubbles.
module xnor_mvu #(
  parameter int unsigned Mw       = 8, // input elements per vector
  parameter int unsigned Mh       = 4, // outputs per vector
  parameter int unsigned Simd     = 4, // input elements per cycle
  parameter int unsigned Pe       = 2, // outputs computed in parallel
  parameter int unsigned AccWidth = 5  // bits of an output, two's complement
) (
  input  logic                   clk_i,
  input  logic                   rst_ni,

  input  logic                   in_valid_i,
  output logic                   in_ready_o,
  input  logic [Simd-1:0]        in_data_i,

  input  logic                   weight_valid_i,
  output logic                   weight_ready_o,
  input  logic [Pe*Simd-1:0]     weight_data_i,

  output logic                   out_valid_o,
  input  logic                   out_ready_i,
  output logic [Pe*AccWidth-1:0] out_data_o
);

  localparam int unsigned CountWidth = $clog2(Simd + 1);

  if (Mw % Simd != 0) begin : gen_check_simd
    $error("xnor_mvu: Mw %0d cannot be split over Simd %0d", Mw, Simd);
  end
  if (Mh % Pe != 0) begin : gen_check_pe
    $error("xnor_mvu: Mh %0d cannot be split over Pe %0d", Mh, Pe);
  end
  if (AccWidth < $clog2(Mw + 1) + 1) begin : gen_check_acc
    $error("xnor_mvu: AccWidth %0d cannot hold -%0d..%0d", AccWidth, Mw, Mw);
  end

  logic            enable, step;
  logic            front_valid, front_first, front_last;
  logic [Simd-1:0] front_data;

  assign step           = front_valid && weight_valid_i;
  assign weight_ready_o = front_valid && enable;

  mvu_front #(
    .Width(Simd),
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

  logic                     dot_valid, dot_first, dot_last;
  logic [Pe*CountWidth-1:0] count;
  logic [Pe*AccWidth-1:0]   dot;

  gated_popcount #(
    .Lanes(Pe),
    .Width(Simd),
    .Gate(2),
    .TagWidth(2)
  ) u_popcount (
    .clk_i,
    .rst_ni,
    .enable_i(enable),
    .valid_i(step),
    .tag_i({front_first, front_last}),
    .a_i({Pe{front_data}}),
    .b_i(weight_data_i),
    .valid_o(dot_valid),
    .tag_o({dot_first, dot_last}),
    .count_o(count)
  );

  for (genvar p = 0; p < Pe; p++) begin : gen_dot
    assign dot[p*AccWidth+:AccWidth] = AccWidth'({count[p*CountWidth+:CountWidth], 1'b0});
  end

  logic unused_init_ready;

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
    .init_valid_i(1'b1),
    .init_ready_o(unused_init_ready),
    .init_data_i({Pe{AccWidth'(-$signed(Mw))}}),
    .out_valid_o,
    .out_ready_i,
    .out_data_o
  );

endmodule
