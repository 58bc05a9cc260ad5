// SPDX-License-Identifier: Apache-2.0
// AXI4-Lite port of 32 bits: transactions of the bus in, plain accesses to registers out.

/// A write is one cycle of `write_o`, once its address and its data are both in. A read is one
/// cycle of `read_o`; `read_data_i` of the cycle after is its answer. One write and one read are
/// under way at a time, independent of each other. Addresses are those of words. Ready never waits
/// for valid of another channel.
module axi_lite_port #(
  parameter int unsigned AddressBits = 8 // bits of a byte address
) (
  input  logic                   clk_i,
  input  logic                   rst_ni,

  input  logic                   aw_valid_i,
  output logic                   aw_ready_o,
  input  logic [AddressBits-1:0] aw_address_i,
  input  logic                   w_valid_i,
  output logic                   w_ready_o,
  input  logic [31:0]            w_data_i,
  input  logic [3:0]             w_strobe_i,
  output logic                   b_valid_o,
  input  logic                   b_ready_i,

  input  logic                   ar_valid_i,
  output logic                   ar_ready_o,
  input  logic [AddressBits-1:0] ar_address_i,
  output logic                   r_valid_o,
  input  logic                   r_ready_i,
  output logic [31:0]            r_data_o,

  output logic                   write_o,
  output logic [AddressBits-1:0] write_address_o,
  output logic [31:0]            write_data_o,
  output logic [31:0]            write_mask_o, // bits that the write changes
  output logic                   read_o,
  output logic [AddressBits-1:0] read_address_o,
  input  logic [31:0]            read_data_i    // in the cycle after
);

  logic                   aw_q, w_q, b_q; // address in, data in, response waits
  logic [AddressBits-1:0] aw_address_q, ar_address_q;
  logic [31:0]            w_data_q, r_data_q;
  logic [3:0]             w_strobe_q;
  logic                   ar_q, read_q, r_q; // address in, registers read, data wait
  logic                   unused_bytes;   // addresses within a word

  assign unused_bytes = &{aw_address_i[1:0], ar_address_i[1:0]};

  assign aw_ready_o = !aw_q;
  assign w_ready_o  = !w_q;
  assign b_valid_o  = b_q;
  assign write_o    = aw_q && w_q && !b_q;

  assign write_address_o = aw_address_q;
  assign write_data_o    = w_data_q;
  for (genvar i = 0; i < 4; i++) begin : gen_mask
    assign write_mask_o[8*i +: 8] = {8{w_strobe_q[i]}};
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      aw_q <= 1'b0;
      w_q  <= 1'b0;
      b_q  <= 1'b0;
    end else begin
      aw_q <= aw_q ? !write_o : aw_valid_i;
      w_q  <= w_q ? !write_o : w_valid_i;
      b_q  <= b_q ? !b_ready_i : write_o;
    end
  end

  always_ff @(posedge clk_i) begin
    if (!aw_q) aw_address_q <= {aw_address_i[AddressBits-1:2], 2'b00};
    if (!w_q) begin
      w_data_q   <= w_data_i;
      w_strobe_q <= w_strobe_i;
    end
  end

  assign ar_ready_o     = !ar_q && !read_q && !r_q;
  assign r_valid_o      = r_q;
  assign r_data_o       = r_data_q;
  assign read_o         = ar_q;
  assign read_address_o = ar_address_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      ar_q   <= 1'b0;
      read_q <= 1'b0;
      r_q    <= 1'b0;
    end else begin
      ar_q   <= ar_ready_o && ar_valid_i;
      read_q <= ar_q;
      r_q    <= r_q ? !r_ready_i : read_q;
    end
  end

  always_ff @(posedge clk_i) begin
    if (ar_ready_o) ar_address_q <= {ar_address_i[AddressBits-1:2], 2'b00};
    if (read_q) r_data_q <= read_data_i;
  end

endmodule
