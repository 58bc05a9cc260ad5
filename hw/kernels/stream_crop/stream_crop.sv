// SPDX-License-Identifier: Apache-2.0
// Cuts the borders off a picture stream.

/// Words come row by row, pixel by pixel, `Folds` words per pixel; those of the border are taken
/// and dropped. One input word per cycle, one cycle of latency. `in_ready_o` follows `out_ready_i`
/// in the same cycle; a word of the border waits for nobody.
module stream_crop #(
  parameter int unsigned Width   = 8, // bits of a word
  parameter int unsigned Folds   = 1, // words of a pixel
  parameter int unsigned Rows    = 4, // of the input
  parameter int unsigned Columns = 4,
  parameter int unsigned Top     = 1, // rows and columns to drop
  parameter int unsigned Left    = 1,
  parameter int unsigned Bottom  = 1,
  parameter int unsigned Right   = 1
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

  if (Top + Bottom >= Rows || Left + Right >= Columns) begin : gen_check
    $error("stream_crop: found borders %0d+%0d of %0d rows and %0d+%0d of %0d columns, %s",
           Top, Bottom, Rows, Left, Right, Columns, "expected a pixel to remain");
  end

  localparam int unsigned FoldBits   = Folds > 1 ? $clog2(Folds) : 1;
  localparam int unsigned RowBits    = Rows > 1 ? $clog2(Rows) : 1;
  localparam int unsigned ColumnBits = Columns > 1 ? $clog2(Columns) : 1;

  logic [FoldBits-1:0]   fold_q;
  logic [RowBits-1:0]    row_q;
  logic [ColumnBits-1:0] column_q;
  logic [Width-1:0]      data_q;
  // Whether the row and the column lie inside; registers, as the counters' next values decide.
  logic                  row_inside_q, column_inside_q, valid_q;
  logic                  last_fold, last_column, last_row, keep, free, take;

  assign last_fold   = fold_q == FoldBits'(Folds - 1);
  assign last_column = column_q == ColumnBits'(Columns - 1);
  assign last_row    = row_q == RowBits'(Rows - 1);
  assign keep        = row_inside_q && column_inside_q;
  assign free        = !valid_q || out_ready_i;
  assign in_ready_o  = free || !keep;
  assign take        = in_valid_i && in_ready_o;
  assign out_valid_o = valid_q;
  assign out_data_o  = data_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      fold_q          <= '0;
      column_q        <= '0;
      row_q           <= '0;
      column_inside_q <= Left == 0;
      row_inside_q    <= Top == 0;
    end else if (take) begin
      fold_q <= last_fold ? '0 : fold_q + 1'b1;
      if (last_fold) begin
        column_q <= last_column ? '0 : column_q + 1'b1;
        if (last_column) column_inside_q <= Left == 0;
        else if (column_q == ColumnBits'(Columns - Right - 1)) column_inside_q <= 1'b0;
        else if (column_q == ColumnBits'(Left - 1)) column_inside_q <= 1'b1;
        if (last_column) begin
          row_q <= last_row ? '0 : row_q + 1'b1;
          if (last_row) row_inside_q <= Top == 0;
          else if (row_q == RowBits'(Rows - Bottom - 1)) row_inside_q <= 1'b0;
          else if (row_q == RowBits'(Top - 1)) row_inside_q <= 1'b1;
        end
      end
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) valid_q <= 1'b0;
    else if (free) valid_q <= take && keep;
  end

  always_ff @(posedge clk_i) begin
    if (take && keep) data_q <= in_data_i;
  end

endmodule
