// SPDX-License-Identifier: Apache-2.0
// Repeats every pixel in its row, and every row; or deals a pixel's channels to these places.

/// Every word of a pixel is read `ScaleX` times, and every line `ScaleY` times, from a memory that
/// holds the line, or for `ScaleY` = 1 the pixel, as long as it is read again. With `Phases` a word
/// holds, for each of its `Lanes`, the values of all `ScaleY * ScaleX` places, and each reading
/// takes those of its own.
///
/// One word leaves per cycle. Meanwhile words of the next line come in: the memory has room for as
/// many as come evenly until words of this one are let go of, and two for the pipeline.
/// Two cycles of latency, three with `BlockRam` or `Phases`, four with both. `in_ready_o` does not
/// depend on `out_ready_i`.
module stream_upsample #(
  parameter int unsigned Lanes    = 1, // channels of a word that leaves
  parameter int unsigned Bits     = 8, // bits of a value
  parameter int unsigned Folds    = 1, // words of a pixel
  parameter int unsigned Columns  = 2, // pixels of a line that comes in
  parameter int unsigned ScaleY   = 2, // rows of one
  parameter int unsigned ScaleX   = 2, // columns of one
  parameter int unsigned Phases   = 0, // a word holds the values of all places: 1: those of a
                                       // lane side by side, 2: the lanes of a place
  parameter bit          BlockRam = 0, // memory in block RAM, otherwise in LUTs
  localparam int unsigned Places  = ScaleY * ScaleX,
  localparam int unsigned Width   = Lanes * Bits,
  localparam int unsigned Stored  = Phases > 0 ? Places * Width : Width
) (
  input  logic              clk_i,
  input  logic              rst_ni,

  input  logic              in_valid_i,
  output logic              in_ready_o,
  input  logic [Stored-1:0] in_data_i,

  output logic              out_valid_o,
  input  logic              out_ready_i,
  output logic [Width-1:0]  out_data_o
);

  if (Folds < 1 || Columns < 1 || ScaleY < 1 || ScaleX < 1 || Places < 2) begin : gen_check
    $error("stream_upsample: found Folds=%0d Columns=%0d ScaleY=%0d ScaleX=%0d, %s",
           Folds, Columns, ScaleY, ScaleX, "expected 1 or more, and two places");
  end
  if (Phases > 2 || (Phases == 2 && Folds > 1)) begin : gen_check_phases
    $error("stream_upsample: found Phases=%0d Folds=%0d, expected 0 or 1, or 2 of one word",
           Phases, Folds);
  end

  localparam int unsigned Held        = ScaleY > 1 ? Folds * Columns : Folds;
  localparam int unsigned Again       = ScaleY > 1 ? ScaleY : ScaleX;
  localparam int unsigned Depth       = Held + (Held * (Again - 1) + Again - 1) / Again + 2;
  localparam int unsigned AddressBits = $clog2(Depth);
  localparam int unsigned FillBits    = $clog2(Depth + 1);
  localparam int unsigned FoldBits    = Folds > 1 ? $clog2(Folds) : 1;
  localparam int unsigned ColumnBits  = Columns > 1 ? $clog2(Columns) : 1;
  localparam int unsigned RowBits     = ScaleY > 1 ? $clog2(ScaleY) : 1;
  localparam int unsigned TimeBits    = ScaleX > 1 ? $clog2(ScaleX) : 1;

  typedef logic [AddressBits-1:0] address_t;
  typedef logic [FillBits-1:0]    fill_t;

  logic                  push, fetch;
  logic [FoldBits-1:0]   fold_q;
  logic [TimeBits-1:0]   time_q;   // how often the pixel was read in this row
  logic [ColumnBits-1:0] column_q;
  logic [RowBits-1:0]    row_q;    // how often the line was read
  logic                  last_fold, last_time, last_column, last_row;
  logic                  leaves_pixel, leaves_line, lets_go, frees;
  logic                  word_q;   // a word is at the memory's output
  logic                  word_leaves;
  logic [Stored-1:0]     word;
  logic [Width-1:0]      chosen;
  logic                  chosen_valid, chosen_leaves;

  address_t write_q, read_q, pixel_q, line_q, next, following;
  fill_t    fill_q;  // words held, those that are read again included
  logic     full_q;  // as many as there is room for
  fill_t    ahead_q; // words from the one that is read next to the last that came
  fill_t    ahead_step;

  assign in_ready_o = !full_q;
  assign push       = in_valid_i && in_ready_o;
  assign fetch      = ahead_q != '0 && (!word_q || word_leaves);

  assign last_fold   = fold_q == FoldBits'(Folds - 1);
  assign last_time   = time_q == TimeBits'(ScaleX - 1);
  assign last_column = column_q == ColumnBits'(Columns - 1);
  assign last_row    = row_q == RowBits'(ScaleY - 1);

  assign leaves_pixel = last_fold && last_time;
  assign leaves_line  = leaves_pixel && last_column;
  assign lets_go      = last_row && last_time;
  assign frees        = fetch && lets_go;

  assign next = read_q == address_t'(Depth - 1) ? '0 : read_q + 1'b1;

  always_comb begin
    if (leaves_line && !last_row) begin
      following  = line_q;
      ahead_step = fill_t'(Held - 1);
    end else if (last_fold && !last_time) begin
      following  = pixel_q;
      ahead_step = fill_t'(Folds - 1);
    end else begin
      following  = next;
      ahead_step = '1;
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      write_q  <= '0;
      read_q   <= '0;
      pixel_q  <= '0;
      line_q   <= '0;
      fill_q   <= '0;
      full_q   <= 1'b0;
      ahead_q  <= '0;
      fold_q   <= '0;
      time_q   <= '0;
      column_q <= '0;
      row_q    <= '0;
      word_q   <= 1'b0;
    end else begin
      if (push) write_q <= write_q == address_t'(Depth - 1) ? '0 : write_q + 1'b1;
      if (push != frees) fill_q <= push ? fill_q + 1'b1 : fill_q - 1'b1;
      full_q  <= !frees && (full_q || (push && fill_q == fill_t'(Depth - 1)));
      ahead_q <= ahead_q + (fetch ? ahead_step : '0) + fill_t'(push);
      if (fetch) begin
        read_q <= following;
        fold_q <= last_fold ? '0 : fold_q + 1'b1;
        if (last_fold) time_q <= last_time ? '0 : time_q + 1'b1;
        if (leaves_pixel) begin
          pixel_q  <= following;
          column_q <= last_column ? '0 : column_q + 1'b1;
        end
        if (leaves_line) begin
          row_q <= last_row ? '0 : row_q + 1'b1;
          if (last_row) line_q <= next;
        end
      end
      if (fetch || word_leaves) word_q <= fetch;
    end
  end

  line_memory #(
    .Width   (Stored),
    .Depth   (Depth),
    .BlockRam(BlockRam)
  ) u_memory (
    .clk_i,
    .write_i        (push),
    .write_address_i(write_q),
    .write_data_i   (in_data_i),
    .read_i         (fetch),
    .read_address_i (read_q),
    .read_data_o    (word)
  );

  if (Phases > 0) begin : gen_phases
    localparam int unsigned PlaceBits = $clog2(Places);

    logic [PlaceBits-1:0] place_q; // place of the word at the memory's output
    logic [PlaceBits-1:0] place;
    logic [Stored-1:0]    read;

    always_ff @(posedge clk_i) begin
      if (fetch) place_q <= PlaceBits'(row_q) * PlaceBits'(ScaleX) + PlaceBits'(time_q);
    end

    output_register #(
      .Width  (PlaceBits + Stored),
      .Present(BlockRam)
    ) u_read (
      .clk_i,
      .rst_ni,
      .in_valid_i (word_q),
      .in_ready_o (word_leaves),
      .in_data_i  ({place_q, word}),
      .out_valid_o(chosen_valid),
      .out_ready_i(chosen_leaves),
      .out_data_o ({place, read})
    );

    for (genvar lane = 0; lane < Lanes; lane++) begin : gen_lane
      logic [Places-1:0][Bits-1:0] values;

      for (genvar p = 0; p < Places; p++) begin : gen_place
        localparam int unsigned At = Phases == 1 ? lane * Places + p : p * Lanes + lane;
        assign values[p] = read[At*Bits +: Bits];
      end
      assign chosen[lane*Bits +: Bits] = values[place];
    end
  end else begin : gen_repeat
    assign chosen       = word;
    assign chosen_valid = word_q;
    assign word_leaves  = chosen_leaves;
  end

  output_register #(
    .Width  (Width),
    .Present(BlockRam || Phases > 0)
  ) u_out (
    .clk_i,
    .rst_ni,
    .in_valid_i(chosen_valid),
    .in_ready_o(chosen_leaves),
    .in_data_i (chosen),
    .out_valid_o,
    .out_ready_i,
    .out_data_o
  );

endmodule
