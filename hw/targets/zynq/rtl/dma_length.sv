// SPDX-License-Identifier: Apache-2.0
// Bytes of a batch: its frames times the bytes of one frame, a bit per cycle.

/// `valid_o` is high in one cycle, 33 cycles after `start_i`, with the product, or with
/// `overflow_o` where it has more than 32 bits. A batch starts seldom: no multiplier is spent on
/// it.
module dma_length #(
  parameter int unsigned FrameBytes = 1 // bytes of a frame
) (
  input  logic        clk_i,
  input  logic        rst_ni,
  input  logic        start_i,
  input  logic [31:0] batch_i,    // frames
  output logic        valid_o,
  output logic [31:0] bytes_o,
  output logic        overflow_o
);

  if (FrameBytes < 1) begin : gen_check
    $error("dma_length: found FrameBytes=%0d, expected 1 or more", FrameBytes);
  end

  logic        busy_q, valid_q, overflow_q;
  logic [4:0]  step_q;
  logic [31:0] batch_q, bytes_q;
  logic [33:0] next;

  assign next = {1'b0, bytes_q, 1'b0} + (batch_q[31] ? 34'(FrameBytes) : 34'd0);

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      busy_q  <= 1'b0;
      valid_q <= 1'b0;
    end else begin
      busy_q  <= start_i || (busy_q && step_q != 5'd31);
      valid_q <= busy_q && step_q == 5'd31;
    end
  end

  always_ff @(posedge clk_i) begin
    if (start_i) begin
      step_q     <= '0;
      batch_q    <= batch_i;
      bytes_q    <= '0;
      overflow_q <= 1'b0;
    end else if (busy_q) begin
      step_q     <= step_q + 1'b1;
      batch_q    <= {batch_q[30:0], 1'b0};
      bytes_q    <= next[31:0];
      overflow_q <= overflow_q || next[33:32] != '0;
    end
  end

  assign valid_o    = valid_q;
  assign bytes_o    = bytes_q;
  assign overflow_o = overflow_q;

endmodule
