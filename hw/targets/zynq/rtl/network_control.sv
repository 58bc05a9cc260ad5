// SPDX-License-Identifier: Apache-2.0
// Status of a network and its DMAs on AXI4-Lite, their common reset, the watchdog.

/// The map; stream 0 is the first input, behind the inputs come the outputs:
///
///     0x00  "ANDP" as bytes             0x04  version of this map
///     0x08  inputs [7:0], outputs [15:8]
///     0x10  hash of the build, four words, the first bytes first
///     0x20  control: writing 1 to bit 0 starts a soft reset; it reads 1 until that is done
///     0x24  status: [0] a DMA works, [1] watchdog, [2] errors, [3] soft reset
///     0x28  interrupts that wait: [0] watchdog, [1] errors; writing 1 clears a bit
///     0x2C  interrupts that are passed on, the same bits
///     0x30  limit of the watchdog in cycles, 0 for none
///     0x34  cycles since something moved
///     0x40 + 0x20 * stream:
///       +0x00  [0] works, [3] stands still, [11:8] errors, see the DMA
///       +0x04  frames that passed, modulo 2^32
///       +0x08  cycles of standstill: an input not taken, an output awaited; modulo 2^32
///       +0x0C  beats in the FIFO of the DMA: most [15:0], room [31:16]
///
/// The watchdog bites when a DMA works and nothing moved on any bus or stream for as many cycles as
/// its limit says: it sets its bit and asks for an interrupt, and leaves all as it is to be looked
/// at. A soft reset first lets the bus come to rest (`flush_o` until every DMA is quiet), then
/// holds network and DMAs in reset for 16 cycles (`clear_o`, `network_rst_no`); counters start
/// anew.
module network_control #(
  parameter int unsigned Inputs    = 1,       // DMAs that feed the network
  parameter int unsigned Outputs   = 1,       // DMAs behind its heads
  parameter int unsigned FifoBeats = 64,      // beats that a FIFO of a DMA holds
  parameter logic [127:0] BuildHash = '0,     // the first byte in the low bits
  parameter logic [31:0] Watchdog  = 32'd0,   // limit after a reset, cycles
  localparam int unsigned Streams  = Inputs + Outputs
) (
  input  logic                  clk_i,
  input  logic                  rst_ni,

  input  logic                  lite_aw_valid_i,
  output logic                  lite_aw_ready_o,
  input  logic [9:0]            lite_aw_address_i,
  input  logic                  lite_w_valid_i,
  output logic                  lite_w_ready_o,
  input  logic [31:0]           lite_w_data_i,
  input  logic [3:0]            lite_w_strobe_i,
  output logic                  lite_b_valid_o,
  input  logic                  lite_b_ready_i,
  input  logic                  lite_ar_valid_i,
  output logic                  lite_ar_ready_o,
  input  logic [9:0]            lite_ar_address_i,
  output logic                  lite_r_valid_o,
  input  logic                  lite_r_ready_i,
  output logic [31:0]           lite_r_data_o,

  input  logic [32*Streams-1:0] status_i,       // of every DMA, inputs first
  output logic                  flush_o,
  output logic                  clear_o,
  output logic                  network_rst_no,
  output logic                  interrupt_o     // of the DMAs, too
);

  if (Streams > 16 || FifoBeats > 65535) begin : gen_check
    $error("network_control: found %0d streams and FifoBeats=%0d, expected up to 16 and 65535",
           Streams, FifoBeats);
  end

  localparam logic [31:0] Magic    = 32'h50444E41;
  localparam logic [31:0] Protocol = 32'd1;
  localparam int unsigned Held     = 16; // cycles of reset

  logic        write, read, unused_read;
  logic [9:0]  write_address, read_address;
  logic [31:0] write_data, write_mask, read_data, of_system_q, of_stream, of_stream_q;

  axi_lite_port #(
    .AddressBits(10)
  ) u_port (
    .clk_i,
    .rst_ni,
    .aw_valid_i     (lite_aw_valid_i),
    .aw_ready_o     (lite_aw_ready_o),
    .aw_address_i   (lite_aw_address_i),
    .w_valid_i      (lite_w_valid_i),
    .w_ready_o      (lite_w_ready_o),
    .w_data_i       (lite_w_data_i),
    .w_strobe_i     (lite_w_strobe_i),
    .b_valid_o      (lite_b_valid_o),
    .b_ready_i      (lite_b_ready_i),
    .ar_valid_i     (lite_ar_valid_i),
    .ar_ready_o     (lite_ar_ready_o),
    .ar_address_i   (lite_ar_address_i),
    .r_valid_o      (lite_r_valid_o),
    .r_ready_i      (lite_r_ready_i),
    .r_data_o       (lite_r_data_o),
    .write_o        (write),
    .write_address_o(write_address),
    .write_data_o   (write_data),
    .write_mask_o   (write_mask),
    .read_o         (read),
    .read_address_o (read_address),
    .read_data_i    (read_data)
  );

  assign unused_read = read;

  // Soft reset: the bus comes to rest, then reset.
  localparam logic [1:0] Work  = 2'd0;
  localparam logic [1:0] Flush = 2'd1;
  localparam logic [1:0] Clear = 2'd2;

  logic [1:0]         phase_q;
  logic [4:0]         held_q;
  logic               flush_q, clear_q, network_rst_nq, resets;
  logic [Streams-1:0] busy, quiet, moves, stalls, frames, asks, failed;

  assign resets = write && write_address == 10'h020 && write_mask[0] && write_data[0];

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      phase_q        <= Work;
      held_q         <= '0;
      flush_q        <= 1'b0;
      clear_q        <= 1'b0;
      network_rst_nq <= 1'b0;
    end else begin
      case (phase_q)
        Work:    if (resets) phase_q <= Flush;
        Flush:   if (&quiet) phase_q <= Clear;
        default: if (held_q == 5'(Held - 1)) phase_q <= Work;
      endcase
      held_q         <= phase_q == Clear ? held_q + 1'b1 : '0;
      flush_q        <= phase_q != Work;
      clear_q        <= phase_q == Clear;
      network_rst_nq <= phase_q != Clear;
    end
  end

  assign flush_o        = flush_q;
  assign clear_o        = clear_q;
  assign network_rst_no = network_rst_nq;

  // Streams.
  logic [32*Streams-1:0] flags, passed_q, still_q, peaks;

  for (genvar i = 0; i < Streams; i++) begin : gen_stream
    logic [31:0] status;
    assign status    = status_i[32*i +: 32];
    assign busy[i]   = status[0];
    assign quiet[i]  = status[1];
    assign moves[i]  = status[2];
    assign stalls[i] = status[3];
    assign frames[i] = status[4];
    assign asks[i]   = status[5];
    assign failed[i] = status[11:8] != '0;

    always_ff @(posedge clk_i) begin
      if (!rst_ni || clear_q) begin
        passed_q[32*i +: 32] <= '0;
        still_q[32*i +: 32]  <= '0;
      end else begin
        if (frames[i]) passed_q[32*i +: 32] <= passed_q[32*i +: 32] + 1'b1;
        if (stalls[i]) still_q[32*i +: 32] <= still_q[32*i +: 32] + 1'b1;
      end
    end

    assign flags[32*i +: 32] = {20'b0, status[11:8], 4'b0, stalls[i], 2'b0, busy[i]};
    assign peaks[32*i +: 32] = {16'(FifoBeats), status[31:16]};

    logic unused_status;
    assign unused_status = &{status[15:12], status[7:6]};
  end

  // Watchdog and interrupts.
  logic [31:0] limit_q, quiet_for_q;
  logic        bitten_q, failed_q, failed_before_q, over_q, interrupt_q;
  logic [1:0]  waiting_q, enable_q, events, cleared;

  assign events  = {failed_q && !failed_before_q, over_q && !bitten_q};
  assign cleared = write && write_address == 10'h028 && write_mask[0] ? write_data[1:0] : '0;

  always_ff @(posedge clk_i) begin
    if (!rst_ni || clear_q) begin
      quiet_for_q     <= '0;
      over_q          <= 1'b0;
      bitten_q        <= 1'b0;
      failed_q        <= 1'b0;
      failed_before_q <= 1'b0;
    end else begin
      if (busy == '0 || moves != '0) quiet_for_q <= '0;
      else if (quiet_for_q != '1)    quiet_for_q <= quiet_for_q + 1'b1;
      over_q          <= limit_q != '0 && quiet_for_q >= limit_q;
      bitten_q        <= bitten_q || over_q;
      failed_q        <= failed != '0;
      failed_before_q <= failed_q;
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      limit_q     <= Watchdog;
      waiting_q   <= '0;
      enable_q    <= '0;
      interrupt_q <= 1'b0;
    end else begin
      waiting_q   <= (waiting_q & ~cleared) | events;
      interrupt_q <= (waiting_q & enable_q) != '0 || asks != '0;
      if (write && write_address == 10'h02C && write_mask[0]) enable_q <= write_data[1:0];
      if (write && write_address == 10'h030) begin
        limit_q <= (limit_q & ~write_mask) | (write_data & write_mask);
      end
    end
  end

  assign interrupt_o = interrupt_q;

  always_ff @(posedge clk_i) begin
    case (read_address[5:0])
      6'h00:   of_system_q <= Magic;
      6'h04:   of_system_q <= Protocol;
      6'h08:   of_system_q <= {16'b0, 8'(Outputs), 8'(Inputs)};
      6'h10:   of_system_q <= BuildHash[31:0];
      6'h14:   of_system_q <= BuildHash[63:32];
      6'h18:   of_system_q <= BuildHash[95:64];
      6'h1C:   of_system_q <= BuildHash[127:96];
      6'h20:   of_system_q <= {31'b0, phase_q != Work || flush_q};
      6'h24:   of_system_q <= {28'b0, phase_q != Work, failed_q, bitten_q, busy != '0};
      6'h28:   of_system_q <= {30'b0, waiting_q};
      6'h2C:   of_system_q <= {30'b0, enable_q};
      6'h30:   of_system_q <= limit_q;
      6'h34:   of_system_q <= quiet_for_q;
      default: of_system_q <= '0;
    endcase
  end

  // Words of the streams follow each other: 8 words per stream, 4 of them used.
  logic [31:0] stream_words [Streams][4];
  logic [3:0]  stream;
  logic [9:0]  behind;

  assign behind = read_address - 10'h040;
  assign stream = behind[8:5];

  for (genvar i = 0; i < Streams; i++) begin : gen_words
    assign stream_words[i][0] = flags[32*i +: 32];
    assign stream_words[i][1] = passed_q[32*i +: 32];
    assign stream_words[i][2] = still_q[32*i +: 32];
    assign stream_words[i][3] = peaks[32*i +: 32];
  end

  always_comb begin
    of_stream = '0;
    for (int unsigned i = 0; i < Streams; i++) begin
      if (stream == 4'(i) && !behind[9] && !behind[4]) of_stream = stream_words[i][behind[3:2]];
    end
  end

  logic unused_bits;
  assign unused_bits = &behind[1:0];

  always_ff @(posedge clk_i) begin
    of_stream_q <= of_stream;
  end

  assign read_data = read_address[9:6] == '0 ? of_system_q : of_stream_q;

endmodule
