// SPDX-License-Identifier: Apache-2.0
// Copies one stream to several outputs, each consumed at its own pace.

/// Every word goes to every output once. `pending_q[i]` says that output i has not taken the held
/// word yet; the next word enters in the cycle in which the last output takes it, so one word
/// moves per cycle. One cycle of latency. `in_ready_o` follows `out_ready_i` in the same cycle.
module duplicate_streams #(
  parameter int unsigned Width   = 8, // bits of a word
  parameter int unsigned Outputs = 2  // copies
) (
  input  logic                     clk_i,
  input  logic                     rst_ni,

  input  logic                     in_valid_i,
  output logic                     in_ready_o,
  input  logic [Width-1:0]         in_data_i,

  output logic [Outputs-1:0]       out_valid_o,
  input  logic [Outputs-1:0]       out_ready_i,
  output logic [Outputs*Width-1:0] out_data_o
);

  if (Width < 1 || Outputs < 2) begin : gen_check
    $error("duplicate_streams: found Width=%0d Outputs=%0d, expected 1 and 2 or more",
           Width, Outputs);
  end

  logic [Outputs-1:0] pending_q;
  logic [Width-1:0]   data_q;

  assign in_ready_o  = (pending_q & ~out_ready_i) == '0;
  assign out_valid_o = pending_q;
  assign out_data_o  = {Outputs{data_q}};

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      pending_q <= '0;
    end else if (in_ready_o) begin
      pending_q <= {Outputs{in_valid_i}};
    end else begin
      pending_q <= pending_q & ~out_ready_i;
    end
  end

  always_ff @(posedge clk_i) begin
    if (in_ready_o && in_valid_i) data_q <= in_data_i;
  end

endmodule
