// SPDX-License-Identifier: Apache-2.0
// Sums every channel over all pixels of a frame.

/// Words come pixel by pixel, `Folds` words per pixel. The sums leave while the last pixel comes
/// in, so the next frame follows without a gap: one input word per cycle. Until the last pixel the
/// input does not wait for the output. One cycle of latency after the last word.
module global_acc_pool #(
  parameter int unsigned Lanes    = 1,  // channels of a word
  parameter int unsigned InBits   = 8,  // bits of an element
  parameter bit          InSigned = 1,
  parameter int unsigned SumBits  = 16, // bits of a sum
  parameter int unsigned Folds    = 1,  // words of a pixel
  parameter int unsigned Pixels   = 1,  // pixels of a frame
  parameter bit          BlockRam = 0   // sums in block RAM, otherwise in LUTs
) (
  input  logic                     clk_i,
  input  logic                     rst_ni,

  input  logic                     in_valid_i,
  output logic                     in_ready_o,
  input  logic [Lanes*InBits-1:0]  in_data_i,

  output logic                     out_valid_o,
  input  logic                     out_ready_i,
  output logic [Lanes*SumBits-1:0] out_data_o
);

  if (SumBits < InBits) begin : gen_check_sum
    $error("global_acc_pool: found SumBits=%0d, expected InBits=%0d or more", SumBits, InBits);
  end
  if (Folds < 1 || Pixels < 1) begin : gen_check_frame
    $error("global_acc_pool: found Folds=%0d Pixels=%0d, expected 1 or more", Folds, Pixels);
  end

  localparam int unsigned FoldBits  = Folds > 1 ? $clog2(Folds) : 1;
  localparam int unsigned PixelBits = Pixels > 1 ? $clog2(Pixels) : 1;
  localparam int unsigned WordBits  = Lanes * SumBits;

  logic [FoldBits-1:0]  fold;
  logic [PixelBits-1:0] unused_pixel;
  logic                 first_q, last_fold, last_pixel, accept;
  logic [WordBits-1:0]  sum_old, sum_new;
  logic                 out_valid_q;
  logic [WordBits-1:0]  out_q;

  assign in_ready_o  = !last_pixel || !out_valid_q || out_ready_i;
  assign accept      = in_valid_i && in_ready_o;
  assign out_valid_o = out_valid_q;
  assign out_data_o  = out_q;

  loop_counter #(
    .Count(Folds)
  ) u_fold (
    .clk_i,
    .rst_ni,
    .advance_i(accept),
    .count_o(fold),
    .last_o(last_fold)
  );

  loop_counter #(
    .Count(Pixels)
  ) u_pixel (
    .clk_i,
    .rst_ni,
    .advance_i(accept && last_fold),
    .count_o(unused_pixel),
    .last_o(last_pixel)
  );

  for (genvar i = 0; i < Lanes; i++) begin : gen_lane
    logic [SumBits-1:0] wide;
    if (SumBits > InBits) begin : gen_extend
      assign wide = {{SumBits - InBits{InSigned && in_data_i[i*InBits + InBits - 1]}},
                     in_data_i[i*InBits +: InBits]};
    end else begin : gen_same
      assign wide = in_data_i[i*InBits +: InBits];
    end
    assign sum_new[i*SumBits +: SumBits] = first_q ? wide : sum_old[i*SumBits +: SumBits] + wide;
  end

  turn_memory #(
    .Width   (WordBits),
    .Turns   (Folds),
    .BlockRam(BlockRam)
  ) u_sums (
    .clk_i,
    .rst_ni,
    .step_i(accept),
    .turn_i(fold),
    .last_i(last_fold),
    .data_i(sum_new),
    .data_o(sum_old)
  );

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      first_q     <= 1'b1;
      out_valid_q <= 1'b0;
    end else begin
      if (accept && last_fold) first_q <= last_pixel;
      if (accept && last_pixel) out_valid_q <= 1'b1;
      else if (out_ready_i) out_valid_q <= 1'b0;
    end
  end

  always_ff @(posedge clk_i) begin
    if (accept && last_pixel) out_q <= sum_new;
  end

endmodule
