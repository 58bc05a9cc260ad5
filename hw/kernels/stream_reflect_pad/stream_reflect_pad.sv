// SPDX-License-Identifier: Apache-2.0
// Puts borders around a picture stream that mirror it at its outermost pixels.

/// Words come row by row, pixel by pixel, `Folds` words per pixel. The rows lie in a ring of
/// lines: as many as a border mirrors and one more, two at least. The output goes through the
/// mirrored rows and columns as soon as a pixel is there. A row's line is free for a later row
/// when the row has gone out at its own place; the last rows, which the border below mirrors, have
/// no later rows that could overwrite them.
///
/// One output word per cycle. The first one waits for pixel `Left` of row `Top`, and the next
/// picture enters a cycle after the last word of this one has been read. `in_ready_o` does not
/// depend on `out_ready_i`.
module stream_reflect_pad #(
  parameter int unsigned Width    = 8, // bits of a word
  parameter int unsigned Folds    = 1, // words of a pixel
  parameter int unsigned Rows     = 4, // of the input
  parameter int unsigned Columns  = 4,
  parameter int unsigned Top      = 1, // borders
  parameter int unsigned Left     = 1,
  parameter int unsigned Bottom   = 1,
  parameter int unsigned Right    = 1,
  parameter bit          BlockRam = 0  // lines in block RAM, otherwise in LUTs
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

  localparam int unsigned Border      = Top > Bottom ? Top : Bottom;
  localparam int unsigned Lines       = Border > 1 ? Border + 1 : 2;
  localparam int unsigned LineWords   = Columns * Folds;
  localparam int unsigned Depth       = Lines * LineWords;
  localparam int unsigned AddressBits = $clog2(Depth);
  localparam int unsigned FoldBits    = Folds > 1 ? $clog2(Folds) : 1;
  localparam int unsigned RowBits     = Rows > 1 ? $clog2(Rows) : 1;
  localparam int unsigned ColumnBits  = Columns > 1 ? $clog2(Columns) : 1;
  localparam int unsigned HeldBits    = $clog2(Lines + 1);

  // Addresses of a row's first output word: the first line of the ring, the last, where row Top is.
  localparam int unsigned FirstStart = Left * Folds;
  localparam int unsigned LastStart  = FirstStart + (Lines - 1) * LineWords;
  localparam int unsigned FrameStart = FirstStart + (Top % Lines) * LineWords;

  logic push, fetch;

  // Writing: `row_in_q` rows are complete, and `column_in_q` pixels of the next one.
  logic [AddressBits-1:0] write_q;
  logic [FoldBits-1:0]    fold_in_q;
  logic [ColumnBits-1:0]  column_in_q, came_column_q; // and the pixel before it
  logic [RowBits:0]       row_in_q;
  logic [RowBits-1:0]     came_row_q; // the row before it
  logic [HeldBits-1:0]    held_q; // complete rows whose lines are not free
  logic                   last_fold_in, last_column_in, pixel_comes, row_comes;
  logic                   row_left_q, frame_left_q; // with the word read last

  assign last_fold_in   = fold_in_q == FoldBits'(Folds - 1);
  assign last_column_in = column_in_q == ColumnBits'(Columns - 1);
  assign pixel_comes    = push && last_fold_in;
  assign row_comes      = pixel_comes && last_column_in;
  assign in_ready_o     = row_in_q != (RowBits+1)'(Rows) && held_q != HeldBits'(Lines);
  assign push           = in_valid_i && in_ready_o;

  always_ff @(posedge clk_i) begin
    if (!rst_ni || frame_left_q) begin
      write_q     <= '0;
      fold_in_q   <= '0;
      column_in_q <= '0;
      row_in_q    <= '0;
      held_q      <= '0;
    end else begin
      if (push) begin
        write_q   <= write_q == AddressBits'(Depth - 1) ? '0 : write_q + 1'b1;
        fold_in_q <= last_fold_in ? '0 : fold_in_q + 1'b1;
        if (last_fold_in) column_in_q <= last_column_in ? '0 : column_in_q + 1'b1;
        if (row_comes) row_in_q <= row_in_q + 1'b1;
      end
      if (row_comes != row_left_q) held_q <= row_comes ? held_q + 1'b1 : held_q - 1'b1;
    end
  end

  always_ff @(posedge clk_i) begin
    if (pixel_comes) came_column_q <= column_in_q;
    if (row_comes) came_row_q <= row_in_q[RowBits-1:0];
  end

  // Reading: `start_q` is the address of the row's first word, `read_q` of the next one.
  logic [AddressBits-1:0] read_q, start_q, start_d;
  logic [FoldBits-1:0]    fold_q;
  logic [ColumnBits-1:0]  column;
  logic [RowBits-1:0]     row;
  logic                   last_fold, last_column, last_row, column_descends, row_descends;
  logic                   row_inside, row_ends, pixel_ends, unused_inside;
  logic                   there_q, next_there; // the pixel, the next one is in the memory
  logic                   came, past_left;     // it comes now; the first one of a row has come
  logic                   word_q, word_leaves; // a word is at the memory's output
  logic [Width-1:0]       word;

  reflect_index #(
    .Length(Columns),
    .Low   (Left),
    .High  (Right)
  ) u_column (
    .clk_i,
    .rst_ni,
    .step_i    (pixel_ends),
    .index_o   (column),
    .inside_o  (unused_inside),
    .descends_o(column_descends),
    .last_o    (last_column)
  );

  reflect_index #(
    .Length(Rows),
    .Low   (Top),
    .High  (Bottom)
  ) u_row (
    .clk_i,
    .rst_ni,
    .step_i    (row_ends),
    .index_o   (row),
    .inside_o  (row_inside),
    .descends_o(row_descends),
    .last_o    (last_row)
  );

  assign last_fold  = fold_q == FoldBits'(Folds - 1);
  assign fetch      = there_q && (!word_q || word_leaves);
  assign pixel_ends = fetch && last_fold;
  assign row_ends   = pixel_ends && last_column;

  // Whether a pixel is there is known before it is asked for. Where this one is, one of its row is
  // in front of what came last, and at the end of a row that row is complete.
  if (Left + 1 < Columns) begin : gen_past
    assign past_left = column_in_q > ColumnBits'(Left);
  end else begin : gen_never_past
    assign past_left = 1'b0;
  end

  assign came = pixel_comes && {1'b0, row} == row_in_q && column == column_in_q;

  always_comb begin
    if (!last_column) begin
      next_there = column_descends || {1'b0, row} != row_in_q || column != came_column_q ||
                   pixel_comes;
    end else if (last_row) begin
      next_there = 1'b0;
    end else begin
      next_there = row_descends || row != came_row_q || past_left ||
                   (pixel_comes && column_in_q == ColumnBits'(Left));
    end
  end

  always_comb begin
    if (last_row) start_d = AddressBits'(FrameStart);
    else if (row_descends) begin
      start_d = start_q == AddressBits'(FirstStart) ? AddressBits'(LastStart) :
                                                      start_q - AddressBits'(LineWords);
    end else begin
      start_d = start_q == AddressBits'(LastStart) ? AddressBits'(FirstStart) :
                                                     start_q + AddressBits'(LineWords);
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      fold_q       <= '0;
      read_q       <= AddressBits'(FrameStart);
      start_q      <= AddressBits'(FrameStart);
      word_q       <= 1'b0;
      there_q      <= 1'b0;
      row_left_q   <= 1'b0;
      frame_left_q <= 1'b0;
    end else begin
      row_left_q   <= row_ends && row_inside;
      frame_left_q <= row_ends && last_row;
      there_q      <= pixel_ends ? next_there : there_q || came;
      if (fetch) begin
        fold_q <= last_fold ? '0 : fold_q + 1'b1;
        if (!last_fold)           read_q <= read_q + 1'b1;
        else if (last_column)     read_q <= start_d;
        else if (column_descends) read_q <= read_q - AddressBits'(2 * Folds - 1);
        else                      read_q <= read_q + 1'b1;
        if (row_ends) start_q <= start_d;
      end
      if (fetch || word_leaves) word_q <= fetch;
    end
  end

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

  output_register #(
    .Width  (Width),
    .Present(BlockRam)
  ) u_out (
    .clk_i,
    .rst_ni,
    .in_valid_i(word_q),
    .in_ready_o(word_leaves),
    .in_data_i (word),
    .out_valid_o,
    .out_ready_i,
    .out_data_o
  );

endmodule
