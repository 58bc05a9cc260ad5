// SPDX-License-Identifier: Apache-2.0
// A whole layer of piecewise levels: codes, border, window, product, rounding shift and shortcut.

/// One channel per word in, one per word out. A pixel's level codes lie in a line memory that the
/// reader walks again for every group of Pe outputs, so that no window is ever streamed. Borders
/// hold code 0, whose products are left out. Valid and data of the output and both readies are
/// registers. Frames follow each other without a gap, and none waits for the next one.
module pa_block #(
  parameter int unsigned Channels       = 8,  // channels of the input
  parameter int unsigned Outputs        = 8,  // channels of the output
  parameter int unsigned Height         = 4,  // rows of the input
  parameter int unsigned Width          = 4,  // columns of the input
  parameter int unsigned OutHeight      = 4,  // rows of the output
  parameter int unsigned OutWidth       = 4,  // columns of the output
  parameter int unsigned KernelY        = 3,  // rows of a window
  parameter int unsigned KernelX        = 3,  // columns of a window
  parameter int unsigned StrideY        = 1,  // rows from one window to the next
  parameter int unsigned StrideX        = 1,  // columns from one window to the next
  parameter int unsigned PadTop         = 1,  // border rows above
  parameter int unsigned PadLeft        = 1,  // border columns on the left
  parameter int unsigned Simd           = 4,  // codes of a step
  parameter int unsigned Pe             = 1,  // outputs of a step
  parameter int unsigned InBits         = 8,  // bits of an input word, two's complement
  parameter int unsigned OutBits        = 8,  // bits of an output word, two's complement
  parameter int unsigned Steps          = 5,  // thresholds of a channel
  parameter bit          Directions     = 0,  // steps go up or down, from a start per channel
  parameter int unsigned CodeBits       = 3,  // bits of an input code, unsigned
  parameter int unsigned WeightBits     = 3,  // bits of a weight code, two's complement
  parameter int unsigned M              = 4,  // weight levels besides 0
  parameter int unsigned N              = 5,  // input levels besides 0
  parameter int unsigned Zero           = 2,  // index of the weight level 0
  parameter logic [16*(M+1)-1:0] Alpha  = 0,  // weight levels, 16 bits each, level 0 lowest
  parameter logic [16*(N+1)-1:0] Beta   = 0,  // input levels, likewise
  parameter int unsigned ProductBits    = 8,  // bits of a product of levels
  parameter int unsigned SumBits        = 20, // bits of a sum of products, two's complement
  parameter int unsigned Implementation = 1,  // 1 coded, 2 planes, 3 packed
  parameter int unsigned Field          = 16, // packed: bits of a cascade's sum
  parameter int unsigned Chain          = 1,  // packed: products of a cascade
  parameter int unsigned Shift          = 8,  // rounding shift to the output
  parameter int unsigned Shortcut       = 0,  // 0 none, 1 the input, 2 a stream
  parameter int unsigned ShortcutShift  = 0,  // left shift of the shortcut
  parameter int unsigned LineAddress    = 7,  // address bits of the line memory
  parameter int unsigned Slack          = 1,  // pixels that the input may be ahead of need
  parameter bit          LineBlock      = 0,  // line memory in block RAM
  parameter int unsigned ShortcutDepth  = 64, // words of the shortcut's ring
  parameter bit          ShortcutBlock  = 0,  // ring in block RAM
  parameter bit          BlockRom       = 1,  // weights in block RAM
  parameter int unsigned Primitives     = 0,  // 1: LUT6_2, CARRY4 and DSP48E1 of the 7 series
  parameter              LevelFile      = "", // $readmemh images
  parameter              WeightFile     = "",
  parameter int unsigned TapId          = 0   // number of the first tap in a simulation
) (
  input  logic               clk_i,
  input  logic               rst_ni,

  input  logic               in_valid_i,
  output logic               in_ready_o,
  input  logic [InBits-1:0]  in_data_i,

  input  logic               shortcut_valid_i,
  output logic               shortcut_ready_o,
  input  logic [OutBits-1:0] shortcut_data_i,

  output logic               out_valid_o,
  input  logic               out_ready_i,
  output logic [OutBits-1:0] out_data_o
);

  localparam int unsigned Groups = Channels / Simd;
  localparam int unsigned Folds  = (Outputs + Pe - 1) / Pe;
  // The rounding half is what a sum starts from; it may take a bit more.
  localparam int unsigned         SumWidth = (Shift > 0) ? SumBits + 1 : SumBits;
  localparam logic [SumWidth-1:0] Half     = SumWidth'((64'd1 << Shift) >> 1);

  if (Shift >= SumWidth) begin : gen_check_shift
    $error("pa_block: Shift %0d is not below the %0d bits of a sum", Shift, SumWidth);
  end
  if (Shortcut == 1 && (Channels != Outputs || OutBits != InBits || OutHeight != Height ||
                        OutWidth != Width)) begin : gen_check_shortcut
    $error("pa_block: %0d x %0d x %0d of %0d bits are no shortcut of %0d x %0d x %0d of %0d",
           Height, Width, Channels, InBits, OutHeight, OutWidth, Outputs, OutBits);
  end

  logic                     room, take, pixel, frame, code_valid, write;
  logic [CodeBits-1:0]      code;
  logic [Simd*CodeBits-1:0] write_data;
  logic                     busy, step, first, last, unused_restart, border;
  logic [LineAddress-1:0]   read_address;

  pa_writer #(
    .Channels(Channels),
    .Pixels(Height * Width),
    .Simd(Simd),
    .InWidth(InBits),
    .Steps(Steps),
    .CodeWidth(CodeBits),
    .Directions(Directions),
    .LevelFile(LevelFile)
  ) u_writer (
    .clk_i,
    .rst_ni,
    .in_valid_i,
    .in_ready_o,
    .in_data_i,
    .room_i(room),
    .take_o(take),
    .pixel_o(pixel),
    .frame_o(frame),
    .code_valid_o(code_valid),
    .code_o(code),
    .write_o(write),
    .write_data_o(write_data)
  );

  block_reader #(
    .Height(Height),
    .Width(Width),
    .OutHeight(OutHeight),
    .OutWidth(OutWidth),
    .KernelY(KernelY),
    .KernelX(KernelX),
    .StrideY(StrideY),
    .StrideX(StrideX),
    .PadTop(PadTop),
    .PadLeft(PadLeft),
    .Groups(Groups),
    .Folds(Folds),
    .AddressWidth(LineAddress),
    .Slack(Slack)
  ) u_reader (
    .clk_i,
    .rst_ni,
    .pixel_i(pixel),
    .frame_i(frame),
    .room_o(room),
    .hold_i(busy),
    .step_o(step),
    .first_o(first),
    .last_o(last),
    .restart_o(unused_restart),
    .border_o(border),
    .address_o(read_address)
  );

  logic [Simd*CodeBits-1:0]      data;
  logic [Pe*Simd*WeightBits-1:0] weights;

  block_lines #(
    .Width(Simd * CodeBits),
    .AddressWidth(LineAddress),
    .BlockRam(LineBlock)
  ) u_lines (
    .clk_i,
    .rst_ni,
    .write_i(write),
    .write_data_i(write_data),
    .read_address_i(read_address),
    .border_i(1'b0), // its products are left out
    .read_data_o(data)
  );

  pa_weights #(
    .Steps(KernelY * KernelX * Groups * Folds),
    .Width(Pe * Simd * WeightBits),
    .BlockRom(BlockRom),
    .File(WeightFile)
  ) u_weights (
    .clk_i,
    .rst_ni,
    .step_i(step),
    .weights_o(weights)
  );

  // The step travels beside line memory and weights, two registers each.
  logic [1:0] step_q, first_q, last_q, border_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      step_q   <= '0;
      first_q  <= '0;
      last_q   <= '0;
      border_q <= '0;
    end else begin
      step_q   <= {step_q[0], step};
      first_q  <= {first_q[0], first};
      last_q   <= {last_q[0], last};
      border_q <= {border_q[0], border};
    end
  end

  logic                   done;
  logic [Pe*SumWidth-1:0] sum;

  pa_sums #(
    .Simd(Simd),
    .Pe(Pe),
    .InWidth(CodeBits),
    .WeightWidth(WeightBits),
    .M(M),
    .N(N),
    .Zero(Zero),
    .Alpha(Alpha),
    .Beta(Beta),
    .ProductWidth(ProductBits),
    .SumWidth(SumWidth),
    .Start(Half),
    .Implementation(Implementation),
    .Field(Field),
    .Chain(Chain),
    .Primitives(Primitives)
  ) u_sums (
    .clk_i,
    .rst_ni,
    .valid_i(step_q[1]),
    .first_i(first_q[1]),
    .last_i(last_q[1]),
    .border_i(border_q[1]),
    .data_i(data),
    .weights_i(weights),
    .done_o(done),
    .sum_o(sum)
  );

  pa_results #(
    .Pe(Pe),
    .Folds(Folds),
    .Outputs(Outputs),
    .SumWidth(SumWidth),
    .Shift(Shift),
    .Shortcut(Shortcut),
    .ShortcutWidth(OutBits),
    .ShortcutDepth(ShortcutDepth),
    .ShortcutBlock(ShortcutBlock),
    .ShortcutShift(ShortcutShift),
    .OutWidth(OutBits)
  ) u_results (
    .clk_i,
    .rst_ni,
    .last_i(step && last),
    .busy_o(busy),
    .done_i(done),
    .sum_i(sum),
    .write_i(take),
    .write_data_i(OutBits'(in_data_i)),
    .shortcut_valid_i,
    .shortcut_ready_o,
    .shortcut_data_i,
    .out_valid_o,
    .out_ready_i,
    .out_data_o
  );

`ifdef ANDPOP_SIM
  stream_tap #(
    .Width(CodeBits),
    .Id(TapId)
  ) u_tap_codes (
    .clk_i,
    .rst_ni,
    .valid_i(code_valid),
    .ready_i(1'b1),
    .data_i(code)
  );

  // The sums leave one by one for their tap, ahead of the next group's, those with an output.
  logic [Pe*SumWidth-1:0] tap_q;
  logic                   tap_end;
  int unsigned            tap_left_q, tap_word_q;

  assign tap_end = tap_word_q + 1 == Pe * Folds;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      tap_left_q <= 0;
      tap_word_q <= 0;
    end else begin
      if (done) tap_left_q <= Pe;
      else if (tap_left_q > 0) tap_left_q <= tap_left_q - 1;
      if (tap_left_q > 0) tap_word_q <= tap_end ? 0 : tap_word_q + 1;
    end
  end

  always_ff @(posedge clk_i) begin
    tap_q <= done ? sum : tap_q >> SumWidth;
  end

  stream_tap #(
    .Width(SumBits),
    .Id(TapId + 1)
  ) u_tap_sums (
    .clk_i,
    .rst_ni,
    .valid_i(tap_left_q > 0 && tap_word_q < Outputs),
    .ready_i(1'b1),
    .data_i(SumBits'(tap_q[SumWidth-1:0] - Half))
  );
`else
  logic unused;
  assign unused = &{code_valid, code, TapId};
`endif

endmodule
