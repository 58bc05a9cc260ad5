// SPDX-License-Identifier: Apache-2.0
// Reads frames from memory by AXI bursts and sends them as a stream of words.

/// A batch is `batch_i` frames of `FrameWords` words of `WordBytes` bytes, without gaps, from an
/// address that is a multiple of the bus width. Bytes beyond the batch are read with the last beat
/// and dropped. `done_o` is high in the cycle after the last word was taken; `taken_o` marks the
/// cycle in which address and batch are read.
///
/// A burst is asked for only when the FIFO has room for all of it, so `r_ready_o` never falls and
/// the bus never waits for the stream. Bursts follow each other without waiting for data.
///
/// Errors stop the engine until `rst_ni`: [0] a response was no OKAY, [1] the address is not a
/// multiple of the bus width, [2] the batch has 4 GiB or more. Bursts under way are still received;
/// what came before the error is still sent, nothing behind it. `flush_i` stops it too, and
/// `quiet_o` says when nothing is under way on the bus any more; the words inside are lost with the
/// reset that follows.
module read_engine #(
  parameter int unsigned DataBits   = 64, // bits of a beat: 32 or 64
  parameter int unsigned BurstBeats = 16, // beats of a burst, at most
  parameter int unsigned FifoBeats  = 64, // beats that may be asked for and not yet sent
  parameter int unsigned WordBytes  = 1,  // bytes of a word
  parameter int unsigned FrameWords = 2   // words of a frame
) (
  input  logic                   clk_i,
  input  logic                   rst_ni,

  input  logic                   start_i,
  input  logic [63:0]            address_i,
  input  logic [31:0]            batch_i,
  output logic                   taken_o,
  output logic                   done_o,
  output logic                   idle_o,
  input  logic                   flush_i,
  output logic                   quiet_o,

  output logic                   ar_valid_o,
  input  logic                   ar_ready_i,
  output logic [63:0]            ar_address_o,
  output logic [7:0]             ar_length_o, // beats less one
  input  logic                   r_valid_i,
  output logic                   r_ready_o,
  input  logic [DataBits-1:0]    r_data_i,
  input  logic                   r_error_i,

  output logic                   out_valid_o,
  input  logic                   out_ready_i,
  output logic [8*WordBytes-1:0] out_data_o,
  output logic                   out_last_o,  // last word of a frame

  output logic                   frame_o,     // a frame went out in the cycle before
  output logic [2:0]             errors_o,
  output logic [15:0]            fill_o       // beats in the FIFO
);

  if (DataBits != 32 && DataBits != 64) begin : gen_check_bits
    $error("read_engine: found DataBits=%0d, expected 32 or 64", DataBits);
  end
  if (FifoBeats < 2 * BurstBeats || FifoBeats > 32768) begin : gen_check_fifo
    $error("read_engine: found FifoBeats=%0d, expected two bursts of %0d beats or more, to 32768",
           FifoBeats, BurstBeats);
  end

  localparam int unsigned Bytes     = DataBits / 8;
  localparam int unsigned ByteBits  = $clog2(Bytes);
  localparam int unsigned LeftBits  = 33 - ByteBits;
  localparam int unsigned CountBits = $clog2(BurstBeats) + 1;
  localparam int unsigned FillBits  = $clog2(FifoBeats + 1);
  localparam int unsigned WordBits  = FrameWords > 1 ? $clog2(FrameWords) : 1;

  localparam logic [1:0] Idle    = 2'd0;
  localparam logic [1:0] Measure = 2'd1; // the length of the batch is worked out
  localparam logic [1:0] Run     = 2'd2;
  localparam logic [1:0] Stop    = 2'd3; // after an error

  logic [1:0]  state_q;
  logic [2:0]  errors_q;
  logic [63:ByteBits] address_q;
  logic [31:0] frames_q;      // frames that are not out
  logic        last_frame_q;
  logic        misaligned, measured, overflow, begins, ends, refused;
  logic [31:0] bytes;
  logic [LeftBits-1:0] beats;

  assign taken_o    = state_q == Idle && start_i && !flush_i;
  assign misaligned = address_i[ByteBits-1:0] != '0;
  assign begins     = measured && !overflow && bytes != '0;

  dma_length #(
    .FrameBytes(FrameWords * WordBytes)
  ) u_length (
    .clk_i,
    .rst_ni,
    .start_i   (taken_o && !misaligned),
    .batch_i,
    .valid_o   (measured),
    .bytes_o   (bytes),
    .overflow_o(overflow)
  );

  assign beats   = LeftBits'((33'(bytes) + 33'(Bytes - 1)) >> ByteBits);
  assign refused = r_valid_i && r_ready_o && r_error_i;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      state_q  <= Idle;
      errors_q <= '0;
    end else begin
      case (state_q)
        Idle: begin
          if (taken_o) state_q <= misaligned ? Stop : Measure;
          if (taken_o) errors_q[1] <= misaligned;
        end
        Measure: begin
          if (measured) state_q <= overflow ? Stop : begins ? Run : Idle;
          if (measured) errors_q[2] <= overflow;
        end
        Run: begin
          if (refused) begin
            state_q     <= Stop;
            errors_q[0] <= 1'b1;
          end else if (ends) begin
            state_q <= Idle;
          end
        end
        default: state_q <= Stop;
      endcase
    end
  end

  always_ff @(posedge clk_i) begin
    if (taken_o) address_q <= address_i[63:ByteBits];
  end

  // Bursts: asked for while the FIFO has room for them.
  logic                 burst_valid, burst_last, asks, ar_q;
  logic [63:ByteBits]   burst_address, ar_address_q;
  logic [CountBits-1:0] burst_beats, ar_beats_q;
  logic [FillBits-1:0]  reserved_q; // beats asked for that have not left the FIFO
  logic [FillBits-1:0]  asked_q;    // beats asked for that are not in
  logic                 received, push, pop, room_q;

  dma_bursts #(
    .DataBits  (DataBits),
    .BurstBeats(BurstBeats)
  ) u_bursts (
    .clk_i,
    .rst_ni,
    .start_i  (begins),
    .address_i(address_q),
    .beats_i  (beats),
    .valid_o  (burst_valid),
    .take_i   (asks),
    .address_o(burst_address),
    .beats_o  (burst_beats),
    .last_o   (burst_last)
  );

  // Known from a register: a burst is on offer two cycles after the one before at the earliest.
  assign asks = burst_valid && !ar_q && state_q == Run && !flush_i && room_q;

  always_ff @(posedge clk_i) begin
    room_q <= reserved_q <= FillBits'(FifoBeats - BurstBeats);
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      ar_q       <= 1'b0;
      reserved_q <= '0;
      asked_q    <= '0;
    end else begin
      ar_q       <= ar_q ? !ar_ready_i : asks;
      reserved_q <= reserved_q + (asks ? FillBits'(burst_beats) : '0) - FillBits'(pop);
      asked_q    <= asked_q + (asks ? FillBits'(burst_beats) : '0) - FillBits'(received);
    end
  end

  always_ff @(posedge clk_i) begin
    if (asks) begin
      ar_address_q <= burst_address;
      ar_beats_q   <= burst_beats - 1'b1;
    end
  end

  assign ar_valid_o   = ar_q;
  assign ar_address_o = {ar_address_q, {ByteBits{1'b0}}};
  assign ar_length_o  = 8'(ar_beats_q);
  assign received     = r_valid_i && r_ready_o;
  assign push         = received && !r_error_i && state_q == Run;

  logic                fifo_valid, fifo_ready;
  logic [DataBits-1:0] fifo_data;
  logic [15:0]         fill_q;

  streaming_fifo #(
    .Width(DataBits),
    .Depth(FifoBeats)
  ) u_fifo (
    .clk_i,
    .rst_ni,
    .in_valid_i (r_valid_i && !r_error_i && state_q == Run),
    .in_ready_o (r_ready_o),
    .in_data_i  (r_data_i),
    .out_valid_o(fifo_valid),
    .out_ready_i(fifo_ready),
    .out_data_o (fifo_data)
  );

  always_ff @(posedge clk_i) begin
    if (!rst_ni) fill_q <= '0;
    else         fill_q <= fill_q + 16'(push) - 16'(pop);
  end

  // Behind the last beat comes whatever, until the words of the batch are out.
  logic [LeftBits-1:0] left_q; // beats of the batch that have not left the FIFO
  logic                pads_q, repack_ready, word_valid, word_taken, word_last, active_q;
  logic [WordBits-1:0] unused_word;

  assign fifo_ready = repack_ready && active_q && !pads_q;
  assign pop        = fifo_valid && fifo_ready;

  always_ff @(posedge clk_i) begin
    if (begins) begin
      left_q <= beats;
      pads_q <= 1'b0;
    end else if (pop) begin
      left_q <= left_q - 1'b1;
      pads_q <= left_q == LeftBits'(1);
    end
  end

  byte_repack #(
    .InBytes (Bytes),
    .OutBytes(WordBytes)
  ) u_repack (
    .clk_i,
    .rst_ni     (rst_ni && state_q != Idle),
    .in_valid_i (active_q && (fifo_valid || pads_q)),
    .in_ready_o (repack_ready),
    .in_data_i  (fifo_data),
    .out_valid_o(word_valid),
    .out_ready_i(out_ready_i && active_q),
    .out_data_o
  );

  loop_counter #(
    .Count(FrameWords)
  ) u_words (
    .clk_i,
    .rst_ni,
    .advance_i(word_taken),
    .count_o  (unused_word),
    .last_o   (word_last)
  );

  assign out_valid_o = word_valid && active_q;
  assign out_last_o  = word_last;
  assign word_taken  = out_valid_o && out_ready_i;

  logic done_q, frame_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      active_q <= 1'b0;
      done_q   <= 1'b0;
      frame_q  <= 1'b0;
    end else begin
      active_q <= begins || (active_q && !ends);
      done_q   <= (measured && bytes == '0 && !overflow) || (ends && state_q == Run);
      frame_q  <= word_taken && word_last;
    end
  end

  assign ends = word_taken && word_last && last_frame_q;

  always_ff @(posedge clk_i) begin
    if (taken_o) begin
      frames_q     <= batch_i;
      last_frame_q <= batch_i == 32'd1;
    end else if (word_taken && word_last) begin
      frames_q     <= frames_q - 1'b1;
      last_frame_q <= frames_q == 32'd2;
    end
  end

  assign done_o   = done_q;
  assign idle_o   = state_q == Idle && !done_q;
  assign frame_o  = frame_q;
  assign errors_o = errors_q;
  assign fill_o   = fill_q;

  logic quiet_q, unused_last;

  always_ff @(posedge clk_i) begin
    quiet_q <= rst_ni && flush_i && !ar_q && asked_q == '0;
  end

  assign quiet_o     = quiet_q;
  assign unused_last = burst_last;

endmodule
