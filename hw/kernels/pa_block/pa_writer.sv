// SPDX-License-Identifier: Apache-2.0
// Input side of a PA block: level codes, and words of Simd codes for the line memory.

/// Code of channel c: Start of c plus the number of its Steps thresholds that `in` reaches, each
/// comparison inverted where its step goes down, modulo 2**CodeWidth. Word c of `LevelFile`
/// holds, from the low bits up, Steps thresholds of InWidth + 1 bits, two's complement, and with
/// `Directions` Steps bits (1 = down) and the start. Without, every step goes up from 0. Simd codes
/// of a pixel leave as one word, the first channel lowest; pixels are counted when their last
/// channel is taken, a cycle later than that and one before that word is written.
module pa_writer #(
  parameter int unsigned Channels   = 8,  // channels, one per input word
  parameter int unsigned Pixels     = 4,  // pixels of a frame
  parameter int unsigned Simd       = 4,  // codes of a word of the line memory
  parameter int unsigned InWidth    = 8,  // bits of a channel, two's complement
  parameter int unsigned Steps      = 5,  // thresholds of a channel
  parameter int unsigned CodeWidth  = 3,  // bits of a code, unsigned
  parameter bit          Directions = 0,  // steps go up or down, from a start per channel
  parameter              LevelFile  = ""  // $readmemh image
) (
  input  logic                      clk_i,
  input  logic                      rst_ni,

  input  logic                      in_valid_i,
  output logic                      in_ready_o,
  input  logic [InWidth-1:0]        in_data_i,

  input  logic                      room_i,       // another pixel fits behind the one being taken
  output logic                      take_o,       // a word is taken
  output logic                      pixel_o,      // a cycle later: it was the last of its pixel
  output logic                      frame_o,      // and the pixel the last of its frame

  output logic                      code_valid_o, // every code, two cycles after its word was taken
  output logic [CodeWidth-1:0]      code_o,
  output logic                      write_o,
  output logic [Simd*CodeWidth-1:0] write_data_o
);

  localparam int unsigned ChannelWidth   = (Channels > 1) ? $clog2(Channels) : 1;
  localparam int unsigned PixelWidth     = (Pixels > 1) ? $clog2(Pixels) : 1;
  localparam int unsigned LaneWidth      = (Simd > 1) ? $clog2(Simd) : 1;
  localparam int unsigned ThresholdWidth = InWidth + 1;
  localparam int unsigned DownAt         = Steps * ThresholdWidth;
  localparam int unsigned LevelWidth     = DownAt + (Directions ? Steps + CodeWidth : 0);

  if (Channels % Simd != 0) begin : gen_check
    $error("pa_writer: %0d channels are no multiple of Simd=%0d", Channels, Simd);
  end
  (* rom_style = "logic", ram_style = "logic" *) logic [LevelWidth-1:0] levels [Channels];
  initial $readmemh(LevelFile, levels);

  // The levels are read a word ahead: `address` belongs to the word after the one at the port.
  logic [ChannelWidth-1:0] address;
  logic [PixelWidth-1:0]   unused_pixel;
  logic [LaneWidth-1:0]    unused_lane;
  logic [LevelWidth-1:0]   level_q;
  logic                    loaded_q, ready_q, advance, channel_last, channel_last_q, frame_last;
  logic                    pixel, pixel_q;

  assign in_ready_o = ready_q;
  assign take_o     = in_valid_i && ready_q;
  assign advance    = take_o || !loaded_q;
  assign pixel      = take_o && channel_last_q;
  assign pixel_o    = pixel_q;
  assign frame_o    = pixel_q && frame_last;

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
      pixel_q  <= 1'b0;
    end else begin
      loaded_q <= 1'b1;
      // No second pixel of one word until the one before has been counted.
      ready_q  <= room_i && !(Channels == 1 && pixel);
      pixel_q  <= pixel;
    end
  end

  always_ff @(posedge clk_i) begin
    if (advance) begin
      level_q        <= levels[address];
      channel_last_q <= channel_last;
    end
  end

  // Comparisons, and a cycle later how many of them hold.
  logic signed [InWidth:0] wide;
  logic [Steps-1:0]        reached_q, down;
  logic [CodeWidth-1:0]    start, start_q, code_q;
  logic                    reached_valid_q, valid_q, lane_last;

  assign wide = $signed({in_data_i[InWidth-1], in_data_i});

  if (Directions) begin : gen_directions
    assign down  = level_q[DownAt+:Steps];
    assign start = level_q[DownAt+Steps+:CodeWidth];
  end else begin : gen_rising
    assign down  = '0;
    assign start = '0;
  end

  for (genvar i = 0; i < Steps; i++) begin : gen_step
    always_ff @(posedge clk_i) begin
      reached_q[i] <= (wide >= $signed(level_q[i*ThresholdWidth+:ThresholdWidth])) ^ down[i];
    end
  end

  assign code_valid_o = valid_q;
  assign code_o       = code_q;
  assign write_o      = valid_q && lane_last;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      reached_valid_q <= 1'b0;
      valid_q         <= 1'b0;
    end else begin
      reached_valid_q <= take_o;
      valid_q         <= reached_valid_q;
    end
  end

  always_ff @(posedge clk_i) begin
    start_q <= start;
    code_q  <= start_q + CodeWidth'($countones(reached_q));
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

  if (Simd == 1) begin : gen_code
    assign write_data_o = code_q;
  end else begin : gen_gather
    logic [(Simd-1)*CodeWidth-1:0] codes_q;

    assign write_data_o = {code_q, codes_q};

    always_ff @(posedge clk_i) begin
      if (valid_q) codes_q <= write_data_o[Simd*CodeWidth-1:CodeWidth];
    end
  end

endmodule
