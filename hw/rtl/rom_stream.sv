// SPDX-License-Identifier: Apache-2.0
// Embedded memory as an endless stream: words 0 .. Depth-1, then again from 0.

/// Streams the words of `InitFile` ($readmemh, one word per line) in order, for ever, one per
/// cycle. The output is the memory's own register, so block RAM and LUTs both fit; where it surely
/// is block RAM, whose word comes late in a cycle, one more register is behind it. There nothing
/// may select among blocks: where a tool would save one by banks, a word lies in parts side by
/// side. These lie far apart, so one more register is behind that one.
module rom_stream #(
  parameter int unsigned Width    = 8,  // bits of a word
  parameter int unsigned Depth    = 2,  // words
  parameter int unsigned Style    = 0,  // 0 the tool chooses, 1 in LUTs, 2 in block RAM
  parameter int unsigned Parts    = 1,  // memories side by side, in block RAM
  parameter              InitFile = ""  // memory image; of parts <InitFile>_<part>.mem
) (
  input  logic             clk_i,
  input  logic             rst_ni,

  output logic             out_valid_o,
  input  logic             out_ready_i,
  output logic [Width-1:0] out_data_o
);

  // Tools put more words than a LUT has into block RAM.
  localparam bit Late = Style == 2 || (Style == 0 && Depth > 64);

  logic [Width-1:0] data_q;
  logic             valid_q, there;

  if (Style > 2) begin : gen_check
    $error("rom_stream: Style %0d, expected 0, 1 or 2", Style);
  end

  if (Parts > 1 && (Style != 2 || Depth == 1 || Parts > Width)) begin : gen_check_parts
    $error("rom_stream: found %0d parts of %0d bits by %0d words in Style %0d, expected 1", Parts,
           Width, Depth, Style);
  end

  assign out_valid_o = valid_q;
  assign out_data_o  = data_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) valid_q <= 1'b0;
    else         valid_q <= there;
  end

  if (Depth > 1 && Late) begin : gen_late
    localparam int unsigned Behind = Parts > 1 ? 2 : 1; // registers behind the memory's own

    logic [Behind-1:0] read_q;

    assign there = read_q[Behind-1];
    always_ff @(posedge clk_i) begin
      if (!rst_ni) read_q <= '0;
      else         read_q <= Behind'({read_q, 1'b1});
    end
  end else begin : gen_early
    assign there = 1'b1;
  end

  if (Depth == 1) begin : gen_constant
    logic [Width-1:0] mem [Depth];
    initial $readmemh(InitFile, mem);

    always_ff @(posedge clk_i) begin
      if (!valid_q) data_q <= mem[0];
    end

    logic unused_ready;
    assign unused_ready = out_ready_i;
  end else begin : gen_memory
    localparam int unsigned AddrWidth = $clog2(Depth);
    logic [AddrWidth-1:0] addr_q, next_addr;
    logic [Width-1:0]     word_q;
    logic                 advance;

    assign advance = !valid_q || out_ready_i;

    if (Parts > 1) begin : gen_registers
      logic [Width-1:0] near_q;

      always_ff @(posedge clk_i) begin
        if (advance) begin
          near_q <= word_q;
          data_q <= near_q;
        end
      end
    end else if (Late) begin : gen_register
      always_ff @(posedge clk_i) begin
        if (advance) data_q <= word_q;
      end
    end else begin : gen_direct
      assign data_q = word_q;
    end

    if (Style == 0) begin : gen_any
      logic [Width-1:0] mem [Depth];
      initial $readmemh(InitFile, mem);
      always_ff @(posedge clk_i) begin
        if (advance) word_q <= mem[addr_q];
      end
    end else if (Style == 1) begin : gen_luts
      // Yosys knows no rom_style for LUTs; others choose LUTs for so few words.
      (* logic_block *) logic [Width-1:0] mem [Depth];
      initial $readmemh(InitFile, mem);
      always_ff @(posedge clk_i) begin
        if (advance) word_q <= mem[addr_q];
      end
    end else if (Parts > 1) begin : gen_parts
      localparam int unsigned PartWidth = (Width + Parts - 1) / Parts;

      for (genvar p = 0; p < Parts; p++) begin : gen_part
        localparam int unsigned First = p * PartWidth;
        localparam int unsigned Left  = Width - First;
        localparam int unsigned Bits  = Left > PartWidth ? PartWidth : Left;

        (* rom_style = "block" *) logic [Bits-1:0] mem [Depth];
        logic [Bits-1:0] part_q;

        initial $readmemh($sformatf("%s_%0d.mem", InitFile, p), mem);
        assign word_q[First+:Bits] = part_q;
        always_ff @(posedge clk_i) begin
          if (advance) part_q <= mem[addr_q];
        end
      end
    end else begin : gen_block
      (* rom_style = "block" *) logic [Width-1:0] mem [Depth];
      initial $readmemh(InitFile, mem);
      always_ff @(posedge clk_i) begin
        if (advance) word_q <= mem[addr_q];
      end
    end

    // Counts without a carry chain where LUTs hold the words: mappers find bits of the address
    // among its sums, and would read the memory by way of the chain.
    if (Style == 1) begin : gen_gates
      assign next_addr[0] = !addr_q[0];
      for (genvar i = 1; i < AddrWidth; i++) begin : gen_bit
        assign next_addr[i] = addr_q[i] ^ &addr_q[i-1:0];
      end
    end else begin : gen_sum
      assign next_addr = addr_q + 1'b1;
    end

    always_ff @(posedge clk_i) begin
      if (!rst_ni) addr_q <= '0;
      else if (advance) addr_q <= (addr_q == AddrWidth'(Depth - 1)) ? '0 : next_addr;
    end
  end

endmodule
