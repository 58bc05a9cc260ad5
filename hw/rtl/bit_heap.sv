// SPDX-License-Identifier: Apache-2.0
// Sum of a heap of bits out of 7-series LUTs and carry chains, one level of counters per cycle.

/// Adds up bits of different weights and a constant modulo 2**OutWidth: column c holds
/// Heights[16*c+:16] bits of weight 2**c; the columns lie in `bits_i` one after the other, column 0
/// lowest. Takes Stages enabled cycles: Stages - 1 levels of counters (`bit_heap_counter`), which
/// leave at most three bits in a column, and `bit_heap_adder`. A heap that needs fewer levels rests
/// in registers in the others.
module bit_heap #(
  parameter int unsigned            OutWidth = 2,              // bits of the sum
  parameter logic [16*OutWidth-1:0] Heights  = {16'd1, 16'd1}, // bits per column
  parameter int unsigned            Bits     = 2,              // bits of all columns
  parameter logic [OutWidth-1:0]    Constant = '0,             // added to the sum
  parameter int unsigned            Stages   = 1               // cycles
) (
  input  logic                clk_i,
  input  logic                rst_ni, // also keeps waiting bits out of shift registers of LUTs
  input  logic                enable_i,
  input  logic [Bits-1:0]     bits_i,
  output logic [OutWidth-1:0] sum_o
);

  localparam int unsigned PlanWidth = 16 * OutWidth * Stages;

  // Counters of six or seven bits in a column; at most five bits are left over.
  function automatic int unsigned sevens(int unsigned height);
    return (height + 1) / 7;
  endfunction

  function automatic int unsigned left_over(int unsigned height);
    return (height > 7 * sevens(height)) ? height - 7 * sevens(height) : 0;
  endfunction

  // 16 bits per level and column: the height, and in bit 15 whether a counter takes three of the
  // bits left over. It does where more than three bits would meet in the next level, but not as
  // long as some column is tall: the bits may wait and then meet others, which is cheaper.
  function automatic logic [PlanWidth-1:0] make_plan();
    logic [PlanWidth-1:0] plan;
    int unsigned          height, tallest, next, carries, seconds, three;
    plan = '0;
    for (int unsigned c = 0; c < OutWidth; c++) begin
      plan[16*c+:15] = Heights[16*c+:15] + 15'(Constant[c]);
    end
    for (int unsigned k = 0; k < Stages; k++) begin
      tallest = 0;
      for (int unsigned c = 0; c < OutWidth; c++) begin
        height = 32'(plan[16*(k*OutWidth+c)+:15]);
        if (height > tallest) tallest = height;
      end
      carries = 0; // bits that come from one and from two columns below
      seconds = 0;
      for (int unsigned c = 0; c < OutWidth; c++) begin
        height  = 32'(plan[16*(k*OutWidth+c)+:15]);
        next    = sevens(height) + left_over(height) + carries + seconds;
        three   = (left_over(height) >= 3 && next > 3 && tallest <= 10) ? 1 : 0;
        seconds = (c == 0) ? 0 : sevens(32'(plan[16*(k*OutWidth+c-1)+:15]));
        carries = sevens(height) + three;
        plan[16*(k*OutWidth+c)+15] = (three == 1);
        if (k + 1 < Stages) plan[16*((k+1)*OutWidth+c)+:15] = 15'(next - 2 * three);
      end
    end
    return plan;
  endfunction

  localparam logic [PlanWidth-1:0] Plan = make_plan();

  function automatic int unsigned height_at(int unsigned level, int unsigned column);
    return (column < OutWidth) ? 32'(Plan[16*(level*OutWidth+column)+:15]) : 0;
  endfunction

  function automatic int unsigned counters_at(int unsigned level, int unsigned column);
    if (column >= OutWidth) return 0;
    return sevens(height_at(level, column)) + 32'(Plan[16*(level*OutWidth+column)+15]);
  endfunction

  // Bits that go from one level to the next in the same column.
  function automatic int unsigned stay_at(int unsigned level, int unsigned column);
    return sevens(height_at(level, column)) + left_over(height_at(level, column)) -
        2 * (counters_at(level, column) - sevens(height_at(level, column)));
  endfunction

  // Index of a column's lowest bit among the bits of its level.
  function automatic int unsigned offset_of(int unsigned level, int unsigned column);
    int unsigned offset;
    offset = 0;
    for (int unsigned c = 0; c < column; c++) offset += height_at(level, c);
    return offset;
  endfunction

  for (genvar k = 0; k < Stages; k++) begin : gen_level
    localparam int unsigned LevelBits = offset_of(k, OutWidth);

    logic [LevelBits-1:0] data;

    if (k == 0) begin : gen_input
      if (LevelBits != Bits + $countones(Constant)) begin : gen_check_bits
        $error("bit_heap: Bits is %0d, the columns hold %0d", Bits,
               LevelBits - $countones(Constant));
      end
      for (genvar c = 0; c < OutWidth; c++) begin : gen_column
        localparam int unsigned Height = 32'(Heights[16*c+:16]);
        localparam int unsigned To     = offset_of(0, c);
        localparam int unsigned From   = To - $countones(Constant & ~({OutWidth{1'b1}} << c));

        if (Height > 0) begin : gen_bits
          assign data[To+:Height] = bits_i[From+:Height];
        end
        if (Constant[c]) begin : gen_constant
          assign data[To+Height] = 1'b1;
        end
      end
    end else begin : gen_count
      logic [LevelBits-1:0] data_d, data_q;

      // Order within a column: sums of its counters, bits left over, carries of the column below,
      // second carries of the column two below.
      for (genvar c = 0; c < OutWidth; c++) begin : gen_column
        localparam int unsigned Height   = height_at(k - 1, c);
        localparam int unsigned Counters = counters_at(k - 1, c);
        localparam int unsigned Sevens   = sevens(Height);
        localparam int unsigned From     = offset_of(k - 1, c);
        localparam int unsigned Sum      = offset_of(k, c);
        localparam int unsigned Carry    = offset_of(k, c + 1) + stay_at(k - 1, c + 1);
        localparam int unsigned Second   = offset_of(k, c + 2) + stay_at(k - 1, c + 2) +
                                           counters_at(k - 1, c + 1);
        localparam int unsigned Taken    = (Counters > Sevens) ? 7 * Sevens + 3 :
                                           (7 * Sevens < Height) ? 7 * Sevens : Height;

        for (genvar i = 0; i < Counters; i++) begin : gen_counter
          localparam int unsigned Count = (i >= Sevens) ? 3 :
                                          (7 * i + 7 > Height) ? Height - 7 * i : 7;
          logic [2:0] count;

          bit_heap_counter #(
            .Count(Count)
          ) u_counter (
            .bits_i(gen_level[k-1].data[From+7*i+:Count]),
            .count_o(count)
          );
          assign data_d[Sum+i] = count[0];
          if (c + 1 < OutWidth) begin : gen_carry
            assign data_d[Carry+i] = count[1];
          end
          if (c + 2 < OutWidth && i < Sevens) begin : gen_second
            assign data_d[Second+i] = count[2];
          end
          if (c + 2 >= OutWidth || i >= Sevens) begin : gen_unused
            logic unused;
            assign unused = &count;
          end
        end

        for (genvar i = 0; i < Height - Taken; i++) begin : gen_left
          assign data_d[Sum+Counters+i] = gen_level[k-1].data[From+Taken+i];
        end
      end

      always_ff @(posedge clk_i) begin
        if (!rst_ni) data_q <= '0;
        else if (enable_i) data_q <= data_d;
      end
      assign data = data_q;
    end
  end

  logic [3*OutWidth-1:0] rows;
  logic [OutWidth-1:0]   sum_d, sum_q;
  logic                  unused_rows;

  assign unused_rows = &rows;

  for (genvar c = 0; c < OutWidth; c++) begin : gen_last
    localparam int unsigned Height = height_at(Stages - 1, c);
    localparam int unsigned From   = offset_of(Stages - 1, c);

    if (Height > 3) begin : gen_check_stages
      $error("bit_heap: %0d stages leave %0d bits in column %0d, at most 3 fit", Stages, Height, c);
    end
    for (genvar i = 0; i < 3; i++) begin : gen_row
      if (i < Height) begin : gen_bit
        assign rows[i*OutWidth+c] = gen_level[Stages-1].data[From+i];
      end else begin : gen_none
        assign rows[i*OutWidth+c] = 1'b0;
      end
    end
  end

  // The lowest columns may hold their sum already.
  function automatic int unsigned single_columns();
    for (int unsigned c = 0; c < OutWidth; c++) begin
      if (height_at(Stages - 1, c) > 1) return c;
    end
    return OutWidth;
  endfunction

  localparam int unsigned Single = single_columns();

  if (Single > 0) begin : gen_single
    assign sum_d[Single-1:0] = rows[Single-1:0];
  end
  if (Single < OutWidth) begin : gen_add
    bit_heap_adder #(
      .Width(OutWidth - Single)
    ) u_adder (
      .a_i(rows[OutWidth-1:Single]),
      .b_i(rows[2*OutWidth-1:OutWidth+Single]),
      .c_i(rows[3*OutWidth-1:2*OutWidth+Single]),
      .sum_o(sum_d[OutWidth-1:Single])
    );
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) sum_q <= '0;
    else if (enable_i) sum_q <= sum_d;
  end
  assign sum_o = sum_q;

endmodule
