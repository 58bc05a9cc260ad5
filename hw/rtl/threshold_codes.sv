// SPDX-License-Identifier: Apache-2.0
// Codes by thresholds: a comparison, comparisons with all of them at once, or a search.

/// code = base + sum of steps where x >= threshold, Pe channels per word, one word per cycle. With
/// Directions steps go up or down from a base per channel; without, all go up from Start, and one
/// threshold is a comparison between a memory's register and the two registers of the output, a
/// cycle in all. Else all are compared at once or searched bit by bit, in the stages of
/// `threshold_parallel` and `threshold_search`. Valid and data of the output and ready of the input
/// come from registers, but for `threshold_parallel`, whose ready also waits a cycle for its memory
/// after a reset.
///
/// `ParamFile` is the image of the parameters, a word for Pe channels; with a search the base is in
/// its tables, whose names begin with `ParamFile`.
module threshold_codes #(
  parameter int unsigned Channels        = 2,  // channels, a multiple of Pe
  parameter int unsigned Pe              = 1,  // lanes
  parameter int unsigned Steps           = 1,  // thresholds per channel
  parameter int unsigned InBits          = 8,  // bits of x
  parameter bit          InSigned        = 1,
  parameter int unsigned ThresholdBits   = 8,  // bits of a threshold
  parameter bit          ThresholdSigned = 1,
  parameter bit          Directions      = 0,  // steps go up or down, from a base per channel
  parameter int unsigned CodeBits        = 1,  // bits of a code
  parameter int          Start           = 0,  // code below all thresholds, without Directions
  parameter int unsigned Encoding        = 0,  // 0 code, 1 bit [code = i], 2 bit [code >= i]
  parameter int unsigned OutBits         = 1,  // CodeBits, or the levels i = 1 .. OutBits
  parameter int unsigned Implementation  = 0,  // 0 compares with all thresholds at once, 1 searches
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
    $error("threshold_codes: %0d channels cannot be split over Pe %0d", Channels, Pe);
  end
  if (Steps == 0) begin : gen_check_steps
    $error("threshold_codes: Steps 0, expected at least 1");
  end
  if (Encoding == 0 && OutBits != CodeBits) begin : gen_check_out
    $error("threshold_codes: OutBits %0d, expected CodeBits %0d", OutBits, CodeBits);
  end
  if (Implementation > 1 || (Implementation == 1 && Steps == 1 && !Directions))
  begin : gen_check_implementation
    $error("threshold_codes: Implementation %0d with Steps %0d, expected 0, or 1 from 2 steps on",
           Implementation, Steps);
  end
  if (Encoding != 0 && (Implementation == 1 || !Directions)) begin : gen_check_encoding
    $error("threshold_codes: Encoding %0d with a search or without Directions, expected 0",
           Encoding);
  end

  if (Steps == 1 && !Directions) begin : gen_one
    localparam int unsigned WideBits = (InBits > ThresholdBits ? InBits : ThresholdBits) + 1;

    logic                        there, ready;
    logic [Pe*ThresholdBits-1:0] thresholds;
    logic [Pe*OutBits-1:0]       codes;

    assign in_ready_o = ready && there;

    rom_stream #(
      .Width   (Pe * ThresholdBits),
      .Depth   (Channels / Pe),
      .Style   (BlockRom ? 2 : 1),
      .InitFile(ParamFile)
    ) u_thresholds (
      .clk_i,
      .rst_ni,
      .out_valid_o(there),
      .out_ready_i(in_valid_i && ready),
      .out_data_o (thresholds)
    );

    for (genvar p = 0; p < Pe; p++) begin : gen_lane
      logic [InBits-1:0]          x;
      logic [ThresholdBits-1:0]   t;
      logic signed [WideBits-1:0] wide_x, wide_t;

      assign x      = in_data_i[p*InBits+:InBits];
      assign t      = thresholds[p*ThresholdBits+:ThresholdBits];
      assign wide_x = {{WideBits - InBits{InSigned && x[InBits-1]}}, x};
      assign wide_t = {{WideBits - ThresholdBits{ThresholdSigned && t[ThresholdBits-1]}}, t};
      assign codes[p*OutBits+:OutBits] = wide_x >= wide_t ? OutBits'(Start + 1) : OutBits'(Start);
    end

    stream_register #(
      .Width(Pe * OutBits)
    ) u_out (
      .clk_i,
      .rst_ni,
      .in_valid_i(in_valid_i && there),
      .in_ready_o(ready),
      .in_data_i (codes),
      .out_valid_o,
      .out_ready_i,
      .out_data_o
    );
  end else if (Implementation == 0) begin : gen_parallel
    threshold_parallel #(
      .Channels       (Channels),
      .Pe             (Pe),
      .Steps          (Steps),
      .InBits         (InBits),
      .InSigned       (InSigned),
      .ThresholdBits  (ThresholdBits),
      .ThresholdSigned(ThresholdSigned),
      .Directions     (Directions),
      .CodeBits       (CodeBits),
      .Start          (Start),
      .Encoding       (Encoding),
      .OutBits        (OutBits),
      .BlockRom       (BlockRom),
      .ParamFile      (ParamFile)
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
      .Channels   (Channels),
      .Pe         (Pe),
      .Steps      (Steps),
      .InBits     (InBits),
      .InSigned   (InSigned),
      .CodeBits   (CodeBits),
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
