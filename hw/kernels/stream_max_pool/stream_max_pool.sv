// SPDX-License-Identifier: Apache-2.0
// Max pooling of a picture stream: maxima along the rows, then along the columns.

/// Words come row by row, pixel by pixel, `Folds` words per pixel. The borders hold the smallest
/// value of the type, so they never win and are left out. Stored are the running maxima of the
/// open windows only: at stride 2 and a kernel up to 3, one output row.
module stream_max_pool #(
  parameter int unsigned Lanes          = 1, // channels of a word
  parameter int unsigned Bits           = 8, // bits of an element
  parameter bit          Signed         = 1,
  parameter int unsigned Folds          = 1, // words of a pixel
  parameter int unsigned Height         = 4,
  parameter int unsigned Width          = 4,
  parameter int unsigned KernelY        = 2,
  parameter int unsigned KernelX        = 2,
  parameter int unsigned StrideY        = 2,
  parameter int unsigned StrideX        = 2,
  parameter int unsigned PadTop         = 0,
  parameter int unsigned PadLeft        = 0,
  parameter int unsigned OutHeight      = 2,
  parameter int unsigned OutWidth       = 2,
  // Running maxima of the rows and of the columns in block RAM, otherwise in LUTs.
  parameter bit          RowBlockRam    = 0,
  parameter bit          ColumnBlockRam = 0
) (
  input  logic                  clk_i,
  input  logic                  rst_ni,

  input  logic                  in_valid_i,
  output logic                  in_ready_o,
  input  logic [Lanes*Bits-1:0] in_data_i,

  output logic                  out_valid_o,
  input  logic                  out_ready_i,
  output logic [Lanes*Bits-1:0] out_data_o
);

  logic                  row_valid, row_ready;
  logic [Lanes*Bits-1:0] row_data;

  window_pool #(
    .Lanes    (Lanes),
    .Bits     (Bits),
    .Signed   (Signed),
    .Length   (Width),
    .Inner    (Folds),
    .Kernel   (KernelX),
    .Stride   (StrideX),
    .PadLow   (PadLeft),
    .OutLength(OutWidth),
    .BlockRam (RowBlockRam),
    .Buffered (1)
  ) u_row (
    .clk_i,
    .rst_ni,
    .in_valid_i,
    .in_ready_o,
    .in_data_i,
    .out_valid_o(row_valid),
    .out_ready_i(row_ready),
    .out_data_o (row_data)
  );

  window_pool #(
    .Lanes    (Lanes),
    .Bits     (Bits),
    .Signed   (Signed),
    .Length   (Height),
    .Inner    (Folds * OutWidth),
    .Kernel   (KernelY),
    .Stride   (StrideY),
    .PadLow   (PadTop),
    .OutLength(OutHeight),
    .BlockRam (ColumnBlockRam)
  ) u_column (
    .clk_i,
    .rst_ni,
    .in_valid_i (row_valid),
    .in_ready_o (row_ready),
    .in_data_i  (row_data),
    .out_valid_o,
    .out_ready_i,
    .out_data_o
  );

endmodule
