// SPDX-License-Identifier: Apache-2.0
// The magnitude of every value of a stream.

/// Signed inputs, unsigned outputs. One word per cycle, one cycle of latency.
module stream_abs #(
  parameter int unsigned Lanes = 1, // elements of a word
  parameter int unsigned Bits  = 8  // bits of an element
) (
  input  logic                  clk_i,
  input  logic                  rst_ni,

  input  logic                  in_valid_i,
  output logic                  in_ready_o,
  input  logic [Lanes*Bits-1:0] in_data_i,

  output logic                  out_valid_o,
  input  logic                  out_ready_i,
  output logic [Lanes*Bits-1:0] out_data_o
);

  logic                  valid_q;
  logic [Lanes*Bits-1:0] data_d, data_q;

  for (genvar i = 0; i < Lanes; i++) begin : gen_lane
    logic [Bits-1:0] x;
    assign x = in_data_i[i*Bits +: Bits];
    assign data_d[i*Bits +: Bits] = x[Bits-1] ? -x : x;
  end

  assign in_ready_o  = !valid_q || out_ready_i;
  assign out_valid_o = valid_q;
  assign out_data_o  = data_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      valid_q <= 1'b0;
    end else if (in_ready_o) begin
      valid_q <= in_valid_i;
    end
  end

  always_ff @(posedge clk_i) begin
    if (in_ready_o && in_valid_i) data_q <= data_d;
  end

endmodule
