// SPDX-License-Identifier: Apache-2.0
// A whole k-bit layer: border, window, product of codes and +-1, signed thresholds in one core.

/// InLanes channels per word in, OutLanes per word out. A pixel's codes lie in a line memory that
/// the reader walks again for every group of Pe outputs, so that no window is ever streamed. The
/// border holds code 0. Valid and data of the output and the ready of the input are registers, and
/// nothing inside waits for the output. Frames follow each other without a gap.
module kbit_block #(
  parameter int unsigned Channels    = 8,  // channels of the input
  parameter int unsigned Outputs     = 8,  // channels of the output
  parameter int unsigned Height      = 4,  // rows of the input
  parameter int unsigned Width       = 4,  // columns of the input
  parameter int unsigned OutHeight   = 4,  // rows of the output
  parameter int unsigned OutWidth    = 4,  // columns of the output
  parameter int unsigned KernelY     = 3,  // rows of a window
  parameter int unsigned KernelX     = 3,  // columns of a window
  parameter int unsigned StrideY     = 1,  // rows from one window to the next
  parameter int unsigned StrideX     = 1,  // columns from one window to the next
  parameter int unsigned PadTop      = 1,  // border rows above
  parameter int unsigned PadLeft     = 1,  // border columns on the left
  parameter int unsigned Simd        = 4,  // codes of a step
  parameter int unsigned Pe          = 1,  // outputs of a step; a last group may have some over
  parameter int unsigned InLanes     = 1,  // codes of an input word
  parameter int unsigned OutLanes    = 1,  // codes of an output word
  parameter int unsigned InBits      = 4,  // bits of an input code, unsigned
  parameter int unsigned OutBits     = 4,  // bits of an output code
  parameter int unsigned AccBits     = 12, // bits of a sum of +-code, as a tap shows it
  parameter int unsigned Steps       = 15, // thresholds of an output
  parameter int unsigned Searchers   = 0,  // of codes, see `kbit_results`
  parameter int unsigned Every       = 1,  // cycles from one word of sums to the next
  parameter bit          TurnBlock   = 1,  // tables of searchers in block RAM
  parameter logic [31:0] BlockTables = 0,  // those of a pipeline, see `threshold_search`
  parameter int unsigned LineAddress = 7,  // address bits of the line memory
  parameter int unsigned Slack       = 1,  // pixels that the input may be ahead of need
  parameter bit          LineBlock   = 0,  // line memory in block RAM
  parameter bit          BlockRom    = 1,  // weights in block RAM
  parameter int unsigned OutDepth    = 32, // words between the thresholds and the output
  parameter int unsigned Primitives  = 0,  // 1: LUT6_2 and CARRY4 of the 7 series
  parameter              WeightFile  = "", // $readmemh image
  parameter              TablePrefix = "", // images, see `threshold_search`
  parameter              OffsetFile  = "", // image, for the tap: what a sum inside is too large by
  parameter int unsigned TapId       = 0   // number of the tap in a simulation
) (
  input  logic                        clk_i,
  input  logic                        rst_ni,

  input  logic                        in_valid_i,
  output logic                        in_ready_o,
  input  logic [InLanes*InBits-1:0]   in_data_i,

  output logic                        out_valid_o,
  input  logic                        out_ready_i,
  output logic [OutLanes*OutBits-1:0] out_data_o
);

  localparam int unsigned Groups   = Channels / Simd;
  localparam int unsigned Folds    = (Outputs + Pe - 1) / Pe;
  localparam int unsigned Inputs   = KernelY * KernelX * Channels;
  localparam int unsigned SumWidth = $clog2(Inputs * ((1 << InBits) - 1) + 1);

  logic                   room, pixel, frame, write;
  logic [Simd*InBits-1:0] write_data, data;
  logic                   busy, step, first, last, restart, border;
  logic [LineAddress-1:0] read_address;
  logic [Pe*Simd-1:0]     weights;

  kbit_writer #(
    .Channels(Channels),
    .Pixels(Height * Width),
    .Lanes(InLanes),
    .Simd(Simd),
    .CodeBits(InBits)
  ) u_writer (
    .clk_i,
    .rst_ni,
    .in_valid_i,
    .in_ready_o,
    .in_data_i,
    .room_i(room),
    .pixel_o(pixel),
    .frame_o(frame),
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

  block_lines #(
    .Width(Simd * InBits),
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

  kbit_rom #(
    .Depth(KernelY * KernelX * Groups * Folds),
    .Width(Pe * Simd),
    .BlockRom(BlockRom),
    .InitFile(WeightFile)
  ) u_rom (
    .clk_i,
    .rst_ni,
    .step_i(step),
    .restart_i(restart),
    .word_o(weights)
  );

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

  logic                   done;
  logic [Pe*SumWidth-1:0] sum;

  kbit_dot #(
    .Simd(Simd),
    .Pe(Pe),
    .CodeBits(InBits),
    .SumWidth(SumWidth),
    .Primitives(Primitives)
  ) u_dot (
    .clk_i,
    .rst_ni,
    .valid_i(step_q[1]),
    .first_i(first_q[1]),
    .last_i(last_q[1]),
    .data_i(data),
    .weights_i(weights),
    .done_o(done),
    .sum_o(sum)
  );

  kbit_results #(
    .Outputs(Outputs),
    .Pe(Pe),
    .Lanes(OutLanes),
    .SumWidth(SumWidth),
    .Steps(Steps),
    .OutBits(OutBits),
    .Searchers(Searchers),
    .Every(Every),
    .TurnBlock(TurnBlock),
    .BlockTables(BlockTables),
    .Depth(OutDepth),
    .TablePrefix(TablePrefix),
    .AccBits(AccBits),
    .OffsetFile(OffsetFile),
    .TapId(TapId)
  ) u_results (
    .clk_i,
    .rst_ni,
    .last_i(step && last),
    .restart_i(restart),
    .busy_o(busy),
    .done_i(done),
    .sum_i(sum),
    .out_valid_o,
    .out_ready_i,
    .out_data_o
  );

endmodule
