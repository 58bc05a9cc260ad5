// SPDX-License-Identifier: Apache-2.0
// Input side of a k-bit block: gathers the codes of a stream to the words of the line memory.

/// Lanes codes per word in, Simd codes per word out, the first channel in the low bits. Pixels are
/// counted when their last word is taken, a cycle before it is written.
module kbit_writer #(
  parameter int unsigned Channels = 8, // channels of a pixel
  parameter int unsigned Pixels   = 4, // pixels of a frame
  parameter int unsigned Lanes    = 1, // codes of an input word
  parameter int unsigned Simd     = 4, // codes of a word of the line memory
  parameter int unsigned CodeBits = 4  // bits of a code
) (
  input  logic                      clk_i,
  input  logic                      rst_ni,

  input  logic                      in_valid_i,
  output logic                      in_ready_o,
  input  logic [Lanes*CodeBits-1:0] in_data_i,

  input  logic                      room_i,  // another pixel fits behind the one being taken
  output logic                      pixel_o, // the last word of a pixel is taken
  output logic                      frame_o, // and the pixel is the last of its frame

  output logic                      write_o,
  output logic [Simd*CodeBits-1:0]  write_data_o
);

  localparam int unsigned Parts      = Simd / Lanes;
  localparam int unsigned Words      = Channels / Lanes;
  localparam int unsigned LaneBits   = Lanes * CodeBits;
  localparam int unsigned PartWidth  = (Parts > 1) ? $clog2(Parts) : 1;
  localparam int unsigned WordWidth  = (Words > 1) ? $clog2(Words) : 1;
  localparam int unsigned PixelWidth = (Pixels > 1) ? $clog2(Pixels) : 1;

  if (Channels % Simd != 0 || Simd % Lanes != 0) begin : gen_check
    $error("kbit_writer: %0d channels, Simd=%0d, Lanes=%0d: each is no multiple of the next",
           Channels, Simd, Lanes);
  end

  logic [PartWidth-1:0]  unused_part;
  logic [WordWidth-1:0]  unused_word;
  logic [PixelWidth-1:0] unused_pixel;
  logic                  ready_q, valid_q, take, part_last, word_last, frame_last;
  logic [LaneBits-1:0]   data_q;

  assign in_ready_o = ready_q;
  assign take       = in_valid_i && ready_q;
  assign pixel_o    = take && word_last;
  assign frame_o    = pixel_o && frame_last;
  assign write_o    = valid_q && part_last;

  loop_counter #(
    .Count(Words)
  ) u_word (
    .clk_i,
    .rst_ni,
    .advance_i(take),
    .count_o(unused_word),
    .last_o(word_last)
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

  loop_counter #(
    .Count(Parts)
  ) u_part (
    .clk_i,
    .rst_ni,
    .advance_i(valid_q),
    .count_o(unused_part),
    .last_o(part_last)
  );

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      ready_q <= 1'b0;
      valid_q <= 1'b0;
    end else begin
      ready_q <= room_i;
      valid_q <= take;
    end
  end

  always_ff @(posedge clk_i) begin
    data_q <= in_data_i;
  end

  if (Parts == 1) begin : gen_word
    assign write_data_o = data_q;
  end else begin : gen_gather
    logic [(Parts-1)*LaneBits-1:0] parts_q;

    assign write_data_o = {data_q, parts_q};

    always_ff @(posedge clk_i) begin
      if (valid_q) parts_q <= write_data_o[Parts*LaneBits-1:LaneBits];
    end
  end

endmodule
