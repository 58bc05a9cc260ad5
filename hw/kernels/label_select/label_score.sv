// SPDX-License-Identifier: Apache-2.0
// Scores of labels that have a factor and an offset each: score = x * factor + offset.

/// Lanes labels per word, one word in two cycles, Digits + 2 cycles of latency: registers |
/// products with digits of 17 bits, which one DSP block takes | one sum a cycle. Sums wrap, so only
/// the score itself has to fit ScoreBits. `out_ready_i` moves every stage, and `in_ready_o` follows
/// it in the same cycle. A score stays for two of these steps.
///
/// `ParamFile` is the image of the parameters, a word for Lanes labels: per lane from the low bits
/// up factor and offset. Of several parts it is what their names begin with, see `rom_stream`.
module label_score #(
  parameter int unsigned Lanes      = 1,  // labels of a word
  parameter int unsigned InBits     = 16, // bits of x
  parameter bit          InSigned   = 1,
  parameter int unsigned Folds      = 10, // words of a vector
  parameter int unsigned FactorBits = 24, // bits of a factor, which is signed
  parameter int unsigned OffsetBits = 32, // bits of an offset, which is signed
  parameter int unsigned ScoreBits  = 48, // bits of a score, which is signed
  parameter bit          BlockRom   = 0,  // parameters in block RAM, otherwise in LUTs
  parameter int unsigned RomParts   = 1,  // memories of them side by side
  parameter              ParamFile  = ""  // $readmemh image, or what several begin with
) (
  input  logic                       clk_i,
  input  logic                       rst_ni,

  input  logic                       in_valid_i,
  output logic                       in_ready_o,
  input  logic [Lanes*InBits-1:0]    in_data_i,

  output logic                       out_valid_o,
  input  logic                       out_ready_i,
  output logic [Lanes*ScoreBits-1:0] out_data_o
);

  localparam int unsigned DigitBits = 17; // of a digit but the last one, which has the sign
  localparam int unsigned Digits    =
      FactorBits > DigitBits + 1 ? (FactorBits - 1 + DigitBits - 1) / DigitBits : 1;
  localparam int unsigned LaneBits  = FactorBits + OffsetBits;
  localparam int unsigned XBits     = InBits + (InSigned ? 0 : 1);
  localparam int unsigned ProdBits  = XBits + DigitBits + 1;

  if (FactorBits == 0 || OffsetBits == 0 || OffsetBits > ScoreBits || FactorBits > ScoreBits)
  begin : gen_check
    $error("label_score: found FactorBits %0d and OffsetBits %0d, expected 1..%0d", FactorBits,
           OffsetBits, ScoreBits);
  end

  logic                      there, advance, taken, free_q, out_valid_q;
  logic [Lanes*LaneBits-1:0] params, params_q;
  logic [Lanes*InBits-1:0]   x_q;
  logic [Digits:0]           valid_q; // of x_q, then of every sum but the last

  // Also where nothing leaves: what comes behind counts the cycles between two words.
  assign advance     = out_ready_i;
  assign in_ready_o  = advance && there && free_q;
  assign taken       = in_valid_i && there && free_q;
  assign out_valid_o = out_valid_q;

  rom_stream #(
    .Width   (Lanes * LaneBits),
    .Depth   (Folds),
    .Style   (BlockRom ? 2 : 1),
    .Parts   (RomParts),
    .InitFile(ParamFile)
  ) u_params (
    .clk_i,
    .rst_ni,
    .out_valid_o(there),
    .out_ready_i(in_valid_i && advance && free_q),
    .out_data_o (params)
  );

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      valid_q     <= '0;
      out_valid_q <= 1'b0;
      free_q      <= 1'b1;
    end else if (advance) begin
      free_q      <= !taken;
      valid_q     <= {valid_q[Digits-1:0], taken};
      out_valid_q <= valid_q[Digits];
    end
  end

  always_ff @(posedge clk_i) begin
    if (advance) begin
      x_q      <= in_data_i;
      params_q <= params;
    end
  end

  for (genvar l = 0; l < Lanes; l++) begin : gen_lane
    logic signed [XBits-1:0]      x;
    logic        [FactorBits-1:0] factor;
    logic signed [OffsetBits-1:0] offset_q;
    logic signed [ScoreBits-1:0]  sum [Digits+1];

    assign x      = XBits'({!InSigned ? 1'b0 : x_q[l*InBits+InBits-1], x_q[l*InBits+:InBits]});
    assign factor = params_q[l*LaneBits+:FactorBits];
    assign sum[0] = ScoreBits'(offset_q);

    always_ff @(posedge clk_i) begin
      if (advance) offset_q <= params_q[l*LaneBits+FactorBits+:OffsetBits];
    end

    for (genvar k = 0; k < Digits; k++) begin : gen_digit
      localparam int unsigned Low  = DigitBits * k;
      localparam int unsigned Bits = k == Digits - 1 ? FactorBits - Low : DigitBits;

      logic signed [DigitBits:0]   digit;
      logic signed [ProdBits-1:0]  product_q [k+1]; // waits for the sum of the digits below
      logic signed [ScoreBits-1:0] sum_q;

      if (k == Digits - 1) begin : gen_top
        logic signed [Bits-1:0] top;
        assign top   = factor[Low+:Bits];
        assign digit = (DigitBits + 1)'(top);
      end else begin : gen_low
        assign digit = {1'b0, factor[Low+:Bits]};
      end

      always_ff @(posedge clk_i) begin
        if (advance) begin
          product_q[0] <= x * digit;
          // The score stays for two cycles.
          if (k < Digits - 1 || valid_q[Digits]) begin
            sum_q <= sum[k] + (ScoreBits'(product_q[k]) <<< Low);
          end
        end
      end
      for (genvar d = 1; d <= k; d++) begin : gen_wait
        always_ff @(posedge clk_i) begin
          if (advance) product_q[d] <= product_q[d-1];
        end
      end
      assign sum[k+1] = sum_q;
    end

    assign out_data_o[l*ScoreBits+:ScoreBits] = sum[Digits];
  end

endmodule
