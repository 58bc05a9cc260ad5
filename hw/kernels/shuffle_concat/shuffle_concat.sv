// SPDX-License-Identifier: Apache-2.0
// Joins two streams and shuffles their channels: y[2j] = left[j], y[2j+1] = right[j].

/// A word of the output holds one word of each input, lane by lane in turn: concatenation and
/// channel shuffle of two groups are wires. One cycle of latency, one output word per cycle. Each
/// input is ready when the other one is valid and the output register is free.
module shuffle_concat #(
  parameter int unsigned Lanes = 1, // elements of an input word
  parameter int unsigned Bits  = 8  // bits of an element
) (
  input  logic                    clk_i,
  input  logic                    rst_ni,

  input  logic                    left_valid_i,
  output logic                    left_ready_o,
  input  logic [Lanes*Bits-1:0]   left_data_i,

  input  logic                    right_valid_i,
  output logic                    right_ready_o,
  input  logic [Lanes*Bits-1:0]   right_data_i,

  output logic                    out_valid_o,
  input  logic                    out_ready_i,
  output logic [2*Lanes*Bits-1:0] out_data_o
);

  if (Lanes < 1 || Bits < 1) begin : gen_check
    $error("shuffle_concat: found Lanes=%0d Bits=%0d, expected 1 or more", Lanes, Bits);
  end

  logic                    valid_q, free;
  logic [2*Lanes*Bits-1:0] data_q, shuffled;

  for (genvar i = 0; i < Lanes; i++) begin : gen_lane
    assign shuffled[2*i*Bits +: 2*Bits] =
        {right_data_i[i*Bits +: Bits], left_data_i[i*Bits +: Bits]};
  end

  assign free          = !valid_q || out_ready_i;
  assign left_ready_o  = free && right_valid_i;
  assign right_ready_o = free && left_valid_i;
  assign out_valid_o   = valid_q;
  assign out_data_o    = data_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      valid_q <= 1'b0;
    end else if (free) begin
      valid_q <= left_valid_i && right_valid_i;
    end
  end

  always_ff @(posedge clk_i) begin
    if (free && left_valid_i && right_valid_i) data_q <= shuffled;
  end

endmodule
