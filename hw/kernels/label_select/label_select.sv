// SPDX-License-Identifier: Apache-2.0
// Index of the largest score of a vector; equal scores give the lowest index.

/// Each word passes a pipelined tree of comparators (one register per level), its winner meets the
/// best one of the words before. One word per cycle; the index leaves $clog2(Lanes) + 2 cycles
/// after the last word of the vector. `in_ready_o` follows `out_ready_i` in the same cycle.
///
/// With ScoreBits the scores are x * factor + offset, of a factor and an offset per label; see
/// `label_score`, whose cycles come in front. Then a word takes two cycles.
module label_select #(
  parameter int unsigned Lanes      = 1,  // scores of a word
  parameter int unsigned InBits     = 16, // bits of a score, or of x
  parameter bit          InSigned   = 1,
  parameter int unsigned Folds      = 10, // words of a vector
  parameter int unsigned OutBits    = 8,  // bits of the index
  parameter int unsigned ScoreBits  = 0,  // bits of a score; 0: x is the score
  parameter int unsigned FactorBits = 1,  // bits of a factor
  parameter int unsigned OffsetBits = 1,  // bits of an offset
  parameter bit          BlockRom   = 0,  // factors and offsets in block RAM, otherwise in LUTs
  parameter int unsigned RomParts   = 1,  // memories of them side by side
  parameter              ParamFile  = ""  // their $readmemh image, or what several begin with
) (
  input  logic                    clk_i,
  input  logic                    rst_ni,

  input  logic                    in_valid_i,
  output logic                    in_ready_o,
  input  logic [Lanes*InBits-1:0] in_data_i,

  output logic                    out_valid_o,
  input  logic                    out_ready_i,
  output logic [OutBits-1:0]      out_data_o
);

  localparam int unsigned Levels   = $clog2(Lanes);
  localparam int unsigned Leaves   = 1 << Levels;
  localparam int unsigned FoldBits = Folds > 1 ? $clog2(Folds) : 1;
  localparam int unsigned KeyBits  = ScoreBits > 0 ? ScoreBits : InBits;
  localparam bit          Signed   = ScoreBits > 0 || InSigned;
  // Long scores are compared in one cycle and kept in the next; words come every second one.
  localparam bit          Long     = ScoreBits > 0;

  if (OutBits < $clog2(Folds * Lanes)) begin : gen_check
    $error("label_select: found OutBits=%0d, expected room for %0d labels", OutBits, Folds * Lanes);
  end

  logic                     score_valid, score_ready;
  logic [Lanes*KeyBits-1:0] scores;

  if (ScoreBits > 0) begin : gen_score
    label_score #(
      .Lanes     (Lanes),
      .InBits    (InBits),
      .InSigned  (InSigned),
      .Folds     (Folds),
      .FactorBits(FactorBits),
      .OffsetBits(OffsetBits),
      .ScoreBits (ScoreBits),
      .BlockRom  (BlockRom),
      .RomParts  (RomParts),
      .ParamFile (ParamFile)
    ) u_score (
      .clk_i,
      .rst_ni,
      .in_valid_i,
      .in_ready_o,
      .in_data_i,
      .out_valid_o(score_valid),
      .out_ready_i(score_ready),
      .out_data_o (scores)
    );
  end else begin : gen_plain
    assign score_valid = in_valid_i;
    assign scores      = in_data_i;
    assign in_ready_o  = score_ready;
  end

  // Node k of the tree has the children 2k and 2k+1; nodes Leaves.. are the lanes of the word.
  // Missing lanes hold the smallest key and lose every tie, as they stand on the right.
  // Keys are compared by `<`, which Yosys makes of a carry alone; beside `>` it looks for equality.
  logic [KeyBits-1:0] key  [2*Leaves];
  logic [OutBits-1:0] lane [2*Leaves];
  logic [Levels:0]    valid; // valid[l] belongs to the registers l levels above the lanes
  logic [Levels:0]    compared; // compared[l]: these take what was compared
  logic               advance;

  assign key[0]   = '0;
  assign lane[0]  = '0;
  assign valid[0] = score_valid;

  for (genvar i = 0; i < Leaves; i++) begin : gen_leaf
    assign lane[Leaves+i] = OutBits'(i);
    if (i < Lanes) begin : gen_lane
      // With the sign bit inverted, signed scores order like unsigned ones.
      assign key[Leaves+i] = scores[i*KeyBits +: KeyBits] ^ (KeyBits'(Signed) << (KeyBits - 1));
    end else begin : gen_missing
      assign key[Leaves+i] = '0;
    end
  end

  for (genvar k = 1; k < Leaves; k++) begin : gen_node
    localparam int unsigned Level = Levels + 1 - $clog2(k + 1); // above the lanes

    logic [KeyBits-1:0] key_q;
    logic [OutBits-1:0] lane_q;
    logic               above;

    if (Long) begin : gen_compared
      logic above_q;
      always_ff @(posedge clk_i) begin
        if (advance) above_q <= key[2*k] < key[2*k+1];
      end
      assign above = above_q;
    end else begin : gen_direct
      assign above = key[2*k] < key[2*k+1];
    end

    always_ff @(posedge clk_i) begin
      if (advance && (!Long || compared[Level])) begin
        key_q  <= above ? key[2*k+1] : key[2*k];
        lane_q <= above ? lane[2*k+1] : lane[2*k];
      end
    end
    assign key[k]  = key_q;
    assign lane[k] = lane_q;
  end

  logic unused_compared;

  assign compared[0]     = 1'b0;
  assign unused_compared = compared[0];
  for (genvar l = 1; l <= Levels; l++) begin : gen_valid
    logic valid_q;

    if (Long) begin : gen_compared
      logic compared_q;
      always_ff @(posedge clk_i) begin
        if (!rst_ni) compared_q <= 1'b0;
        else if (advance) compared_q <= valid[l-1];
      end
      assign compared[l] = compared_q;
    end else begin : gen_direct
      assign compared[l] = valid[l-1];
    end

    always_ff @(posedge clk_i) begin
      if (!rst_ni) valid_q <= 1'b0;
      else if (advance) valid_q <= compared[l];
    end
    assign valid[l] = valid_q;
  end

  logic [FoldBits-1:0] unused_fold;
  logic [KeyBits-1:0]  word_key, best_key_q;
  logic [OutBits-1:0]  word_lane, base_q, label_q, best_q;
  logic                word_valid, step, first, last, better, better_q, last_q, out_valid_q;

  if (Long) begin : gen_long
    logic [KeyBits-1:0] key_q;
    logic [OutBits-1:0] lane_q;
    logic               held_q, compared_q, above_q;

    always_ff @(posedge clk_i) begin
      if (!rst_ni) {compared_q, held_q} <= '0;
      else if (advance) {compared_q, held_q} <= {held_q, valid[Levels]};
    end

    always_ff @(posedge clk_i) begin
      if (advance) begin
        above_q <= best_key_q < key_q;
        if (valid[Levels]) begin
          key_q  <= key[1];
          lane_q <= lane[1];
        end
      end
    end

    assign word_valid = compared_q;
    assign word_key   = key_q;
    assign word_lane  = lane_q;
    assign better     = first || above_q;
  end else begin : gen_short
    assign word_valid = valid[Levels];
    assign word_key   = key[1];
    assign word_lane  = lane[1];
    assign better     = first || best_key_q < key[1];
  end

  assign advance     = !out_valid_q || out_ready_i;
  assign step        = advance && word_valid;
  assign score_ready = advance;
  assign out_valid_o = out_valid_q;
  assign out_data_o  = best_q;

  loop_counter #(
    .Count(Folds)
  ) u_fold (
    .clk_i,
    .rst_ni,
    .advance_i(step),
    .count_o(unused_fold),
    .last_o(last)
  );

  if (Folds == 1) begin : gen_one
    assign first = 1'b1;
  end else begin : gen_first
    logic first_q;

    always_ff @(posedge clk_i) begin
      if (!rst_ni) first_q <= 1'b1;
      else if (step) first_q <= last;
    end
    assign first = first_q;
  end

  // Whether a word is better is known late in a cycle: its label follows in the next one.
  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      base_q      <= '0;
      last_q      <= 1'b0;
      out_valid_q <= 1'b0;
    end else if (advance) begin
      if (word_valid) base_q <= last ? '0 : base_q + OutBits'(Lanes);
      last_q      <= word_valid && last;
      out_valid_q <= last_q;
    end
  end

  always_ff @(posedge clk_i) begin
    if (advance) begin
      if (word_valid && better) best_key_q <= word_key;
      better_q <= word_valid && better;
      label_q  <= base_q + word_lane;
      if (better_q) best_q <= label_q;
    end
  end

endmodule
