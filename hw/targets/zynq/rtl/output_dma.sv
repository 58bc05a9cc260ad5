// SPDX-License-Identifier: Apache-2.0
// The DMA behind a head of a network: registers, and the engine that writes frames to memory.

/// See `dma_registers`, `write_engine` and `dma_status`. `flush_i` and `clear_i` are those of
/// `network_control`: first the bus comes to rest, then all but address and batch is reset.
module output_dma #(
  parameter int unsigned DataBits   = 64, // bits of a beat: 32 or 64
  parameter int unsigned BurstBeats = 16, // beats of a burst, at most
  parameter int unsigned FifoBeats  = 64, // beats of the FIFO
  parameter int unsigned WordBytes  = 1,  // bytes of a word of the stream
  parameter int unsigned FrameWords = 2   // words of a frame
) (
  input  logic        clk_i,
  input  logic        rst_ni,
  input  logic        flush_i,
  input  logic        clear_i,
  output logic [31:0] status_o,
  output logic        interrupt_o,

  // AXI4-Lite of the registers.
  input  logic        lite_aw_valid_i,
  output logic        lite_aw_ready_o,
  input  logic [5:0]  lite_aw_address_i,
  input  logic        lite_w_valid_i,
  output logic        lite_w_ready_o,
  input  logic [31:0] lite_w_data_i,
  input  logic [3:0]  lite_w_strobe_i,
  output logic        lite_b_valid_o,
  input  logic        lite_b_ready_i,
  input  logic        lite_ar_valid_i,
  output logic        lite_ar_ready_o,
  input  logic [5:0]  lite_ar_address_i,
  output logic        lite_r_valid_o,
  input  logic        lite_r_ready_i,
  output logic [31:0] lite_r_data_o,

  input  logic                   in_valid_i,
  output logic                   in_ready_o,
  input  logic [8*WordBytes-1:0] in_data_i,
  input  logic                   in_last_i,   // last word of a frame

  // AXI4 to memory, writing.
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
  input  logic                   b_error_i
);

  logic       engine_rst_n, moves, stalls;
  logic [3:0] errors;

  assign engine_rst_n = rst_ni && !clear_i;

  logic        start, taken, done, idle;
  logic [63:0] address;
  logic [31:0] batch;
  logic [15:0] fill;
  logic        quiet, frame;

  dma_registers #(
    .AddressBits(6)
  ) u_registers (
    .clk_i,
    .rst_ni,
    .clear_i,
    .aw_valid_i  (lite_aw_valid_i),
    .aw_ready_o  (lite_aw_ready_o),
    .aw_address_i(lite_aw_address_i),
    .w_valid_i   (lite_w_valid_i),
    .w_ready_o   (lite_w_ready_o),
    .w_data_i    (lite_w_data_i),
    .w_strobe_i  (lite_w_strobe_i),
    .b_valid_o   (lite_b_valid_o),
    .b_ready_i   (lite_b_ready_i),
    .ar_valid_i  (lite_ar_valid_i),
    .ar_ready_o  (lite_ar_ready_o),
    .ar_address_i(lite_ar_address_i),
    .r_valid_o   (lite_r_valid_o),
    .r_ready_i   (lite_r_ready_i),
    .r_data_o    (lite_r_data_o),
    .start_o     (start),
    .address_o   (address),
    .batch_o     (batch),
    .taken_i     (taken),
    .done_i      (done),
    .idle_i      (idle),
    .errors_i    (errors),
    .interrupt_o
  );

  write_engine #(
    .DataBits  (DataBits),
    .BurstBeats(BurstBeats),
    .FifoBeats (FifoBeats),
    .WordBytes (WordBytes),
    .FrameWords(FrameWords)
  ) u_engine (
    .clk_i,
    .rst_ni      (engine_rst_n),
    .start_i     (start),
    .address_i   (address),
    .batch_i     (batch),
    .taken_o     (taken),
    .done_o      (done),
    .idle_o      (idle),
    .flush_i,
    .quiet_o     (quiet),
    .in_valid_i,
    .in_ready_o,
    .in_data_i,
    .in_last_i,
    .aw_valid_o,
    .aw_ready_i,
    .aw_address_o,
    .aw_length_o,
    .w_valid_o,
    .w_ready_i,
    .w_data_o,
    .w_strobe_o,
    .w_last_o,
    .b_valid_i,
    .b_ready_o,
    .b_error_i,
    .frame_o     (frame),
    .errors_o    (errors),
    .fill_o      (fill)
  );

  // The network has no word while one could be taken.
  assign stalls = in_ready_o && !in_valid_i;
  assign moves  = (in_valid_i && in_ready_o) || (w_valid_o && w_ready_i) || b_valid_i
                  || (aw_valid_o && aw_ready_i);

  dma_status u_status (
    .clk_i,
    .rst_ni     (engine_rst_n),
    .busy_i     (!idle),
    .quiet_i    (quiet),
    .moves_i    (moves),
    .stalls_i   (stalls),
    .frame_i    (frame),
    .interrupt_i(interrupt_o),
    .errors_i   (errors),
    .fill_i     (fill),
    .status_o
  );

endmodule
