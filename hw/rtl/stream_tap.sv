// SPDX-License-Identifier: Apache-2.0
// Hands every word of a stream to the simulation harness; nothing of it exists in hardware.

`ifdef ANDPOP_SIM
// Outside the module: the generated C++ has one wrapper of each, not one per tap.
import "DPI-C" function int unsigned andpop_capture_enabled();
import "DPI-C" function void andpop_tap_waits(input int unsigned id);
import "DPI-C" function void andpop_capture(
  input int unsigned id, input int unsigned chunk, input int unsigned data32
);

/// Watches a stream and drives nothing. If the harness asked for a capture while reset was low, it
/// gets every word in the cycle in which it passes, in chunks of 32 bits, low bits first. While
/// reset is low it is told of a word that waits: at the end of a run. Else a run calls nothing.
/// Instances stand between `ifdef ANDPOP_SIM and `endif.
module stream_tap #(
  parameter int unsigned Width = 8, // bits of a word
  parameter int unsigned Id    = 0  // number under which the harness knows the stream
) (
  input logic             clk_i,
  input logic             rst_ni,

  input logic             valid_i,
  input logic             ready_i,
  input logic [Width-1:0] data_i
);

  localparam int unsigned Chunks = (Width + 31) / 32;

  logic capture_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      capture_q <= andpop_capture_enabled() != 0;
      if (valid_i && !ready_i) andpop_tap_waits(Id);
    end else if (capture_q && valid_i && ready_i) begin
      for (int unsigned i = 0; i < Chunks; i++) begin
        andpop_capture(Id, i, 32'((Chunks * 32)'(data_i) >> (32 * i)));
      end
    end
  end

endmodule
`endif
