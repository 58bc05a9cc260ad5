// SPDX-License-Identifier: Apache-2.0
// Sliding windows over a picture stream: word by word, or a whole window per word.

/// Words come row by row, pixel by pixel, `Folds` words per pixel. The windows of the picture leave
/// row by row, each in the order ky, kx, channel. `window_serial` sends them word by word from a
/// ring of lines; `window_parallel` sends a window as one word, a pixel being a word of the input.
/// No window waits for a word behind its last one.
module sliding_window #(
  parameter  int unsigned Width      = 8, // bits of an input word
  parameter  int unsigned Folds      = 1, // words of a pixel
  parameter  int unsigned Rows       = 4, // of the picture
  parameter  int unsigned Columns    = 4,
  parameter  int unsigned KernelY    = 3,
  parameter  int unsigned KernelX    = 3,
  parameter  int unsigned StrideY    = 1,
  parameter  int unsigned StrideX    = 1,
  parameter  int unsigned DilationY  = 1,
  parameter  int unsigned DilationX  = 1,
  parameter  bit          Parallel   = 0, // whole windows
  parameter  int unsigned Depth      = 16, // words of the ring, not with Parallel
  parameter  bit          BlockRam   = 0, // lines in block RAM, otherwise in LUTs
  localparam int unsigned OutWidth   = Parallel ? KernelY * KernelX * Width : Width
) (
  input  logic                clk_i,
  input  logic                rst_ni,

  input  logic                in_valid_i,
  output logic                in_ready_o,
  input  logic [Width-1:0]    in_data_i,

  output logic                out_valid_o,
  input  logic                out_ready_i,
  output logic [OutWidth-1:0] out_data_o
);

  if ((KernelY - 1) * DilationY >= Rows || (KernelX - 1) * DilationX >= Columns) begin : gen_check
    $error("sliding_window: found a window of %0dx%0d dilated by %0dx%0d, %s %0dx%0d",
           KernelY, KernelX, DilationY, DilationX, "expected one within", Rows, Columns);
  end
  if (StrideY == 0 || StrideX == 0) begin : gen_check_stride
    $error("sliding_window: found strides %0dx%0d, expected 1 or more", StrideY, StrideX);
  end
  if (Parallel && Folds != 1) begin : gen_check_parallel
    $error("sliding_window: found %0d words of a pixel, expected 1 for whole windows", Folds);
  end

  if (Parallel) begin : gen_parallel
    window_parallel #(
      .Width    (Width),
      .Rows     (Rows),
      .Columns  (Columns),
      .KernelY  (KernelY),
      .KernelX  (KernelX),
      .StrideY  (StrideY),
      .StrideX  (StrideX),
      .DilationY(DilationY),
      .DilationX(DilationX),
      .BlockRam (BlockRam)
    ) u_window (
      .clk_i,
      .rst_ni,
      .in_valid_i,
      .in_ready_o,
      .in_data_i,
      .out_valid_o,
      .out_ready_i,
      .out_data_o
    );
  end else begin : gen_serial
    window_serial #(
      .Width    (Width),
      .Folds    (Folds),
      .Rows     (Rows),
      .Columns  (Columns),
      .KernelY  (KernelY),
      .KernelX  (KernelX),
      .StrideY  (StrideY),
      .StrideX  (StrideX),
      .DilationY(DilationY),
      .DilationX(DilationX),
      .Depth    (Depth),
      .BlockRam (BlockRam)
    ) u_window (
      .clk_i,
      .rst_ni,
      .in_valid_i,
      .in_ready_o,
      .in_data_i,
      .out_valid_o,
      .out_ready_i,
      .out_data_o
    );
  end

endmodule
