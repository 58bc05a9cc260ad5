// SPDX-License-Identifier: Apache-2.0
// Pipelined popcount of gated bit vectors: the dot product of a binary matrix-vector unit.

/// Counts, in each lane, the ones among `a`, `a & b` or `~(a ^ b)`; the tag travels beside the
/// counts. Bit i of lane l sits at index l * Width + i of `a_i` and `b_i`. Takes
/// max(ceil(log2(Width)), 4) - 1 enabled cycles, with and without Primitives.
module gated_popcount #(
  parameter int unsigned Lanes      = 1, // independent counts
  parameter int unsigned Width      = 8, // bits of a vector
  parameter int unsigned Gate       = 1, // 0: a alone, 1: a and b, 2: a xnor b
  parameter bit          Late       = 0, // a and b come out of logic: less is counted beside it
  parameter int unsigned TagWidth   = 2, // bits of the tag
  parameter int unsigned Primitives = 0, // 1: LUT6_2 and CARRY4 of the 7 series
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

  // The cycles that the bit heap of the primitives needs.
  localparam int unsigned Cycles = ($clog2(Width) > 4) ? $clog2(Width) - 1 : 3;

  if (Gate > 2) begin : gen_check_gate
    $error("gated_popcount: Gate %0d is not 0 (a alone), 1 (and) or 2 (xnor)", Gate);
  end

  if (Gate == 0) begin : gen_no_gate
    logic unused_b;
    assign unused_b = &b_i;
  end

  if (Primitives == 0) begin : gen_behavioural
    // Bits counted in one cycle: two groups of three, so few levels of LUTs, of four inputs too.
    // The tree then has levels enough to add two operands in each, and for fewer bits as well.
    localparam int unsigned MaxTerms   = 2 ** (Cycles - 1);
    localparam int unsigned MaxChunk   = Late ? (Width + MaxTerms - 1) / MaxTerms : 6;
    localparam int unsigned Chunks     = (Width + MaxChunk - 1) / MaxChunk;
    localparam int unsigned Chunk      = (Width + Chunks - 1) / Chunks;
    localparam int unsigned ChunkWidth = $clog2(Chunk + 1);

    logic                               valid_q;
    logic [TagWidth-1:0]                tag_q;
    logic [Lanes*Width-1:0]             gated;
    logic [Lanes*Chunks*ChunkWidth-1:0] chunk_count;

    assign gated = (Gate == 0) ? a_i : (Gate == 1) ? a_i & b_i : ~(a_i ^ b_i);

    for (genvar l = 0; l < Lanes; l++) begin : gen_lane
      logic [Chunks*Chunk-1:0] padded;

      assign padded = (Chunks*Chunk)'(gated[l*Width+:Width]);
      for (genvar c = 0; c < Chunks; c++) begin : gen_chunk
        logic [5:0]            bits;
        logic [ChunkWidth-1:0] count_q;

        assign bits = 6'(padded[c*Chunk+:Chunk]);

        always_ff @(posedge clk_i) begin
          if (enable_i) begin
            count_q <= ChunkWidth'(3'($countones(bits[2:0])) + 3'($countones(bits[5:3])));
          end
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
      .TagWidth(TagWidth),
      .Levels(Cycles - 1)
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
  end else begin : gen_primitives
    localparam int unsigned ChainLength = 5;
    localparam int unsigned Carries     = (Width + 1) / 2;
    localparam int unsigned Sums        = (Carries + ChainLength - 1) / ChainLength;
    // One bit alone has no carry that could be set.
    localparam int unsigned HeapBits    = (Width == 1) ? 1 : Sums + Carries;

    for (genvar l = 0; l < Lanes; l++) begin : gen_lane
      if (Gate == 0) begin : gen_pass
        bit_heap #(
          .OutWidth(CountWidth),
          .Heights((16*CountWidth)'(Width)),
          .Bits(Width),
          .Stages(Cycles)
        ) u_heap (
          .clk_i,
          .rst_ni,
          .enable_i,
          .bits_i(a_i[l*Width+:Width]),
          .sum_o(count_o[l*CountWidth+:CountWidth])
        );
      end else begin : gen_gates
        logic [Sums-1:0]    sums;
        logic [Carries-1:0] carries;

        bit_heap_gates #(
          .Pairs(Width),
          .Gate(Gate),
          .ChainLength(ChainLength)
        ) u_gates (
          .clk_i,
          .rst_ni,
          .enable_i,
          .a_i(a_i[l*Width+:Width]),
          .b_i(b_i[l*Width+:Width]),
          .sums_o(sums),
          .carries_o(carries)
        );
        bit_heap #(
          .OutWidth(CountWidth),
          .Heights((16*CountWidth)'({16'(Carries), 16'(Sums)})),
          .Bits(HeapBits),
          .Stages(Cycles - 1)
        ) u_heap (
          .clk_i,
          .rst_ni,
          .enable_i,
          .bits_i(HeapBits'({carries, sums})),
          .sum_o(count_o[l*CountWidth+:CountWidth])
        );
      end
    end

    bit_heap_tag #(
      .Cycles(Cycles),
      .TagWidth(TagWidth)
    ) u_tag (
      .clk_i,
      .rst_ni,
      .enable_i,
      .valid_i,
      .tag_i,
      .valid_o,
      .tag_o
    );
  end

endmodule
