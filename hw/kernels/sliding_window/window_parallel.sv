// SPDX-License-Identifier: Apache-2.0
// Sliding windows, each a single word, from line memories and shift registers.

/// A pixel is a word. One memory holds of every column the pixels above the next one; they are read
/// a column ahead, two with `BlockRam`, and with that pixel move by one row. The columns of a
/// window lie in shift registers, which are the output. Element ky * KernelX + kx of the window
/// sits at index (ky * KernelX + kx) * Width.
///
/// One pixel per cycle; a window leaves in the cycle after its last pixel passed the input
/// register. Valid, data and ready are registers.
module window_parallel #(
  parameter int unsigned Width     = 8, // bits of a pixel
  parameter int unsigned Rows      = 4, // of the picture
  parameter int unsigned Columns   = 4,
  parameter int unsigned KernelY   = 3,
  parameter int unsigned KernelX   = 3,
  parameter int unsigned StrideY   = 1,
  parameter int unsigned StrideX   = 1,
  parameter int unsigned DilationY = 1,
  parameter int unsigned DilationX = 1,
  parameter bit          BlockRam  = 0  // lines in block RAM, otherwise in LUTs
) (
  input  logic                             clk_i,
  input  logic                             rst_ni,

  input  logic                             in_valid_i,
  output logic                             in_ready_o,
  input  logic [Width-1:0]                 in_data_i,

  output logic                             out_valid_o,
  input  logic                             out_ready_i,
  output logic [KernelY*KernelX*Width-1:0] out_data_o
);

  localparam int unsigned Above = (KernelY - 1) * DilationY; // rows
  localparam int unsigned Reach = (KernelX - 1) * DilationX; // columns

  logic             there, free, push, valid_q;
  logic [Width-1:0] pixel;

  stream_register #(
    .Width(Width)
  ) u_in (
    .clk_i,
    .rst_ni,
    .in_valid_i,
    .in_ready_o,
    .in_data_i,
    .out_valid_o(there),
    .out_ready_i(free),
    .out_data_o (pixel)
  );

  assign free        = !valid_q || out_ready_i;
  assign push        = there && free;
  assign out_valid_o = valid_q;

  // Whether a row and a column end windows.
  logic last_column, last_row, column_ends, row_ends;

  logic [((Columns > 1) ? $clog2(Columns) : 1)-1:0] unused_column;
  logic [((Rows > 1) ? $clog2(Rows) : 1)-1:0] unused_row;

  loop_counter #(
    .Count(Columns)
  ) u_column (
    .clk_i,
    .rst_ni,
    .advance_i(push),
    .count_o(unused_column),
    .last_o(last_column)
  );

  loop_counter #(
    .Count(Rows)
  ) u_row (
    .clk_i,
    .rst_ni,
    .advance_i(push && last_column),
    .count_o(unused_row),
    .last_o(last_row)
  );

  window_end #(
    .Reach (Reach),
    .Stride(StrideX)
  ) u_column_ends (
    .clk_i,
    .rst_ni,
    .step_i(push),
    .last_i(last_column),
    .ends_o(column_ends)
  );

  window_end #(
    .Reach (Above),
    .Stride(StrideY)
  ) u_row_ends (
    .clk_i,
    .rst_ni,
    .step_i(push && last_column),
    .last_i(last_row),
    .ends_o(row_ends)
  );

  always_ff @(posedge clk_i) begin
    if (!rst_ni) valid_q <= 1'b0;
    else if (free) valid_q <= there && column_ends && row_ends;
  end

  // The pixel and those above it, the topmost at index 0.
  logic [(Above+1)*Width-1:0] column;

  if (Above == 0) begin : gen_row
    assign column = pixel;
  end else begin : gen_lines
    logic [Above*Width-1:0] above;

    assign column = {pixel, above};

    if (Columns == 1) begin : gen_one_column
      logic [Above*Width-1:0] above_q;
      always_ff @(posedge clk_i) begin
        if (push) above_q <= column[(Above+1)*Width-1:Width];
      end
      assign above = above_q;
    end else begin : gen_memory
      localparam int unsigned AddressBits = $clog2(Columns);
      localparam int unsigned Ahead       = BlockRam ? 2 : 1;
      logic [AddressBits-1:0] column_q, next_q;
      logic [Above*Width-1:0] word;

      if (Columns <= Ahead) begin : gen_check_columns
        $error("window_parallel: found %0d columns, expected more than %0d for this memory",
               Columns, Ahead);
      end

      always_ff @(posedge clk_i) begin
        if (!rst_ni) begin
          column_q <= '0;
          next_q   <= AddressBits'(Ahead);
        end else if (push) begin
          column_q <= column_q == AddressBits'(Columns - 1) ? '0 : column_q + 1'b1;
          next_q   <= next_q == AddressBits'(Columns - 1) ? '0 : next_q + 1'b1;
        end
      end

      if (BlockRam) begin : gen_behind
        logic [Above*Width-1:0] above_q;

        always_ff @(posedge clk_i) begin
          if (push) above_q <= word;
        end
        assign above = above_q;
      end else begin : gen_direct
        assign above = word;
      end

      line_memory #(
        .Width   (Above * Width),
        .Depth   (Columns),
        .BlockRam(BlockRam)
      ) u_memory (
        .clk_i,
        .write_i        (push),
        .write_address_i(column_q),
        .write_data_i   (column[(Above+1)*Width-1:Width]),
        .read_i         (push),
        .read_address_i (next_q),
        .read_data_o    (word)
      );
    end
  end

  for (genvar y = 0; y < KernelY; y++) begin : gen_line
    logic [(Reach+1)*Width-1:0] shift_q; // the newest pixel at index 0

    always_ff @(posedge clk_i) begin
      if (push) shift_q <= ((Reach+1)*Width)'({shift_q, column[y*DilationY*Width+:Width]});
    end

    for (genvar x = 0; x < KernelX; x++) begin : gen_tap
      assign out_data_o[(y*KernelX+x)*Width+:Width] =
          shift_q[(KernelX-1-x)*DilationX*Width+:Width];
    end
  end

endmodule
