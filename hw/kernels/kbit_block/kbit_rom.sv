// SPDX-License-Identifier: Apache-2.0
// Weights of a k-bit block, one word per step, read through two registers.

/// The memory runs on without an enable: two cycles after a step, its word is at the output.
module kbit_rom #(
  parameter int unsigned Depth    = 8, // words: steps of an output pixel
  parameter int unsigned Width    = 4, // bits of a word
  parameter bit          BlockRom = 1, // in block RAM, otherwise in LUTs
  parameter              InitFile = "" // $readmemh image
) (
  input  logic             clk_i,
  input  logic             rst_ni,

  input  logic             step_i,    // on to the next word
  input  logic             restart_i, // back to the first one
  output logic [Width-1:0] word_o
);

  localparam int unsigned AddressWidth = (Depth > 1) ? $clog2(Depth) : 1;

  if (BlockRom) begin : gen_block
    (* rom_style = "block", ram_style = "block" *) logic [Width-1:0] memory [Depth];
    initial $readmemh(InitFile, memory);

    logic [AddressWidth-1:0] address_q;
    logic [Width-1:0]        word_q, word2_q;

    assign word_o = word2_q;

    always_ff @(posedge clk_i) begin
      if (!rst_ni) address_q <= '0;
      else if (step_i) address_q <= restart_i ? '0 : address_q + 1'b1;
    end

    always_ff @(posedge clk_i) begin
      word_q  <= memory[address_q];
      word2_q <= word_q;
    end
  end else begin : gen_logic
    // Each slice of a wide word counts by itself: one address for all would reach too far.
    localparam int unsigned Slice = 32;
    // A memory of one part has its word early: the second register is one in front of the address.
    localparam bit Early = Depth <= 64;

    logic step, restart;

    if (Early) begin : gen_early
      logic step_q, restart_q;

      assign step    = step_q;
      assign restart = restart_q;

      always_ff @(posedge clk_i) begin
        if (!rst_ni) step_q <= 1'b0;
        else         step_q <= step_i;
      end

      always_ff @(posedge clk_i) begin
        restart_q <= restart_i;
      end
    end else begin : gen_late
      assign step    = step_i;
      assign restart = restart_i;
    end

    for (genvar low = 0; low < Width; low += Slice) begin : gen_slice
      localparam int unsigned Bits = (Width - low < Slice) ? Width - low : Slice;

      logic [AddressWidth-1:0] address_q, next;
      logic [Width-1:0]        whole;
      logic                    unused;

      assign unused = &whole;

      // No `+ 1`: where a column of weights holds a bit of that sum, Yosys would read it from the
      // carry chain, which is slow.
      for (genvar i = 0; i < AddressWidth; i++) begin : gen_next
        if (i == 0) begin : gen_lowest
          assign next[i] = !address_q[i];
        end else begin : gen_higher
          assign next[i] = address_q[i] ^ (&address_q[i-1:0]);
        end
      end

      always_ff @(posedge clk_i) begin
        if (!rst_ni) address_q <= '0;
        else if (step) address_q <= restart ? '0 : next;
      end

      deep_rom #(
        .Width(Width),
        .Depth(Depth),
        .File(InitFile)
      ) u_memory (
        .clk_i,
        .read_i(1'b1),
        .address_i(address_q),
        .word_o(whole)
      );

      if (Early) begin : gen_direct
        assign word_o[low+:Bits] = whole[low+:Bits];
      end else begin : gen_register
        logic [Bits-1:0] word2_q;

        assign word_o[low+:Bits] = word2_q;

        always_ff @(posedge clk_i) begin
          word2_q <= whole[low+:Bits];
        end
      end
    end
  end

endmodule
