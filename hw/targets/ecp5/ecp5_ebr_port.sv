// SPDX-License-Identifier: Apache-2.0
// A port of a block RAM of a routed ECP5, as simulation sees it (Lattice FPGA-TN-02204).

/// One port of `ecp5_ebr`: reads a word of `memory_i` and says what to write.
///
/// The output holds while the port is off. `Mode` is what it shows after a write.
module ecp5_ebr_port #(
  parameter int Width  = 18,  // bits: 1, 2, 4, 9 or 18
  parameter bit OutReg = 1'b0, // a register behind the output
  parameter int Mode   = 0    // 0: holds while writing; 1: the new word; 2: the old word
) (
  input  logic        clk_i,
  input  logic        ce_i,  // with chip select
  input  logic        oce_i, // of the output register
  input  logic        we_i,
  input  logic        rst_i, // of the outputs, in step with the clock
  input  logic [13:0] addr_i,
  input  logic [17:0] data_i,
  input  logic [8:0]  memory_i [2048],
  output logic [17:0] data_o,
  output logic [10:0] byte_o,     // lowest byte that the address names
  output logic [1:0]  write_o,    // bytes to write, from there on
  output logic [17:0] bytes_o     // what goes there
);
  localparam int Bytes = Width < 9 ? 1 : Width / 9;
  localparam int Bits  = Width < 9 ? Width : 9;   // of a byte that belong to the word

  logic [17:0] old, fresh, now_q, out_q;
  logic [2:0]  shift;

  assign byte_o = addr_i[13:3] & ~11'(Bytes - 1);
  assign shift  = Width < 9 ? addr_i[2:0] & ~3'(Width - 1) : '0;

  always_comb begin
    old     = '0;
    bytes_o = '0;
    write_o = '0;
    for (int b = 0; b < Bytes; b++) begin
      logic [8:0] found, mask;
      found = memory_i[byte_o + 11'(b)];
      mask   = 9'((1 << Bits) - 1) << shift;
      old[9*b+:9]     = (found & mask) >> shift;
      bytes_o[9*b+:9] = (found & ~mask) | ((data_i[9*b+:9] << shift) & mask);
      write_o[b]      = ce_i && we_i && (Bytes == 1 || addr_i[b]);
    end
  end
  for (genvar b = 0; b < 2; b++) begin : gen_fresh
    assign fresh[9*b+:9] = write_o[b] ? data_i[9*b+:9] : old[9*b+:9];
  end

  always_ff @(posedge clk_i) begin
    if (rst_i) now_q <= '0;
    else if (ce_i && (!we_i || Mode == 2)) now_q <= old;
    else if (ce_i && Mode == 1) now_q <= fresh;
    if (rst_i) out_q <= '0;
    else if (oce_i) out_q <= now_q;
  end
  assign data_o = OutReg ? out_q : now_q;
endmodule
