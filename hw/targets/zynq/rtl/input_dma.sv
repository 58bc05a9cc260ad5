// SPDX-License-Identifier: Apache-2.0
// The DMA that feeds a network: registers, and the engine that reads frames from memory.

/// See `dma_registers`, `read_engine` and `dma_status`. `flush_i` and `clear_i` are those of
/// `network_control`: first the bus comes to rest, then all but address and batch is reset.
module input_dma #(
  parameter int unsigned DataBits   = 64, // bits of a beat: 32 or 64
  parameter int unsigned BurstBeats = 16, // beats of a burst, at most
  parameter int unsigned FifoBeats  = 64, // beats that may be asked for and not yet sent
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

  // AXI4 to memory, reading.
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
  output logic                   out_last_o   // last word of a frame
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

  read_engine #(
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
    .ar_valid_o,
    .ar_ready_i,
    .ar_address_o,
    .ar_length_o,
    .r_valid_i,
    .r_ready_o,
    .r_data_i,
    .r_error_i,
    .out_valid_o,
    .out_ready_i,
    .out_data_o,
    .out_last_o,
    .frame_o     (frame),
    .errors_o    (errors[2:0]),
    .fill_o      (fill)
  );

  // The network does not take the word on offer.
  assign stalls    = out_valid_o && !out_ready_i;
  assign moves     = (out_valid_o && out_ready_i) || r_valid_i || (ar_valid_o && ar_ready_i);
  assign errors[3] = 1'b0;

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
