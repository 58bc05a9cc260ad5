// SPDX-License-Identifier: Apache-2.0
// Cells of a routed ECP5 that hold more than a LUT or a flip-flop, as simulation sees them.
// Facts: Lattice FPGA-TN-02204 (memories), FPGA-TN-02205 (sysDSP).

/// One port of `ecp5_ebr`: reads a word of `memory_i` and says what to write.
///
/// The output holds while the port is off. `Mode` is what it shows after a write.
module ecp5_ebr_port #(
  parameter int Width  = 18,  // bits: 1, 2, 4, 9, 18 or 36
  parameter bit OutReg = 1'b0, // a register behind the output
  parameter int Mode   = 0    // 0: holds while writing; 1: the new word; 2: the old word
) (
  input  logic        clk_i,
  input  logic        ce_i,  // with chip select
  input  logic        oce_i, // of the output register
  input  logic        we_i,
  input  logic        rst_i, // of the outputs, in step with the clock
  input  logic [13:0] addr_i,
  input  logic [35:0] data_i,
  input  logic [8:0]  memory_i [2048],
  output logic [35:0] data_o,
  output logic [10:0] byte_o,     // lowest byte that the address names
  output logic [3:0]  write_o,    // bytes to write, from there on
  output logic [35:0] bytes_o     // what goes there
);
  localparam int Bytes = Width < 9 ? 1 : Width / 9;
  localparam int Bits  = Width < 9 ? Width : 9;   // of a byte that belong to the word

  logic [35:0] old, fresh, now_q, out_q;
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
  for (genvar b = 0; b < 4; b++) begin : gen_fresh
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

/// One block RAM of 18 Kbit: two ports over 2,048 bytes of nine bits.
///
/// Ports of 9, 18 and 36 bits take whole bytes of nine bits, those of 1, 2 and 4 bits use eight of
/// each nine. The low address bits of a wide port enable its bytes. A port of 36 bits has its data
/// at the pins of both: in as {b, a}, out as {a, b}.
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

  logic [35:0] wide, out_a, out_b, bytes_a, bytes_b;
  logic [10:0] byte_a, byte_b;
  logic [3:0]  write_a, write_b;
  assign wide = {data_b_i, data_a_i};

  ecp5_ebr_port #(.Width(WidthA), .OutReg(RegA), .Mode(ModeA)) u_a (
    .clk_i(clk_a_i), .ce_i(ce_a_i), .oce_i(oce_a_i), .we_i(we_a_i), .rst_i(rst_a_i),
    .addr_i(addr_a_i), .data_i(WidthA == 36 ? wide : 36'(data_a_i)), .memory_i(memory),
    .data_o(out_a), .byte_o(byte_a), .write_o(write_a), .bytes_o(bytes_a)
  );
  ecp5_ebr_port #(.Width(WidthB), .OutReg(RegB), .Mode(ModeB)) u_b (
    .clk_i(clk_b_i), .ce_i(ce_b_i), .oce_i(oce_b_i), .we_i(we_b_i), .rst_i(rst_b_i),
    .addr_i(addr_b_i), .data_i(WidthB == 36 ? wide : 36'(data_b_i)), .memory_i(memory),
    .data_o(out_b), .byte_o(byte_b), .write_o(write_b), .bytes_o(bytes_b)
  );

  always @(posedge clk_a_i) begin
    for (int b = 0; b < 4; b++) begin
      if (write_a[b]) memory[byte_a + 11'(b)] <= bytes_a[9*b+:9];
    end
  end
  always @(posedge clk_b_i) begin
    for (int b = 0; b < 4; b++) begin
      if (write_b[b]) memory[byte_b + 11'(b)] <= bytes_b[9*b+:9];
    end
  end

  if (WidthA == 36) assign {data_a_o, data_b_o} = out_a;
  else if (WidthB == 36) assign {data_a_o, data_b_o} = out_b;
  else begin : gen_apart
    assign data_a_o = out_a[17:0];
    assign data_b_o = out_b[17:0];
  end
endmodule

/// One multiplier of 18 by 18 bits with registers in front, between and behind.
module ecp5_mult18 #(
  parameter bit RegA        = 1'b0,
  parameter bit RegB        = 1'b0,
  parameter bit RegPipeline = 1'b0,
  parameter bit RegOut      = 1'b0
) (
  input  logic        clk_a_i, clk_b_i, clk_p_i, clk_o_i,
  input  logic        ce_a_i, ce_b_i, ce_p_i, ce_o_i,
  input  logic        rst_a_i, rst_b_i, rst_p_i, rst_o_i,
  input  logic        signed_a_i, signed_b_i,
  input  logic [17:0] a_i, b_i,
  output logic [35:0] p_o
);
  logic [17:0] a_q, b_q, a, b;
  logic [35:0] product, p_q, inner, out_q;
  always_ff @(posedge clk_a_i) if (rst_a_i) a_q <= '0; else if (ce_a_i) a_q <= a_i;
  always_ff @(posedge clk_b_i) if (rst_b_i) b_q <= '0; else if (ce_b_i) b_q <= b_i;
  assign a       = RegA ? a_q : a_i;
  assign b       = RegB ? b_q : b_i;
  assign product = 36'($signed({signed_a_i & a[17], a})) * 36'($signed({signed_b_i & b[17], b}));
  always_ff @(posedge clk_p_i) if (rst_p_i) p_q <= '0; else if (ce_p_i) p_q <= product;
  assign inner   = RegPipeline ? p_q : product;
  always_ff @(posedge clk_o_i) if (rst_o_i) out_q <= '0; else if (ce_o_i) out_q <= inner;
  assign p_o     = RegOut ? out_q : inner;
endmodule
