// SPDX-License-Identifier: Apache-2.0
// Where channels lie after shuffles that never moved them.

/// Behind u shuffles (y[2j] = x[j], y[2j+1] = x[C+j]) channel i lies where i * stride mod (2C - 1)
/// of the input lay, the last one at 2C - 1; the stride is C**u. `place_o` begins at `start_i` and
/// goes on by `stride_i` per `advance_i`; both are below 2C - 1. A stride counts a cycle later.
module engine_places #(
  parameter int unsigned Channels = 4, // places: 2C, even
  localparam int unsigned Width = $clog2(Channels)
) (
  input  logic             clk_i,
  input  logic             rst_ni,

  input  logic             restart_i,
  input  logic [Width-1:0] start_i,
  input  logic [Width-1:0] stride_i,
  input  logic             advance_i,
  output logic [Width-1:0] place_o
);

  localparam logic [Width:0] Modulus = (Width + 1)'(Channels - 1);

  logic [Width-1:0] place_q;
  logic [Width:0]   sum, less, over, less_q, over_q;

  // All of them at once, not one behind the other.
  assign place_o = place_q;
  assign sum     = {1'b0, place_q} + {1'b0, stride_i};
  assign less    = {1'b0, place_q} + less_q;
  assign over    = {1'b0, place_q} + over_q;

  // A sum that is the modulus itself is that of the last channel, which never moves.
  always_ff @(posedge clk_i) begin
    less_q <= {1'b0, stride_i} - Modulus;
    over_q <= {1'b0, stride_i} - Modulus - 1'b1;
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni)        place_q <= '0;
    else if (restart_i) place_q <= start_i;
    else if (advance_i) place_q <= over[Width] ? sum[Width-1:0] : less[Width-1:0];
  end

  logic unused;
  assign unused = &{sum[Width], less[Width], over[Width-1:0]};

endmodule
