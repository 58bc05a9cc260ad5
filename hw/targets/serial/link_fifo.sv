// SPDX-License-Identifier: Apache-2.0
// First-word-fall-through FIFO that tells its largest fill.

/// Holds `Depth` words and two more behind them. Three cycles of latency, one word per cycle. Every
/// word passes the memory, its output register and one more: a block RAM's word comes late in a
/// cycle.
module link_fifo #(
  parameter int unsigned Width    = 8,  // bits of a word
  parameter int unsigned Depth    = 16, // words of the memory, a power of two
  parameter bit          BlockRam = 0   // memory in block RAM, otherwise in LUTs
) (
  input  logic                     clk_i,
  input  logic                     rst_ni,

  input  logic                     in_valid_i,
  output logic                     in_ready_o,
  input  logic [Width-1:0]         in_data_i,

  output logic                     out_valid_o,
  input  logic                     out_ready_i,
  output logic [Width-1:0]         out_data_o,

  input  logic                     clear_peak_i,
  output logic [$clog2(Depth+1)-1:0] peak_o // most words the memory held since `clear_peak_i`
);

  if (Depth < 2 || (Depth & (Depth - 1)) != 0) begin : gen_check
    $error("link_fifo: found Depth=%0d, expected a power of two, 2 or more", Depth);
  end

  localparam int unsigned AddressBits = $clog2(Depth);
  localparam int unsigned FillBits    = $clog2(Depth + 1);

  logic [AddressBits-1:0] write_q, read_q;
  logic [FillBits-1:0]    fill_q, fill_d, peak_q;
  logic                   full_q, read_valid_q, valid_q, push, fetch, move;
  logic [Width-1:0]       read_data_q, data_q;

  assign in_ready_o  = !full_q;
  assign out_valid_o = valid_q;
  assign out_data_o  = data_q;
  assign peak_o      = peak_q;

  assign push   = in_valid_i && !full_q;
  assign fetch  = fill_q != '0 && (!read_valid_q || move);
  assign move   = read_valid_q && (!valid_q || out_ready_i);
  assign fill_d = push ? fill_q + 1'b1 : fill_q - 1'b1; // of use only when push and fetch differ

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      write_q      <= '0;
      read_q       <= '0;
      fill_q       <= '0;
      full_q       <= 1'b0;
      read_valid_q <= 1'b0;
      valid_q      <= 1'b0;
    end else begin
      if (push)  write_q <= write_q + 1'b1;
      if (fetch) read_q  <= read_q + 1'b1;
      if (push != fetch) begin
        fill_q <= fill_d;
        full_q <= fill_d == FillBits'(Depth);
      end
      if (fetch)     read_valid_q <= 1'b1;
      else if (move) read_valid_q <= 1'b0;
      if (move)             valid_q <= 1'b1;
      else if (out_ready_i) valid_q <= 1'b0;
    end
  end

  always_ff @(posedge clk_i) begin
    if (move) data_q <= read_data_q;
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni || clear_peak_i) peak_q <= '0;
    else if (fill_q > peak_q)    peak_q <= fill_q;
  end

  if (BlockRam) begin : gen_block
    (* ram_style = "block", no_rw_check *) logic [Width-1:0] memory [Depth];
    always_ff @(posedge clk_i) begin
      if (push)  memory[write_q] <= in_data_i;
      if (fetch) read_data_q <= memory[read_q];
    end
  end else begin : gen_distributed
    (* ram_style = "distributed" *) logic [Width-1:0] memory [Depth];
    always_ff @(posedge clk_i) begin
      if (push)  memory[write_q] <= in_data_i;
      if (fetch) read_data_q <= memory[read_q];
    end
  end

endmodule
