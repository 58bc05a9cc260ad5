// SPDX-License-Identifier: Apache-2.0
// Frames in and out of the shared engine's buffers.

/// Takes a frame into the buffer that the engine does not work on, starts the engine when it is
/// whole and the result before it is under way, and hands results out. A frame is taken behind the
/// one that leaves the same buffer, pixel by pixel; a result leaves whether or not a frame follows.
/// Ready, valid and data are registers; a word leaves in three cycles or more.
module engine_frames #(
  parameter int unsigned Channels = 4, // channels of the stream
  parameter int unsigned Pixels   = 4, // pixels of a frame
  parameter int unsigned Width    = 8, // bits of a word
  parameter int unsigned Stride   = 1, // between the places of channels that leave
  localparam int unsigned AddressWidth = $clog2(Channels * Pixels)
) (
  input  logic                    clk_i,
  input  logic                    rst_ni,

  input  logic                    in_valid_i,
  output logic                    in_ready_o,
  output logic                    in_write_o,
  output logic [AddressWidth-1:0] in_address_o,

  output logic                    out_valid_o,
  input  logic                    out_ready_i,
  output logic [Width-1:0]        out_data_o,
  output logic                    out_buffer_o,
  output logic [AddressWidth-1:0] out_address_o,
  input  logic [Width-1:0]        word_i,

  output logic                    start_o,   // the engine begins with the frame taken
  input  logic                    done_i,    // it is finished
  output logic                    running_o,
  output logic                    work_o     // the engine's buffer
);

  localparam int unsigned PixelWidth = (Pixels > 1) ? $clog2(Pixels) : 1;
  localparam int unsigned PlaceWidth = $clog2(Channels);

  logic running_q, work_q, pending_q, filled_q, draining_q, buffer_q;
  logic start, begin_drain, take, take_last, fill_last, capture, capture_last, drain_last, fetch;

  // Input: linear, with two idle cycles behind each pixel while it is seen whether there is room.
  logic [PixelWidth-1:0]         fill, drain;
  logic [$clog2(Channels)-1:0]   unused_channel, unused_leaving;
  logic [AddressWidth-1:0]       in_address_q;
  logic                          ready_q, room_q, taken_q, channel_last, leaving_last;

  assign in_ready_o   = ready_q;
  assign in_write_o   = take;
  assign in_address_o = in_address_q;
  assign take         = in_valid_i && ready_q;
  assign take_last    = take && channel_last;

  loop_counter #(
    .Count(Channels)
  ) u_channel (
    .clk_i,
    .rst_ni,
    .advance_i(take),
    .count_o(unused_channel),
    .last_o(channel_last)
  );

  loop_counter #(
    .Count(Pixels)
  ) u_fill (
    .clk_i,
    .rst_ni,
    .advance_i(take_last),
    .count_o(fill),
    .last_o(fill_last)
  );

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      ready_q      <= 1'b0;
      room_q       <= 1'b0;
      taken_q      <= 1'b0;
      in_address_q <= '0;
    end else begin
      room_q  <= !filled_q && (!draining_q || buffer_q == work_q || fill < drain);
      taken_q <= take_last;
      ready_q <= room_q && !take_last && !taken_q;
      if (take) in_address_q <= (take_last && fill_last) ? '0 : in_address_q + 1'b1;
    end
  end

  // The engine.
  assign start       = filled_q && !running_q && !pending_q;
  assign begin_drain = pending_q && !draining_q;
  assign start_o     = start;
  assign running_o   = running_q;
  assign work_o      = work_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      running_q  <= 1'b0;
      work_q     <= 1'b0;
      pending_q  <= 1'b0;
      filled_q   <= 1'b0;
      draining_q <= 1'b0;
      buffer_q   <= 1'b0;
    end else begin
      running_q  <= start || (running_q && !done_i);
      work_q     <= work_q ^ start;
      pending_q  <= (running_q && done_i) || (pending_q && !begin_drain);
      filled_q   <= (take_last && fill_last) || (filled_q && !start);
      draining_q <= begin_drain || (draining_q && !(capture_last && drain_last));
      if (begin_drain) buffer_q <= work_q;
    end
  end

  // Output: a word waits at the memory until the register is free. Its address was at hand before.
  logic [1:0]              settle_q;
  logic                    word_q, valid_q, pixel_last_q;
  logic [PlaceWidth-1:0]   place;
  logic [AddressWidth-1:0] base_q, address_q;
  logic [Width-1:0]        data_q;

  assign out_valid_o   = valid_q;
  assign out_data_o    = data_q;
  assign out_buffer_o  = buffer_q;
  assign out_address_o = address_q;
  assign capture       = word_q && (!valid_q || out_ready_i);
  assign capture_last  = capture && pixel_last_q;
  assign fetch         = begin_drain || (capture && !(pixel_last_q && drain_last));

  loop_counter #(
    .Count(Channels)
  ) u_leaving (
    .clk_i,
    .rst_ni,
    .advance_i(fetch),
    .count_o(unused_leaving),
    .last_o(leaving_last)
  );

  loop_counter #(
    .Count(Pixels)
  ) u_drain (
    .clk_i,
    .rst_ni,
    .advance_i(capture_last),
    .count_o(drain),
    .last_o(drain_last)
  );

  engine_places #(
    .Channels(Channels)
  ) u_places (
    .clk_i,
    .rst_ni,
    .restart_i(fetch && leaving_last),
    .start_i('0),
    .stride_i(PlaceWidth'(Stride)),
    .advance_i(fetch),
    .place_o(place)
  );

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      settle_q <= '0;
      word_q   <= 1'b0;
      valid_q  <= 1'b0;
      base_q   <= '0;
    end else begin
      settle_q <= {settle_q[0], fetch};
      word_q   <= settle_q[1] || (word_q && !capture);
      valid_q  <= capture || (valid_q && !out_ready_i);
      if (fetch && leaving_last) base_q <= drain_last ? '0 : base_q + AddressWidth'(Channels);
    end
  end

  always_ff @(posedge clk_i) begin
    if (capture) data_q <= word_i;
    if (fetch) begin
      address_q    <= base_q + AddressWidth'(place);
      pixel_last_q <= leaving_last;
    end
  end

endmodule
