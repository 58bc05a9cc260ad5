// SPDX-License-Identifier: Apache-2.0
// Pipelined popcount of gated bit vectors: the dot product of a binary matrix-vector unit.

/// Counts, in each lane, the ones among `a`, `a & b` or `~(a ^ b)`; the tag travels beside the
/// counts. Bit i of lane l sits at index l * Width + i of `a_i` and `b_i`. Takes
/// 1 + ceil(log4(ceil(Width / 32))) enabled cycles.
module gated_popcount #(
  parameter int unsigned Lanes    = 1, // independent counts
  parameter int unsigned Width    = 8, // bits of a vector
  parameter int unsigned Gate     = 1, // 0: a alone, 1: a and b, 2: a xnor b
  parameter int unsigned TagWidth = 2, // bits of the tag
  localparam int unsigned CountWidth = $clog2(Width + 1)
) (
  input  logic                        clk_i,
  input  logic                        rst_ni,
  input  logic                        enable_i,

  input  logic                        valid_i,
  input  logic [TagWidth-1:0]         tag_i,
  input  logic [Lanes*Width-1:0]      a_i,
  input  logic [Lanes*Width-1:0]      b_i, // not read where Gate is 0

  output logic                        valid_o,
  output logic [TagWidth-1:0]         tag_o,
  output logic [Lanes*CountWidth-1:0] count_o
);

  // Bits counted in one cycle: what fits a few levels of 6-input LUTs.
  localparam int unsigned MaxChunk   = 32;
  localparam int unsigned Chunks     = (Width + MaxChunk - 1) / MaxChunk;
  localparam int unsigned Chunk      = (Width + Chunks - 1) / Chunks;
  localparam int unsigned ChunkWidth = $clog2(Chunk + 1);

  if (Gate > 2) begin : gen_check_gate
    $error("gated_popcount: Gate %0d is not 0 (a alone), 1 (and) or 2 (xnor)", Gate);
  end

  logic [Lanes*Width-1:0] gated;

  if (Gate == 0) begin : gen_pass
    logic unused_b;
    assign gated    = a_i;
    assign unused_b = &b_i;
  end else if (Gate == 1) begin : gen_and
    assign gated = a_i & b_i;
  end else begin : gen_xnor
    assign gated = ~(a_i ^ b_i);
  end

  logic                               valid_q;
  logic [TagWidth-1:0]                tag_q;
  logic [Lanes*Chunks*ChunkWidth-1:0] chunk_count;

  for (genvar l = 0; l < Lanes; l++) begin : gen_lane
    logic [Chunks*Chunk-1:0] padded;

    assign padded = (Chunks*Chunk)'(gated[l*Width+:Width]);
    for (genvar c = 0; c < Chunks; c++) begin : gen_chunk
      logic [ChunkWidth-1:0] count_q;

      always_ff @(posedge clk_i) begin
        if (enable_i && valid_i) count_q <= ChunkWidth'($countones(padded[c*Chunk+:Chunk]));
      end
      assign chunk_count[(l*Chunks+c)*ChunkWidth+:ChunkWidth] = count_q;
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) valid_q <= 1'b0;
    else if (enable_i) valid_q <= valid_i;
  end

  always_ff @(posedge clk_i) begin
    if (enable_i) tag_q <= tag_i;
  end

  adder_tree #(
    .Lanes(Lanes),
    .Count(Chunks),
    .InWidth(ChunkWidth),
    .OutWidth(CountWidth),
    .Signed(0),
    .TagWidth(TagWidth)
  ) u_tree (
    .clk_i,
    .rst_ni,
    .enable_i,
    .valid_i(valid_q),
    .tag_i(tag_q),
    .data_i(chunk_count),
    .valid_o,
    .tag_o,
    .sum_o(count_o)
  );

endmodule
