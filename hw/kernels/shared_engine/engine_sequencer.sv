// SPDX-License-Identifier: Apache-2.0
// Order of the shared engine's work: units, layers, pixels, groups of outputs, steps of a window.

/// A frame is one pass after the other: for each unit the bits of its right half, then its layers.
/// A pass begins when the last word of the one before is written, which `end_i` announces; its
/// first reads come behind the last bit. A step is a word of bits and one of weights; after the
/// last step of Pe outputs, Pe - 1 cycles at least pass to the next such.
module engine_sequencer #(
  parameter int unsigned Channels     = 2, // channels of a layer
  parameter int unsigned Height       = 2, // rows
  parameter int unsigned Width        = 2, // columns
  parameter int unsigned Units        = 1,
  parameter int unsigned Layers       = 2, // of a unit
  parameter int unsigned Kernel       = 3, // rows and columns of a wide window, odd
  parameter int unsigned WideLayers   = 1, // bit l: layer l has a wide window; otherwise 1x1
  parameter int unsigned Simd         = 2, // bits of a step
  parameter int unsigned Pe           = 1, // outputs of a step
  parameter int unsigned LineAddress  = 5, // address bits of the bit maps
  parameter int unsigned WeightWords  = 8, // weight words of all layers
  localparam int unsigned LayerWidth  = (Layers > 1) ? $clog2(Layers) : 1,
  localparam int unsigned UnitWidth   = (Units > 1) ? $clog2(Units) : 1,
  localparam int unsigned PlaceWidth  = $clog2(2 * Channels),
  localparam int unsigned WeightAddress = (WeightWords > 1) ? $clog2(WeightWords) : 1
) (
  input  logic                     clk_i,
  input  logic                     rst_ni,

  input  logic                     start_i,
  output logic                     done_o,
  input  logic                     end_i,     // the pass's last word is written in the next cycle

  output logic                     next_o,    // a pass is over: addresses go to those of the next
  output logic                     bits_o,    // pass without a layer: bits of what a unit reads
  output logic [LayerWidth-1:0]    layer_o,
  output logic [UnitWidth-1:0]     unit_o,
  output logic                     last_layer_o,
  output logic [PlaceWidth-1:0]    stride_o,  // between the places of this unit's channels
  output logic [PlaceWidth-1:0]    start_o,   // place of the right half's first

  output logic                     word_o,    // pass without a layer: a word is to be read
  output logic                     step_o,
  output logic                     first_o,   // first step of Pe outputs
  output logic                     last_o,    // last one
  output logic                     border_o,
  output logic [LineAddress-1:0]   line_address_o,
  output logic [WeightAddress-1:0] weight_address_o
);

  localparam int unsigned Groups    = Channels / Simd;
  localparam int unsigned Folds     = Channels / Pe;
  localparam int unsigned Pad       = (Kernel - 1) / 2;
  localparam int unsigned SideWidth = (Kernel > 1) ? $clog2(Kernel) : 1;
  localparam int unsigned Modulus   = 2 * Channels - 1;

  if (Channels % Simd != 0 || Channels % Pe != 0) begin : gen_check_lanes
    $error("engine_sequencer: %0d channels are no multiple of Simd=%0d and Pe=%0d", Channels, Simd,
           Pe);
  end
  if (Kernel % 2 != 1) begin : gen_check_kernel
    $error("engine_sequencer: found Kernel=%0d, expected an odd one", Kernel);
  end
  if (2 ** LineAddress < 2 * Height * Width * Groups) begin : gen_check_lines
    $error("engine_sequencer: LineAddress=%0d holds no two maps of %0d words", LineAddress,
           Height * Width * Groups);
  end

  // Passes.
  logic                  run_q, bits_q, wide_q, end_q, layer_last, unit_last, next, layer_done;
  logic [LayerWidth-1:0] layer;
  logic [UnitWidth-1:0]  unit;
  logic [PlaceWidth-1:0] stride_q;
  logic [PlaceWidth:0]   odd;
  logic                  unused;

  assign next         = end_q;
  assign layer_done   = next && !bits_q;
  assign next_o       = next;
  assign bits_o       = bits_q;
  assign layer_o      = layer;
  assign unit_o       = unit;
  assign last_layer_o = layer_last;
  assign stride_o     = stride_q;
  assign odd          = {1'b0, stride_q} + (stride_q[0] ? (PlaceWidth + 1)'(Modulus) : '0);
  assign start_o      = odd[PlaceWidth:1];
  assign unused       = odd[0];
  assign done_o       = layer_done && layer_last && unit_last;

  loop_counter #(
    .Count(Layers)
  ) u_layer (
    .clk_i,
    .rst_ni,
    .advance_i(layer_done),
    .count_o(layer),
    .last_o(layer_last)
  );

  loop_counter #(
    .Count(Units)
  ) u_unit (
    .clk_i,
    .rst_ni,
    .advance_i(layer_done && layer_last),
    .count_o(unit),
    .last_o(unit_last)
  );

  // Steps of a pass.
  logic                 bits_word, step, busy_q, gap_last, pass_end, begin_q, group_first_q;
  logic [SideWidth-1:0] kx_q, ky_q;
  logic                 kx_last_q, ky_last_q, narrow;
  logic [((Pe > 2) ? $clog2(Pe - 1) : 1)-1:0]     unused_gap;
  logic [((Groups > 1) ? $clog2(Groups) : 1)-1:0] unused_group;
  logic [((Folds > 1) ? $clog2(Folds) : 1)-1:0]   unused_fold;
  logic [$clog2(Channels)-1:0]                    unused_channel;
  logic                 group_last, fold_last, channel_last, x_last, y_last;
  logic                 row_last, window_last, pixel_last;

  assign row_last    = group_last && kx_last_q;
  assign window_last = row_last && ky_last_q;
  assign bits_word   = run_q && bits_q;
  assign step        = run_q && !bits_q && !(window_last && busy_q);
  assign pixel_last  = (bits_word && channel_last) || (step && window_last && fold_last);
  assign pass_end    = pixel_last && x_last && y_last;
  assign word_o      = bits_word;
  assign step_o      = step;
  assign first_o     = kx_q == '0 && ky_q == '0 && group_first_q;
  assign last_o      = window_last;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      run_q         <= 1'b0;
      bits_q        <= 1'b1;
      wide_q        <= 1'b0;
      end_q         <= 1'b0;
      stride_q      <= PlaceWidth'(1);
      group_first_q <= 1'b1;
      kx_q          <= '0;
      ky_q          <= '0;
      busy_q        <= 1'b0;
    end else begin
      end_q <= end_i;
      run_q <= start_i || begin_q || (run_q && !pass_end);
      if (next) begin
        bits_q <= !bits_q && layer_last;
        wide_q <= WideLayers[32'(layer) + 32'(!bits_q)];
        if (layer_done && layer_last) stride_q <= unit_last ? PlaceWidth'(1) : start_o;
      end
      if (step) begin
        group_first_q <= group_last;
        if (group_last) kx_q <= row_last ? '0 : kx_q + 1'b1;
        if (row_last) ky_q <= ky_last_q ? '0 : ky_q + 1'b1;
      end
      busy_q <= (step && window_last && Pe > 1) || (busy_q && !gap_last);
    end
  end

  // The window's last column and row, known from registers.
  assign narrow = !wide_q || Kernel == 1;

  always_ff @(posedge clk_i) begin
    if (begin_q) begin
      kx_last_q <= narrow;
      ky_last_q <= narrow;
    end else if (step) begin
      if (group_last) kx_last_q <= narrow || (!kx_last_q && 32'(kx_q) + 2 == Kernel);
      if (row_last) ky_last_q <= narrow || (!ky_last_q && 32'(ky_q) + 2 == Kernel);
    end
  end

  loop_counter #(
    .Count((Pe > 1) ? Pe - 1 : 1)
  ) u_gap (
    .clk_i,
    .rst_ni,
    .advance_i(busy_q),
    .count_o(unused_gap),
    .last_o(gap_last)
  );

  loop_counter #(
    .Count(Groups)
  ) u_group (
    .clk_i,
    .rst_ni,
    .advance_i(step),
    .count_o(unused_group),
    .last_o(group_last)
  );

  loop_counter #(
    .Count(Folds)
  ) u_fold (
    .clk_i,
    .rst_ni,
    .advance_i(step && window_last),
    .count_o(unused_fold),
    .last_o(fold_last)
  );

  loop_counter #(
    .Count(Channels)
  ) u_channel (
    .clk_i,
    .rst_ni,
    .advance_i(bits_word),
    .count_o(unused_channel),
    .last_o(channel_last)
  );

  logic [((Width > 1) ? $clog2(Width) : 1)-1:0]   x;
  logic [((Height > 1) ? $clog2(Height) : 1)-1:0] y;

  loop_counter #(
    .Count(Width)
  ) u_x (
    .clk_i,
    .rst_ni,
    .advance_i(pixel_last),
    .count_o(x),
    .last_o(x_last)
  );

  loop_counter #(
    .Count(Height)
  ) u_y (
    .clk_i,
    .rst_ni,
    .advance_i(pixel_last && x_last),
    .count_o(y),
    .last_o(y_last)
  );

  // Bit maps lie one behind the other in a ring; a window's rows are runs of words.
  localparam logic [LineAddress-1:0] Map    = LineAddress'(Height * Width * Groups);
  localparam logic [LineAddress-1:0] Before = LineAddress'((Pad * Width + Pad) * Groups);
  localparam logic [LineAddress-1:0] Line   = LineAddress'(Width * Groups + 1) -
                                              LineAddress'(Kernel * Groups);

  logic [LineAddress-1:0] map_q, window_q, address_q, window_next;
  logic [31:0]            column, row; // from the border's first on

  assign line_address_o = address_q;
  assign window_next    = window_q + LineAddress'(Groups);
  assign column         = 32'(x) + 32'(kx_q);
  assign row            = 32'(y) + 32'(ky_q);

  if (Pad == 0) begin : gen_no_border
    logic unused_place;
    assign border_o     = 1'b0;
    assign unused_place = &{column, row};
  end else begin : gen_border
    assign border_o = wide_q && (column < Pad || column >= Width + Pad ||
                                 row < Pad || row >= Height + Pad);
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      map_q   <= '0;
      begin_q <= 1'b0;
    end else begin
      if (layer_done) map_q <= map_q + Map;
      begin_q <= next && !done_o;
    end
  end

  always_ff @(posedge clk_i) begin
    if (begin_q) begin
      window_q  <= wide_q ? map_q - Before : map_q;
      address_q <= wide_q ? map_q - Before : map_q;
    end else if (step) begin
      if (window_last && fold_last) window_q <= window_next;
      if (window_last) address_q <= fold_last ? window_next : window_q;
      else             address_q <= address_q + (row_last ? Line : LineAddress'(1));
    end
  end

  // Weights: those of a layer are read again for every pixel.
  logic [WeightAddress-1:0] layer_q, weight_q, weight_next;
  logic                     over_q;   // behind a frame or a reset
  logic                     behind_q; // behind a pass

  assign weight_address_o = weight_q;
  assign weight_next      = weight_q + 1'b1;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) over_q <= 1'b1;
    else         over_q <= done_o;
    behind_q <= step && pass_end;
  end

  always_ff @(posedge clk_i) begin
    if (over_q) begin
      layer_q  <= '0;
      weight_q <= '0;
    end else begin
      if (step) begin
        weight_q <= (window_last && fold_last && !(x_last && y_last)) ? layer_q : weight_next;
      end
      if (behind_q) layer_q <= weight_q;
    end
  end

endmodule
