// SPDX-License-Identifier: Apache-2.0
// Row and column of a block's reader: which words lie in the border, where rows end.

/// Follows the steps of `block_reader`. A row below 0 or beyond the picture is the border, and so
/// is a column: both are one comparison of an unsigned number. `x_last_o` and `y_last_o` are
/// registers, right from the second cycle of an output pixel on, when its first step may come.
module block_place #(
  parameter int unsigned Height    = 4,
  parameter int unsigned Width     = 4,
  parameter int unsigned OutHeight = 4,
  parameter int unsigned OutWidth  = 4,
  parameter int unsigned KernelY   = 3,
  parameter int unsigned KernelX   = 3,
  parameter int unsigned StrideY   = 1,
  parameter int unsigned StrideX   = 1,
  parameter int unsigned PadTop    = 1,
  parameter int unsigned PadLeft   = 1,
  parameter int unsigned Groups    = 2
) (
  input  logic clk_i,
  input  logic rst_ni,

  input  logic step_i,
  input  logic run_last_i,  // last word of a row of the window
  input  logic row_last_i,  // last row of the window
  input  logic fold_last_i, // last group of outputs
  input  logic pixel_end_i, // a step that ends an output pixel
  output logic x_last_o,    // last output pixel of its row
  output logic y_last_o,    // last row of outputs
  output logic border_o
);

  localparam int signed LastX = (int'(OutWidth) - 1) * int'(StrideX);
  localparam int signed LastY = (int'(OutHeight) - 1) * int'(StrideY);
  localparam int signed BackX = 1 - int'(KernelX);
  localparam int signed BackY = 1 - int'(KernelY);
  // Those below zero count as large numbers.
  localparam int unsigned EndX   = int'(LastX + int'(KernelX) - int'(PadLeft));
  localparam int unsigned EndY   = int'(LastY + int'(KernelY) - int'(PadTop));
  localparam int unsigned XWidth = $clog2(((EndX > Width) ? EndX : Width) + PadLeft + 1);
  localparam int unsigned YWidth = $clog2(((EndY > Height) ? EndY : Height) + PadTop + 1);
  localparam int unsigned GroupWidth = (Groups > 1) ? $clog2(Groups) : 1;

  logic [GroupWidth-1:0] unused_group;
  logic                  group_last, new_q, x_last_q, y_last_q;
  logic [XWidth-1:0]     x_q, x_move;
  logic [YWidth-1:0]     y_q, y_move;

  assign x_last_o = x_last_q;
  assign y_last_o = y_last_q;
  assign border_o = x_q >= XWidth'(Width) || y_q >= YWidth'(Height);

  loop_counter #(
    .Count(Groups)
  ) u_group (
    .clk_i,
    .rst_ni,
    .advance_i(step_i),
    .count_o(unused_group),
    .last_o(group_last)
  );

  always_comb begin
    if (!group_last)                        x_move = '0;
    else if (!run_last_i)                   x_move = XWidth'(1);
    else if (!(row_last_i && fold_last_i))  x_move = XWidth'(BackX);
    else if (!x_last_q)                     x_move = XWidth'(BackX + int'(StrideX));
    else                                    x_move = XWidth'(BackX - LastX);
  end

  always_comb begin
    if (!run_last_i)                        y_move = '0;
    else if (!row_last_i)                   y_move = YWidth'(1);
    else if (!(fold_last_i && x_last_q))    y_move = YWidth'(BackY);
    else if (!y_last_q)                     y_move = YWidth'(BackY + int'(StrideY));
    else                                    y_move = YWidth'(BackY - LastY);
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      x_q <= XWidth'(-int'(PadLeft));
      y_q <= YWidth'(-int'(PadTop));
    end else if (step_i) begin
      x_q <= x_q + x_move;
      y_q <= y_q + y_move;
    end
  end

  // In the cycle after a pixel's end, row and column are those of the next window's first word.
  always_ff @(posedge clk_i) begin
    if (!rst_ni) new_q <= 1'b1;
    else         new_q <= pixel_end_i;
  end

  always_ff @(posedge clk_i) begin
    if (new_q) begin
      x_last_q <= x_q == XWidth'(LastX - int'(PadLeft));
      y_last_q <= y_q == YWidth'(LastY - int'(PadTop));
    end
  end

endmodule
