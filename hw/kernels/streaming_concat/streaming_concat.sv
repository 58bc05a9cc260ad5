// SPDX-License-Identifier: Apache-2.0
// Puts the words of several inputs behind one another, vector by vector.

/// Input s gives `WordsPerStream[32*s +: 32]` words of each output vector, input 0 first. One cycle
/// of latency, one word per cycle. Only the input whose turn it is is ready; its ready follows
/// `out_ready_i` in the same cycle and depends on no valid.
module streaming_concat #(
  parameter int unsigned           Width          = 8, // bits of a word
  parameter int unsigned           Streams        = 2, // inputs
  parameter logic [32*Streams-1:0] WordsPerStream = {32'd1, 32'd1}
) (
  input  logic                     clk_i,
  input  logic                     rst_ni,

  input  logic [Streams-1:0]       in_valid_i,
  output logic [Streams-1:0]       in_ready_o,
  input  logic [Streams*Width-1:0] in_data_i,

  output logic                     out_valid_o,
  input  logic                     out_ready_i,
  output logic [Width-1:0]         out_data_o
);

  if (Streams < 2) begin : gen_check_streams
    $error("streaming_concat: found Streams=%0d, expected 2 or more", Streams);
  end
  for (genvar s = 0; s < Streams; s++) begin : gen_check
    if (WordsPerStream[32*s +: 32] == 0) begin : gen_empty
      $error("streaming_concat: found 0 words of input %0d, expected 1 or more", s);
    end
  end

  function automatic int unsigned largest_share();
    largest_share = 0;
    for (int unsigned s = 0; s < Streams; s++) begin
      if (WordsPerStream[32*s +: 32] > largest_share) largest_share = WordsPerStream[32*s +: 32];
    end
  endfunction

  localparam int unsigned CountBits = $clog2(largest_share() + 1);

  logic [Streams-1:0]   select_q;
  logic [CountBits-1:0] count_q, words; // words: share of the selected input
  logic [Width-1:0]     data_q, selected;
  logic                 valid_q, free, take, last;

  always_comb begin
    words    = '0;
    selected = '0;
    for (int unsigned s = 0; s < Streams; s++) begin
      if (select_q[s]) begin
        words    = WordsPerStream[32*s +: CountBits];
        selected = in_data_i[s*Width +: Width];
      end
    end
  end

  assign free        = !valid_q || out_ready_i;
  assign take        = free && (in_valid_i & select_q) != '0;
  assign last        = count_q == words - 1'b1;
  assign in_ready_o  = free ? select_q : '0;
  assign out_valid_o = valid_q;
  assign out_data_o  = data_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      select_q <= Streams'(1);
      valid_q  <= 1'b0;
      count_q  <= '0;
    end else if (free) begin
      valid_q <= take;
      if (take) begin
        count_q <= last ? '0 : count_q + 1'b1;
        if (last) select_q <= {select_q[Streams-2:0], select_q[Streams-1]};
      end
    end
  end

  always_ff @(posedge clk_i) begin
    if (take) data_q <= selected;
  end

endmodule
