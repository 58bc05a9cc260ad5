// SPDX-License-Identifier: Apache-2.0
// Counts the words of a stream and marks the last one of every frame.

/// Looks at the handshake alone; the stream itself passes by. `last_o` belongs to the word on
/// offer.
module frame_marker #(
  parameter int unsigned FrameWords = 2 // words of a frame
) (
  input  logic clk_i,
  input  logic rst_ni,
  input  logic valid_i,
  input  logic ready_i,
  output logic last_o
);

  localparam int unsigned WordBits = FrameWords > 1 ? $clog2(FrameWords) : 1;

  logic [WordBits-1:0] unused_word;

  loop_counter #(
    .Count(FrameWords)
  ) u_words (
    .clk_i,
    .rst_ni,
    .advance_i(valid_i && ready_i),
    .count_o  (unused_word),
    .last_o
  );

endmodule
