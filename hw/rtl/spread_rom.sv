// SPDX-License-Identifier: Apache-2.0
// Wide words of constants in LUTs, in parts side by side that count for themselves.

/// The words of `<InitPrefix>_<part>.mem` ($readmemh) in order, for ever; `next_i` goes on to the
/// next one. The word comes out of logic, so that the register behind it is the reader's. Each part
/// has an address of its own, as one would reach all over a chip.
module spread_rom #(
  parameter int unsigned  Width      = 8,  // bits of a part
  parameter int unsigned  Parts      = 2,
  parameter int unsigned  Depth      = 2,  // words, 2 or more
  parameter               InitPrefix = ""
) (
  input  logic                   clk_i,
  input  logic                   rst_ni,

  input  logic                   next_i,
  output logic [Parts*Width-1:0] data_o
);

  localparam int unsigned AddrWidth = $clog2(Depth);

  if (Depth < 2) begin : gen_check
    $error("spread_rom: found Depth=%0d, expected 2 or more", Depth);
  end

  for (genvar p = 0; p < Parts; p++) begin : gen_part
    (* keep = "true" *) logic [AddrWidth-1:0] addr_q;
    logic [AddrWidth-1:0] next_addr;

    // Yosys knows no rom_style for LUTs; others choose LUTs for so few words.
    (* logic_block *) logic [Width-1:0] mem [Depth];
    initial $readmemh($sformatf("%s_%0d.mem", InitPrefix, p), mem);

    assign data_o[p*Width+:Width] = mem[addr_q];

    // Without a carry chain, as in `rom_stream`.
    assign next_addr[0] = !addr_q[0];
    for (genvar i = 1; i < AddrWidth; i++) begin : gen_bit
      assign next_addr[i] = addr_q[i] ^ &addr_q[i-1:0];
    end

    // Equal registers stay apart: tools read the one attribute or the other.
    (* keep *)
    always_ff @(posedge clk_i) begin
      if (!rst_ni) addr_q <= '0;
      else if (next_i) addr_q <= (addr_q == AddrWidth'(Depth - 1)) ? '0 : next_addr;
    end
  end

endmodule
