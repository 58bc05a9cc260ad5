// SPDX-License-Identifier: Apache-2.0
// Output side of a binary block: the counts of Pe outputs go through one epilogue, in turn.

/// Holds the counts of one group while the next group is counted. `busy_o` is high from the step
/// that ends a group until its last count has left for the epilogue: no further group may end.
/// Shortcut: 0 none, 1 the block's own input, kept in a ring of ShortcutDepth words, 2 a stream.
/// The epilogue gets 2 * count; what is missing to the sum of -1 and +1 lies in its parameters.
module block_results #(
  parameter int unsigned Pe            = 1,  // counts of a group
  parameter int unsigned CountWidth    = 8,  // bits of a count
  parameter int unsigned Shortcut      = 0,  // 0 none, 1 the input, 2 a stream
  parameter int unsigned ShortcutWidth = 8,  // bits of the shortcut
  parameter int unsigned ShortcutDepth = 64, // words of the ring
  parameter bit          ShortcutBlock = 0,  // ring in block RAM
  parameter int unsigned ShortcutShift = 0,  // left shift of the shortcut
  parameter int unsigned PreShift      = 0,  // rounding shift to the pre-activation
  parameter int unsigned PreBits       = 14, // bits of the pre-activation, zeta and eta
  parameter int unsigned SlopeShift    = 6,  // fraction bits of the slope
  parameter int unsigned OutShift      = 4,  // rounding shift to the output
  parameter int unsigned OutWidth      = 8,  // bits of the output
  parameter int unsigned BiasWidth     = 26, // bits of the bias
  parameter bit          Primitives    = 0   // the DSP as a cell
) (
  input  logic                     clk_i,
  input  logic                     rst_ni,

  input  logic                     last_i,  // the step that ends a group
  output logic                     busy_o,
  input  logic                     done_i,  // its counts are there
  input  logic [Pe*CountWidth-1:0] count_i,

  input  logic                     write_i, // a word of the input, for the ring
  input  logic [ShortcutWidth-1:0] write_data_i,

  input  logic                     shortcut_valid_i,
  output logic                     shortcut_ready_o,
  input  logic [ShortcutWidth-1:0] shortcut_data_i,

  output logic                     param_next_o,
  input  logic [17:0]              param_data_i,

  output logic                     out_valid_o,
  input  logic                     out_ready_i,
  output logic [OutWidth-1:0]      out_data_o
);

  localparam int unsigned LeftWidth = (Pe > 1) ? $clog2(Pe) : 1;

  logic [Pe*CountWidth-1:0] count_q;
  logic [LeftWidth-1:0]     unused_left;
  logic                     valid_q, busy_q, take, ready, left_last;

  assign busy_o = busy_q;
  assign take   = valid_q && ready;

  loop_counter #(
    .Count(Pe)
  ) u_left (
    .clk_i,
    .rst_ni,
    .advance_i(take),
    .count_o(unused_left),
    .last_o(left_last)
  );

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      busy_q  <= 1'b0;
      valid_q <= 1'b0;
    end else begin
      if (last_i) busy_q <= 1'b1;
      else if (take && left_last) busy_q <= 1'b0;
      if (done_i) valid_q <= 1'b1;
      else if (take && left_last) valid_q <= 1'b0;
    end
  end

  always_ff @(posedge clk_i) begin
    if (done_i) count_q <= count_i;
    else if (take) count_q <= count_q >> CountWidth;
  end

  logic [ShortcutWidth-1:0] shortcut;
  logic                     shortcut_valid, shortcut_ready;

  if (Shortcut == 1) begin : gen_ring
    localparam int unsigned AddressWidth = $clog2(ShortcutDepth);

    logic [AddressWidth-1:0]  write_address, read_address;
    logic [ShortcutWidth-1:0] write_data_q, data, data_q;
    logic                     write_q, unused;

    assign shortcut         = data_q;
    assign shortcut_valid   = 1'b1;
    assign shortcut_ready_o = 1'b0;

    // Which words are taken is known late in a cycle, and much hangs on a write.
    always_ff @(posedge clk_i) begin
      if (!rst_ni) write_q <= 1'b0;
      else         write_q <= write_i;
    end

    always_ff @(posedge clk_i) begin
      write_data_q <= write_data_i;
    end

    loop_counter #(
      .Count(ShortcutDepth)
    ) u_write (
      .clk_i,
      .rst_ni,
      .advance_i(write_q),
      .count_o(write_address),
      .last_o(unused_write_last)
    );

    loop_counter #(
      .Count(ShortcutDepth)
    ) u_read (
      .clk_i,
      .rst_ni,
      .advance_i(shortcut_ready),
      .count_o(read_address),
      .last_o(unused_read_last)
    );

    logic unused_write_last, unused_read_last;

    // Read again and again: a word is there long before the epilogue asks for it.
    if (ShortcutBlock || ShortcutDepth <= 64) begin : gen_whole
      line_memory #(
        .Width(ShortcutWidth),
        .Depth(ShortcutDepth),
        .BlockRam(ShortcutBlock)
      ) u_memory (
        .clk_i,
        .write_i(write_q),
        .write_address_i(write_address),
        .write_data_i(write_data_q),
        .read_i(1'b1),
        .read_address_i(read_address),
        .read_data_o(data)
      );
    end else begin : gen_deep
      deep_memory #(
        .Width(ShortcutWidth),
        .Depth(ShortcutDepth)
      ) u_memory (
        .clk_i,
        .write_i(write_q),
        .write_address_i(write_address),
        .write_data_i(write_data_q),
        .read_i(1'b1),
        .read_address_i(read_address),
        .read_data_o(data)
      );
    end

    always_ff @(posedge clk_i) begin
      data_q <= data;
    end

    assign unused = &{shortcut_valid_i, shortcut_data_i, unused_write_last, unused_read_last};
  end else if (Shortcut == 2) begin : gen_stream
    // One word per two cycles, which is more than the epilogue takes; ready is a register.
    logic [ShortcutWidth-1:0] data_q;
    logic                     full_q, unused;

    assign shortcut         = data_q;
    assign shortcut_valid   = full_q;
    assign shortcut_ready_o = !full_q;

    always_ff @(posedge clk_i) begin
      if (!rst_ni) full_q <= 1'b0;
      else         full_q <= full_q ? !shortcut_ready : shortcut_valid_i;
    end

    always_ff @(posedge clk_i) begin
      if (!full_q) data_q <= shortcut_data_i;
    end

    assign unused = &{write_i, write_data_i};
  end else begin : gen_none
    logic unused;

    assign shortcut         = '0;
    assign shortcut_valid   = 1'b0;
    assign shortcut_ready_o = 1'b0;
    assign unused = &{write_i, write_data_i, shortcut_valid_i, shortcut_data_i, shortcut_ready};
  end

  epilogue_serial #(
    .AccWidth(CountWidth + 2),
    .HasShortcut(Shortcut != 0),
    .ShortcutWidth(ShortcutWidth),
    .ShortcutShift(ShortcutShift),
    .PreShift(PreShift),
    .PreBits(PreBits),
    .SlopeShift(SlopeShift),
    .OutShift(OutShift),
    .OutWidth(OutWidth),
    .BiasWidth(BiasWidth),
    .ParamLatency(2),
    .Primitives(Primitives)
  ) u_epilogue (
    .clk_i,
    .rst_ni,
    .acc_valid_i(valid_q),
    .acc_ready_o(ready),
    .acc_data_i({1'b0, count_q[CountWidth-1:0], 1'b0}),
    .shortcut_valid_i(shortcut_valid),
    .shortcut_ready_o(shortcut_ready),
    .shortcut_data_i(shortcut),
    .param_next_o,
    .param_data_i,
    .out_valid_o,
    .out_ready_i,
    .out_data_o
  );

endmodule
