// SPDX-License-Identifier: Apache-2.0
// Frames to the host: results of pictures, reports.

/// A result is the words of every output of the network for one picture, one output after the
/// other, and its verdict; it leaves under the sequence number of its picture. It begins with its
/// first word. Between results go reports: the status, or an error.
///
/// While `flush_i` is high no word is waited for: results that are owed consist of zeros from there
/// on, and their verdict says so.
module frame_sender #(
  parameter int unsigned             Outputs     = 1,
  parameter logic [Outputs-1:0][31:0] OutputBytes = 1, // of a word of each output
  parameter logic [Outputs-1:0][31:0] OutputWords = 1, // of a picture on each output
  parameter int unsigned             ResultBytes = 1, // of them all
  parameter int unsigned             MaxBytes    = 1, // the largest of OutputBytes
  parameter int unsigned             StatusBytes = 55
) (
  input  logic                             clk_i,
  input  logic                             rst_ni,

  input  logic                             report_valid_i,
  output logic                             report_ready_o,
  input  logic [7:0]                       report_sequence_i,
  input  logic [2:0]                       report_code_i, // 0 status, else the error's

  input  logic                             sequence_valid_i,
  output logic                             sequence_ready_o,
  input  logic [7:0]                       sequence_i,

  input  logic                             verdict_valid_i,
  output logic                             verdict_ready_o,
  input  logic [4:0]                       verdict_i,

  input  logic [Outputs-1:0]               word_valid_i,
  output logic [Outputs-1:0]               word_ready_o,
  input  logic [Outputs-1:0][8*MaxBytes-1:0] word_data_i,

  input  logic [8*StatusBytes-1:0]         status_i,

  input  logic                             flush_i,
  output logic                             idle_o, // between frames
  output logic                             sent_o, // the end of a result has gone

  output logic                             out_valid_o,
  input  logic                             out_ready_i,
  output logic                             out_end_o,
  output logic [7:0]                       out_data_o
);

  localparam logic [7:0] TypeResult = 8'h81;
  localparam logic [7:0] TypeStatus = 8'h82;
  localparam logic [7:0] TypeError  = 8'h83;
  localparam logic [2:0] CodeStatus = 3'd0;

  localparam logic [31:0] CrcStart   = 32'hFFFFFFFF;
  localparam int unsigned NumberBits = Outputs > 1 ? $clog2(Outputs) : 1;
  localparam int unsigned IndexBits  = $clog2(MaxBytes + 1);
  localparam int unsigned StatusBits = $clog2(StatusBytes + 1);

  typedef enum logic [3:0] {
    StIdle, StOpen, StHeader, StStatus, StError, StLoad, StShift, StVerdict, StCrc, StClose
  } state_e;

  state_e                   state_d, state_q;
  logic                     go, result_q, flushed_q;
  logic [47:0]              header_q;
  logic [2:0]               count_q;  // bytes sent of the header, of the CRC
  logic [2:0]               code_q;
  logic [31:0]              crc_q, crc_d, sum_q;
  logic [8*StatusBytes-1:0] status_q;
  logic [StatusBits-1:0]    status_left_q;
  logic [NumberBits-1:0]    number_q; // of the output whose words go
  logic [31:0]              words_q;  // of it still to come
  logic [IndexBits-1:0]     index_q;  // bytes of the word still to come
  logic [8*MaxBytes-1:0]    word_q;
  logic                     load, begin_report, begin_result, last_word_q, last_output;

  assign go           = out_valid_o && out_ready_i;
  assign begin_report = state_q == StIdle && report_valid_i;
  assign begin_result = state_q == StIdle && !report_valid_i && sequence_valid_i &&
                        (word_valid_i[0] || flush_i);
  assign load         = state_q == StLoad && (word_valid_i[number_q] || flush_i);
  assign last_output  = Outputs == 1 || number_q == NumberBits'(Outputs - 1);

  always_comb begin
    state_d = state_q;
    unique case (state_q)
      StIdle:    if (begin_report || begin_result) state_d = StOpen;
      StOpen:    if (go) state_d = StHeader;
      StHeader:  if (go && count_q == 3'd5) begin
        if (result_q) state_d = StLoad;
        else          state_d = code_q == CodeStatus ? StStatus : StError;
      end
      StStatus:  if (go && status_left_q == StatusBits'(1)) state_d = StCrc;
      StError:   if (go) state_d = StCrc;
      StLoad:    if (load) state_d = StShift;
      StShift:   if (go && index_q == IndexBits'(1)) begin
        state_d = last_word_q && last_output ? StVerdict : StLoad;
      end
      StVerdict: if (go) state_d = StCrc;
      StCrc:     if (go && count_q == 3'd3) state_d = StClose;
      StClose:   if (go) state_d = StIdle;
      default:   state_d = StIdle;
    endcase
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) state_q <= StIdle;
    else         state_q <= state_d;
  end

  always_comb begin
    out_valid_o = 1'b1;
    out_end_o   = 1'b0;
    out_data_o  = header_q[7:0];
    unique case (state_q)
      StIdle, StLoad:  out_valid_o = 1'b0;
      StOpen, StClose: out_end_o   = 1'b1;
      StStatus:        out_data_o  = status_q[7:0];
      StError:         out_data_o  = {5'b0, code_q};
      StShift:         out_data_o  = word_q[7:0];
      StVerdict: begin
        out_valid_o = verdict_valid_i;
        out_data_o  = {2'b0, flushed_q, verdict_i};
      end
      StCrc:           out_data_o  = sum_q[7:0];
      default: ;
    endcase
  end

  crc32_byte u_crc (
    .crc_i (crc_q),
    .data_i(out_data_o),
    .crc_o (crc_d)
  );

  always_ff @(posedge clk_i) begin
    if (state_q == StIdle) begin
      result_q <= begin_result;
      code_q   <= report_code_i;
      status_q <= status_i;
      if (begin_result) begin
        header_q <= {32'(ResultBytes + 1), sequence_i, TypeResult};
      end else if (report_code_i == CodeStatus) begin
        header_q <= {32'(StatusBytes), report_sequence_i, TypeStatus};
      end else begin
        header_q <= {32'd1, report_sequence_i, TypeError};
      end
    end else if (go) begin
      if (state_q == StHeader) header_q <= {8'h00, header_q[47:8]};
      if (state_q == StStatus) status_q <= {8'h00, status_q[8*StatusBytes-1:8]};
    end
    if (state_q == StIdle)              crc_q <= CrcStart;
    else if (go && state_q != StOpen)   crc_q <= crc_d;
    if (state_q != StCrc) sum_q <= ~crc_d;
    else if (go)          sum_q <= {8'h00, sum_q[31:8]};
    if (state_q != StHeader && state_q != StCrc) count_q <= '0;
    else if (go)                                 count_q <= count_q + 1'b1;
    if (state_q == StIdle)                status_left_q <= StatusBits'(StatusBytes);
    else if (go && state_q == StStatus)   status_left_q <= status_left_q - 1'b1;
    if (state_q == StIdle) flushed_q <= flush_i;
    else if (flush_i)      flushed_q <= 1'b1;
  end

  // Words, output by output.
  always_ff @(posedge clk_i) begin
    if (state_q == StIdle) begin
      number_q <= '0;
      words_q  <= OutputWords[0];
    end else if (go && state_q == StShift && index_q == IndexBits'(1) && last_word_q &&
                 !last_output) begin
      number_q <= number_q + 1'b1;
      words_q  <= OutputWords[NumberBits'(number_q + 1'b1)];
    end else if (load) begin
      words_q <= words_q - 1'b1;
    end
    if (load) begin
      last_word_q <= words_q == 32'd1;
      index_q     <= IndexBits'(OutputBytes[number_q]);
      word_q      <= flush_i ? '0 : word_data_i[number_q];
    end else if (go && state_q == StShift) begin
      index_q <= index_q - 1'b1;
      word_q  <= word_q >> 8;
    end
  end

  always_comb begin
    word_ready_o = '0;
    word_ready_o[number_q] = load && !flush_i;
  end

  assign report_ready_o   = begin_report;
  assign sequence_ready_o = go && state_q == StClose && result_q;
  assign verdict_ready_o  = go && state_q == StVerdict;
  assign sent_o           = sequence_ready_o;
  assign idle_o           = state_q == StIdle;

endmodule
