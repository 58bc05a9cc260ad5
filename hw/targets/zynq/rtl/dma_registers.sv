// SPDX-License-Identifier: Apache-2.0
// Registers of one DMA, at the addresses that FINN's driver writes and reads.

/// The map of a block with the control protocol `ap_ctrl_hs`, address and batch as its arguments:
///
///     0x00  control   bit 0 start, 1 done, 2 idle, 3 ready; done and ready are cleared by a read
///     0x04  bit 0: interrupts are passed on
///     0x08  bit 0: interrupt when done, bit 1: when ready
///     0x0C  interrupts that wait; writing 1 toggles a bit
///     0x10  address of the first byte, low word; 0x14 high word
///     0x1C  frames of the batch
///     0x24  errors, see `status_o` of the DMA; read only
///
/// A start that is written while the DMA works waits, and is taken when the DMA is idle: address
/// and batch are read then. With an error, done reads 0. Auto restart (bit 7 of control) is not
/// there and reads 0.
module dma_registers #(
  parameter int unsigned AddressBits = 6 // bits of a byte address
) (
  input  logic                   clk_i,
  input  logic                   rst_ni,
  input  logic                   clear_i, // all but address and batch to their reset state

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

  output logic                   start_o,   // waits until it is taken
  output logic [63:0]            address_o,
  output logic [31:0]            batch_o,   // frames
  input  logic                   taken_i,
  input  logic                   done_i,
  input  logic                   idle_i,
  input  logic [3:0]             errors_i,
  output logic                   interrupt_o
);

  localparam logic [AddressBits-1:0] Control = AddressBits'('h00);
  localparam logic [AddressBits-1:0] Global  = AddressBits'('h04);
  localparam logic [AddressBits-1:0] Enable  = AddressBits'('h08);
  localparam logic [AddressBits-1:0] Waiting = AddressBits'('h0C);
  localparam logic [AddressBits-1:0] Low     = AddressBits'('h10);
  localparam logic [AddressBits-1:0] High    = AddressBits'('h14);
  localparam logic [AddressBits-1:0] Batch   = AddressBits'('h1C);
  localparam logic [AddressBits-1:0] Errors  = AddressBits'('h24);

  logic                   write, read, read_control;
  logic [AddressBits-1:0] write_address, read_address;
  logic [31:0]            write_data, write_mask, read_data_q;

  axi_lite_port #(
    .AddressBits(AddressBits)
  ) u_port (
    .clk_i,
    .rst_ni,
    .aw_valid_i,
    .aw_ready_o,
    .aw_address_i,
    .w_valid_i,
    .w_ready_o,
    .w_data_i,
    .w_strobe_i,
    .b_valid_o,
    .b_ready_i,
    .ar_valid_i,
    .ar_ready_o,
    .ar_address_i,
    .r_valid_o,
    .r_ready_i,
    .r_data_o,
    .write_o        (write),
    .write_address_o(write_address),
    .write_data_o   (write_data),
    .write_mask_o   (write_mask),
    .read_o         (read),
    .read_address_o (read_address),
    .read_data_i    (read_data_q)
  );

  logic        start_q, done_q, ready_q, global_q;
  logic [1:0]  enable_q, waiting_q, toggled;
  logic [63:0] address_q;
  logic [31:0] batch_q;

  assign read_control = read && read_address == Control;
  assign toggled      = write && write_address == Waiting && write_mask[0] ? write_data[1:0] : '0;

  always_ff @(posedge clk_i) begin
    if (!rst_ni || clear_i) begin
      start_q   <= 1'b0;
      done_q    <= 1'b0;
      ready_q   <= 1'b0;
      global_q  <= 1'b0;
      enable_q  <= '0;
      waiting_q <= '0;
    end else begin
      start_q   <= (start_q && !taken_i)
                   || (write && write_address == Control && write_mask[0] && write_data[0]);
      done_q    <= errors_i == '0 && (done_i || (done_q && !read_control));
      ready_q   <= taken_i || (ready_q && !read_control);
      waiting_q <= (waiting_q ^ toggled) | (enable_q & {taken_i, done_i});
      if (write && write_mask[0]) begin
        if (write_address == Global) global_q <= write_data[0];
        if (write_address == Enable) enable_q <= write_data[1:0];
      end
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      address_q <= '0;
      batch_q   <= '0;
    end else if (write) begin
      if (write_address == Low) begin
        address_q[31:0] <= (address_q[31:0] & ~write_mask) | (write_data & write_mask);
      end
      if (write_address == High) begin
        address_q[63:32] <= (address_q[63:32] & ~write_mask) | (write_data & write_mask);
      end
      if (write_address == Batch) begin
        batch_q <= (batch_q & ~write_mask) | (write_data & write_mask);
      end
    end
  end

  // Idle only when nothing waits to be taken either.
  always_ff @(posedge clk_i) begin
    case (read_address)
      Control: read_data_q <= {28'b0, ready_q, idle_i && !start_q, done_q, start_q};
      Global:  read_data_q <= {31'b0, global_q};
      Enable:  read_data_q <= {30'b0, enable_q};
      Waiting: read_data_q <= {30'b0, waiting_q};
      Low:     read_data_q <= address_q[31:0];
      High:    read_data_q <= address_q[63:32];
      Batch:   read_data_q <= batch_q;
      Errors:  read_data_q <= {28'b0, errors_i};
      default: read_data_q <= '0;
    endcase
  end

  assign start_o     = start_q;
  assign address_o   = address_q;
  assign batch_o     = batch_q;
  assign interrupt_o = global_q && waiting_q != '0;

endmodule
