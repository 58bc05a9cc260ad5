// SPDX-License-Identifier: Apache-2.0
// Walks a block's line memory: windows, borders, and how far the writer may be ahead.

/// Steps, one per cycle: for every output pixel, for every group of outputs, the rows of its
/// window, their columns and the Groups words of a pixel. The memory is a ring of 2**AddressWidth
/// words in which frames follow each other without a gap, so every move is the sum of the address
/// and a constant. `step_o` marks a step; address, marks and border belong to it. An idle cycle
/// lies between two output pixels.
///
/// The writer and the reader meet in one number, the pixels beyond those that the output pixel at
/// hand needs: steps wait while it is negative, unless the whole frame is there; the writer is held
/// at Slack.
module block_reader #(
  parameter int unsigned Height       = 4, // rows of the input
  parameter int unsigned Width        = 4, // columns of the input
  parameter int unsigned OutHeight    = 4, // rows of the output
  parameter int unsigned OutWidth     = 4, // columns of the output
  parameter int unsigned KernelY      = 3, // rows of a window
  parameter int unsigned KernelX      = 3, // columns of a window
  parameter int unsigned StrideY      = 1, // rows from one window to the next
  parameter int unsigned StrideX      = 1, // columns from one window to the next
  parameter int unsigned PadTop       = 1, // border rows above
  parameter int unsigned PadLeft      = 1, // border columns on the left
  parameter int unsigned Groups       = 2, // words of a pixel
  parameter int unsigned Folds        = 2, // groups of outputs
  parameter int unsigned AddressWidth = 6, // bits of a word address
  parameter int unsigned Slack        = 1  // pixels that the writer may be ahead of need
) (
  input  logic                    clk_i,
  input  logic                    rst_ni,

  input  logic                    pixel_i,   // the writer took a pixel
  input  logic                    frame_i,   // it was the last of its frame
  output logic                    room_o,    // the writer may take more

  input  logic                    hold_i,    // the last step of an output group has to wait
  output logic                    step_o,
  output logic                    first_o,   // first step of an output group
  output logic                    last_o,    // last step of an output group
  output logic                    restart_o, // last step of an output pixel
  output logic                    border_o,  // the word lies in the border
  output logic [AddressWidth-1:0] address_o
);

  // Pixels from the window's first to its last, and from the output's own place to that.
  localparam int signed Span   = (int'(KernelY) - 1) * int'(Width) + int'(KernelX);
  localparam int signed Before = int'(PadTop) * int'(Width) + int'(PadLeft);
  localparam int signed Need   = Span - Before;
  // Places from one output pixel to the next: in a row, at its end, at the end of the frame.
  localparam int signed LastX     = (int'(OutWidth) - 1) * int'(StrideX);
  localparam int signed LastY     = (int'(OutHeight) - 1) * int'(StrideY);
  localparam int signed MovePixel = int'(StrideX);
  localparam int signed MoveRow   = int'(StrideY) * int'(Width) - LastX;
  localparam int signed MoveFrame = int'(Height) * int'(Width) - LastY * int'(Width) - LastX;
  // A plain sequence of pixels: nothing to find out about rows, columns and borders.
  localparam bit Flat = KernelY == 1 && KernelX == 1 && StrideY == 1 && StrideX == 1 &&
                        OutHeight == Height && OutWidth == Width;
  // Whether a window ends beyond the last pixel of its frame.
  localparam bit Beyond = (LastY * int'(Width) + LastX) + Need > int'(Height) * int'(Width);

  if (int'(2 ** AddressWidth / Groups) < Span + 1 + int'(Slack)) begin : gen_check
    $error("block_reader: %0d words do not hold %0d pixels of %0d words", 2 ** AddressWidth,
           Span + 1 + int'(Slack), Groups);
  end
  if (PadTop >= KernelY || PadLeft >= KernelX) begin : gen_check_border
    $error("block_reader: borders of %0d and %0d are not below the kernel's %0d and %0d", PadTop,
           PadLeft, KernelY, KernelX);
  end

  // The loops. A row of a window is one run of words.
  localparam int unsigned Run       = KernelX * Groups;
  localparam int unsigned RunWidth  = (Run > 1) ? $clog2(Run) : 1;
  localparam int unsigned RowWidth  = (KernelY > 1) ? $clog2(KernelY) : 1;
  localparam int unsigned FoldWidth = (Folds > 1) ? $clog2(Folds) : 1;

  logic [RunWidth-1:0]  unused_run;
  logic [RowWidth-1:0]  unused_row;
  logic [FoldWidth-1:0] unused_fold;
  logic                 ready_q, first_q, step, run_last, row_last, fold_last, x_last, y_last;
  logic                 window_end, pixel_end, frame_end;

  assign step       = ready_q && !(run_last && row_last && hold_i);
  assign window_end = step && run_last && row_last;
  assign pixel_end  = window_end && fold_last;
  assign frame_end  = pixel_end && x_last && y_last;
  assign step_o     = step;
  assign first_o    = first_q;
  assign last_o     = run_last && row_last;
  assign restart_o  = run_last && row_last && fold_last;

  loop_counter #(
    .Count(Run)
  ) u_run (
    .clk_i,
    .rst_ni,
    .advance_i(step),
    .count_o(unused_run),
    .last_o(run_last)
  );

  loop_counter #(
    .Count(KernelY)
  ) u_row (
    .clk_i,
    .rst_ni,
    .advance_i(step && run_last),
    .count_o(unused_row),
    .last_o(row_last)
  );

  loop_counter #(
    .Count(Folds)
  ) u_fold (
    .clk_i,
    .rst_ni,
    .advance_i(window_end),
    .count_o(unused_fold),
    .last_o(fold_last)
  );

  always_ff @(posedge clk_i) begin
    if (!rst_ni) first_q <= 1'b1;
    else if (step) first_q <= window_end;
  end

  // The address: every move is a constant that the marks select.
  localparam int signed Words   = int'(Groups);
  localparam int signed NextRow = (int'(Width) - int'(KernelX)) * Words + 1;
  localparam int signed Again   = 1 - Span * Words;

  logic [AddressWidth-1:0] address_q, move;

  assign address_o = address_q;

  always_comb begin
    if (!run_last)       move = AddressWidth'(1);
    else if (!row_last)  move = AddressWidth'(NextRow);
    else if (!fold_last) move = AddressWidth'(Again);
    else if (!x_last)    move = AddressWidth'(Again + MovePixel * Words);
    else if (!y_last)    move = AddressWidth'(Again + MoveRow * Words);
    else                 move = AddressWidth'(Again + MoveFrame * Words);
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) address_q <= AddressWidth'(-Before * Words);
    else if (step) address_q <= address_q + move;
  end

  if (Flat) begin : gen_flat
    // Every move at the end of a pixel is the same one.
    assign x_last   = 1'b1;
    assign y_last   = 1'b1;
    assign border_o = 1'b0;
  end else begin : gen_place
    block_place #(
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
      .Groups(Groups)
    ) u_place (
      .clk_i,
      .rst_ni,
      .step_i(step),
      .run_last_i(run_last),
      .row_last_i(row_last),
      .fold_last_i(fold_last),
      .pixel_end_i(pixel_end),
      .x_last_o(x_last),
      .y_last_o(y_last),
      .border_o
    );
  end

  // Pixels beyond those needed: from far below zero at the start up to Slack, and one on the way.
  localparam int signed Largest = (MoveRow > MoveFrame) ? MoveRow : MoveFrame;
  localparam int signed Lowest  = Need + ((Largest > MovePixel) ? Largest : MovePixel);
  localparam int signed Highest = int'(Slack) + 2 - ((MoveFrame < 0) ? MoveFrame : 0);
  localparam int unsigned MarginWidth = 1 + $clog2((Lowest > Highest) ? Lowest + 1 : Highest + 1);

  logic signed [MarginWidth-1:0] margin_q, used;
  logic                          complete;

  always_comb begin
    if (!pixel_end)   used = '0;
    else if (!x_last) used = MarginWidth'(MovePixel);
    else if (!y_last) used = MarginWidth'(MoveRow);
    else              used = MarginWidth'(MoveFrame);
  end

  assign room_o = margin_q < $signed(MarginWidth'(Slack));

  always_ff @(posedge clk_i) begin
    if (!rst_ni) margin_q <= MarginWidth'(-Need);
    else margin_q <= margin_q - used + $signed({{(MarginWidth - 1){1'b0}}, pixel_i});
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) ready_q <= 1'b0;
    else ready_q <= (!margin_q[MarginWidth-1] || complete) && !pixel_end;
  end

  if (Beyond) begin : gen_complete
    // Frames that the writer has finished and the reader has not.
    localparam int unsigned Frames      = 2 ** AddressWidth / (Groups * Height * Width) + 2;
    localparam int unsigned FramesWidth = $clog2(Frames + 1);

    logic [FramesWidth-1:0] frames_q;

    assign complete = frames_q != '0;

    always_ff @(posedge clk_i) begin
      if (!rst_ni) frames_q <= '0;
      else if (frame_i && !frame_end) frames_q <= frames_q + 1'b1;
      else if (!frame_i && frame_end) frames_q <= frames_q - 1'b1;
    end
  end else begin : gen_within
    logic unused_frame;

    assign complete     = 1'b0;
    assign unused_frame = frame_i ^ frame_end;
  end

endmodule
