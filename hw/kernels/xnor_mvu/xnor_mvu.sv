// SPDX-License-Identifier: Apache-2.0
// Binary matrix-vector unit: 2 * popcount(xnor(x, w)) - Mw per output, weights from a stream.

/// Per input vector: Mh / Pe passes over its Mw / Simd words; after each pass one word of Pe sums.
/// Bit 0 stands for -1, bit 1 for +1. One weight word of Pe * Simd bits per step, in step order:
/// bit p * Simd + s multiplies input s for output p. One step per cycle, without bubbles.
///
/// With `Spread` inputs and weights of a step pass registers, a copy of the inputs for every so
/// many outputs, which lie near each other then: one cycle more, and weights may come out of logic.
module xnor_mvu #(
  parameter int unsigned Mw         = 8, // input elements per vector
  parameter int unsigned Mh         = 4, // outputs per vector
  parameter int unsigned Simd       = 4, // input elements per cycle
  parameter int unsigned Pe         = 2, // outputs computed in parallel
  parameter int unsigned AccWidth   = 5, // bits of an output, two's complement
  parameter int unsigned Spread     = 0, // outputs to a copy of the inputs; 0: no copies
  parameter int unsigned Primitives = 0  // 1: LUT6_2 and CARRY4 of the 7 series
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

  if (AccWidth < $clog2(Mw + 1) + 1) begin : gen_check_acc
    $error("xnor_mvu: AccWidth %0d cannot hold -%0d..%0d", AccWidth, Mw, Mw);
  end

  if (Spread > 0 && Pe % Spread != 0) begin : gen_check_spread
    $error("xnor_mvu: Pe %0d cannot be split over Spread %0d", Pe, Spread);
  end

  logic                     enable, step, gates_valid, dot_valid, unused_init_ready;
  logic [1:0]               tag, gates_tag, dot_tag;
  logic [Simd-1:0]          data;
  logic [Pe*Simd-1:0]       inputs, weights;
  logic [Pe*CountWidth-1:0] count;
  logic [Pe*AccWidth-1:0]   dot;

  mvu_frame #(
    .Mw(Mw),
    .Mh(Mh),
    .Simd(Simd),
    .Pe(Pe),
    .InWidth(1),
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
    .init_valid_i(1'b1),
    .init_ready_o(unused_init_ready),
    .init_data_i({Pe{AccWidth'(-$signed(Mw))}}),
    .out_valid_o,
    .out_ready_i,
    .out_data_o
  );

  if (Spread == 0) begin : gen_near
    assign gates_valid = step;
    assign gates_tag   = tag;
    assign inputs      = {Pe{data}};
    assign weights     = weight_data_i;
  end else begin : gen_spread
    logic               valid_q;
    logic [1:0]         tag_q;
    logic [Pe*Simd-1:0] weights_q;

    assign gates_valid = valid_q;
    assign gates_tag   = tag_q;
    assign weights     = weights_q;

    always_ff @(posedge clk_i) begin
      if (!rst_ni) valid_q <= 1'b0;
      else if (enable) valid_q <= step;
    end

    always_ff @(posedge clk_i) begin
      if (enable) begin
        tag_q     <= tag;
        weights_q <= weight_data_i;
      end
    end

    for (genvar c = 0; c < Pe / Spread; c++) begin : gen_copy
      (* keep = "true" *) logic [Simd-1:0] copy_q;

      assign inputs[c*Spread*Simd+:Spread*Simd] = {Spread{copy_q}};

      // Equal registers stay apart: tools read the one attribute or the other.
      (* keep *)
      always_ff @(posedge clk_i) begin
        if (enable) copy_q <= data;
      end
    end
  end

  gated_popcount #(
    .Lanes(Pe),
    .Width(Simd),
    .Gate(2),
    .TagWidth(2),
    .Primitives(Primitives)
  ) u_popcount (
    .clk_i,
    .rst_ni,
    .enable_i(enable),
    .valid_i(gates_valid),
    .tag_i(gates_tag),
    .a_i(inputs),
    .b_i(weights),
    .valid_o(dot_valid),
    .tag_o(dot_tag),
    .count_o(count)
  );

  for (genvar p = 0; p < Pe; p++) begin : gen_dot
    assign dot[p*AccWidth+:AccWidth] = AccWidth'({count[p*CountWidth+:CountWidth], 1'b0});
  end

endmodule
