// SPDX-License-Identifier: Apache-2.0
// Deals the words of every pixel to two rows: the first half to the upper, the rest to the lower.

/// Of every input pixel the first `HalfWords` words (dy = 0) belong to the upper one of two output
/// rows, the other `HalfWords` (dy = 1) to the lower one; within a row they keep their order. Each
/// half has its queue, both in one memory, and the rows are played from the queues in turn.
///
/// With one word in and one out per cycle, `Columns - 1` half pixels wait while the upper row
/// goes out and the lower one comes in, and `Columns / 2` upper ones of the next line come in
/// while the lower row goes out: the queues hold just these, and two words for the pipeline.
/// Two cycles of latency, three with `BlockRam`. `in_ready_o` does not depend on `out_ready_i`.
module pixel_interleave #(
  parameter int unsigned Width     = 8, // bits of a word
  parameter int unsigned HalfWords = 2, // words of half an input pixel
  parameter int unsigned Columns   = 2, // input pixels of a line
  parameter bit          BlockRam  = 0  // memory in block RAM, otherwise in LUTs
) (
  input  logic             clk_i,
  input  logic             rst_ni,

  input  logic             in_valid_i,
  output logic             in_ready_o,
  input  logic [Width-1:0] in_data_i,

  output logic             out_valid_o,
  input  logic             out_ready_i,
  output logic [Width-1:0] out_data_o
);

  if (HalfWords < 1 || Columns < 1) begin : gen_check
    $error("pixel_interleave: found HalfWords=%0d Columns=%0d, expected 1 or more",
           HalfWords, Columns);
  end

  localparam int unsigned UpperDepth  = HalfWords * (Columns / 2) + 2;
  localparam int unsigned LowerDepth  = HalfWords * (Columns - 1) + 2;
  localparam int unsigned Depth       = UpperDepth + LowerDepth;
  localparam int unsigned AddressBits = $clog2(Depth);
  localparam int unsigned RowWords    = HalfWords * Columns;
  localparam int unsigned HalfBits    = HalfWords > 1 ? $clog2(HalfWords) : 1;
  localparam int unsigned RowBits     = RowWords > 1 ? $clog2(RowWords) : 1;

  logic                push, fetch, last_of_half, last_of_row;
  logic                lower_in_q;  // the half pixel that comes in
  logic                lower_out_q; // the row that goes out
  logic [HalfBits-1:0] half_q;
  logic [RowBits-1:0]  row_q;
  logic                word_q;      // a word is at the memory's output
  logic                word_leaves;
  logic [Width-1:0]    word;

  // Queue 0 holds upper halves, queue 1 lower ones.
  logic [1:0]                  has_space, has_word;
  logic [1:0][AddressBits-1:0] write_address, read_address;

  for (genvar q = 0; q < 2; q++) begin : gen_queue
    localparam int unsigned First = q == 0 ? 0 : UpperDepth;
    localparam int unsigned Words = q == 0 ? UpperDepth : LowerDepth;
    localparam int unsigned Last  = First + Words - 1;
    localparam int unsigned Bits  = $clog2(Words + 1);

    logic [AddressBits-1:0] write_q, read_q;
    logic [Bits-1:0]        fill_q;
    logic                   push_here, fetch_here;

    assign push_here  = push && lower_in_q == 1'(q);
    assign fetch_here = fetch && lower_out_q == 1'(q);

    always_ff @(posedge clk_i) begin
      if (!rst_ni) begin
        write_q <= AddressBits'(First);
        read_q  <= AddressBits'(First);
        fill_q  <= '0;
      end else begin
        if (push_here) begin
          write_q <= write_q == AddressBits'(Last) ? AddressBits'(First) : write_q + 1'b1;
        end
        if (fetch_here) begin
          read_q <= read_q == AddressBits'(Last) ? AddressBits'(First) : read_q + 1'b1;
        end
        if (push_here != fetch_here) fill_q <= push_here ? fill_q + 1'b1 : fill_q - 1'b1;
      end
    end

    assign has_space[q]     = fill_q != Bits'(Words);
    assign has_word[q]      = fill_q != '0;
    assign write_address[q] = write_q;
    assign read_address[q]  = read_q;
  end

  assign in_ready_o   = has_space[lower_in_q];
  assign push         = in_valid_i && in_ready_o;
  assign fetch        = has_word[lower_out_q] && (!word_q || word_leaves);
  assign last_of_half = half_q == HalfBits'(HalfWords - 1);
  assign last_of_row  = row_q == RowBits'(RowWords - 1);

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      half_q      <= '0;
      lower_in_q  <= 1'b0;
      row_q       <= '0;
      lower_out_q <= 1'b0;
      word_q      <= 1'b0;
    end else begin
      if (push) begin
        half_q <= last_of_half ? '0 : half_q + 1'b1;
        if (last_of_half) lower_in_q <= !lower_in_q;
      end
      if (fetch) begin
        row_q <= last_of_row ? '0 : row_q + 1'b1;
        if (last_of_row) lower_out_q <= !lower_out_q;
      end
      if (fetch || word_leaves) word_q <= fetch;
    end
  end

  line_memory #(
    .Width   (Width),
    .Depth   (Depth),
    .BlockRam(BlockRam)
  ) u_memory (
    .clk_i,
    .write_i        (push),
    .write_address_i(write_address[lower_in_q]),
    .write_data_i   (in_data_i),
    .read_i         (fetch),
    .read_address_i (read_address[lower_out_q]),
    .read_data_o    (word)
  );

  output_register #(
    .Width  (Width),
    .Present(BlockRam)
  ) u_out (
    .clk_i,
    .rst_ni,
    .in_valid_i(word_q),
    .in_ready_o(word_leaves),
    .in_data_i (word),
    .out_valid_o,
    .out_ready_i,
    .out_data_o
  );

endmodule
