// SPDX-License-Identifier: Apache-2.0
// Steps up and down at per-channel thresholds, by a pipelined binary search among them.

/// Finds how many of a channel's ascending thresholds x reaches, one bit of that count per stage,
/// and looks its code up. Pe channels per word, one word per cycle. A stage takes two cycles: read
/// the threshold that halves what is left | compare. Then: read the code | output register.
///
/// Numbers are compared as offsets from the smallest x. Where the first s bits of the count are i,
/// table s holds in entry i the largest offset that does not reach the threshold
/// (2 * i + 1) * 2**(Stages - 1 - s) (counted from 1), all ones where there is none; the entries of
/// table `Stages` are the codes. Lane p's image of table s is `<TablePrefix>_<s>_<p>.mem`, channel
/// after channel.
module threshold_search #(
  parameter int unsigned Channels    = 2, // channels, a multiple of Pe
  parameter int unsigned Pe          = 1, // lanes
  parameter int unsigned Steps       = 5, // thresholds per channel
  parameter int unsigned InBits      = 8, // bits of x
  parameter bit          InSigned    = 1,
  parameter int unsigned CodeBits    = 3, // bits of a code
  parameter logic [31:0] BlockTables = 0, // bit s: table s lies in block RAM, otherwise in LUTs
  parameter              TablePrefix = "" // $readmemh images
) (
  input  logic                   clk_i,
  input  logic                   rst_ni,

  input  logic                   in_valid_i,
  output logic                   in_ready_o,
  input  logic [Pe*InBits-1:0]   in_data_i,

  output logic                   out_valid_o,
  input  logic                   out_ready_i,
  output logic [Pe*CodeBits-1:0] out_data_o
);

  localparam int unsigned Stages = $clog2(Steps + 1);

  logic                 enable;
  logic [Pe*InBits-1:0] offset;

  assign in_ready_o = enable;
  for (genvar p = 0; p < Pe; p++) begin : gen_offset
    assign offset[p*InBits+:InBits] =
        in_data_i[p*InBits+:InBits] ^ (InBits'(InSigned) << (InBits - 1));
  end

  for (genvar s = 0; s <= Stages; s++) begin : gen_stage
    localparam int unsigned IndexBits = (s > 0) ? s : 1;
    localparam int unsigned Width     = (s < Stages) ? InBits : CodeBits;

    logic                    valid, read_valid_q;
    logic [Pe*IndexBits-1:0] index;
    logic [Pe*Width-1:0]     entry;

    if (s == 0) begin : gen_input
      assign valid = in_valid_i;
      assign index = '0;
    end else begin : gen_stream
      assign valid = gen_stage[s-1].gen_compare.valid_q;
      assign index = gen_stage[s-1].gen_compare.index_q;
    end

    threshold_table #(
      .Lanes(Pe),
      .Width(Width),
      .Groups(Channels / Pe),
      .Entries((Steps >> (Stages - s)) + 1),
      .IndexBits(IndexBits),
      .BlockRom(BlockTables[s]),
      .InitPrefix($sformatf("%s_%0d", TablePrefix, s))
    ) u_table (
      .clk_i,
      .rst_ni,
      .enable_i(enable),
      .valid_i(valid),
      .index_i(index),
      .data_o(entry)
    );

    always_ff @(posedge clk_i) begin
      if (!rst_ni) read_valid_q <= 1'b0;
      else if (enable) read_valid_q <= valid;
    end

    if (s < Stages) begin : gen_compare
      logic                 valid_q;
      logic [Pe*InBits-1:0] x, read_x_q;
      logic [Pe*(s+1)-1:0]  index_d, index_q;

      if (s == 0) begin : gen_first
        assign x = offset;
        for (genvar p = 0; p < Pe; p++) begin : gen_lane
          assign index_d[p] = read_x_q[p*InBits+:InBits] > entry[p*InBits+:InBits];
        end
      end else begin : gen_next
        logic [Pe*s-1:0] read_index_q;

        assign x = gen_stage[s-1].gen_compare.gen_pass.x_q;
        always_ff @(posedge clk_i) begin
          if (enable) read_index_q <= index;
        end
        for (genvar p = 0; p < Pe; p++) begin : gen_lane
          assign index_d[p*(s+1)+:s+1] = {
            read_index_q[p*s+:s], read_x_q[p*InBits+:InBits] > entry[p*InBits+:InBits]};
        end
      end

      always_ff @(posedge clk_i) begin
        if (!rst_ni) valid_q <= 1'b0;
        else if (enable) valid_q <= read_valid_q;
      end

      always_ff @(posedge clk_i) begin
        if (enable) begin
          read_x_q <= x;
          index_q  <= index_d;
        end
      end

      if (s + 1 < Stages) begin : gen_pass
        logic [Pe*InBits-1:0] x_q;
        always_ff @(posedge clk_i) begin
          if (enable) x_q <= read_x_q;
        end
      end
    end
  end

  stream_register #(
    .Width(Pe * CodeBits)
  ) u_out (
    .clk_i,
    .rst_ni,
    .in_valid_i(gen_stage[Stages].read_valid_q),
    .in_ready_o(enable),
    .in_data_i(gen_stage[Stages].entry),
    .out_valid_o,
    .out_ready_i,
    .out_data_o
  );

endmodule
