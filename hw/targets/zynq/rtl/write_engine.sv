// SPDX-License-Identifier: Apache-2.0
// Takes frames from a stream of words and writes them to memory by AXI bursts.

/// A batch is `batch_i` frames of `FrameWords` words of `WordBytes` bytes, without gaps, to an
/// address that is a multiple of the bus width. No byte behind the batch is written: the strobes of
/// the last beat leave them out. `done_o` follows the last response, so all bytes are in memory by
/// then; `taken_o` marks the cycle in which address and batch are read.
///
/// A burst is asked for only when all its beats are in the FIFO, so a burst never waits for the
/// stream and can always be finished. Bursts follow each other without waiting for responses, up to
/// `Outstanding` of them.
///
/// Errors stop the engine until `rst_ni`: [0] a response was no OKAY, [1] the address is not a
/// multiple of the bus width, [2] the batch has 4 GiB or more, [3] `in_last_i` stood elsewhere than
/// at the last word of a frame. Bursts under way are finished. `flush_i` stops it too, and
/// `quiet_o` says when nothing is under way on the bus any more.
module write_engine #(
  parameter int unsigned DataBits    = 64, // bits of a beat: 32 or 64
  parameter int unsigned BurstBeats  = 16, // beats of a burst, at most
  parameter int unsigned FifoBeats   = 64, // beats of the FIFO
  parameter int unsigned Outstanding = 4,  // bursts without response, at most
  parameter int unsigned WordBytes   = 1,  // bytes of a word
  parameter int unsigned FrameWords  = 2   // words of a frame
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

  input  logic                   in_valid_i,
  output logic                   in_ready_o,
  input  logic [8*WordBytes-1:0] in_data_i,
  input  logic                   in_last_i,   // last word of a frame

  output logic                   aw_valid_o,
  input  logic                   aw_ready_i,
  output logic [63:0]            aw_address_o,
  output logic [7:0]             aw_length_o, // beats less one
  output logic                   w_valid_o,
  input  logic                   w_ready_i,
  output logic [DataBits-1:0]    w_data_o,
  output logic [DataBits/8-1:0]  w_strobe_o,
  output logic                   w_last_o,
  input  logic                   b_valid_i,
  output logic                   b_ready_o,
  input  logic                   b_error_i,

  output logic                   frame_o,     // a frame came in in the cycle before
  output logic [3:0]             errors_o,
  output logic [15:0]            fill_o       // beats in the FIFO
);

  if (DataBits != 32 && DataBits != 64) begin : gen_check_bits
    $error("write_engine: found DataBits=%0d, expected 32 or 64", DataBits);
  end
  if (FifoBeats < 2 * BurstBeats || FifoBeats > 32768) begin : gen_check_fifo
    $error("write_engine: found FifoBeats=%0d, expected two bursts of %0d beats or more, to 32768",
           FifoBeats, BurstBeats);
  end
  if (Outstanding < 2) begin : gen_check_outstanding
    $error("write_engine: found Outstanding=%0d, expected 2 or more", Outstanding);
  end

  localparam int unsigned Bytes     = DataBits / 8;
  localparam int unsigned ByteBits  = $clog2(Bytes);
  localparam int unsigned LeftBits  = 33 - ByteBits;
  localparam int unsigned CountBits = $clog2(BurstBeats) + 1;
  localparam int unsigned FillBits  = $clog2(FifoBeats + 1);
  localparam int unsigned OpenBits  = $clog2(Outstanding + 1);
  localparam int unsigned WordBits  = FrameWords > 1 ? $clog2(FrameWords) : 1;

  localparam logic [1:0] Idle    = 2'd0;
  localparam logic [1:0] Measure = 2'd1; // the length of the batch is worked out
  localparam logic [1:0] Run     = 2'd2;
  localparam logic [1:0] Stop    = 2'd3; // after an error

  logic [1:0]         state_q;
  logic [3:0]         errors_q;
  logic [63:ByteBits] address_q;
  logic [31:0]        frames_q;     // frames that are not in
  logic               last_frame_q;
  logic               misaligned, measured, overflow, begins, ends, refused, strays;
  logic [31:0]        bytes;
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
  assign refused = b_valid_i && b_error_i;

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
          if (refused || strays) begin
            state_q     <= Stop;
            errors_q[0] <= refused;
            errors_q[3] <= strays;
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

  // Words of the batch, then zeros until its last beat is full.
  logic                active_q, makes_q; // words are still to come in, beats to be made
  logic [LeftBits-1:0] to_make_q;
  logic                word_taken, word_last, repack_ready, beat_valid, beat_ready, push, pop;
  logic [DataBits-1:0] beat;
  logic [WordBits-1:0] unused_word;

  assign in_ready_o = repack_ready && active_q && state_q == Run;
  assign word_taken = in_valid_i && in_ready_o;
  assign strays     = word_taken && in_last_i != word_last;

  loop_counter #(
    .Count(FrameWords)
  ) u_words (
    .clk_i,
    .rst_ni,
    .advance_i(word_taken),
    .count_o  (unused_word),
    .last_o   (word_last)
  );

  byte_repack #(
    .InBytes (WordBytes),
    .OutBytes(Bytes)
  ) u_repack (
    .clk_i,
    .rst_ni     (rst_ni && state_q != Idle),
    .in_valid_i (active_q ? word_taken : makes_q),
    .in_ready_o (repack_ready),
    .in_data_i  (active_q ? in_data_i : '0),
    .out_valid_o(beat_valid),
    .out_ready_i(beat_ready),
    .out_data_o (beat)
  );

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      active_q <= 1'b0;
      makes_q  <= 1'b0;
    end else begin
      active_q <= begins || (active_q && !(word_taken && word_last && last_frame_q));
      makes_q  <= begins || (makes_q && !(push && to_make_q == LeftBits'(1)));
    end
  end

  always_ff @(posedge clk_i) begin
    if (begins) to_make_q <= beats;
    else if (push) to_make_q <= to_make_q - 1'b1;
    if (taken_o) begin
      frames_q     <= batch_i;
      last_frame_q <= batch_i == 32'd1;
    end else if (word_taken && word_last) begin
      frames_q     <= frames_q - 1'b1;
      last_frame_q <= frames_q == 32'd2;
    end
  end

  logic                fifo_in_ready, fifo_valid;
  logic [15:0]         fill_q;

  assign push       = beat_valid && makes_q && fifo_in_ready;
  assign beat_ready = makes_q && fifo_in_ready;

  streaming_fifo #(
    .Width(DataBits),
    .Depth(FifoBeats)
  ) u_fifo (
    .clk_i,
    .rst_ni,
    .in_valid_i (beat_valid && makes_q),
    .in_ready_o (fifo_in_ready),
    .in_data_i  (beat),
    .out_valid_o(fifo_valid),
    .out_ready_i(pop),
    .out_data_o (w_data_o)
  );

  always_ff @(posedge clk_i) begin
    if (!rst_ni) fill_q <= '0;
    else         fill_q <= fill_q + 16'(push) - 16'(pop);
  end

  // Bursts: asked for when all their beats are in the FIFO, one at a time on the data channel.
  logic                 burst_valid, burst_last, asks, aw_q, w_q, w_ends, w_last_q;
  logic                 final_q, answered;
  logic [63:ByteBits]   burst_address, aw_address_q;
  logic [CountBits-1:0] burst_beats, w_left_q;
  logic [CountBits-2:0] aw_length_q;
  logic [FillBits-1:0]  free_q; // beats in the FIFO that belong to no burst yet
  logic [OpenBits-1:0]  open_q; // bursts without response
  logic [Bytes-1:0]     tail_q; // strobes of the last beat

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

  assign w_ends   = pop && w_last_q;
  assign asks     = burst_valid && !aw_q && (!w_q || w_ends) && state_q == Run && !flush_i
                    && free_q >= FillBits'(burst_beats) && open_q != OpenBits'(Outstanding);
  assign pop      = w_valid_o && w_ready_i;
  assign answered = b_valid_i && b_ready_o;
  assign ends     = state_q == Run && final_q && !aw_q && !w_q && open_q == '0;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      aw_q    <= 1'b0;
      w_q     <= 1'b0;
      final_q <= 1'b0;
      free_q  <= '0;
      open_q  <= '0;
    end else begin
      aw_q    <= aw_q ? !aw_ready_i : asks;
      w_q     <= asks || (w_q && !w_ends);
      final_q <= !begins && (final_q || (asks && burst_last));
      free_q  <= free_q + FillBits'(push) - (asks ? FillBits'(burst_beats) : '0);
      open_q  <= open_q + OpenBits'(asks) - OpenBits'(answered);
    end
  end

  always_ff @(posedge clk_i) begin
    if (begins) begin
      for (int unsigned i = 0; i < Bytes; i++) begin
        tail_q[i] <= bytes[ByteBits-1:0] == '0 || ByteBits'(i) < bytes[ByteBits-1:0];
      end
    end
    if (asks) begin
      aw_address_q <= burst_address;
      aw_length_q  <= (CountBits-1)'(burst_beats - 1'b1);
      w_left_q     <= burst_beats;
      w_last_q     <= burst_beats == CountBits'(1);
    end else if (pop) begin
      w_left_q <= w_left_q - 1'b1;
      w_last_q <= w_left_q == CountBits'(2);
    end
  end

  assign aw_valid_o   = aw_q;
  assign aw_address_o = {aw_address_q, {ByteBits{1'b0}}};
  assign aw_length_o  = 8'(aw_length_q);
  assign w_valid_o    = fifo_valid && w_q;
  assign w_last_o     = w_last_q;
  assign w_strobe_o   = final_q && w_last_q ? tail_q : '1;
  assign b_ready_o    = 1'b1;

  logic done_q, frame_q, quiet_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      done_q  <= 1'b0;
      frame_q <= 1'b0;
      quiet_q <= 1'b0;
    end else begin
      done_q  <= (measured && bytes == '0 && !overflow) || (ends && !refused);
      frame_q <= word_taken && word_last;
      quiet_q <= flush_i && !aw_q && !w_q && open_q == '0;
    end
  end

  assign done_o   = done_q;
  assign idle_o   = state_q == Idle && !done_q;
  assign frame_o  = frame_q;
  assign errors_o = errors_q;
  assign fill_o   = fill_q;
  assign quiet_o  = quiet_q;

endmodule
