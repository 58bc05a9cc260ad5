// SPDX-License-Identifier: Apache-2.0
// Matrix-vector unit of a grouped convolution: inputs feed the outputs of their own group alone.

/// Words of Simd elements come as a window emits them: position by position, channels innermost.
/// Simd is whole groups, or all channels of some positions. A word's products are added up for the
/// outputs of its groups; partial sums of all groups are kept until the last position. Each word
/// takes a word of weights, and one of bias where groups take turns; that of the first position
/// counts. Element o * Count + c of a word of weights is for its output o and for input c of that,
/// where Count is the group's inputs, once for each position in the word. One word per cycle,
/// without bubbles, out as in; sums are modulo 2**AccWidth. Ready, valid and data are registers.
module grouped_mvu #(
  parameter int unsigned Groups       = 4,  // groups of channels
  parameter int unsigned GroupInputs  = 1,  // channels of a group
  parameter int unsigned GroupOutputs = 1,  // outputs of a group
  parameter int unsigned Taps         = 9,  // positions of a window
  parameter int unsigned Simd         = 4,  // elements of a word
  parameter int unsigned InWidth      = 8,  // bits of an element
  parameter bit          InSigned     = 0,  // elements are two's complement
  parameter bit          InBinary     = 0,  // elements are bits: 0 is -1, 1 is +1
  parameter int unsigned WeightWidth  = 8,  // bits of a weight, two's complement
  parameter bit          WeightBinary = 0,  // weights are bits: 0 is -1, 1 is +1
  parameter int unsigned AccWidth     = 20, // bits of an output, two's complement
  parameter bit          BlockRam     = 0,  // running sums in block RAM, otherwise in LUTs
  localparam int unsigned Channels = Groups * GroupInputs,
  localparam int unsigned TapLanes = Simd > Channels ? Simd / Channels : 1,
  localparam int unsigned Lanes    = Simd > Channels ? Groups : Simd / GroupInputs,
  localparam int unsigned Count    = GroupInputs * TapLanes, // operands of a sum
  localparam int unsigned Pe       = Lanes * GroupOutputs
) (
  input  logic                            clk_i,
  input  logic                            rst_ni,

  input  logic                            in_valid_i,
  output logic                            in_ready_o,
  input  logic [Simd*InWidth-1:0]         in_data_i,

  input  logic                            weight_valid_i,
  output logic                            weight_ready_o,
  input  logic [Pe*Count*WeightWidth-1:0] weight_data_i,

  output logic                            bias_ready_o,
  input  logic [Pe*AccWidth-1:0]          bias_data_i,

  output logic                            out_valid_o,
  input  logic                            out_ready_i,
  output logic [Pe*AccWidth-1:0]          out_data_o
);

  if (Simd % GroupInputs != 0 || Groups % Lanes != 0 || Taps % TapLanes != 0 ||
      Lanes * Count != Simd) begin : gen_check_simd
    $error("grouped_mvu: found Simd=%0d, expected whole groups of %0d of %0d channels, or these %s",
           Simd, GroupInputs, Channels, "times a divisor of the positions");
  end
  if ((InBinary && InWidth != 1) || (WeightBinary && WeightWidth != 1)) begin : gen_check_bits
    $error("grouped_mvu: found InWidth=%0d WeightWidth=%0d, expected 1 of what is binary", InWidth,
           WeightWidth);
  end

  localparam int unsigned Turns        = Groups / Lanes; // words of a position
  localparam int unsigned Rounds       = Taps / TapLanes;
  localparam int unsigned XWidth       = InBinary ? 2 : InWidth;
  localparam int unsigned WWidth       = WeightBinary ? 2 : WeightWidth;
  localparam int unsigned FullWidth    = XWidth + WWidth; // enough for signed and unsigned
  localparam int unsigned ProductWidth = (FullWidth < AccWidth) ? FullWidth : AccWidth;

  logic enable, step;

  assign step           = in_valid_i && weight_valid_i;
  assign in_ready_o     = weight_valid_i && enable;
  assign weight_ready_o = in_valid_i && enable;

  // Of which turn and round the word is.
  logic [((Turns > 1) ? $clog2(Turns) : 1)-1:0]   unused_turn;
  logic [((Rounds > 1) ? $clog2(Rounds) : 1)-1:0] unused_round;
  logic                                           last_turn, last_round, first_q;

  loop_counter #(
    .Count(Turns)
  ) u_turn (
    .clk_i,
    .rst_ni,
    .advance_i(step && enable),
    .count_o(unused_turn),
    .last_o(last_turn)
  );

  loop_counter #(
    .Count(Rounds)
  ) u_round (
    .clk_i,
    .rst_ni,
    .advance_i(step && enable && last_turn),
    .count_o(unused_round),
    .last_o(last_round)
  );

  always_ff @(posedge clk_i) begin
    if (!rst_ni) first_q <= 1'b1;
    else if (step && enable && last_turn) first_q <= last_round;
  end

  // Products come this many enabled cycles after their factors.
  localparam int unsigned Latency = 4;
  logic [Latency-1:0]               valid_q;
  logic [Latency-1:0][1:0]          tag_q;
  logic [Pe*Count*ProductWidth-1:0] product;

  for (genvar o = 0; o < Pe; o++) begin : gen_output
    for (genvar c = 0; c < Count; c++) begin : gen_operand
      localparam int unsigned From = (c / GroupInputs) * Channels +
                                     (o / GroupOutputs) * GroupInputs + c % GroupInputs;
      logic [XWidth-1:0]    x;
      logic [WWidth-1:0]    weight;
      logic [FullWidth-1:0] full;

      if (InBinary) begin : gen_sign
        assign x = {!in_data_i[From], 1'b1};
      end else begin : gen_code
        assign x = in_data_i[From*InWidth+:InWidth];
      end
      if (WeightBinary) begin : gen_weight_sign
        assign weight = {!weight_data_i[o*Count+c], 1'b1};
      end else begin : gen_weight
        assign weight = weight_data_i[(o*Count+c)*WeightWidth+:WeightWidth];
      end

      product_single #(
        .InWidth    (XWidth),
        .InSigned   (InSigned || InBinary),
        .WeightWidth(WWidth)
      ) u_product (
        .clk_i,
        .enable_i (enable),
        .data_i   (x),
        .weight_i (weight),
        .product_o(full)
      );
      assign product[(o*Count+c)*ProductWidth+:ProductWidth] = full[ProductWidth-1:0];

      if (ProductWidth < FullWidth) begin : gen_unused
        logic unused;
        assign unused = &full[FullWidth-1:ProductWidth];
      end
    end
  end

  // The reset keeps the tags out of shift registers of LUTs.
  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      valid_q <= '0;
      tag_q   <= '0;
    end else if (enable) begin
      valid_q <= {valid_q[Latency-2:0], step};
      tag_q   <= {tag_q[Latency-2:0], {first_q, last_round}};
    end
  end

  logic                   dot_valid;
  logic [1:0]             dot_tag;
  logic [Pe*AccWidth-1:0] dot;

  adder_tree #(
    .Lanes   (Pe),
    .Count   (Count),
    .InWidth (ProductWidth),
    .OutWidth(AccWidth),
    .Signed  (1),
    .TagWidth(2)
  ) u_tree (
    .clk_i,
    .rst_ni,
    .enable_i(enable),
    .valid_i (valid_q[Latency-1]),
    .tag_i   (tag_q[Latency-1]),
    .data_i  (product),
    .valid_o (dot_valid),
    .tag_o   (dot_tag),
    .sum_o   (dot)
  );

  if (Turns == 1) begin : gen_one_turn
    logic unused_init, unused_free;

    mvu_back #(
      .Pe        (Pe),
      .AccWidth  (AccWidth),
      .SingleStep(Rounds == 1)
    ) u_back (
      .clk_i,
      .rst_ni,
      .enable_o    (enable),
      .init_ok_o   (unused_init),
      .free_d_o    (unused_free),
      .dot_valid_i (dot_valid),
      .dot_first_i (dot_tag[1]),
      .dot_last_i  (dot_tag[0]),
      .dot_data_i  (dot),
      .init_valid_i(1'b1),
      .init_ready_o(bias_ready_o),
      .init_data_i (bias_data_i),
      .out_valid_o,
      .out_ready_i,
      .out_data_o
    );
  end else begin : gen_turns
    grouped_back #(
      .Pe      (Pe),
      .AccWidth(AccWidth),
      .Turns   (Turns),
      .BlockRam(BlockRam)
    ) u_back (
      .clk_i,
      .rst_ni,
      .enable_o    (enable),
      .dot_valid_i (dot_valid),
      .dot_first_i (dot_tag[1]),
      .dot_last_i  (dot_tag[0]),
      .dot_data_i  (dot),
      .init_ready_o(bias_ready_o),
      .init_data_i (bias_data_i),
      .out_valid_o,
      .out_ready_i,
      .out_data_o
    );
  end

endmodule
