// SPDX-License-Identifier: Apache-2.0
// First convolution of a network: 8-bit pixels, border, window and product in one kernel.

/// Pixels of Channels unsigned bytes in, row by row; out come the Mh sums of every window, Lanes
/// per word, modulo 2**AccWidth. Border pixels are 0. `image_columns` keeps the rows and gives
/// columns, `column_product` multiplies. The last result of a picture waits for nothing of the next
/// one. One window takes Mh/Pe * Padded * Kernel*Channels/Simd cycles and nothing else, as long as
/// pixels come and results leave; Padded is Kernel, rounded up to whole Columns.
module image_conv #(
  parameter int unsigned Height       = 4,  // rows of the picture
  parameter int unsigned Width        = 4,  // columns of the picture, 2 or more
  parameter int unsigned Channels     = 1,  // bytes of a pixel
  parameter int unsigned Kernel       = 3,  // rows and columns of a window, 2 or more
  parameter int unsigned Stride       = 1,  // pixels from window to window, at most Kernel
  parameter int unsigned PadTop       = 1,  // rows of border above the picture, below Kernel
  parameter int unsigned PadLeft      = 1,  // columns of border left of the picture, below Kernel
  parameter int unsigned OutHeight    = 4,  // rows of windows
  parameter int unsigned OutWidth     = 4,  // windows in a row
  parameter int unsigned Mh           = 4,  // outputs per window
  parameter int unsigned Pe           = 2,  // outputs computed in parallel
  parameter int unsigned Simd         = 3,  // elements of the columns per cycle
  parameter int unsigned Columns      = 1,  // columns read at once, a divisor of Stride
  parameter int unsigned Lanes        = 1,  // outputs per word
  parameter int unsigned WeightWidth  = 8,  // bits of a weight, two's complement
  parameter int unsigned AccWidth     = 20, // bits of an output
  parameter bit          Paired       = 0,  // a DSP for two outputs
  parameter bit          RowsBlockRam = 0,  // rows of pixels in block RAM, otherwise in LUTs
  parameter bit          BlockRom     = 0,  // weights in block RAM, otherwise in LUTs
  parameter              WeightFile   = "", // weights in block RAM: see column_product
  parameter bit          Primitives   = 0,  // explicit LUT6_2 and DSP48E1
  localparam int unsigned Padded = (Kernel + Columns - 1) / Columns * Columns,
  parameter logic [(BlockRom ? 1 : Padded*Kernel*Channels*Mh*WeightWidth)-1:0] Weights = '0
) (
  input  logic                      clk_i,
  input  logic                      rst_ni,

  input  logic                      in_valid_i,
  output logic                      in_ready_o,
  input  logic [Channels*8-1:0]     in_data_i,

  output logic                      out_valid_o,
  input  logic                      out_ready_i,
  output logic [Lanes*AccWidth-1:0] out_data_o
);

  logic                         room, take, column_valid;
  logic [Kernel*Channels*8-1:0] column;

  image_columns #(
    .Bits     (Channels * 8),
    .Height   (Height),
    .Width    (Width),
    .Kernel   (Kernel),
    .Stride   (Stride),
    .PadTop   (PadTop),
    .PadLeft  (PadLeft),
    .OutHeight(OutHeight),
    .OutWidth (OutWidth),
    .BlockRam (RowsBlockRam)
  ) u_columns (
    .clk_i,
    .rst_ni,
    .in_valid_i,
    .in_ready_o,
    .in_data_i,
    .room_i        (room),
    .take_o        (take),
    .column_valid_o(column_valid),
    .column_data_o (column)
  );

  column_product #(
    .Kernel     (Kernel),
    .Elements   (Kernel * Channels),
    .Columns    (Columns),
    .Stride     (Stride),
    .OutWidth   (OutWidth),
    .Mh         (Mh),
    .Pe         (Pe),
    .Simd       (Simd),
    .Lanes      (Lanes),
    .WeightWidth(WeightWidth),
    .AccWidth   (AccWidth),
    .Paired     (Paired),
    .BlockRom   (BlockRom),
    .WeightFile (WeightFile),
    .Primitives (Primitives),
    .Weights    (Weights)
  ) u_product (
    .clk_i,
    .rst_ni,
    .room_o        (room),
    .take_i        (take),
    .column_valid_i(column_valid),
    .column_data_i (column),
    .out_valid_o,
    .out_ready_i,
    .out_data_o
  );

endmodule
