// SPDX-License-Identifier: Apache-2.0
// Steps up and down at per-channel thresholds, from a stream of numbers to a stream of codes.

/// code = base + sum of steps where x >= threshold, Pe channels per word, one word per cycle.
/// `threshold_parallel` compares with all thresholds of a channel at once; its memory is the image
/// `ParamFile`. `threshold_search` finds the place of x among them bit by bit; the names of its
/// images begin with `ParamFile`.
module signed_thresholding #(
  parameter int unsigned Channels        = 2,  // channels, a multiple of Pe
  parameter int unsigned Pe              = 1,  // lanes
  parameter int unsigned Steps           = 5,  // thresholds per channel
  parameter int unsigned InBits          = 8,  // bits of x
  parameter bit          InSigned        = 1,
  parameter int unsigned ThresholdBits   = 8,  // bits of a threshold
  parameter bit          ThresholdSigned = 1,
  parameter int unsigned CodeBits        = 3,  // bits of a code
  parameter int unsigned Encoding        = 0,  // 0 code, 1 bit [code = i], 2 bit [code >= i]
  parameter int unsigned OutBits         = 3,  // CodeBits, or the levels i = 1 .. OutBits
  parameter int unsigned Implementation  = 0,  // 0 parallel, 1 search
  parameter bit          BlockRom        = 0,  // parameters in block RAM, otherwise in LUTs
  parameter logic [31:0] BlockTables     = 0,  // of a search; see threshold_search
  parameter              ParamFile       = ""  // $readmemh image, or what several begin with
) (
  input  logic                  clk_i,
  input  logic                  rst_ni,

  input  logic                  in_valid_i,
  output logic                  in_ready_o,
  input  logic [Pe*InBits-1:0]  in_data_i,

  output logic                  out_valid_o,
  input  logic                  out_ready_i,
  output logic [Pe*OutBits-1:0] out_data_o
);

  if (Channels % Pe != 0) begin : gen_check_lanes
    $error("signed_thresholding: %0d channels cannot be split over Pe %0d", Channels, Pe);
  end
  if (Steps == 0) begin : gen_check_steps
    $error("signed_thresholding: Steps 0, expected at least 1");
  end
  if (Encoding == 0 && OutBits != CodeBits) begin : gen_check_out
    $error("signed_thresholding: OutBits %0d, expected CodeBits %0d", OutBits, CodeBits);
  end
  if (Implementation > 1) begin : gen_check_implementation
    $error("signed_thresholding: Implementation %0d, expected 0 or 1", Implementation);
  end
  if (Implementation == 1 && Encoding != 0) begin : gen_check_encoding
    $error("signed_thresholding: Encoding %0d with a search, expected 0", Encoding);
  end

  if (Implementation == 0) begin : gen_parallel
    threshold_parallel #(
      .Channels(Channels),
      .Pe(Pe),
      .Steps(Steps),
      .InBits(InBits),
      .InSigned(InSigned),
      .ThresholdBits(ThresholdBits),
      .ThresholdSigned(ThresholdSigned),
      .CodeBits(CodeBits),
      .Encoding(Encoding),
      .OutBits(OutBits),
      .BlockRom(BlockRom),
      .ParamFile(ParamFile)
    ) u_core (
      .clk_i,
      .rst_ni,
      .in_valid_i,
      .in_ready_o,
      .in_data_i,
      .out_valid_o,
      .out_ready_i,
      .out_data_o
    );
  end else begin : gen_search
    threshold_search #(
      .Channels(Channels),
      .Pe(Pe),
      .Steps(Steps),
      .InBits(InBits),
      .InSigned(InSigned),
      .CodeBits(CodeBits),
      .BlockTables(BlockTables),
      .TablePrefix(ParamFile)
    ) u_core (
      .clk_i,
      .rst_ni,
      .in_valid_i,
      .in_ready_o,
      .in_data_i,
      .out_valid_o,
      .out_ready_i,
      .out_data_o
    );
  end

endmodule
