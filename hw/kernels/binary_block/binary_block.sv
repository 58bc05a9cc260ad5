// SPDX-License-Identifier: Apache-2.0
// A whole 1-bit layer: threshold, border, window, XNOR product, epilogue and shortcut in one core.

/// One channel per word in, one per word out. A pixel's bits lie in a line memory that the reader
/// walks again for every group of Pe outputs, so that no window is ever streamed. Weights and the
/// parameters of the epilogue lie in a ROM, or outside (see `block_rom`). Valid and data of the
/// output and both readies are registers. Frames follow each other without a gap, and none waits
/// for the next one.
module binary_block #(
  parameter int unsigned Channels      = 8,  // channels of the input
  parameter int unsigned Outputs       = 8,  // channels of the output
  parameter int unsigned Height        = 4,  // rows of the input
  parameter int unsigned Width         = 4,  // columns of the input
  parameter int unsigned OutHeight     = 4,  // rows of the output
  parameter int unsigned OutWidth      = 4,  // columns of the output
  parameter int unsigned KernelY       = 3,  // rows of a window
  parameter int unsigned KernelX       = 3,  // columns of a window
  parameter int unsigned StrideY       = 1,  // rows from one window to the next
  parameter int unsigned StrideX       = 1,  // columns from one window to the next
  parameter int unsigned PadTop        = 1,  // border rows above, of bits 0
  parameter int unsigned PadLeft       = 1,  // border columns on the left
  parameter int unsigned Simd          = 4,  // bits of a step
  parameter int unsigned Pe            = 1,  // outputs of a step
  parameter int unsigned InBits        = 8,  // bits of an input word, two's complement
  parameter int unsigned OutBits       = 8,  // bits of an output word, two's complement
  parameter int unsigned Shortcut      = 0,  // 0 none, 1 the input, 2 a stream
  parameter int unsigned ShortcutBits  = 8,  // bits of the shortcut
  parameter int unsigned ShortcutShift = 0,  // left shift of the shortcut
  parameter int unsigned PreShift      = 0,  // rounding shift to the pre-activation
  parameter int unsigned PreBits       = 14, // bits of the pre-activation, zeta and eta
  parameter int unsigned SlopeShift    = 6,  // fraction bits of the slope
  parameter int unsigned OutShift      = 4,  // rounding shift to the output
  parameter int unsigned BiasWidth     = 26, // bits of the bias
  parameter int unsigned LineAddress   = 7,  // address bits of the line memory
  parameter int unsigned Slack         = 1,  // pixels that the input may be ahead of need
  parameter bit          LineBlock     = 0,  // line memory in block RAM
  parameter int unsigned ShortcutDepth = 64, // words of the shortcut's ring
  parameter bit          ShortcutBlock = 0,  // ring in block RAM
  parameter bit          SharedRom     = 1,  // weights and parameters in one block RAM
  parameter int unsigned RomParts      = 1,  // memories side by side that this is
  parameter bit          BlockRom      = 1,  // weights in block RAM
  parameter bit          Outside       = 0,  // both in memories outside
  parameter int unsigned WeightFirst   = 0,  // address of the first weight word outside
  parameter int unsigned WeightSpace   = 1,  // address bits of the memory of the weights outside
  parameter int unsigned ParamFirst    = 0,  // the same of the parameters
  parameter int unsigned ParamSpace    = 1,
  parameter int unsigned Primitives    = 0,  // 1: the DSP as a cell
  parameter              ThresholdFile = "", // $readmemh images
  parameter              WeightFile    = "",
  parameter              ParamFile     = "",
  parameter int unsigned TapId         = 0   // number of the first tap in a simulation
) (
  input  logic                    clk_i,
  input  logic                    rst_ni,

  input  logic                    in_valid_i,
  output logic                    in_ready_o,
  input  logic [InBits-1:0]       in_data_i,

  input  logic                    shortcut_valid_i,
  output logic                    shortcut_ready_o,
  input  logic [ShortcutBits-1:0] shortcut_data_i,

  output logic                    out_valid_o,
  input  logic                    out_ready_i,
  output logic [OutBits-1:0]      out_data_o,

  output logic [WeightSpace-1:0]  weight_address_o,
  input  logic [Pe*Simd-1:0]      weight_word_i,
  output logic                    param_next_o,
  output logic [ParamSpace-1:0]   param_address_o,
  input  logic [17:0]             param_word_i
);

  localparam int unsigned Groups     = Channels / Simd;
  localparam int unsigned Folds      = Outputs / Pe;
  localparam int unsigned Inputs     = KernelY * KernelX * Channels;
  localparam int unsigned CountWidth = $clog2(Inputs + 1);

  if (Outputs % Pe != 0) begin : gen_check_pe
    $error("binary_block: %0d outputs are no multiple of Pe=%0d", Outputs, Pe);
  end
  if (Shortcut == 1 && (Channels != Outputs || ShortcutBits != InBits || OutHeight != Height ||
                        OutWidth != Width)) begin : gen_check_shortcut
    $error("binary_block: %0d x %0d x %0d of %0d bits are no shortcut of %0d x %0d x %0d of %0d",
           Height, Width, Channels, InBits, OutHeight, OutWidth, Outputs, ShortcutBits);
  end

  logic                   room, take, pixel, frame, bit_valid, bit_value, write;
  logic [Simd-1:0]        write_data;
  logic                   busy, step, first, last, restart, border;
  logic [LineAddress-1:0] read_address;

  block_writer #(
    .Channels(Channels),
    .Pixels(Height * Width),
    .Simd(Simd),
    .InWidth(InBits),
    .ThresholdFile(ThresholdFile)
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
    .bit_valid_o(bit_valid),
    .bit_o(bit_value),
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
    .restart_o(restart),
    .border_o(border),
    .address_o(read_address)
  );

  logic [Simd-1:0]    data;
  logic [Pe*Simd-1:0] weights;
  logic               param_next;
  logic [17:0]        param;

  block_lines #(
    .Width(Simd),
    .AddressWidth(LineAddress),
    .BlockRam(LineBlock)
  ) u_lines (
    .clk_i,
    .rst_ni,
    .write_i(write),
    .write_data_i(write_data),
    .read_address_i(read_address),
    .border_i(border),
    .read_data_o(data)
  );

  block_rom #(
    .Steps(KernelY * KernelX * Groups * Folds),
    .WeightWidth(Pe * Simd),
    .Params(5 * Outputs),
    .ParamWidth(18),
    .Shared(SharedRom),
    .Parts(RomParts),
    .BlockRom(BlockRom),
    .Outside(Outside),
    .WeightFirst(WeightFirst),
    .WeightSpace(WeightSpace),
    .ParamFirst(ParamFirst),
    .ParamSpace(ParamSpace),
    .WeightFile(WeightFile),
    .ParamFile(ParamFile)
  ) u_rom (
    .clk_i,
    .rst_ni,
    .step_i(step),
    .restart_i(restart),
    .weights_o(weights),
    .param_next_i(param_next),
    .param_o(param),
    .weight_address_o,
    .weight_word_i,
    .param_address_o,
    .param_word_i
  );

  assign param_next_o = param_next;

  // The step travels beside line memory and ROM, two registers each.
  logic [1:0] step_q, first_q, last_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) step_q <= '0;
    else         step_q <= {step_q[0], step};
  end

  always_ff @(posedge clk_i) begin
    first_q <= {first_q[0], first};
    last_q  <= {last_q[0], last};
  end

  logic                     done;
  logic [Pe*CountWidth-1:0] count;

  block_dot #(
    .Simd(Simd),
    .Pe(Pe),
    .CountWidth(CountWidth)
  ) u_dot (
    .clk_i,
    .rst_ni,
    .valid_i(step_q[1]),
    .first_i(first_q[1]),
    .last_i(last_q[1]),
    .data_i(data),
    .weights_i(weights),
    .done_o(done),
    .count_o(count)
  );

  block_results #(
    .Pe(Pe),
    .CountWidth(CountWidth),
    .Shortcut(Shortcut),
    .ShortcutWidth(ShortcutBits),
    .ShortcutDepth(ShortcutDepth),
    .ShortcutBlock(ShortcutBlock),
    .ShortcutShift(ShortcutShift),
    .PreShift(PreShift),
    .PreBits(PreBits),
    .SlopeShift(SlopeShift),
    .OutShift(OutShift),
    .OutWidth(OutBits),
    .BiasWidth(BiasWidth),
    .Primitives(Primitives != 0)
  ) u_results (
    .clk_i,
    .rst_ni,
    .last_i(step && last),
    .busy_o(busy),
    .done_i(done),
    .count_i(count),
    .write_i(take),
    .write_data_i(ShortcutBits'(in_data_i)),
    .shortcut_valid_i,
    .shortcut_ready_o,
    .shortcut_data_i,
    .param_next_o(param_next),
    .param_data_i(param),
    .out_valid_o,
    .out_ready_i,
    .out_data_o
  );

`ifdef ANDPOP_SIM
  localparam int unsigned SumWidth = $clog2(Inputs + 1) + 1;

  logic [Pe*SumWidth-1:0] sums;

  for (genvar p = 0; p < Pe; p++) begin : gen_sum
    assign sums[p*SumWidth+:SumWidth] =
        SumWidth'({count[p*CountWidth+:CountWidth], 1'b0}) - SumWidth'(Inputs);
  end

  stream_tap #(
    .Width(1),
    .Id(TapId)
  ) u_tap_bits (
    .clk_i,
    .rst_ni,
    .valid_i(bit_valid),
    .ready_i(1'b1),
    .data_i(bit_value)
  );

  stream_tap #(
    .Width(Pe * SumWidth),
    .Id(TapId + 1)
  ) u_tap_sums (
    .clk_i,
    .rst_ni,
    .valid_i(done),
    .ready_i(1'b1),
    .data_i(sums)
  );
`else
  logic unused;
  assign unused = &{bit_valid, bit_value, TapId};
`endif

endmodule
