// SPDX-License-Identifier: Apache-2.0
// Input side of a binary block: thresholds, and words of Simd bits for the line memory.

/// Bit of channel c: in >= threshold c. `ThresholdFile` holds InWidth + 1 bits per channel, two's
/// complement. Simd bits of a pixel leave as one word, the first channel in bit 0; pixels are
/// counted when their last channel is taken, a cycle before that word is written.
module block_writer #(
  parameter int unsigned Channels      = 8,  // channels, one per input word
  parameter int unsigned Pixels        = 4,  // pixels of a frame
  parameter int unsigned Simd          = 4,  // bits of a word of the line memory
  parameter int unsigned InWidth       = 8,  // bits of a channel, two's complement
  parameter              ThresholdFile = ""  // $readmemh image
) (
  input  logic               clk_i,
  input  logic               rst_ni,

  input  logic               in_valid_i,
  output logic               in_ready_o,
  input  logic [InWidth-1:0] in_data_i,

  input  logic               room_i,      // another pixel fits behind the one being taken
  output logic               take_o,      // a word is taken
  output logic               pixel_o,     // it is the last of its pixel
  output logic               frame_o,     // and the pixel the last of its frame

  output logic               bit_valid_o, // every bit, a cycle after its word was taken
  output logic               bit_o,
  output logic               write_o,
  output logic [Simd-1:0]    write_data_o
);

  localparam int unsigned ChannelWidth = (Channels > 1) ? $clog2(Channels) : 1;
  localparam int unsigned PixelWidth   = (Pixels > 1) ? $clog2(Pixels) : 1;
  localparam int unsigned LaneWidth    = (Simd > 1) ? $clog2(Simd) : 1;

  if (Channels % Simd != 0) begin : gen_check
    $error("block_writer: %0d channels are no multiple of Simd=%0d", Channels, Simd);
  end

  logic signed [InWidth:0] thresholds [Channels];
  initial $readmemh(ThresholdFile, thresholds);

  // The threshold is read a word ahead: `address` belongs to the word after the one at the port.
  logic [ChannelWidth-1:0] address;
  logic [PixelWidth-1:0]   unused_pixel;
  logic [LaneWidth-1:0]    unused_lane;
  logic signed [InWidth:0] threshold_q;
  logic                    loaded_q, ready_q, advance, channel_last, channel_last_q, frame_last;

  assign in_ready_o = ready_q;
  assign take_o     = in_valid_i && ready_q;
  assign advance    = take_o || !loaded_q;
  assign pixel_o    = take_o && channel_last_q;
  assign frame_o    = pixel_o && frame_last;

  loop_counter #(
    .Count(Channels)
  ) u_channel (
    .clk_i,
    .rst_ni,
    .advance_i(advance),
    .count_o(address),
    .last_o(channel_last)
  );

  loop_counter #(
    .Count(Pixels)
  ) u_pixel (
    .clk_i,
    .rst_ni,
    .advance_i(pixel_o),
    .count_o(unused_pixel),
    .last_o(frame_last)
  );

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      loaded_q <= 1'b0;
      ready_q  <= 1'b0;
    end else begin
      loaded_q <= 1'b1;
      ready_q  <= room_i;
    end
  end

  always_ff @(posedge clk_i) begin
    if (advance) begin
      threshold_q    <= thresholds[address];
      channel_last_q <= channel_last;
    end
  end

  logic valid_q, bit_q, lane_last;

  assign bit_valid_o = valid_q;
  assign bit_o       = bit_q;
  assign write_o     = valid_q && lane_last;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) valid_q <= 1'b0;
    else         valid_q <= take_o;
  end

  always_ff @(posedge clk_i) begin
    bit_q <= $signed({in_data_i[InWidth-1], in_data_i}) >= threshold_q;
  end

  loop_counter #(
    .Count(Simd)
  ) u_lane (
    .clk_i,
    .rst_ni,
    .advance_i(valid_q),
    .count_o(unused_lane),
    .last_o(lane_last)
  );

  if (Simd == 1) begin : gen_bit
    assign write_data_o = bit_q;
  end else begin : gen_gather
    logic [Simd-2:0] bits_q;

    assign write_data_o = {bit_q, bits_q};

    always_ff @(posedge clk_i) begin
      if (valid_q) bits_q <= write_data_o[Simd-1:1];
    end
  end

endmodule
