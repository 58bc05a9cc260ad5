// SPDX-License-Identifier: Apache-2.0
// Output side of a PA block: the sums of a group leave one by one, with shortcut and saturation.

/// out = saturate((sum + (shortcut << ShortcutShift)) >> Shift): the rounding half is in the sum.
/// Holds the sums of one group while the next one is added up. `busy_o` is high from the step that
/// ends a group until its last sum has left for the adder: no further group may end. Bits of a sum
/// that neither the shortcut nor the output reaches are not kept. Of Folds groups of Pe sums the
/// first Outputs leave. Shortcut: 0 none, 1 the block's own input, kept in a ring of ShortcutDepth
/// words, 2 a stream.
module pa_results #(
  parameter int unsigned Pe            = 1,  // sums of a group
  parameter int unsigned Folds         = 8,  // groups of an output pixel
  parameter int unsigned Outputs       = 8,  // channels of the output
  parameter int unsigned SumWidth      = 20, // bits of a sum, two's complement
  parameter int unsigned Shift         = 0,  // fraction bits to drop
  parameter int unsigned Shortcut      = 0,  // 0 none, 1 the input, 2 a stream
  parameter int unsigned ShortcutWidth = 8,  // bits of the shortcut, two's complement
  parameter int unsigned ShortcutDepth = 64, // words of the ring
  parameter bit          ShortcutBlock = 0,  // ring in block RAM
  parameter int unsigned ShortcutShift = 0,  // left shift of the shortcut
  parameter int unsigned OutWidth      = 8   // bits of the output, two's complement
) (
  input  logic                     clk_i,
  input  logic                     rst_ni,

  input  logic                     last_i,  // the step that ends a group
  output logic                     busy_o,
  input  logic                     done_i,  // its sums are there
  input  logic [Pe*SumWidth-1:0]   sum_i,

  input  logic                     write_i, // a word of the input, for the ring
  input  logic [ShortcutWidth-1:0] write_data_i,

  input  logic                     shortcut_valid_i,
  output logic                     shortcut_ready_o,
  input  logic [ShortcutWidth-1:0] shortcut_data_i,

  output logic                     out_valid_o,
  input  logic                     out_ready_i,
  output logic [OutWidth-1:0]      out_data_o
);

  // Bits that are dropped at once; what is left of the shifts.
  localparam int unsigned Drop   = (Shortcut != 0 && ShortcutShift < Shift) ? ShortcutShift : Shift;
  localparam int unsigned Left   = Shift - Drop;
  localparam int unsigned Raise  = (Shortcut != 0) ? ShortcutShift - Drop : 0;
  localparam int unsigned Kept   = (SumWidth > Drop) ? SumWidth - Drop : 1;
  localparam int unsigned Addend = (Shortcut != 0) ? ShortcutWidth + Raise : 1;
  localparam int unsigned Wide   = ((Kept > Addend) ? Kept : Addend) + 1;
  localparam int unsigned Total  = (Wide > Left + OutWidth) ? Wide : Left + OutWidth;

  if (Pe * Folds < Outputs) begin : gen_check
    $error("pa_results: %0d groups of %0d sums are fewer than %0d", Folds, Pe, Outputs);
  end

  logic [Pe*Kept-1:0] kept, hold_q;
  logic               valid_q, busy_q, pop, keep, left_last, move, shortcut_valid;

  for (genvar p = 0; p < Pe; p++) begin : gen_kept
    logic signed [SumWidth-1:0] sum;

    assign sum = sum_i[p*SumWidth+:SumWidth];
    assign kept[p*Kept+:Kept] = Kept'(sum >>> Drop);
  end

  assign busy_o = busy_q;
  assign pop    = move && valid_q && (shortcut_valid || !keep);

  if (Pe == 1) begin : gen_one
    assign left_last = 1'b1;
  end else begin : gen_left
    logic [$clog2(Pe)-1:0] unused_left;

    loop_counter #(
      .Count(Pe)
    ) u_left (
      .clk_i,
      .rst_ni,
      .advance_i(pop),
      .count_o(unused_left),
      .last_o(left_last)
    );
  end

  if (Pe * Folds == Outputs) begin : gen_all
    assign keep = 1'b1;
  end else begin : gen_some
    logic [$clog2(Pe*Folds)-1:0] count;
    logic                        unused_last;

    assign keep = count < ($clog2(Pe * Folds))'(Outputs);

    loop_counter #(
      .Count(Pe * Folds)
    ) u_word (
      .clk_i,
      .rst_ni,
      .advance_i(pop),
      .count_o(count),
      .last_o(unused_last)
    );
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      busy_q  <= 1'b0;
      valid_q <= 1'b0;
    end else begin
      if (last_i) busy_q <= 1'b1;
      else if (pop && left_last) busy_q <= 1'b0;
      if (done_i) valid_q <= 1'b1;
      else if (pop && left_last) valid_q <= 1'b0;
    end
  end

  always_ff @(posedge clk_i) begin
    if (done_i) hold_q <= kept;
    else if (pop) hold_q <= hold_q >> Kept;
  end

  // Behind the pop: two registers beside those of the ring, the sum, the output.
  logic                    ready_valid, total_valid_q, out_valid_q;
  logic signed [Kept-1:0]  ready;
  logic signed [Total-1:0] total_q, addend;

  assign move        = !out_valid_q || out_ready_i;
  assign out_valid_o = out_valid_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      total_valid_q <= 1'b0;
      out_valid_q   <= 1'b0;
    end else if (move) begin
      total_valid_q <= ready_valid;
      out_valid_q   <= total_valid_q;
    end
  end

  if (Shortcut == 0) begin : gen_at_once
    assign ready_valid = pop && keep;
    assign ready       = hold_q[Kept-1:0];
  end else begin : gen_beside
    logic                   first_valid_q, second_valid_q;
    logic signed [Kept-1:0] first_q, second_q;

    assign ready_valid = second_valid_q;
    assign ready       = second_q;

    // The reset of data keeps it from becoming part of a shift register in LUTs.
    always_ff @(posedge clk_i) begin
      if (!rst_ni) begin
        first_valid_q  <= 1'b0;
        second_valid_q <= 1'b0;
        second_q       <= '0;
      end else if (move) begin
        first_valid_q  <= pop && keep;
        second_valid_q <= first_valid_q;
        second_q       <= first_q;
      end
    end

    always_ff @(posedge clk_i) begin
      if (move) first_q <= hold_q[Kept-1:0];
    end
  end

  logic signed [Total-1:0]    shifted;
  logic signed [OutWidth-1:0] result;

  assign shifted = total_q >>> Left;

  saturate #(
    .InWidth(Total),
    .OutWidth(OutWidth)
  ) u_saturate (
    .in_i(shifted),
    .out_o(result)
  );

  always_ff @(posedge clk_i) begin
    if (move) begin
      total_q <= Total'(ready) + addend;
      if (total_valid_q) out_data_o <= result;
    end
  end

  // The shortcut's word is at hand when its sum is `ready`.
  logic [ShortcutWidth-1:0] word_q;

  if (Shortcut == 1) begin : gen_ring
    localparam int unsigned AddressWidth = $clog2(ShortcutDepth);

    logic [AddressWidth-1:0]  write_address, read_address;
    logic [ShortcutWidth-1:0] write_data_q, word;
    logic                     write_q, unused_write_last, unused_read_last, unused;

    assign shortcut_valid   = 1'b1;
    assign shortcut_ready_o = 1'b0;
    assign unused = &{shortcut_valid_i, shortcut_data_i, unused_write_last, unused_read_last};

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
      .advance_i(pop && keep),
      .count_o(read_address),
      .last_o(unused_read_last)
    );

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
        .read_i(move),
        .read_address_i(read_address),
        .read_data_o(word)
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
        .read_i(move),
        .read_address_i(read_address),
        .read_data_o(word)
      );
    end

    always_ff @(posedge clk_i) begin
      if (move) word_q <= word;
    end
  end else if (Shortcut == 2) begin : gen_stream
    // One word per two cycles; ready is a register.
    logic [ShortcutWidth-1:0] data_q, first_word_q;
    logic                     full_q, unused;

    assign shortcut_valid   = full_q;
    assign shortcut_ready_o = !full_q;
    assign unused           = &{write_i, write_data_i};

    always_ff @(posedge clk_i) begin
      if (!rst_ni) full_q <= 1'b0;
      else         full_q <= full_q ? !(pop && keep) : shortcut_valid_i;
    end

    always_ff @(posedge clk_i) begin
      if (!full_q) data_q <= shortcut_data_i;
      if (move) begin
        first_word_q <= data_q;
        word_q       <= first_word_q;
      end
    end
  end else begin : gen_none
    logic unused;

    assign shortcut_valid   = 1'b1;
    assign shortcut_ready_o = 1'b0;
    assign word_q           = '0;
    assign unused = &{write_i, write_data_i, shortcut_valid_i, shortcut_data_i, ShortcutBlock};
  end

  assign addend = (Shortcut == 0) ? '0 : Total'($signed(word_q)) <<< Raise;

endmodule
