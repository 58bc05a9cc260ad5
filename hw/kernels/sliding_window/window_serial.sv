// SPDX-License-Identifier: Apache-2.0
// Sliding windows, a word per cycle, from a ring of lines.

/// Writer and reader go around one memory of `Depth` words. What the reader does next is one of six
/// steps of its address: to the next word, tap, line, window, row of windows, frame.
///
/// Two counters hold them apart. `ahead_q` counts the words that are there beyond the last one of
/// the next window: while it is negative that window has to wait. It moves on to the window after
/// the next one when a window starts. `room_q` counts the free words less one: while it is negative
/// the writer waits. Words are free when the window that was the last to need one of them has
/// been read, and the words between a frame's last window and the next frame with it, whether they
/// have come or not.
///
/// One word per cycle. With the room for a row's step and a window's step behind a window (checked)
/// no window inside a frame waits for a writer that is never late. `in_ready_o`, `out_valid_o` and
/// `out_data_o` are registers; with `BlockRam` and in LUTs above 128 words there is one behind the
/// memory's own.
module window_serial #(
  parameter int unsigned Width     = 8, // bits of a word
  parameter int unsigned Folds     = 1, // words of a pixel
  parameter int unsigned Rows      = 4, // of the picture
  parameter int unsigned Columns   = 4,
  parameter int unsigned KernelY   = 3,
  parameter int unsigned KernelX   = 3,
  parameter int unsigned StrideY   = 1,
  parameter int unsigned StrideX   = 1,
  parameter int unsigned DilationY = 1,
  parameter int unsigned DilationX = 1,
  parameter int unsigned Depth     = 16, // words of the ring
  parameter bit          BlockRam  = 0   // ring in block RAM, otherwise in LUTs
) (
  input  logic             clk_i,
  input  logic             rst_ni,

  input  logic             in_valid_i,
  output logic             in_ready_o,
  input  logic [Width-1:0] in_data_i,

  output logic             out_valid_o,
  input  logic             out_ready_i,
  output logic [Width-1:0] out_data_o
);

  function automatic int unsigned max(int unsigned a, int unsigned b);
    return a > b ? a : b;
  endfunction

  localparam int unsigned ReachY     = (KernelY - 1) * DilationY;
  localparam int unsigned ReachX     = (KernelX - 1) * DilationX;
  localparam int unsigned OutRows    = (Rows - ReachY - 1) / StrideY + 1;
  localparam int unsigned OutColumns = (Columns - ReachX - 1) / StrideX + 1;

  // Taps side by side are one run of words.
  localparam int unsigned Run  = DilationX == 1 ? KernelX * Folds : Folds;
  localparam int unsigned Taps = DilationX == 1 ? 1 : KernelX;

  // Words from a window's first to its last one; to the first word of the next window, of the next
  // row of windows, of the next frame.
  localparam int unsigned Reach     = (ReachY * Columns + ReachX) * Folds + Folds - 1;
  localparam int unsigned Need      = Reach + 1;
  localparam int unsigned ToWindow  = StrideX * Folds;
  localparam int unsigned ToRow     = (StrideY * Columns - (OutColumns - 1) * StrideX) * Folds;
  localparam int unsigned ToFrame   = (Rows * Columns - (OutRows - 1) * StrideY * Columns -
                                       (OutColumns - 1) * StrideX) * Folds;
  localparam int unsigned Farthest  = max(ToFrame, max(OutRows > 1 ? ToRow : 0,
                                                       OutColumns > 1 ? ToWindow : 0));

  if (Depth < Need + max(OutRows > 1 ? ToRow : 0, OutColumns > 1 ? ToWindow : 0)) begin : gen_check
    $error("window_serial: found Depth=%0d, expected %0d words of a window, %0d or %0d to the %s",
           Depth, Need, ToWindow, ToRow, "next one or the next row");
  end

  // From so many words in LUTs one is read in two steps; estimates: op.py.
  localparam bit Deep = !BlockRam && Depth > 128;

  localparam int unsigned AddressBits = $clog2(Depth);
  localparam int unsigned AheadBits   = $clog2(max(max(Need, Farthest), Depth) + 1) + 1;
  localparam int unsigned RoomBits    = $clog2(Depth + Farthest) + 1;

  logic push, fetch, starts, ends;

  // The reader's loops, a step ahead of its address: what it does next is known from registers.
  logic ahead_of_q, walk;

  assign walk = fetch || !ahead_of_q;

  always_ff @(posedge clk_i) begin
    // The first step of all is taken while no word is there yet.
    if (!rst_ni) ahead_of_q <= 1'b0;
    else ahead_of_q <= 1'b1;
  end

  logic last_word, last_tap, last_line, last_of_window, last_column, last_row;

  logic [((Run > 1) ? $clog2(Run) : 1)-1:0] unused_word;
  logic [((Taps > 1) ? $clog2(Taps) : 1)-1:0] unused_tap;
  logic [((KernelY > 1) ? $clog2(KernelY) : 1)-1:0] unused_line;
  logic [((OutColumns > 1) ? $clog2(OutColumns) : 1)-1:0] unused_column;
  logic [((OutRows > 1) ? $clog2(OutRows) : 1)-1:0] unused_row;

  loop_counter #(
    .Count(Run)
  ) u_word (
    .clk_i,
    .rst_ni,
    .advance_i(walk),
    .count_o(unused_word),
    .last_o(last_word)
  );

  loop_counter #(
    .Count(Taps)
  ) u_tap (
    .clk_i,
    .rst_ni,
    .advance_i(walk && last_word),
    .count_o(unused_tap),
    .last_o(last_tap)
  );

  loop_counter #(
    .Count(KernelY)
  ) u_line (
    .clk_i,
    .rst_ni,
    .advance_i(walk && last_word && last_tap),
    .count_o(unused_line),
    .last_o(last_line)
  );

  assign last_of_window = last_word && last_tap && last_line;

  loop_counter #(
    .Count(OutColumns)
  ) u_column (
    .clk_i,
    .rst_ni,
    .advance_i(walk && last_of_window),
    .count_o(unused_column),
    .last_o(last_column)
  );

  loop_counter #(
    .Count(OutRows)
  ) u_row (
    .clk_i,
    .rst_ni,
    .advance_i(walk && last_of_window && last_column),
    .count_o(unused_row),
    .last_o(last_row)
  );

  // The reader's step, and the words that a window leaves behind.
  typedef enum logic [2:0] {StepWord, StepTap, StepLine, StepWindow, StepRow, StepFrame} step_e;

  // Words of a step, less a constant: no sum but that of the address is left.
  function automatic int unsigned words_of(step_e step, int unsigned less);
    unique case (step)
      StepTap:    return ((DilationX - 1) * Folds + 1) % Depth - less;
      StepLine:   return (DilationY * Columns * Folds - ReachX * Folds - Folds + 1) % Depth - less;
      StepWindow: return (ToWindow + Depth - Reach) % Depth - less;
      StepRow:    return (ToRow + Depth - Reach) % Depth - less;
      StepFrame:  return (ToFrame + Depth - Reach) % Depth - less;
      default:    return 1 - less;
    endcase
  endfunction

  step_e step_q;
  logic  ends_q, last_column_q, last_row_q; // the next word is a window's last one, and which's

  always_ff @(posedge clk_i) begin
    if (walk) begin
      if (!last_word)        step_q <= StepWord;
      else if (!last_tap)    step_q <= StepTap;
      else if (!last_line)   step_q <= StepLine;
      else if (!last_column) step_q <= StepWindow;
      else if (!last_row)    step_q <= StepRow;
      else                   step_q <= StepFrame;
      ends_q        <= last_of_window;
      last_column_q <= last_column;
      last_row_q    <= last_row;
    end
  end

  logic [RoomBits-1:0] left;

  always_comb begin
    if (!last_column_q) left = RoomBits'(ToWindow);
    else if (!last_row_q) left = RoomBits'(ToRow);
    else left = RoomBits'(ToFrame);
  end

  logic signed [AheadBits-1:0] ahead_q;
  logic signed [RoomBits-1:0]  room_q;
  logic                        first_q; // the next word is a window's first

  assign in_ready_o = !room_q[RoomBits-1];
  assign push       = in_valid_i && in_ready_o;
  assign starts     = fetch && first_q;
  assign ends       = fetch && ends_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      ahead_q <= -AheadBits'(Need);
      room_q  <= RoomBits'(Depth - 1);
      first_q <= 1'b1;
    end else begin
      ahead_q <= ahead_q + (push ? AheadBits'(1) : '0) - (starts ? AheadBits'(left) : '0);
      room_q  <= room_q + (ends ? left : '0) - (push ? RoomBits'(1) : '0);
      if (fetch) first_q <= ends_q;
    end
  end

  logic [AddressBits-1:0] write_q, read_q, read_d;

  if (Depth == 2 ** AddressBits) begin : gen_wraps
    assign read_d = read_q + AddressBits'(words_of(step_q, 0));
  end else begin : gen_ring
    // The sum and the sum around the ring side by side; the latter is negative where it is none.
    logic [AddressBits-1:0] sum;
    logic [AddressBits:0]   around;
    assign sum    = read_q + AddressBits'(words_of(step_q, 0));
    assign around = {1'b0, read_q} + (AddressBits + 1)'(words_of(step_q, Depth));
    assign read_d = around[AddressBits] ? sum : around[AddressBits-1:0];
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      write_q <= '0;
      read_q  <= '0;
    end else begin
      if (push) write_q <= write_q == AddressBits'(Depth - 1) ? '0 : write_q + 1'b1;
      if (fetch) read_q <= read_d;
    end
  end

  logic             free, valid_q;
  logic [Width-1:0] word;

  assign fetch = (!first_q || !ahead_q[AheadBits-1]) && free;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) valid_q <= 1'b0;
    else if (free) valid_q <= fetch;
  end

  if (Deep) begin : gen_deep
    deep_memory #(
      .Width(Width),
      .Depth(Depth)
    ) u_memory (
      .clk_i,
      .write_i        (push),
      .write_address_i(write_q),
      .write_data_i   (in_data_i),
      .read_i         (fetch),
      .read_address_i (read_q),
      .read_data_o    (word)
    );
  end else begin : gen_lines
    line_memory #(
      .Width   (Width),
      .Depth   (Depth),
      .BlockRam(BlockRam)
    ) u_memory (
      .clk_i,
      .write_i        (push),
      .write_address_i(write_q),
      .write_data_i   (in_data_i),
      .read_i         (fetch),
      .read_address_i (read_q),
      .read_data_o    (word)
    );
  end

  logic word_leaves;

  assign free = !valid_q || word_leaves;

  output_register #(
    .Width  (Width),
    .Present(BlockRam || Deep)
  ) u_out (
    .clk_i,
    .rst_ni,
    .in_valid_i(valid_q),
    .in_ready_o(word_leaves),
    .in_data_i (word),
    .out_valid_o,
    .out_ready_i,
    .out_data_o
  );

endmodule
