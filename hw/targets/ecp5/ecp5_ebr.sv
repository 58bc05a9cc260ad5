// SPDX-License-Identifier: Apache-2.0
// A block RAM of a routed ECP5, as simulation sees it (Lattice FPGA-TN-02204).

/// One block RAM of 18 Kbit: two ports over 2,048 bytes of nine bits.
///
/// Ports of 9 and 18 bits take whole bytes of nine bits, those of 1, 2 and 4 bits use eight of each
/// nine. The low address bits of a port of 18 bits enable its bytes.
module ecp5_ebr #(
  parameter     Image  = "",   // $readmemh file of 2,048 words of nine bits
  parameter int WidthA = 18,   // bits
  parameter int WidthB = 18,   // bits
  parameter bit RegA   = 1'b0,
  parameter bit RegB   = 1'b0,
  parameter int ModeA  = 0,
  parameter int ModeB  = 0
) (
  input  logic        clk_a_i, clk_b_i,
  input  logic        ce_a_i, ce_b_i,
  input  logic        oce_a_i, oce_b_i,
  input  logic        we_a_i, we_b_i,
  input  logic        rst_a_i, rst_b_i,
  input  logic [13:0] addr_a_i, addr_b_i,
  input  logic [17:0] data_a_i, data_b_i,
  output logic [17:0] data_a_o, data_b_o
);
  logic [8:0] memory [2048];
  initial $readmemh(Image, memory);

  logic [17:0] bytes_a, bytes_b;
  logic [10:0] byte_a, byte_b;
  logic [1:0]  write_a, write_b;

  ecp5_ebr_port #(.Width(WidthA), .OutReg(RegA), .Mode(ModeA)) u_a (
    .clk_i(clk_a_i), .ce_i(ce_a_i), .oce_i(oce_a_i), .we_i(we_a_i), .rst_i(rst_a_i),
    .addr_i(addr_a_i), .data_i(data_a_i), .memory_i(memory),
    .data_o(data_a_o), .byte_o(byte_a), .write_o(write_a), .bytes_o(bytes_a)
  );
  ecp5_ebr_port #(.Width(WidthB), .OutReg(RegB), .Mode(ModeB)) u_b (
    .clk_i(clk_b_i), .ce_i(ce_b_i), .oce_i(oce_b_i), .we_i(we_b_i), .rst_i(rst_b_i),
    .addr_i(addr_b_i), .data_i(data_b_i), .memory_i(memory),
    .data_o(data_b_o), .byte_o(byte_b), .write_o(write_b), .bytes_o(bytes_b)
  );

  always @(posedge clk_a_i) begin
    for (int b = 0; b < 2; b++) begin
      if (write_a[b]) memory[byte_a + 11'(b)] <= bytes_a[9*b+:9];
    end
  end
  always @(posedge clk_b_i) begin
    for (int b = 0; b < 2; b++) begin
      if (write_b[b]) memory[byte_b + 11'(b)] <= bytes_b[9*b+:9];
    end
  end
endmodule
