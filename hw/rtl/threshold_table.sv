// SPDX-License-Identifier: Apache-2.0
// Per-channel tables of several lanes, read with the channels of a stream.

/// Each lane has a memory of Groups * Entries words of Width bits; lane p's is the $readmemh image
/// `<InitPrefix>_<p>.mem`. The word that is read is entry `index_i` of the current group; a valid
/// word of the stream moves on to the next group, after the last one to the first. Takes a cycle.
module threshold_table #(
  parameter int unsigned Lanes      = 1, // memories
  parameter int unsigned Width      = 8, // bits of a word
  parameter int unsigned Groups     = 2, // channels per lane
  parameter int unsigned Entries    = 2, // words per channel
  parameter int unsigned IndexBits  = 1, // bits of an entry's index
  parameter bit          BlockRom   = 0, // memories in block RAM, otherwise in LUTs
  parameter              InitPrefix = "" // memory images
) (
  input  logic                       clk_i,
  input  logic                       rst_ni,
  input  logic                       enable_i,

  input  logic                       valid_i,
  input  logic [Lanes*IndexBits-1:0] index_i,
  output logic [Lanes*Width-1:0]     data_o
);

  localparam int unsigned Depth     = Groups * Entries;
  localparam int unsigned AddrWidth = (Depth > 1) ? $clog2(Depth) : 1;

  if (Entries > 2 ** IndexBits) begin : gen_check
    $error("threshold_table: %0d entries, expected at most 2**IndexBits = 2**%0d", Entries,
           IndexBits);
  end

  // Groups of a power of two: an address is two numbers side by side.
  localparam int unsigned Low     = $clog2(Entries);
  localparam bit          Aligned = Entries == 2 ** Low;

  logic [AddrWidth-1:0] first;  // entry 0 of the group

  if (Groups == 1) begin : gen_one_group
    assign first = '0;

    logic unused_clocking;
    assign unused_clocking = &{rst_ni, valid_i};
  end else begin : gen_groups
    localparam logic [AddrWidth-1:0] Last = AddrWidth'(Depth - Entries);
    logic [AddrWidth-1:0] first_q, next;

    // Counts without a carry chain where nothing else needs one: mappers find bits of the address
    // among its sums, and would read the memory by way of the chain.
    if (Aligned) begin : gen_gates
      for (genvar i = 0; i < AddrWidth; i++) begin : gen_bit
        if (i < Low) begin : gen_zero
          assign next[i] = 1'b0;
        end else if (i == Low) begin : gen_lowest
          assign next[i] = !first_q[i];
        end else begin : gen_higher
          assign next[i] = first_q[i] ^ (&first_q[i-1:Low]);
        end
      end
    end else begin : gen_sum
      assign next = first_q + AddrWidth'(Entries);
    end

    always_ff @(posedge clk_i) begin
      if (!rst_ni) first_q <= '0;
      else if (enable_i && valid_i) begin
        first_q <= (first_q == Last) ? '0 : next;
      end
    end
    assign first = first_q;
  end

  for (genvar p = 0; p < Lanes; p++) begin : gen_lane
    logic [Width-1:0] data_q;

    if (Depth == 1) begin : gen_constant
      logic [Width-1:0] mem [Depth];
      initial $readmemh($sformatf("%s_%0d.mem", InitPrefix, p), mem);
      always_ff @(posedge clk_i) begin
        if (enable_i) data_q <= mem[0];
      end

      logic unused_address;
      assign unused_address = &{first, index_i[p*IndexBits+:IndexBits]};
    end else begin : gen_memory
      logic [AddrWidth-1:0] addr;

      assign addr = Aligned ? first | AddrWidth'(index_i[p*IndexBits+:IndexBits]) :
                              first + AddrWidth'(index_i[p*IndexBits+:IndexBits]);
      if (BlockRom) begin : gen_block
        (* rom_style = "block" *) logic [Width-1:0] mem [Depth];
        initial $readmemh($sformatf("%s_%0d.mem", InitPrefix, p), mem);
        always_ff @(posedge clk_i) begin
          if (enable_i) data_q <= mem[addr];
        end
      end else begin : gen_luts
        (* logic_block *) logic [Width-1:0] mem [Depth];
        initial $readmemh($sformatf("%s_%0d.mem", InitPrefix, p), mem);
        always_ff @(posedge clk_i) begin
          if (enable_i) data_q <= mem[addr];
        end
      end
    end
    assign data_o[p*Width+:Width] = data_q;
  end

endmodule
