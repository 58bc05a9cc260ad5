// SPDX-License-Identifier: Apache-2.0
// Dot products of a binary block: agreeing bits of Pe outputs, counted and accumulated.

/// Count of the words from one `first_i` to the next `last_i` in which data and weights agree, for
/// Pe outputs at once. Nothing waits: valid, first and last travel with the data. `done_o` is high
/// for one cycle when the counts of the last word are in; they stay until the next first word.
/// Latency: 2 cycles, and ceil(log2(chunks)) for chunks of up to 6 bits.
module block_dot #(
  parameter int unsigned Simd       = 4, // bits of a word
  parameter int unsigned Pe         = 1, // outputs at once
  parameter int unsigned CountWidth = 8  // bits of a count of all words
) (
  input  logic                     clk_i,
  input  logic                     rst_ni,

  input  logic                     valid_i,
  input  logic                     first_i,
  input  logic                     last_i,
  input  logic [Simd-1:0]          data_i,
  input  logic [Pe*Simd-1:0]       weights_i,

  output logic                     done_o,
  output logic [Pe*CountWidth-1:0] count_o
);

  localparam int unsigned Chunks     = (Simd + 5) / 6;
  localparam int unsigned Chunk      = (Simd + Chunks - 1) / Chunks;
  localparam int unsigned ChunkWidth = $clog2(Chunk + 1);
  localparam int unsigned WordWidth  = $clog2(Simd + 1);

  logic [Pe*Chunks*ChunkWidth-1:0] chunk_count_q;
  logic [Pe*WordWidth-1:0]         word_count;
  logic                            valid_q, first_q, last_q, valid, first, last;

  for (genvar p = 0; p < Pe; p++) begin : gen_count
    logic [Simd-1:0]         equal;
    logic [Chunks*Chunk-1:0] agree;

    // Bits beyond the word agree never.
    assign equal = ~(data_i ^ weights_i[p*Simd+:Simd]);
    assign agree = (Chunks * Chunk)'(equal);

    for (genvar c = 0; c < Chunks; c++) begin : gen_chunk
      logic [ChunkWidth-1:0] count;

      agree_count #(
        .Width(Chunk)
      ) u_count (
        .bits_i(agree[c*Chunk+:Chunk]),
        .count_o(count)
      );

      always_ff @(posedge clk_i) begin
        chunk_count_q[(p*Chunks+c)*ChunkWidth+:ChunkWidth] <= count;
      end
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) valid_q <= 1'b0;
    else         valid_q <= valid_i;
  end

  always_ff @(posedge clk_i) begin
    first_q <= first_i;
    last_q  <= last_i;
  end

  adder_tree #(
    .Lanes(Pe),
    .Count(Chunks),
    .InWidth(ChunkWidth),
    .OutWidth(WordWidth),
    .Signed(0),
    .TagWidth(2),
    .Levels($clog2(Chunks)) // two operands each
  ) u_tree (
    .clk_i,
    .rst_ni,
    .enable_i(1'b1),
    .valid_i(valid_q),
    .tag_i({first_q, last_q}),
    .data_i(chunk_count_q),
    .valid_o(valid),
    .tag_o({first, last}),
    .sum_o(word_count)
  );

  for (genvar p = 0; p < Pe; p++) begin : gen_accumulate
    logic [CountWidth-1:0] sum_q;

    assign count_o[p*CountWidth+:CountWidth] = sum_q;

    always_ff @(posedge clk_i) begin
      if (valid) begin
        sum_q <= CountWidth'(word_count[p*WordWidth+:WordWidth]) + (first ? '0 : sum_q);
      end
    end
  end

  logic done_q;

  assign done_o = done_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) done_q <= 1'b0;
    else         done_q <= valid && last;
  end

endmodule
