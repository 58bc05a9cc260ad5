// SPDX-License-Identifier: Apache-2.0
// Puts a border of zeros around a picture stream.

/// Words come row by row, pixel by pixel, `Folds` words per pixel; the words of the border are 0.
/// They wait for no input but the first word of a frame, which waits until the frame comes. One
/// output word per cycle. `out_valid_o` and `out_data_o` are registers, the zeros their reset;
/// `in_ready_o` follows `out_ready_i` in the same cycle.
module fm_padding #(
  parameter int unsigned Width   = 8, // bits of a word
  parameter int unsigned Folds   = 1, // words of a pixel
  parameter int unsigned Rows    = 4, // of the input
  parameter int unsigned Columns = 4,
  parameter int unsigned Top     = 1, // borders
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

  if (Rows == 0 || Columns == 0 || Folds == 0) begin : gen_check
    $error("fm_padding: found a picture of %0dx%0d pixels of %0d words, expected some",
           Rows, Columns, Folds);
  end

  logic offer, fire, free, in_picture, column_inside, last_column, row_inside, last_row;

  border_count #(
    .Low   (Left * Folds),
    .Length(Columns * Folds),
    .High  (Right * Folds)
  ) u_column (
    .clk_i,
    .rst_ni,
    .step_i  (fire),
    .inside_o(column_inside),
    .last_o  (last_column)
  );

  border_count #(
    .Low   (Top),
    .Length(Rows),
    .High  (Bottom)
  ) u_row (
    .clk_i,
    .rst_ni,
    .step_i  (fire && last_column),
    .inside_o(row_inside),
    .last_o  (last_row)
  );

  logic             started_q; // a word of the frame has left
  logic             valid_q;
  logic [Width-1:0] data_q;

  assign in_picture  = column_inside && row_inside;
  assign offer       = in_valid_i || (started_q && !in_picture);
  assign free        = !valid_q || out_ready_i;
  assign fire        = offer && free;
  assign in_ready_o  = in_picture && free;
  assign out_valid_o = valid_q;
  assign out_data_o  = data_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      started_q <= 1'b0;
      valid_q   <= 1'b0;
    end else begin
      if (fire) started_q <= !(last_column && last_row);
      if (free) valid_q <= offer;
    end
  end

  always_ff @(posedge clk_i) begin
    if (fire && !in_picture) data_q <= '0;
    else if (fire) data_q <= in_data_i;
  end

endmodule
