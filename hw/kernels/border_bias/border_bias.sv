// SPDX-License-Identifier: Apache-2.0
// Adds what depends on how near its border a pixel of a map lies.

/// y = (x << Shift) + the bias of the channel in the pixel's run of rows and run of columns, lane
/// by lane; what OutBits do not hold becomes the nearest they do, where Saturates says so. Words
/// come row by row, pixel by pixel, `Folds` words per pixel. The memory holds the words of a pixel
/// of each pair of runs, runs of columns side by side. One word per cycle, two cycles of latency,
/// one more with the biases in block RAM or more than 64 words of them, one more to saturate.
/// `in_ready_o` follows `out_ready_i` in the same cycle.
module border_bias #(
  parameter int unsigned              Lanes         = 1,  // elements of a word
  parameter int unsigned              Folds         = 1,  // words of a pixel
  parameter int unsigned              InBits        = 8,
  parameter bit                       InSigned      = 1,
  parameter int unsigned              BiasBits      = 8,  // signed
  parameter int unsigned              OutBits       = 12,
  parameter int unsigned              Shift         = 0,  // bits by which x is shifted up
  parameter bit                       Saturates     = 0,
  parameter int unsigned              RowRuns       = 3,
  parameter int unsigned              ColumnRuns    = 3,
  parameter logic [32*RowRuns-1:0]    RowLengths    = {32'd1, 32'd2, 32'd1}, // rows of each run
  parameter logic [32*ColumnRuns-1:0] ColumnLengths = {32'd1, 32'd2, 32'd1},
  parameter bit                       BlockRom      = 0,  // biases in block RAM, otherwise in LUTs
  parameter                           ParamFile     = ""  // $readmemh image of the biases
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

  function automatic int unsigned most_rows();
    most_rows = 1;
    for (int unsigned r = 0; r < RowRuns; r++) begin
      if (RowLengths[32*r+:32] > most_rows) most_rows = RowLengths[32*r+:32];
    end
  endfunction

  function automatic int unsigned most_columns();
    most_columns = 1;
    for (int unsigned c = 0; c < ColumnRuns; c++) begin
      if (ColumnLengths[32*c+:32] > most_columns) most_columns = ColumnLengths[32*c+:32];
    end
  endfunction

  localparam int unsigned Depth      = RowRuns * ColumnRuns * Folds;
  localparam int unsigned Width      = Lanes * BiasBits;
  localparam int unsigned AddrBits   = Depth > 1 ? $clog2(Depth) : 1;
  localparam int unsigned FoldBits   = Folds > 1 ? $clog2(Folds) : 1;
  localparam int unsigned RowBits    = most_rows() > 1 ? $clog2(most_rows()) : 1;
  localparam int unsigned ColumnBits = most_columns() > 1 ? $clog2(most_columns()) : 1;
  localparam int unsigned RunBitsY   = RowRuns > 1 ? $clog2(RowRuns) : 1;
  localparam int unsigned RunBitsX   = ColumnRuns > 1 ? $clog2(ColumnRuns) : 1;
  localparam int unsigned Larger     = InBits + Shift > BiasBits ? InBits + Shift : BiasBits;
  localparam int unsigned WideBits   = Saturates ? Larger + 2 : OutBits;
  localparam int unsigned SumBits    = WideBits - Shift;
  // The word of block RAM, and of more words than a LUT holds, comes late in a cycle.
  localparam bit          Late       = BlockRom || Depth > 64;

  if (Depth < 2) begin : gen_check_depth
    $error("border_bias: found %0d runs of rows, %0d of columns and %0d words, %s", RowRuns,
           ColumnRuns, Folds, "expected a choice among two biases or more");
  end
  if (Shift >= WideBits || InBits > SumBits || BiasBits > WideBits) begin : gen_check_bits
    $error("border_bias: found %0d bits shifted by %0d and biases of %0d, %s %0d", InBits, Shift,
           BiasBits, "expected both to fit OutBits", OutBits);
  end
  if (Saturates && (OutBits < 2 || OutBits >= WideBits)) begin : gen_check_saturation
    $error("border_bias: found OutBits %0d to saturate sums of %0d bits, expected fewer", OutBits,
           WideBits);
  end
  for (genvar r = 0; r < RowRuns; r++) begin : gen_check_row
    if (RowLengths[32*r+:32] == 0) begin : gen_empty
      $error("border_bias: found 0 rows in run %0d, expected 1 or more", r);
    end
  end
  for (genvar c = 0; c < ColumnRuns; c++) begin : gen_check_column
    if (ColumnLengths[32*c+:32] == 0) begin : gen_empty
      $error("border_bias: found 0 columns in run %0d, expected 1 or more", c);
    end
  end

  // How many rows or columns come behind the first one of a run.
  function automatic logic [RowBits-1:0] rows_behind(int unsigned run);
    rows_behind = RowBits'(RowLengths[32*run+:32] - 1);
  endfunction

  function automatic logic [ColumnBits-1:0] columns_behind(int unsigned run);
    columns_behind = ColumnBits'(ColumnLengths[32*run+:32] - 1);
  endfunction

  logic [FoldBits-1:0]   fold_q;
  logic [RowBits-1:0]    rows_left_q, next_rows;
  logic [ColumnBits-1:0] columns_left_q, next_columns;
  logic [RunBitsY-1:0]   row_run_q, next_row_run;
  logic [RunBitsX-1:0]   column_run_q, next_column_run;
  // The word of the next bias, and the first ones of the pixel and of the row it belongs to.
  logic [AddrBits-1:0]   addr_q, pixel_addr_q, row_addr_q, behind;
  logic                  last_fold, end_columns, last_columns, end_rows, last_rows;
  logic                  move, take;

  assign last_fold       = fold_q == FoldBits'(Folds - 1);
  assign end_columns     = columns_left_q == '0;
  assign last_columns    = column_run_q == RunBitsX'(ColumnRuns - 1);
  assign end_rows        = rows_left_q == '0;
  assign last_rows       = row_run_q == RunBitsY'(RowRuns - 1);
  assign next_column_run = last_columns ? '0 : column_run_q + 1'b1;
  assign next_row_run    = last_rows ? '0 : row_run_q + 1'b1;
  assign behind          = addr_q + 1'b1;
  assign take            = in_valid_i && move;
  assign in_ready_o      = move;

  always_comb begin
    next_columns = '0;
    for (int unsigned c = 0; c < ColumnRuns; c++) begin
      if (next_column_run == RunBitsX'(c)) next_columns = columns_behind(c);
    end
    next_rows = '0;
    for (int unsigned r = 0; r < RowRuns; r++) begin
      if (next_row_run == RunBitsY'(r)) next_rows = rows_behind(r);
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      fold_q         <= '0;
      column_run_q   <= '0;
      row_run_q      <= '0;
      columns_left_q <= columns_behind(0);
      rows_left_q    <= rows_behind(0);
      addr_q         <= '0;
      pixel_addr_q   <= '0;
      row_addr_q     <= '0;
    end else if (take) begin
      fold_q <= last_fold ? '0 : fold_q + 1'b1;
      addr_q <= behind;
      if (last_fold) begin
        columns_left_q <= end_columns ? next_columns : columns_left_q - 1'b1;
        if (!end_columns) begin
          addr_q <= pixel_addr_q;
        end else begin
          column_run_q <= next_column_run;
          pixel_addr_q <= behind;
          if (last_columns) begin
            rows_left_q <= end_rows ? next_rows : rows_left_q - 1'b1;
            if (!end_rows) begin
              addr_q       <= row_addr_q;
              pixel_addr_q <= row_addr_q;
            end else begin
              row_run_q    <= next_row_run;
              addr_q       <= last_rows ? '0 : behind;
              pixel_addr_q <= last_rows ? '0 : behind;
              row_addr_q   <= last_rows ? '0 : behind;
            end
          end
        end
      end
    end
  end

  logic [Width-1:0]          word, bias;
  logic [Lanes*InBits-1:0]   x_q, x;
  logic [Lanes*WideBits-1:0] sum;
  logic [Lanes*OutBits-1:0]  out_d, out_q;
  logic                      read_q, there, summed, out_valid_q;

  assign move        = !out_valid_q || out_ready_i;
  assign out_valid_o = out_valid_q;
  assign out_data_o  = out_q;

  if (BlockRom) begin : gen_block
    (* rom_style = "block" *) logic [Width-1:0] memory [Depth];
    logic [Width-1:0] word_q;

    initial $readmemh(ParamFile, memory);
    always_ff @(posedge clk_i) begin
      if (move) word_q <= memory[addr_q];
    end
    assign word = word_q;
  end else begin : gen_luts
    deep_rom #(
      .Width(Width),
      .Depth(Depth),
      .File (ParamFile)
    ) u_rom (
      .clk_i,
      .read_i   (move),
      .address_i(addr_q),
      .word_o   (word)
    );
  end

  if (Late) begin : gen_late
    logic [Width-1:0]        late_q;
    logic [Lanes*InBits-1:0] late_x_q;
    logic                    late_valid_q;

    always_ff @(posedge clk_i) begin
      if (!rst_ni) late_valid_q <= 1'b0;
      else if (move) late_valid_q <= read_q;
    end
    always_ff @(posedge clk_i) begin
      if (move) begin
        late_q   <= word;
        late_x_q <= x_q;
      end
    end
    assign there = late_valid_q;
    assign bias  = late_q;
    assign x     = late_x_q;
  end else begin : gen_direct
    assign there = read_q;
    assign bias  = word;
    assign x     = x_q;
  end

  for (genvar i = 0; i < Lanes; i++) begin : gen_lane
    logic [InBits-1:0]   own;
    logic [WideBits-1:0] wide_bias;
    logic [SumBits-1:0]  wide;

    assign own = x[i*InBits+:InBits];
    if (InBits < SumBits) begin : gen_wide
      assign wide = {{SumBits - InBits{InSigned && own[InBits-1]}}, own};
    end else begin : gen_same
      assign wide = own;
    end
    if (BiasBits < WideBits) begin : gen_wide_bias
      assign wide_bias = {{WideBits - BiasBits{bias[(i+1)*BiasBits-1]}},
                          bias[i*BiasBits+:BiasBits]};
    end else begin : gen_same_bias
      assign wide_bias = bias[i*BiasBits+:BiasBits];
    end
    assign sum[i*WideBits+Shift+:SumBits] = wide + wide_bias[WideBits-1:Shift];
    if (Shift > 0) begin : gen_below
      // Below the lowest bit of x nothing is added.
      assign sum[i*WideBits+:Shift] = wide_bias[Shift-1:0];
    end
  end

  if (Saturates) begin : gen_saturated
    logic [Lanes*WideBits-1:0] sum_q;
    logic                      sum_valid_q;

    always_ff @(posedge clk_i) begin
      if (!rst_ni) sum_valid_q <= 1'b0;
      else if (move) sum_valid_q <= there;
    end
    always_ff @(posedge clk_i) begin
      if (move) sum_q <= sum;
    end
    assign summed = sum_valid_q;

    for (genvar i = 0; i < Lanes; i++) begin : gen_end
      logic [WideBits-1:0]         own;
      logic [WideBits-2:OutBits-1] excess;
      logic                        negative;

      assign own      = sum_q[i*WideBits+:WideBits];
      assign negative = own[WideBits-1];
      assign excess   = own[WideBits-2:OutBits-1];
      // Between the sign and the bits that stay, a number in range repeats the sign.
      assign out_d[i*OutBits+:OutBits] = excess == {$bits(excess){negative}} ? own[OutBits-1:0] :
                                         {negative, {OutBits - 1{!negative}}};
    end
  end else begin : gen_whole
    assign summed = there;
    assign out_d  = sum;
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      read_q      <= 1'b0;
      out_valid_q <= 1'b0;
    end else if (move) begin
      read_q      <= in_valid_i;
      out_valid_q <= summed;
    end
  end

  always_ff @(posedge clk_i) begin
    if (move) begin
      x_q   <= in_data_i;
      out_q <= out_d;
    end
  end

endmodule
