// SPDX-License-Identifier: Apache-2.0
// Steps up and down at per-channel thresholds, by binary searches with one comparator each.

/// Finds how many of a channel's ascending thresholds x reaches, one bit of that count per turn of
/// three cycles (read | register | compare), and then reads its code. A searcher has three numbers
/// under way at once, in turns; two searchers have memories each, in block RAM a port each. Nothing
/// waits: words come one channel after the other, at least (Stages + 1) / Searchers cycles apart,
/// rounded up, and 3, with Stages = $clog2(Steps + 1). So a word waits for 3 cycles at most until a
/// place among those under way comes round, and no word overtakes another.
///
/// A channel has 2**Stages words in both memories. Of the thresholds, word n holds the largest x
/// that does not reach the one that n's lower half ends at, all ones where there is none: 1 is the
/// root, 2 * n and 2 * n + 1 are below and above. Word n of the codes is that of n thresholds.
module threshold_turns #(
  parameter int unsigned Channels      = 2,  // channels
  parameter int unsigned Searchers     = 1,  // 1 or 2
  parameter int unsigned Steps         = 5,  // thresholds per channel
  parameter int unsigned InBits        = 8,  // bits of x, unsigned
  parameter int unsigned CodeBits      = 3,  // bits of a code
  parameter bit          BlockRom      = 1,  // memories in block RAM, otherwise in LUTs
  parameter              ThresholdFile = "", // $readmemh images
  parameter              CodeFile      = ""
) (
  input  logic                clk_i,
  input  logic                rst_ni,

  input  logic                in_valid_i,
  input  logic [InBits-1:0]   in_data_i,

  output logic                out_valid_o,
  output logic [CodeBits-1:0] out_data_o
);

  localparam int unsigned Stages       = $clog2(Steps + 1);
  localparam int unsigned Depth        = Channels * 2 ** Stages;
  localparam int unsigned ChannelWidth = (Channels > 1) ? $clog2(Channels) : 1;
  localparam int unsigned AddressWidth = $clog2(Depth);

  if (Searchers < 1 || Searchers > 2 || Searchers > Stages) begin : gen_check
    $error("threshold_turns: found %0d searchers for %0d thresholds, expected 1, or 2 from 2 on",
           Searchers, Steps);
  end

  typedef struct packed {
    logic [ChannelWidth-1:0] channel;
    logic [Stages:0]         node; // the highest one marks how far the search is
    logic [InBits-1:0]       x;
  } search_t;

  // The searchers take words in turn.
  logic                    unused_channel_last, unused_turn_last;
  logic                    turn;
  logic [ChannelWidth-1:0] channel;

  logic [Searchers-1:0][AddressWidth-1:0] address;
  logic [Searchers-1:0][InBits-1:0]       threshold, threshold_q;
  logic [Searchers-1:0][CodeBits-1:0]     code, code_q;
  logic [Searchers-1:0]                   found;

  loop_counter #(
    .Count(Channels)
  ) u_channel (
    .clk_i,
    .rst_ni,
    .advance_i(in_valid_i),
    .count_o(channel),
    .last_o(unused_channel_last)
  );

  loop_counter #(
    .Count(Searchers)
  ) u_turn (
    .clk_i,
    .rst_ni,
    .advance_i(in_valid_i),
    .count_o(turn),
    .last_o(unused_turn_last)
  );

  for (genvar s = 0; s < Searchers; s++) begin : gen_searcher
    logic                    taken, waits_q, free, start;
    logic                    read_valid_q, held_valid_q, compare_valid_q;
    logic [InBits-1:0]       next_q;
    logic [ChannelWidth-1:0] next_channel_q;
    search_t                 read_q, held_q, compare_q, search;

    assign taken      = in_valid_i && turn == 1'(s);
    assign free       = !compare_valid_q || compare_q.node[Stages];
    assign start      = free && waits_q;
    assign found[s]   = compare_valid_q && compare_q.node[Stages];
    assign address[s] = AddressWidth'({read_q.channel, read_q.node[Stages-1:0]});

    always_comb begin
      if (start) begin
        search = '{channel: next_channel_q, node: (Stages + 1)'(1), x: next_q};
      end else begin
        search      = compare_q;
        search.node = {compare_q.node[Stages-1:0], compare_q.x > threshold_q[s]};
      end
    end

    always_ff @(posedge clk_i) begin
      if (!rst_ni) begin
        waits_q         <= 1'b0;
        read_valid_q    <= 1'b0;
        held_valid_q    <= 1'b0;
        compare_valid_q <= 1'b0;
      end else begin
        waits_q         <= taken || (waits_q && !free);
        read_valid_q    <= start || !free;
        held_valid_q    <= read_valid_q;
        compare_valid_q <= held_valid_q;
      end
    end

    // The reset keeps it from becoming part of a shift register in LUTs.
    always_ff @(posedge clk_i) begin
      if (!rst_ni) held_q <= '0;
      else         held_q <= read_q;
    end

    always_ff @(posedge clk_i) begin
      if (taken) begin
        next_q         <= in_data_i;
        next_channel_q <= channel;
      end
      read_q    <= search;
      compare_q <= held_q;
    end

`ifndef SYNTHESIS
    always_ff @(posedge clk_i) begin
      if (rst_ni && taken && waits_q && !free) begin
        $fatal(1, "threshold_turns: a word came before the one before it was under way");
      end
    end
`endif
  end

  if (Searchers == 1) begin : gen_alone
    assign out_valid_o = found[0];
    assign out_data_o  = code_q[0];
  end else begin : gen_both
    logic                valid_q;
    logic [CodeBits-1:0] out_q;

    assign out_valid_o = valid_q;
    assign out_data_o  = out_q;

    always_ff @(posedge clk_i) begin
      if (!rst_ni) valid_q <= 1'b0;
      else         valid_q <= |found;
    end

    always_ff @(posedge clk_i) begin
      out_q <= found[1] ? code_q[1] : code_q[0];
    end
  end

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (rst_ni && $countones(found) > 1) begin
      $fatal(1, "threshold_turns: two codes at once");
    end
  end
`endif

  // In block RAM without a reset these are the block's own registers.
  always_ff @(posedge clk_i) begin
    threshold_q <= threshold;
    code_q      <= code;
  end

  if (BlockRom) begin : gen_block
    (* rom_style = "block", ram_style = "block" *) logic [InBits-1:0] thresholds [Depth];
    (* rom_style = "block", ram_style = "block" *) logic [CodeBits-1:0] codes [Depth];
    initial $readmemh(ThresholdFile, thresholds);
    initial $readmemh(CodeFile, codes);

    for (genvar s = 0; s < Searchers; s++) begin : gen_port
      logic [InBits-1:0]   threshold_word_q;
      logic [CodeBits-1:0] code_word_q;

      assign threshold[s] = threshold_word_q;
      assign code[s]      = code_word_q;

      always_ff @(posedge clk_i) begin
        threshold_word_q <= thresholds[address[s]];
        code_word_q      <= codes[address[s]];
      end
    end
  end else begin : gen_logic
    for (genvar s = 0; s < Searchers; s++) begin : gen_port
      deep_rom #(
        .Width(InBits),
        .Depth(Depth),
        .File(ThresholdFile)
      ) u_thresholds (
        .clk_i,
        .read_i(1'b1),
        .address_i(address[s]),
        .word_o(threshold[s])
      );

      deep_rom #(
        .Width(CodeBits),
        .Depth(Depth),
        .File(CodeFile)
      ) u_codes (
        .clk_i,
        .read_i(1'b1),
        .address_i(address[s]),
        .word_o(code[s])
      );
    end
  end

endmodule
