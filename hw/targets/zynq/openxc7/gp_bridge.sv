// SPDX-License-Identifier: Apache-2.0
// From the general purpose port of a Zynq-7000 (AXI3) to pages of registers (AXI4-Lite).

/// Page i has the addresses from `4096 * i` on, of those below the port's first one. A burst
/// becomes one access per beat, in its order; a wrapping burst, and an address behind the last
/// page, is answered with DECERR and reaches no page. One write and one read are under way at a
/// time, independent of each other. Addresses and data of all pages are the same wires, valid of
/// one alone.
module gp_bridge #(
  parameter int unsigned Pages = 3 // 1 to 16
) (
  input  logic               clk_i,
  input  logic               rst_ni,

  input  logic               aw_valid_i,
  output logic               aw_ready_o,
  input  logic [11:0]        aw_id_i,
  input  logic [29:0]        aw_address_i,
  input  logic [3:0]         aw_length_i,
  input  logic [1:0]         aw_size_i,
  input  logic [1:0]         aw_burst_i,
  input  logic               w_valid_i,
  output logic               w_ready_o,
  input  logic [31:0]        w_data_i,
  input  logic [3:0]         w_strobe_i,
  output logic               b_valid_o,
  input  logic               b_ready_i,
  output logic [11:0]        b_id_o,
  output logic [1:0]         b_response_o,

  input  logic               ar_valid_i,
  output logic               ar_ready_o,
  input  logic [11:0]        ar_id_i,
  input  logic [29:0]        ar_address_i,
  input  logic [3:0]         ar_length_i,
  input  logic [1:0]         ar_size_i,
  input  logic [1:0]         ar_burst_i,
  output logic               r_valid_o,
  input  logic               r_ready_i,
  output logic [11:0]        r_id_o,
  output logic [31:0]        r_data_o,
  output logic [1:0]         r_response_o,
  output logic               r_last_o,

  output logic [Pages-1:0]   lite_aw_valid_o,
  input  logic [Pages-1:0]   lite_aw_ready_i,
  output logic [11:0]        lite_aw_address_o,
  output logic [Pages-1:0]   lite_w_valid_o,
  input  logic [Pages-1:0]   lite_w_ready_i,
  output logic [31:0]        lite_w_data_o,
  output logic [3:0]         lite_w_strobe_o,
  input  logic [Pages-1:0]   lite_b_valid_i,
  output logic [Pages-1:0]   lite_b_ready_o,

  output logic [Pages-1:0]   lite_ar_valid_o,
  input  logic [Pages-1:0]   lite_ar_ready_i,
  output logic [11:0]        lite_ar_address_o,
  input  logic [Pages-1:0]   lite_r_valid_i,
  output logic [Pages-1:0]   lite_r_ready_o,
  input  logic [32*Pages-1:0] lite_r_data_i
);

  localparam logic [1:0] Okay = 2'b00, Decerr = 2'b11, Wrap = 2'b10;

  // A step of a burst: 0 for a fixed address.
  function automatic logic [2:0] step(input logic [1:0] size, input logic [1:0] burst);
    step = burst == 2'b00 ? 3'd0 : 3'd1 << size;
  endfunction

  typedef enum logic [2:0] {WriteIdle, WriteData, WriteSend, WriteReply, WriteDone} write_e;

  write_e            write_q;
  logic [11:0]       write_id_q, write_at_q;
  logic [Pages-1:0]  write_page_q;    // one hot; none where nothing lies
  logic [3:0]        write_left_q;    // beats behind this one
  logic [2:0]        write_step_q;
  logic [31:0]       write_data_q;
  logic [3:0]        write_strobe_q;
  logic              address_q, data_q; // still to be taken by the page
  logic              unused_size;

  // A bus of 32 bits has no beats of eight bytes.
  assign unused_size = aw_size_i[1] & aw_size_i[0] & ar_size_i[1] & ar_size_i[0];

  function automatic logic [Pages-1:0] page(input logic [17:0] number, input logic [1:0] burst);
    for (int unsigned i = 0; i < Pages; i++) begin
      page[i] = number == 18'(i) && burst != Wrap;
    end
  endfunction

  assign aw_ready_o        = write_q == WriteIdle;
  assign w_ready_o         = write_q == WriteData;
  assign b_valid_o         = write_q == WriteDone;
  assign b_id_o            = write_id_q;
  assign b_response_o      = write_page_q == '0 ? Decerr : Okay;
  assign lite_aw_valid_o   = address_q ? write_page_q : '0;
  assign lite_w_valid_o    = data_q ? write_page_q : '0;
  assign lite_b_ready_o    = write_q == WriteReply ? write_page_q : '0;
  assign lite_aw_address_o = write_at_q;
  assign lite_w_data_o     = write_data_q;
  assign lite_w_strobe_o   = write_strobe_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      write_q   <= WriteIdle;
      address_q <= 1'b0;
      data_q    <= 1'b0;
    end else begin
      if ((lite_aw_ready_i & write_page_q) != '0) address_q <= 1'b0;
      if ((lite_w_ready_i & write_page_q) != '0) data_q <= 1'b0;
      unique case (write_q)
        WriteIdle: if (aw_valid_i) write_q <= WriteData;
        WriteData: if (w_valid_i) begin
          write_q   <= WriteSend;
          address_q <= write_page_q != '0;
          data_q    <= write_page_q != '0;
        end
        WriteSend: if (!address_q && !data_q) write_q <= WriteReply;
        WriteReply: if (write_page_q == '0 || (lite_b_valid_i & write_page_q) != '0) begin
          write_q <= write_left_q == '0 ? WriteDone : WriteData;
        end
        default: if (b_ready_i) write_q <= WriteIdle;
      endcase
    end
  end

  always_ff @(posedge clk_i) begin
    if (write_q == WriteIdle) begin
      write_id_q   <= aw_id_i;
      write_at_q   <= aw_address_i[11:0];
      write_page_q <= page(aw_address_i[29:12], aw_burst_i);
      write_left_q <= aw_length_i;
      write_step_q <= step(aw_size_i, aw_burst_i);
    end else if (write_q == WriteReply
                 && (write_page_q == '0 || (lite_b_valid_i & write_page_q) != '0)) begin
      write_at_q   <= write_at_q + 12'(write_step_q);
      write_left_q <= write_left_q - 4'd1;
    end
    if (write_q == WriteData) begin
      write_data_q   <= w_data_i;
      write_strobe_q <= w_strobe_i;
    end
  end

  typedef enum logic [1:0] {ReadIdle, ReadAsk, ReadWait, ReadGive} read_e;

  read_e             read_q;
  logic [11:0]       read_id_q, read_at_q;
  logic [Pages-1:0]  read_page_q;
  logic [3:0]        read_left_q;
  logic [2:0]        read_step_q;
  logic [31:0]       read_data_q, read_data;

  always_comb begin
    read_data = '0;
    for (int unsigned i = 0; i < Pages; i++) begin
      if (read_page_q[i]) read_data = lite_r_data_i[32*i +: 32];
    end
  end

  assign ar_ready_o        = read_q == ReadIdle;
  assign r_valid_o         = read_q == ReadGive;
  assign r_id_o            = read_id_q;
  assign r_data_o          = read_data_q;
  assign r_response_o      = read_page_q == '0 ? Decerr : Okay;
  assign r_last_o          = read_left_q == '0;
  assign lite_ar_valid_o   = read_q == ReadAsk ? read_page_q : '0;
  assign lite_r_ready_o    = read_q == ReadWait ? read_page_q : '0;
  assign lite_ar_address_o = read_at_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      read_q <= ReadIdle;
    end else begin
      unique case (read_q)
        ReadIdle: if (ar_valid_i) read_q <= ReadAsk;
        ReadAsk: begin
          if (read_page_q == '0 || (lite_ar_ready_i & read_page_q) != '0) read_q <= ReadWait;
        end
        ReadWait: begin
          if (read_page_q == '0 || (lite_r_valid_i & read_page_q) != '0) read_q <= ReadGive;
        end
        default: if (r_ready_i) read_q <= read_left_q == '0 ? ReadIdle : ReadAsk;
      endcase
    end
  end

  always_ff @(posedge clk_i) begin
    if (read_q == ReadIdle) begin
      read_id_q   <= ar_id_i;
      read_at_q   <= ar_address_i[11:0];
      read_page_q <= page(ar_address_i[29:12], ar_burst_i);
      read_left_q <= ar_length_i;
      read_step_q <= step(ar_size_i, ar_burst_i);
    end else if (read_q == ReadGive && r_ready_i) begin
      read_at_q   <= read_at_q + 12'(read_step_q);
      read_left_q <= read_left_q - 4'd1;
    end
    if (read_q == ReadWait) read_data_q <= read_data;
  end

  if (Pages < 1 || Pages > 16) begin : gen_pages
    $error("gp_bridge: Pages=%0d, expected 1 to 16", Pages);
  end

endmodule
