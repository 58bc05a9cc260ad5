// SPDX-License-Identifier: Apache-2.0
// Index of the largest score of a vector; equal scores give the lowest index.

/// Each word passes a pipelined tree of comparators (one register per level), its winner meets the
/// best one of the words before. One word per cycle; the index leaves $clog2(Lanes) + 1 cycles
/// after the last word of the vector. `in_ready_o` follows `out_ready_i` in the same cycle.
module label_select #(
  parameter int unsigned Lanes    = 1,  // scores of a word
  parameter int unsigned InBits   = 16, // bits of a score
  parameter bit          InSigned = 1,
  parameter int unsigned Folds    = 10, // words of a vector
  parameter int unsigned OutBits  = 8   // bits of the index
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

  if (OutBits < $clog2(Folds * Lanes)) begin : gen_check
    $error("label_select: found OutBits=%0d, expected room for %0d labels", OutBits, Folds * Lanes);
  end

  // Node k of the tree has the children 2k and 2k+1; nodes Leaves.. are the lanes of the word.
  // Missing lanes hold the smallest key and lose every tie, as they stand on the right.
  logic [InBits-1:0]  key  [2*Leaves];
  logic [OutBits-1:0] lane [2*Leaves];
  logic [Levels:0]    valid; // valid[l] belongs to the registers l levels above the lanes
  logic               advance;

  assign key[0]   = '0;
  assign lane[0]  = '0;
  assign valid[0] = in_valid_i;

  for (genvar i = 0; i < Leaves; i++) begin : gen_leaf
    assign lane[Leaves+i] = OutBits'(i);
    if (i < Lanes) begin : gen_lane
      // With the sign bit inverted, signed scores order like unsigned ones.
      assign key[Leaves+i] = in_data_i[i*InBits +: InBits] ^ (InBits'(InSigned) << (InBits - 1));
    end else begin : gen_missing
      assign key[Leaves+i] = '0;
    end
  end

  for (genvar k = 1; k < Leaves; k++) begin : gen_node
    logic [InBits-1:0]  key_q;
    logic [OutBits-1:0] lane_q;
    always_ff @(posedge clk_i) begin
      if (advance) begin
        if (key[2*k+1] > key[2*k]) begin
          key_q  <= key[2*k+1];
          lane_q <= lane[2*k+1];
        end else begin
          key_q  <= key[2*k];
          lane_q <= lane[2*k];
        end
      end
    end
    assign key[k]  = key_q;
    assign lane[k] = lane_q;
  end

  for (genvar l = 1; l <= Levels; l++) begin : gen_valid
    logic valid_q;
    always_ff @(posedge clk_i) begin
      if (!rst_ni) valid_q <= 1'b0;
      else if (advance) valid_q <= valid[l-1];
    end
    assign valid[l] = valid_q;
  end

  logic [FoldBits-1:0] fold_q;
  logic [InBits-1:0]   best_key_q;
  logic [OutBits-1:0]  base_q, best_q, out_q, winner;
  logic                last, better, out_valid_q;

  assign last        = fold_q == FoldBits'(Folds - 1);
  assign better      = fold_q == '0 || key[1] > best_key_q;
  assign winner      = better ? base_q + lane[1] : best_q;
  assign advance     = !(valid[Levels] && last && out_valid_q) || out_ready_i;
  assign in_ready_o  = advance;
  assign out_valid_o = out_valid_q;
  assign out_data_o  = out_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      fold_q      <= '0;
      base_q      <= '0;
      out_valid_q <= 1'b0;
    end else begin
      if (advance && valid[Levels]) begin
        fold_q <= last ? '0 : fold_q + 1'b1;
        base_q <= last ? '0 : base_q + OutBits'(Lanes);
      end
      if (advance && valid[Levels] && last) out_valid_q <= 1'b1;
      else if (out_ready_i) out_valid_q <= 1'b0;
    end
  end

  always_ff @(posedge clk_i) begin
    if (advance && valid[Levels]) begin
      best_q <= winner;
      if (better) best_key_q <= key[1];
      if (last) out_q <= winner;
    end
  end

endmodule
