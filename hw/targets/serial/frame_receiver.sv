// SPDX-License-Identifier: Apache-2.0
// Frames of the host: pictures to words of the network's input, all else to reports.

/// A picture goes into the network while it comes; there is no memory for one. Whatever happens to
/// it on the way, the network gets exactly `PictureWords` words: what is missing is zeros, what is
/// too much is dropped. Its verdict comes behind its last word and says what was wrong, in the bits
/// of `verdict_o`: CRC, too short, too long, bytes lost, byte broken. Sequence numbers leave when a
/// picture begins, verdicts when it has ended, both in the order of the pictures.
///
/// A frame that begins no picture ends in a report: an answer to STATUS or RESET, or an error.
/// RESET holds `flush_o` until `flushed_i` says that no result is owed any more, clears counters
/// with `clear_o`, and is answered then. What waits is never dropped: a report or a number that
/// finds no room holds the receiver. After `Patience` cycles on one spot the network is hung: the
/// same flush, counters kept; a picture in the middle ends as one that lost bytes.
module frame_receiver #(
  parameter int unsigned WordBytes    = 1, // bytes of a word of the network's input
  parameter int unsigned PictureWords = 16,
  parameter int unsigned Patience     = 1 << 26 // cycles, a power of two
) (
  input  logic                   clk_i,
  input  logic                   rst_ni,

  input  logic                   in_valid_i,
  output logic                   in_ready_o,
  input  logic [1:0]             in_kind_i, // as `slip_decode` has it
  input  logic [7:0]             in_data_i,

  output logic                   word_valid_o,
  input  logic                   word_ready_i,
  output logic [8*WordBytes-1:0] word_data_o,

  output logic                   sequence_valid_o,
  input  logic                   sequence_ready_i,
  output logic [7:0]             sequence_o,

  output logic                   verdict_valid_o,
  input  logic                   verdict_ready_i,
  output logic [4:0]             verdict_o,

  output logic                   report_valid_o,
  input  logic                   report_ready_i,
  output logic [7:0]             report_sequence_o,
  output logic [2:0]             report_code_o, // 0 status, else the error's

  output logic                   flush_o,
  input  logic                   flushed_i,
  output logic                   clear_o,

  output logic                   picture_o // in the middle of a picture
);

  if (WordBytes < 1 || PictureWords < 1) begin : gen_check
    $error("frame_receiver: found WordBytes=%0d, PictureWords=%0d, expected 1 or more", WordBytes,
           PictureWords);
  end

  if (Patience < 2 || (Patience & (Patience - 1)) != 0) begin : gen_check_patience
    $error("frame_receiver: found Patience=%0d, expected a power of two, 2 or more", Patience);
  end

  localparam logic [1:0] KindByte   = 2'd0;
  localparam logic [1:0] KindEnd    = 2'd1;
  localparam logic [1:0] KindBroken = 2'd2;
  localparam logic [1:0] KindLost   = 2'd3;

  localparam logic [7:0] TypePicture = 8'h01;
  localparam logic [7:0] TypeStatus  = 8'h02;
  localparam logic [7:0] TypeReset   = 8'h03;

  localparam logic [2:0] CodeStatus   = 3'd0;
  localparam logic [2:0] CodeUnknown  = 3'd1;
  localparam logic [2:0] CodeCrc      = 3'd2;
  localparam logic [2:0] CodeLength   = 3'd3;
  localparam logic [2:0] CodeOverflow = 3'd4;

  localparam logic [3:0]  HeaderBytes = 4'd6;
  localparam logic [3:0]  EmptyBytes  = 4'd10; // of a frame without payload
  localparam logic [31:0] CrcStart    = 32'hFFFFFFFF;
  localparam logic [31:0] CrcGood     = 32'hDEBB20E3;
  localparam logic [4:0]  FlushCycles = 5'd31; // at least, so that every register sees the reset

  localparam int unsigned PictureBytes = WordBytes * PictureWords;
  localparam int unsigned LeftBits     = $clog2(PictureBytes + 1);
  localparam int unsigned IndexBits    = WordBytes > 1 ? $clog2(WordBytes) : 1;
  localparam int unsigned WaitBits     = $clog2(Patience) + 1;

  typedef enum logic [3:0] {
    StHead, StSettle, StType, StSkip, StJudge, StBegin, StPayload, StFill, StCrc, StTail,
    StVerdict, StReport, StFlush, StClear
  } state_e;

  state_e              state_d, state_q;
  logic                take, byte_in, end_in;  // a word of the line goes; a byte, an end of it
  logic                byte_fits, store;       // the word being made has room; a byte goes into it
  logic [3:0]          size_q;                 // bytes of the frame, up to 15
  logic [7:0]          type_q, sequence_q;
  logic [31:0]         length_q, crc_q, crc_d;
  logic                fits_q, empty_q;        // its length is that of a picture, is 0
  logic                broken_q, lost_q, short_q, long_q, crc_bad;
  logic [LeftBits-1:0] left_q;                 // bytes of the picture to come
  logic                last_q;                 // one
  logic [2:0]          tail_q;                 // bytes of the CRC to come
  logic [2:0]          code_d, code_q;
  logic [4:0]          flush_q;
  logic                asked_q;                // the flush is a RESET, else the network hung
  logic                retry_q;                // and a report waits
  logic [WaitBits-1:0] wait_q;                 // cycles on this spot
  logic                hung;

  assign byte_in = in_valid_i && in_kind_i == KindByte;
  assign end_in  = in_valid_i && in_kind_i == KindEnd;
  assign take    = in_valid_i && in_ready_o;
  assign crc_bad = crc_q != CrcGood;

  always_comb begin
    unique case (state_q)
      StHead, StSkip, StCrc, StTail: in_ready_o = 1'b1;
      StPayload:                     in_ready_o = byte_fits || in_kind_i != KindByte;
      default:                       in_ready_o = 1'b0;
    endcase
  end

  // What a frame without a picture is answered with.
  always_comb begin
    if (lost_q)                                               code_d = CodeOverflow;
    else if (broken_q || crc_bad || size_q < EmptyBytes)      code_d = CodeCrc;
    else if (type_q == TypePicture)                           code_d = CodeLength;
    else if (type_q != TypeStatus && type_q != TypeReset)     code_d = CodeUnknown;
    else if (size_q != EmptyBytes || !empty_q)                code_d = CodeLength;
    else                                                      code_d = CodeStatus;
  end

  always_comb begin
    state_d = state_q;
    unique case (state_q)
      StHead: begin
        if (end_in) begin
          if (size_q != '0 || lost_q || broken_q) state_d = StJudge;
        end else if (byte_in && size_q == HeaderBytes - 1'b1) begin
          state_d = StSettle;
        end
      end
      StSettle:  state_d = StType; // the comparisons of the length
      StType: begin
        if (type_q == TypePicture && fits_q && !lost_q && !broken_q) state_d = StBegin;
        else                                                         state_d = StSkip;
      end
      StSkip:    if (end_in) state_d = StJudge;
      StJudge:   state_d = code_d == CodeStatus && type_q == TypeReset ? StFlush : StReport;
      StBegin: begin
        if (sequence_ready_i) state_d = StPayload;
        else if (hung)        state_d = StFlush;
      end
      StPayload: begin
        if (in_valid_i && (in_kind_i == KindEnd || in_kind_i == KindLost)) state_d = StFill;
        else if (store && last_q)                                          state_d = StCrc;
        else if (hung)                                                     state_d = StVerdict;
      end
      StFill:    if ((store && last_q) || hung) state_d = StVerdict;
      StCrc: begin
        if (in_valid_i && (in_kind_i == KindEnd || in_kind_i == KindLost)) state_d = StVerdict;
        else if (byte_in && tail_q == 3'd1)                                state_d = StTail;
      end
      StTail: begin
        if (in_valid_i && (in_kind_i == KindEnd || in_kind_i == KindLost)) state_d = StVerdict;
      end
      StVerdict: if (verdict_ready_i) state_d = hung ? StFlush : StHead;
      StReport: begin
        if (report_ready_i) state_d = StHead;
        else if (hung)      state_d = StFlush;
      end
      StFlush: if (flush_q == FlushCycles && flushed_i) begin
        if (asked_q) state_d = StClear;
        else         state_d = retry_q ? StReport : StHead;
      end
      StClear:   state_d = StReport;
      default:   state_d = StHead;
    endcase
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) state_q <= StHead;
    else         state_q <= state_d;
  end

  // The header, and what is known of the frame.
  crc32_byte u_crc (
    .crc_i (crc_q),
    .data_i(in_data_i),
    .crc_o (crc_d)
  );

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      size_q   <= '0;
      crc_q    <= CrcStart;
      broken_q <= 1'b0;
      lost_q   <= 1'b0;
      short_q  <= 1'b0;
      long_q   <= 1'b0;
    end else begin
      if (take) begin
        unique case (in_kind_i)
          KindByte: begin
            crc_q <= crc_d;
            if (size_q != '1) size_q <= size_q + 1'b1;
            if (state_q == StTail) long_q <= 1'b1;
          end
          KindEnd:    if (state_q == StPayload || state_q == StCrc) short_q <= 1'b1;
          KindBroken: broken_q <= 1'b1;
          default:    lost_q   <= 1'b1;
        endcase
      end
      // The next frame: from the end of this one, or behind what was lost in it, which leaves its
      // mark on what follows.
      if ((take && end_in && state_q == StHead && state_d == StHead) ||
          (state_q == StReport && report_ready_i) ||
          (state_q == StVerdict && verdict_ready_i)) begin
        size_q   <= '0;
        crc_q    <= CrcStart;
        broken_q <= 1'b0;
        short_q  <= 1'b0;
        long_q   <= 1'b0;
        if (state_q == StReport) lost_q <= 1'b0;
      end
      if (hung && (state_q == StBegin || state_q == StPayload || state_q == StFill)) begin
        lost_q <= 1'b1;
      end
    end
  end

  // Patience. It stays at its end until the flush, so that the verdict in between finds it there.
  assign hung = wait_q[WaitBits-1];

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      wait_q <= '0;
    end else begin
      unique case (state_q)
        StPayload, StFill: if (byte_fits) wait_q <= '0;
                           else if (!hung) wait_q <= wait_q + 1'b1;
        StBegin, StReport: if (!hung) wait_q <= wait_q + 1'b1;
        StVerdict:         ;
        default:           wait_q <= '0;
      endcase
    end
    if (state_q == StJudge)  asked_q <= 1'b1;
    else if (hung)           asked_q <= 1'b0;
    if (state_q == StReport) retry_q <= 1'b1;
    else if (state_q != StFlush) retry_q <= 1'b0;
  end

  always_ff @(posedge clk_i) begin
    if (take && byte_in && state_q == StHead) begin
      if (size_q == 4'd0)      type_q <= in_data_i;
      else if (size_q == 4'd1) sequence_q <= in_data_i;
      else                     length_q <= {in_data_i, length_q[31:8]};
    end
    fits_q  <= length_q == 32'(PictureBytes);
    empty_q <= length_q == '0;
  end

  // The payload, and zeros for what is missing of it.
  assign store = byte_fits && (state_q == StFill || (state_q == StPayload && byte_in));

  always_ff @(posedge clk_i) begin
    if (state_q == StBegin) begin
      left_q <= LeftBits'(PictureBytes);
      last_q <= PictureBytes == 1;
    end else if (store) begin
      left_q <= left_q - 1'b1;
      last_q <= left_q == LeftBits'(2);
    end
    if (state_q != StCrc) tail_q <= 3'd4;
    else if (byte_in)     tail_q <= tail_q - 1'b1;
    if (state_q == StJudge) code_q <= code_d;
    if (state_q != StFlush)         flush_q <= '0;
    else if (flush_q != FlushCycles) flush_q <= flush_q + 1'b1;
  end

  logic                   word_valid_q, full;
  logic [IndexBits-1:0]   index_q;
  logic [8*WordBytes-1:0] word_q;

  assign full      = WordBytes == 1 || index_q == IndexBits'(WordBytes - 1);
  assign byte_fits = !word_valid_q || word_ready_i;

  always_ff @(posedge clk_i) begin
    if (!rst_ni || flush_o) begin
      word_valid_q <= 1'b0;
      index_q      <= '0;
    end else begin
      if (store)             word_valid_q <= full;
      else if (word_ready_i) word_valid_q <= 1'b0;
      if (store) index_q <= full ? '0 : index_q + 1'b1;
    end
  end

  logic [7:0] stored;
  assign stored = state_q == StFill ? 8'h00 : in_data_i;

  if (WordBytes == 1) begin : gen_byte
    always_ff @(posedge clk_i) begin
      if (store) word_q <= stored;
    end
  end else begin : gen_word
    always_ff @(posedge clk_i) begin
      if (store) word_q <= {stored, word_q[8*WordBytes-1:8]};
    end
  end

  assign word_valid_o = word_valid_q;
  assign word_data_o  = word_q;

  assign sequence_valid_o = state_q == StBegin;
  assign sequence_o       = sequence_q;
  assign verdict_valid_o  = state_q == StVerdict;
  assign verdict_o        = {broken_q, lost_q, long_q, short_q, crc_bad};

  assign report_valid_o    = state_q == StReport;
  assign report_sequence_o = size_q >= 4'd2 ? sequence_q : 8'h00;
  assign report_code_o     = code_q;

  assign flush_o   = state_q == StFlush;
  assign clear_o   = state_q == StClear;
  assign picture_o = state_q == StPayload || state_q == StFill;

endmodule
