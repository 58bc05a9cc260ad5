// SPDX-License-Identifier: Apache-2.0
// Cuts a stretch of memory into bursts that never cross 4 KiB.

/// Bursts end at multiples of `BurstBeats` beats: 4 KiB is such a multiple, so no burst crosses it.
/// The first one may be short because of its address, the last one because of the length. A burst
/// is on offer two cycles after `start_i` or after the one before was taken. The address is one of
/// a beat, and the first burst waits as long as `take_i` does.
module dma_bursts #(
  parameter int unsigned DataBits   = 64, // bits of a beat
  parameter int unsigned BurstBeats = 16, // beats of a burst, a power of two
  localparam int unsigned ByteBits  = $clog2(DataBits / 8),
  localparam int unsigned CountBits = $clog2(BurstBeats) + 1
) (
  input  logic                   clk_i,
  input  logic                   rst_ni,
  input  logic                   start_i,
  input  logic [63:ByteBits]     address_i, // of the first beat
  input  logic [32-ByteBits:0]   beats_i,   // of the stretch, 1 or more

  output logic                   valid_o,
  input  logic                   take_i,
  output logic [63:ByteBits]     address_o,
  output logic [CountBits-1:0]   beats_o,
  output logic                   last_o
);

  if (BurstBeats < 2 || (BurstBeats & (BurstBeats - 1)) != 0
      || BurstBeats * DataBits / 8 > 4096) begin : gen_check
    $error("dma_bursts: found BurstBeats=%0d of %0d bits, expected a power of two up to 4 KiB",
           BurstBeats, DataBits);
  end

  localparam int unsigned LeftBits   = 33 - ByteBits;
  localparam int unsigned OffsetBits = CountBits - 1;

  logic [63:ByteBits]   address_q;
  logic [LeftBits-1:0]  left_q;
  logic [CountBits-1:0] beats_q, room;
  logic                 valid_q, last_q, fits;

  assign room = CountBits'(BurstBeats) - {1'b0, address_q[ByteBits +: OffsetBits]};
  assign fits = left_q <= LeftBits'(room);

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      valid_q <= 1'b0;
      left_q  <= '0;
    end else if (start_i) begin
      valid_q <= 1'b0;
      left_q  <= beats_i;
    end else if (valid_q) begin
      if (take_i) begin
        valid_q <= 1'b0;
        left_q  <= left_q - LeftBits'(beats_q);
      end
    end else begin
      valid_q <= left_q != '0;
    end
  end

  always_ff @(posedge clk_i) begin
    if (start_i) address_q <= address_i;
    else if (valid_q && take_i) address_q <= address_q + (64 - ByteBits)'(beats_q);
    if (!valid_q) begin
      beats_q <= fits ? left_q[CountBits-1:0] : room;
      last_q  <= fits;
    end
  end

  assign valid_o   = valid_q;
  assign address_o = address_q;
  assign beats_o   = beats_q;
  assign last_o    = last_q;

endmodule
