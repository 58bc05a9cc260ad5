// SPDX-License-Identifier: Apache-2.0
// Back end of the shared engine: counts become words, words become bits.

/// Words of a pass in the order of channels and pixels, one per cycle. `launch_i` announces Pe
/// counts four cycles before the first of them is used, `word_i` a word of the map that is only
/// compared. Both read the map and their parameters; a result is written where its shortcut was,
/// and its bit goes to the map of the next layer. Nothing waits.
module engine_results #(
  parameter int unsigned Channels       = 2,  // channels of a layer
  parameter int unsigned Pixels         = 4,  // pixels of a map
  parameter int unsigned Rows           = 2,  // layers of all units
  parameter int unsigned Simd           = 2,  // bits of a word of the bit map
  parameter int unsigned Pe             = 1,  // counts at once
  parameter int unsigned CountWidth     = 5,  // bits of a count
  parameter int unsigned Width          = 8,  // bits of a word
  parameter int unsigned ShortcutShift  = 0,  // left shift of the shortcut
  parameter int unsigned PreShift       = 0,  // rounding shift to the pre-activation
  parameter int unsigned PreBits        = 14, // bits of the pre-activation
  parameter int unsigned SlopeShift     = 6,  // fraction bits of the slope
  parameter int unsigned OutShift       = 4,  // rounding shift to the output
  parameter int unsigned MulWidth       = 10, // bits of m
  parameter int unsigned BiasWidth      = 24, // bits of b
  parameter int unsigned ZetaWidth      = 14, // bits of zeta
  parameter int unsigned SlopeWidth     = 8,  // bits of the slope
  parameter int unsigned EtaWidth       = 14, // bits of eta
  parameter int unsigned ThresholdWidth = 9,  // bits of the next layer's threshold
  parameter bit          BlockRom       = 1,  // parameters in block RAM
  parameter int unsigned Bank           = 32, // words of a bank of parameters
  parameter              ParamPrefix    = "", // $readmemh images: rows of m, ... from bit 0 on
  localparam int unsigned AddressWidth = $clog2(2 * Channels * Pixels),
  localparam int unsigned PlaceWidth   = $clog2(2 * Channels)
) (
  input  logic                     clk_i,
  input  logic                     rst_ni,

  input  logic                     next_i,   // from one pass to the next
  input  logic                     hold_i,   // which reads the same row
  input  logic                     bits_i,   // pass of `word_i`
  input  logic                     write_bits_i,
  input  logic [PlaceWidth-1:0]    start_i,
  input  logic [PlaceWidth-1:0]    stride_i,

  input  logic                     word_i,
  input  logic                     launch_i,
  input  logic                     done_i,
  input  logic [Pe*CountWidth-1:0] count_i,

  output logic [AddressWidth-1:0]  read_address_o,
  input  logic [Width-1:0]         read_data_i,    // three cycles later
  output logic                     write_o,
  output logic [AddressWidth-1:0]  write_address_o,
  output logic [Width-1:0]         write_data_o,
  output logic                     word_valid_o,   // result of a layer, as written
  output logic                     bit_valid_o,    // its bit, a cycle later
  output logic                     bit_o,
  output logic                     line_write_o,
  output logic [Simd-1:0]          line_data_o,
  output logic                     end_o           // a cycle before the last word of a pass
);

  localparam int unsigned ParamWidth   = MulWidth + BiasWidth + ZetaWidth + SlopeWidth + EtaWidth +
                                         ThresholdWidth;
  localparam int unsigned ParamDepth   = Rows * Channels;
  localparam int unsigned ParamAddress = $clog2(ParamDepth);
  localparam int unsigned LaneLatency  = 7;
  localparam int unsigned AccWidth     = CountWidth + 2;

  if (ThresholdWidth > Width + 1) begin : gen_check_threshold
    $error("engine_results: a threshold of %0d bits for words of %0d", ThresholdWidth, Width);
  end

  // Cycle 0: which word. Numbers on names are cycles.
  logic                        valid0_q, counting_q, lane_last, channel_last, pixel_last;
  logic [PlaceWidth-1:0]       place;
  logic [AddressWidth-1:0]     base_q;
  logic                        restart_q;
  logic [((Pe > 1) ? $clog2(Pe) : 1)-1:0]         unused_lane;
  logic [$clog2(Channels)-1:0]                    unused_channel;
  logic [((Pixels > 1) ? $clog2(Pixels) : 1)-1:0] unused_pixel;

  assign counting_q = valid0_q && !bits_i;

  loop_counter #(
    .Count(Pe)
  ) u_lane (
    .clk_i,
    .rst_ni,
    .advance_i(counting_q),
    .count_o(unused_lane),
    .last_o(lane_last)
  );

  loop_counter #(
    .Count(Channels)
  ) u_channel (
    .clk_i,
    .rst_ni,
    .advance_i(valid0_q),
    .count_o(unused_channel),
    .last_o(channel_last)
  );

  loop_counter #(
    .Count(Pixels)
  ) u_pixel (
    .clk_i,
    .rst_ni,
    .advance_i(valid0_q && channel_last),
    .count_o(unused_pixel),
    .last_o(pixel_last)
  );

  engine_places #(
    .Channels(2 * Channels)
  ) u_places (
    .clk_i,
    .rst_ni,
    .restart_i(restart_q || (valid0_q && channel_last)),
    .start_i,
    .stride_i,
    .advance_i(valid0_q),
    .place_o(place)
  );

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      valid0_q  <= 1'b0;
      restart_q <= 1'b1;
      base_q    <= '0;
    end else begin
      valid0_q  <= word_i || launch_i || (counting_q && !lane_last);
      restart_q <= next_i;
      if (restart_q) base_q <= '0;
      else if (valid0_q && channel_last) base_q <= base_q + AddressWidth'(2 * Channels);
    end
  end

  // Cycles 1 to 4: the word of the map and its parameters.
  logic                    valid1_q, valid2_q, valid3_q, valid4_q;
  logic                    channel_last1_q, channel_last2_q, end1_q;
  logic [AddressWidth-1:0] address1_q;
  logic [ParamAddress-1:0] row_q, param_q, row_next;
  logic [ParamWidth-1:0]   param4;

  assign read_address_o = address1_q;
  assign row_next       = (row_q == ParamAddress'(ParamDepth - Channels))
                              ? '0 : row_q + ParamAddress'(Channels);

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      valid1_q <= 1'b0;
      valid2_q <= 1'b0;
      valid3_q <= 1'b0;
      valid4_q <= 1'b0;
      row_q    <= ParamAddress'(ParamDepth - Channels);
      param_q  <= ParamAddress'(ParamDepth - Channels);
    end else begin
      valid1_q <= valid0_q;
      valid2_q <= valid1_q;
      valid3_q <= valid2_q;
      valid4_q <= valid3_q;
      if (next_i && !hold_i) row_q <= row_next;
      if (restart_q) param_q <= row_q;
      else if (valid2_q) param_q <= channel_last2_q ? row_q : param_q + 1'b1;
    end
  end

  always_ff @(posedge clk_i) begin
    address1_q      <= base_q + AddressWidth'(place);
    channel_last1_q <= channel_last;
    channel_last2_q <= channel_last1_q;
    end1_q          <= channel_last && pixel_last;
  end

  banked_rom #(
    .Width(ParamWidth),
    .Words(ParamDepth),
    .Bank(Bank),
    .Block(BlockRom),
    .Prefix(ParamPrefix)
  ) u_params (
    .clk_i,
    .address_i(param_q),
    .word_o(param4)
  );

  logic signed [MulWidth-1:0]       mul;
  logic signed [BiasWidth-1:0]      bias;
  logic signed [ZetaWidth-1:0]      zeta;
  logic signed [SlopeWidth-1:0]     slope;
  logic signed [EtaWidth-1:0]       eta;
  logic signed [ThresholdWidth-1:0] threshold;

  assign {threshold, eta, slope, zeta, bias, mul} = param4;

  // The counts, one after the other.
  logic [Pe*CountWidth-1:0] held_q;
  logic [CountWidth-1:0]    count;

  assign count = held_q[CountWidth-1:0];

  always_ff @(posedge clk_i) begin
    held_q <= done_i ? count_i : held_q >> CountWidth;
  end

  logic signed [Width-1:0] result;

  epilogue_lane #(
    .AccWidth(AccWidth),
    .ShortcutWidth(Width),
    .ShortcutShift(ShortcutShift),
    .PreShift(PreShift),
    .PreBits(PreBits),
    .SlopeShift(SlopeShift),
    .OutShift(OutShift),
    .OutWidth(Width),
    .MulWidth(MulWidth),
    .BiasWidth(BiasWidth),
    .SlopeWidth(SlopeWidth)
  ) u_epilogue (
    .clk_i,
    .enable_i(1'b1),
    .acc_i({1'b0, count, 1'b0}),
    .shortcut_i(read_data_i),
    .mul_i(mul),
    .bias_i(bias),
    .zeta_i(PreBits'(zeta)),
    .slope_i(slope),
    .eta_i(PreBits'(eta)),
    .out_o(result)
  );

  // Behind the epilogue: what travelled beside it.
  logic [LaneLatency-1:0]                     valid11_q, end11_q;
  logic [2:0]                                 end4_q;
  logic [LaneLatency-1:0][ThresholdWidth-1:0] threshold11_q;
  logic [LaneLatency+3:0][AddressWidth-1:0]   address12_q;
  logic                                       valid12_q;
  logic signed [Width-1:0]                    data12_q;
  logic signed [ThresholdWidth-1:0]           threshold12_q;

  assign word_valid_o    = valid12_q && !bits_i;
  assign write_o         = valid12_q && !bits_i;
  assign write_address_o = address12_q[LaneLatency+3];
  assign write_data_o    = data12_q;
  assign end_o           = bits_i ? valid4_q && end4_q[2]
                                  : valid11_q[LaneLatency-1] && end11_q[LaneLatency-1];

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      valid11_q <= '0;
      valid12_q <= 1'b0;
    end else begin
      valid11_q <= {valid11_q[LaneLatency-2:0], valid4_q && !bits_i};
      valid12_q <= bits_i ? valid4_q : valid11_q[LaneLatency-1];
    end
  end

  always_ff @(posedge clk_i) begin
    end4_q        <= {end4_q[1:0], end1_q};
    end11_q       <= {end11_q[LaneLatency-2:0], end4_q[2]};
    threshold11_q <= {threshold11_q[LaneLatency-2:0], threshold};
    address12_q   <= {address12_q[LaneLatency+2:0], address1_q};
    data12_q      <= bits_i ? read_data_i : result;
    threshold12_q <= bits_i ? threshold : threshold11_q[LaneLatency-1];
  end

  // Cycle 13: the bit.
  logic bit_valid_q, bit_q, bit_last;
  logic [((Simd > 1) ? $clog2(Simd) : 1)-1:0] unused_bit;

  assign bit_valid_o  = bit_valid_q;
  assign bit_o        = bit_q;
  assign line_write_o = bit_valid_q && bit_last;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) bit_valid_q <= 1'b0;
    else         bit_valid_q <= valid12_q && write_bits_i;
  end

  always_ff @(posedge clk_i) begin
    bit_q <= (Width + 1)'(data12_q) >= (Width + 1)'(threshold12_q);
  end

  loop_counter #(
    .Count(Simd)
  ) u_bit (
    .clk_i,
    .rst_ni,
    .advance_i(bit_valid_q),
    .count_o(unused_bit),
    .last_o(bit_last)
  );

  if (Simd == 1) begin : gen_bit
    assign line_data_o = bit_q;
  end else begin : gen_gather
    logic [Simd-2:0] bits_q;

    assign line_data_o = {bit_q, bits_q};

    always_ff @(posedge clk_i) begin
      if (bit_valid_q) bits_q <= line_data_o[Simd-1:1];
    end
  end

endmodule
