// SPDX-License-Identifier: Apache-2.0
// What a DMA tells the control block, packed into one word.

/// One cycle late: [0] works, [1] nothing is under way on the bus while it is flushed, [2]
/// something moved on its bus or stream, [3] its stream stands still (see `stalls_i`), [4] a frame
/// passed, [5] its interrupt, [11:8] its errors, [31:16] most beats that its FIFO held.
module dma_status (
  input  logic        clk_i,
  input  logic        rst_ni,
  input  logic        busy_i,
  input  logic        quiet_i,
  input  logic        moves_i,
  input  logic        stalls_i,
  input  logic        frame_i,
  input  logic        interrupt_i,
  input  logic [3:0]  errors_i,
  input  logic [15:0] fill_i,    // beats in the FIFO
  output logic [31:0] status_o
);

  logic [5:0]  events_q;
  logic [3:0]  errors_q;
  logic [15:0] peak_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      events_q <= '0;
      errors_q <= '0;
      peak_q   <= '0;
    end else begin
      events_q <= {interrupt_i, frame_i, stalls_i, moves_i, quiet_i, busy_i};
      errors_q <= errors_i;
      if (fill_i > peak_q) peak_q <= fill_i;
    end
  end

  assign status_o = {peak_q, 4'b0, errors_q, 2'b0, events_q};

endmodule
