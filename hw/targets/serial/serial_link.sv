// SPDX-License-Identifier: Apache-2.0
// What stands between a network and a host: bytes of a line to pictures, results to bytes.

/// Protocol: see README.md. The line is a stream of bytes each way, so that a UART or a simulation
/// may stand there. A byte that comes while `rx_ready_o` is low is lost and reported; nothing is
/// ever blocked on that side. The network is reset by `network_rst_no`, also for RESET.
///
/// A second output and those after it are kept whole for one picture, as they wait for the first.
module serial_link #(
  parameter logic [127:0]             BuildHash    = '0, // sent with the status, low byte first
  parameter int unsigned              WordBytes    = 1,  // of a word of the network's input
  parameter int unsigned              PictureWords = 16,
  parameter int unsigned              Outputs      = 1,
  parameter logic [Outputs-1:0][31:0] OutputBytes  = 1, // of a word of each output
  parameter logic [Outputs-1:0][31:0] OutputWords  = 1, // of a picture on each output
  parameter int unsigned              ResultBytes  = 1, // of all words of all outputs
  parameter int unsigned              MaxBytes     = 1, // the largest of OutputBytes
  parameter int unsigned              Patience     = 1 << 26, // cycles until the network is hung
  parameter int unsigned              RxDepth      = 2048 // bytes that wait, a power of two
) (
  input  logic                               clk_i,
  input  logic                               rst_ni,

  input  logic                               rx_valid_i,
  output logic                               rx_ready_o,
  input  logic [7:0]                         rx_data_i,
  input  logic                               rx_broken_i, // in place of a byte: one without a stop

  output logic                               tx_valid_o,
  input  logic                               tx_ready_i,
  output logic [7:0]                         tx_data_o,

  output logic                               network_rst_no,
  output logic                               picture_valid_o,
  input  logic                               picture_ready_i,
  output logic [8*WordBytes-1:0]             picture_data_o,
  input  logic [Outputs-1:0]                 result_valid_i,
  output logic [Outputs-1:0]                 result_ready_o,
  input  logic [Outputs-1:0][8*MaxBytes-1:0] result_data_i, // each in its low bits

  output logic [7:0]                         led_o
);

  localparam int unsigned TxDepth     = 2048; // bytes
  localparam int unsigned QueueDepth  = 16;   // pictures in the network; reports
  localparam int unsigned StatusBytes = 55;
  localparam logic [15:0] Version     = 16'd1;

  // Bytes of the line; where some found no room, a mark stands for them.
  logic       came, mark_q, rx_push, rx_valid, rx_ready;
  logic [8:0] rx_word, rx_data;
  logic       room;
  logic [$clog2(RxDepth+1)-1:0] rx_peak;

  assign came       = rx_valid_i || rx_broken_i;
  assign rx_ready_o = room && !mark_q;
  assign rx_push    = came || mark_q;
  assign rx_word    = mark_q ? 9'h101 : rx_broken_i ? 9'h100 : {1'b0, rx_data_i};

  always_ff @(posedge clk_i) begin
    if (!rst_ni)   mark_q <= 1'b0;
    else if (room) mark_q <= 1'b0;
    else if (came) mark_q <= 1'b1;
  end

  logic clear, flush;

  link_fifo #(
    .Width   (9),
    .Depth   (RxDepth),
    .BlockRam(1)
  ) u_rx (
    .clk_i,
    .rst_ni,
    .in_valid_i  (rx_push),
    .in_ready_o  (room),
    .in_data_i   (rx_word),
    .out_valid_o (rx_valid),
    .out_ready_i (rx_ready),
    .out_data_o  (rx_data),
    .clear_peak_i(clear),
    .peak_o      (rx_peak)
  );

  logic       item_valid, item_ready;
  logic [1:0] item_kind;
  logic [7:0] item_data;

  slip_decode u_decode (
    .clk_i,
    .rst_ni,
    .in_valid_i (rx_valid),
    .in_ready_o (rx_ready),
    .in_data_i  (rx_data),
    .out_valid_o(item_valid),
    .out_ready_i(item_ready),
    .out_kind_o (item_kind),
    .out_data_o (item_data)
  );

  // Frames, and what they leave for the sender.
  logic       begin_valid, begin_ready, end_valid, end_ready, report_valid, report_ready;
  logic [7:0] begin_sequence, report_sequence;
  logic [4:0] end_verdict;
  logic [2:0] report_code;
  logic       flushed, in_picture;

  frame_receiver #(
    .WordBytes   (WordBytes),
    .PictureWords(PictureWords),
    .Patience    (Patience)
  ) u_receiver (
    .clk_i,
    .rst_ni,
    .in_valid_i       (item_valid),
    .in_ready_o       (item_ready),
    .in_kind_i        (item_kind),
    .in_data_i        (item_data),
    .word_valid_o     (picture_valid_o),
    .word_ready_i     (picture_ready_i),
    .word_data_o      (picture_data_o),
    .sequence_valid_o (begin_valid),
    .sequence_ready_i (begin_ready),
    .sequence_o       (begin_sequence),
    .verdict_valid_o  (end_valid),
    .verdict_ready_i  (end_ready),
    .verdict_o        (end_verdict),
    .report_valid_o   (report_valid),
    .report_ready_i   (report_ready),
    .report_sequence_o(report_sequence),
    .report_code_o    (report_code),
    .flush_o          (flush),
    .flushed_i        (flushed),
    .clear_o          (clear),
    .picture_o        (in_picture)
  );

  logic        owed_valid, owed_ready, judged_valid, judged_ready, told_valid, told_ready;
  logic [7:0]  owed_sequence;
  logic [4:0]  judged_verdict;
  logic [10:0] told;
  logic [$clog2(QueueDepth+1)-1:0] owed_peak, judged_peak, told_peak;

  link_fifo #(
    .Width(8),
    .Depth(QueueDepth)
  ) u_owed (
    .clk_i,
    .rst_ni,
    .in_valid_i  (begin_valid),
    .in_ready_o  (begin_ready),
    .in_data_i   (begin_sequence),
    .out_valid_o (owed_valid),
    .out_ready_i (owed_ready),
    .out_data_o  (owed_sequence),
    .clear_peak_i(clear),
    .peak_o      (owed_peak)
  );

  link_fifo #(
    .Width(5),
    .Depth(QueueDepth)
  ) u_judged (
    .clk_i,
    .rst_ni,
    .in_valid_i  (end_valid),
    .in_ready_o  (end_ready),
    .in_data_i   (end_verdict),
    .out_valid_o (judged_valid),
    .out_ready_i (judged_ready),
    .out_data_o  (judged_verdict),
    .clear_peak_i(clear),
    .peak_o      (judged_peak)
  );

  link_fifo #(
    .Width(11),
    .Depth(QueueDepth)
  ) u_told (
    .clk_i,
    .rst_ni,
    .in_valid_i  (report_valid),
    .in_ready_o  (report_ready),
    .in_data_i   ({report_code, report_sequence}),
    .out_valid_o (told_valid),
    .out_ready_i (told_ready),
    .out_data_o  (told),
    .clear_peak_i(clear),
    .peak_o      (told_peak)
  );

  // The network's outputs. It is held in reset while what it owes is flushed.
  logic                               network_rst_nq;
  logic [Outputs-1:0]                 word_valid, word_ready;
  logic [Outputs-1:0][8*MaxBytes-1:0] word_data;

  always_ff @(posedge clk_i) network_rst_nq <= rst_ni && !flush;

  assign network_rst_no    = network_rst_nq;
  assign word_valid[0]     = result_valid_i[0];
  assign word_data[0]      = result_data_i[0];
  assign result_ready_o[0] = word_ready[0];

  for (genvar i = 1; i < Outputs; i++) begin : gen_output
    localparam int unsigned Depth = OutputWords[i] < 2 ? 2 : 1 << $clog2(OutputWords[i]);
    logic [$clog2(Depth+1)-1:0] peak;
    logic                       unused_peak;
    assign unused_peak = ^peak;

    link_fifo #(
      .Width   (8 * MaxBytes),
      .Depth   (Depth),
      .BlockRam(Depth > 64)
    ) u_whole (
      .clk_i,
      .rst_ni      (network_rst_nq),
      .in_valid_i  (result_valid_i[i]),
      .in_ready_o  (result_ready_o[i]),
      .in_data_i   (result_data_i[i]),
      .out_valid_o (word_valid[i]),
      .out_ready_i (word_ready[i]),
      .out_data_o  (word_data[i]),
      .clear_peak_i(1'b0),
      .peak_o      (peak)
    );
  end

  logic                     sender_idle, sent, frame_valid, frame_ready, frame_end;
  logic [7:0]               frame_data;
  logic [8*StatusBytes-1:0] status;

  frame_sender #(
    .Outputs    (Outputs),
    .OutputBytes(OutputBytes),
    .OutputWords(OutputWords),
    .ResultBytes(ResultBytes),
    .MaxBytes   (MaxBytes),
    .StatusBytes(StatusBytes)
  ) u_sender (
    .clk_i,
    .rst_ni,
    .report_valid_i   (told_valid),
    .report_ready_o   (told_ready),
    .report_sequence_i(told[7:0]),
    .report_code_i    (told[10:8]),
    .sequence_valid_i (owed_valid),
    .sequence_ready_o (owed_ready),
    .sequence_i       (owed_sequence),
    .verdict_valid_i  (judged_valid),
    .verdict_ready_o  (judged_ready),
    .verdict_i        (judged_verdict),
    .word_valid_i     (word_valid),
    .word_ready_o     (word_ready),
    .word_data_i      (word_data),
    .status_i         (status),
    .flush_i          (flush),
    .idle_o           (sender_idle),
    .sent_o           (sent),
    .out_valid_o      (frame_valid),
    .out_ready_i      (frame_ready),
    .out_end_o        (frame_end),
    .out_data_o       (frame_data)
  );

  assign flushed = sender_idle && !owed_valid;

  logic       byte_valid, byte_ready;
  logic [7:0] byte_data;
  logic [$clog2(TxDepth+1)-1:0] tx_peak;

  slip_encode u_encode (
    .clk_i,
    .rst_ni,
    .in_valid_i (frame_valid),
    .in_ready_o (frame_ready),
    .in_end_i   (frame_end),
    .in_data_i  (frame_data),
    .out_valid_o(byte_valid),
    .out_ready_i(byte_ready),
    .out_data_o (byte_data)
  );

  link_fifo #(
    .Width   (8),
    .Depth   (TxDepth),
    .BlockRam(1)
  ) u_tx (
    .clk_i,
    .rst_ni,
    .in_valid_i  (byte_valid),
    .in_ready_o  (byte_ready),
    .in_data_i   (byte_data),
    .out_valid_o (tx_valid_o),
    .out_ready_i (tx_ready_i),
    .out_data_o  (tx_data_o),
    .clear_peak_i(clear),
    .peak_o      (tx_peak)
  );

  // What is counted, and shown.
  logic [31:0] good_q, refused_q, strange_q, sent_q, stall_q;
  logic        ended, strange, lost_q;

  assign ended   = end_valid && end_ready;
  assign strange = report_valid && report_ready && report_code != 3'd0;

  always_ff @(posedge clk_i) begin
    if (!rst_ni || clear) begin
      good_q    <= '0;
      refused_q <= '0;
      strange_q <= '0;
      sent_q    <= '0;
      stall_q   <= '0;
      lost_q    <= 1'b0;
    end else begin
      if (ended && end_verdict == '0) good_q    <= good_q + 1'b1;
      if (ended && end_verdict != '0) refused_q <= refused_q + 1'b1;
      if (strange)                    strange_q <= strange_q + 1'b1;
      if (sent)                       sent_q    <= sent_q + 1'b1;
      if (picture_valid_o && !picture_ready_i) stall_q <= stall_q + 1'b1;
      if (mark_q)                     lost_q    <= 1'b1;
    end
  end

  logic [25:0] beat_q;
  logic [7:0]  led_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) beat_q <= '0;
    else         beat_q <= beat_q + 1'b1;
  end

  always_ff @(posedge clk_i) begin
    led_q <= {flush, lost_q, strange_q != '0, refused_q != '0, owed_valid || in_picture,
              sent_q[0], good_q[0], beat_q[25]};
  end

  assign led_o  = led_q;
  assign status = {
    led_q, 32'(tx_peak), 32'(rx_peak), stall_q, strange_q, refused_q, sent_q, good_q,
    32'(ResultBytes), 32'(WordBytes * PictureWords), Version, BuildHash
  };

  logic unused_peaks;
  assign unused_peaks = ^{owed_peak, judged_peak, told_peak};

endmodule
