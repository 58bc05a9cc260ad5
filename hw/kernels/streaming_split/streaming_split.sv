// SPDX-License-Identifier: Apache-2.0
// Deals the words of every vector to several outputs: the first words to output 0, and so on.

/// Output s takes `WordsPerStream[32*s +: 32]` words of each vector. The outputs share one data
/// register, since only one of them is addressed at a time. One cycle of latency, one word per
/// cycle. `in_ready_o` follows `out_ready_i` in the same cycle.
module streaming_split #(
  parameter int unsigned             Width          = 8, // bits of a word
  parameter int unsigned             Streams        = 2, // outputs
  parameter logic [32*Streams-1:0]   WordsPerStream = {32'd1, 32'd1}
) (
  input  logic                     clk_i,
  input  logic                     rst_ni,

  input  logic                     in_valid_i,
  output logic                     in_ready_o,
  input  logic [Width-1:0]         in_data_i,

  output logic [Streams-1:0]       out_valid_o,
  input  logic [Streams-1:0]       out_ready_i,
  output logic [Streams*Width-1:0] out_data_o
);

  if (Streams < 2) begin : gen_check_streams
    $error("streaming_split: found Streams=%0d, expected 2 or more", Streams);
  end
  for (genvar s = 0; s < Streams; s++) begin : gen_check
    if (WordsPerStream[32*s +: 32] == 0) begin : gen_empty
      $error("streaming_split: found 0 words for output %0d, expected 1 or more", s);
    end
  end

  function automatic int unsigned largest_share();
    largest_share = 0;
    for (int unsigned s = 0; s < Streams; s++) begin
      if (WordsPerStream[32*s +: 32] > largest_share) largest_share = WordsPerStream[32*s +: 32];
    end
  endfunction

  localparam int unsigned CountBits = $clog2(largest_share() + 1);

  logic [Streams-1:0]   select_q, valid_q;
  logic [Width-1:0]     data_q;
  logic [CountBits-1:0] count_q, words; // words: share of the addressed output
  logic                 last;

  always_comb begin
    words = '0;
    for (int unsigned s = 0; s < Streams; s++) begin
      if (select_q[s]) words = WordsPerStream[32*s +: CountBits];
    end
  end

  assign last        = count_q == words - 1'b1;
  assign in_ready_o  = (valid_q & ~out_ready_i) == '0;
  assign out_valid_o = valid_q;
  assign out_data_o  = {Streams{data_q}};

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      select_q <= Streams'(1);
      valid_q  <= '0;
      count_q  <= '0;
    end else if (in_ready_o) begin
      valid_q <= in_valid_i ? select_q : '0;
      if (in_valid_i) begin
        count_q <= last ? '0 : count_q + 1'b1;
        if (last) select_q <= {select_q[Streams-2:0], select_q[Streams-1]};
      end
    end
  end

  always_ff @(posedge clk_i) begin
    if (in_ready_o && in_valid_i) data_q <= in_data_i;
  end

endmodule
