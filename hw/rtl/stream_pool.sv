// SPDX-License-Identifier: Apache-2.0
// Maxima or sums over windows of a picture stream: along the rows, then along the columns.

/// Words come row by row, pixel by pixel, `Folds` words per pixel. The borders hold the smallest
/// value of the type, or 0 with Sum, so they are left out. Stored are the running maxima or sums of
/// the open windows only: at stride 2 and a kernel up to 3, one output row.
module stream_pool #(
  parameter int unsigned Lanes          = 1, // channels of a word
  parameter bit          Sum            = 0, // the sum of a window, otherwise its maximum
  parameter int unsigned InBits         = 8, // bits of an element
  parameter int unsigned RowBits        = 8, // bits of what is kept along one row of a window
  parameter int unsigned OutBits        = 8, // bits of a window's maximum or sum
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
  // What is kept along the rows and along the columns in block RAM, otherwise in LUTs.
  parameter bit          RowBlockRam    = 0,
  parameter bit          ColumnBlockRam = 0
) (
  input  logic                     clk_i,
  input  logic                     rst_ni,

  input  logic                     in_valid_i,
  output logic                     in_ready_o,
  input  logic [Lanes*InBits-1:0]  in_data_i,

  output logic                     out_valid_o,
  input  logic                     out_ready_i,
  output logic [Lanes*OutBits-1:0] out_data_o
);

  if (RowBits < InBits || OutBits < RowBits) begin : gen_check_bits
    $error("stream_pool: found InBits=%0d RowBits=%0d OutBits=%0d, expected no fewer of sums",
           InBits, RowBits, OutBits);
  end

  logic                     row_valid, row_ready;
  logic [Lanes*RowBits-1:0] in_wide, row_data;
  logic [Lanes*OutBits-1:0] row_wide;

  for (genvar i = 0; i < Lanes; i++) begin : gen_lane
    if (RowBits > InBits) begin : gen_in
      assign in_wide[i*RowBits +: RowBits] = {
          {RowBits - InBits{Signed && in_data_i[i*InBits + InBits - 1]}},
          in_data_i[i*InBits +: InBits]};
    end else begin : gen_in_same
      assign in_wide[i*RowBits +: RowBits] = in_data_i[i*InBits +: InBits];
    end
    if (OutBits > RowBits) begin : gen_row
      assign row_wide[i*OutBits +: OutBits] = {
          {OutBits - RowBits{Signed && row_data[i*RowBits + RowBits - 1]}},
          row_data[i*RowBits +: RowBits]};
    end else begin : gen_row_same
      assign row_wide[i*OutBits +: OutBits] = row_data[i*RowBits +: RowBits];
    end
  end

  window_pool #(
    .Lanes    (Lanes),
    .Bits     (RowBits),
    .Signed   (Signed),
    .Sum      (Sum),
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
    .in_data_i  (in_wide),
    .out_valid_o(row_valid),
    .out_ready_i(row_ready),
    .out_data_o (row_data)
  );

  window_pool #(
    .Lanes    (Lanes),
    .Bits     (OutBits),
    .Signed   (Signed),
    .Sum      (Sum),
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
    .in_data_i  (row_wide),
    .out_valid_o,
    .out_ready_i,
    .out_data_o
  );

endmodule
