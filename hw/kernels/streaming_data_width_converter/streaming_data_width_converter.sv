// SPDX-License-Identifier: Apache-2.0
// Repacks a stream into words of another width.

/// Bits keep their order, low bits first. The words pass the common multiple `MidWidth`: gathered
/// up to it, cut down from it; a stage that would change nothing is left out. The wider side runs
/// without bubbles when the narrower moves one word per cycle.
module streaming_data_width_converter #(
  parameter int unsigned InWidth  = 8,  // bits of an input word
  parameter int unsigned MidWidth = 16, // least common multiple of both
  parameter int unsigned OutWidth = 16  // bits of an output word
) (
  input  logic                clk_i,
  input  logic                rst_ni,

  input  logic                in_valid_i,
  output logic                in_ready_o,
  input  logic [InWidth-1:0]  in_data_i,

  output logic                out_valid_o,
  input  logic                out_ready_i,
  output logic [OutWidth-1:0] out_data_o
);

  if (MidWidth % InWidth != 0 || MidWidth % OutWidth != 0) begin : gen_check
    $error("streaming_data_width_converter: found MidWidth=%0d, expected a multiple of %0d and %0d",
           MidWidth, InWidth, OutWidth);
  end

  logic                mid_valid, mid_ready;
  logic [MidWidth-1:0] mid_data;

  if (MidWidth > InWidth) begin : gen_up
    width_up #(
      .Width(InWidth),
      .Ratio(MidWidth / InWidth)
    ) u_up (
      .clk_i,
      .rst_ni,
      .in_valid_i,
      .in_ready_o,
      .in_data_i,
      .out_valid_o(mid_valid),
      .out_ready_i(mid_ready),
      .out_data_o(mid_data)
    );
  end else begin : gen_no_up
    assign mid_valid  = in_valid_i;
    assign in_ready_o = mid_ready;
    assign mid_data   = in_data_i;
  end

  if (MidWidth > OutWidth) begin : gen_down
    width_down #(
      .Width(OutWidth),
      .Ratio(MidWidth / OutWidth)
    ) u_down (
      .clk_i,
      .rst_ni,
      .in_valid_i(mid_valid),
      .in_ready_o(mid_ready),
      .in_data_i(mid_data),
      .out_valid_o,
      .out_ready_i,
      .out_data_o
    );
  end else begin : gen_no_down
    assign out_valid_o = mid_valid;
    assign mid_ready   = out_ready_i;
    assign out_data_o  = mid_data;
  end

endmodule
