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

  logic [FoldBits-1:0]      fold_q;
  logic [PixelBits-1:0]     pixel_q;
  logic                     first_q, last_fold, last_pixel, accept;
  logic [Lanes*SumBits-1:0] sum_old, sum_new;
  logic                     out_valid_q;
  logic [Lanes*SumBits-1:0] out_q;

  assign last_fold   = fold_q == FoldBits'(Folds - 1);
  assign last_pixel  = pixel_q == PixelBits'(Pixels - 1);
  assign in_ready_o  = !last_pixel || !out_valid_q || out_ready_i;
  assign accept      = in_valid_i && in_ready_o;
  assign out_valid_o = out_valid_q;
  assign out_data_o  = out_q;

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

  if (BlockRam) begin : gen_block
    (* ram_style = "block" *) logic [Lanes*SumBits-1:0] sum_memory [Folds];
    assign sum_old = sum_memory[fold_q];
    always_ff @(posedge clk_i) begin
      if (accept) sum_memory[fold_q] <= sum_new;
    end
  end else begin : gen_luts
    (* ram_style = "distributed" *) logic [Lanes*SumBits-1:0] sum_memory [Folds];
    assign sum_old = sum_memory[fold_q];
    always_ff @(posedge clk_i) begin
      if (accept) sum_memory[fold_q] <= sum_new;
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      fold_q      <= '0;
      pixel_q     <= '0;
      first_q     <= 1'b1;
      out_valid_q <= 1'b0;
    end else begin
      if (accept) begin
        fold_q <= last_fold ? '0 : fold_q + 1'b1;
        if (last_fold) begin
          pixel_q <= last_pixel ? '0 : pixel_q + 1'b1;
          first_q <= last_pixel;
        end
      end
      if (accept && last_pixel) out_valid_q <= 1'b1;
      else if (out_ready_i) out_valid_q <= 1'b0;
    end
  end

  always_ff @(posedge clk_i) begin
    if (accept && last_pixel) out_q <= sum_new;
  end

endmodule
