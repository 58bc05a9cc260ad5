// SPDX-License-Identifier: Apache-2.0
// First-word-fall-through FIFO of any depth, with a capacity limit and a peak fill in simulation.

`ifdef ANDPOP_SIM
// Outside the module: the generated C++ has one wrapper of each, not one per FIFO.
import "DPI-C" function int unsigned andpop_fifo_capacity(input int unsigned id);
import "DPI-C" function void andpop_fifo_report(
  input int unsigned id, input int unsigned fill, input int unsigned peak
);
`endif

/// Holds at most `Depth` words, the output register included. Valid, data and ready are registers.
/// One cycle of latency and one word per cycle at every depth; the data then pass one multiplexer.
/// With `HalfRate` two cycles of latency and at most one word in two cycles: every word passes the
/// memory, whose output register is the output. With `BlockRam` and 4 words or more, and without it
/// above 256 words, every word passes the memory and one more register, as its word comes late in a
/// cycle: three cycles of latency at either rate. With `BankWords` the memory is banks of so many
/// words, each with a register of its own behind, and what selects among these comes next: four
/// cycles, and one word per cycle with `HalfRate` as well. The simulation of a network knows the
/// form with less latency only, unless `ANDPOP_BUILT_FIFOS` is defined.
///
/// In simulation (`SYNTHESIS` undefined) `capacity_q` limits the fill below `Depth` and `peak_q`
/// is the largest fill since reset; both may be read, and `capacity_q` (2 or more) deposited, while
/// the clock runs. With `ANDPOP_SIM` defined the harness is asked for the capacity and told the
/// fill and peak of the run before while reset is low; a run calls nothing.
module streaming_fifo #(
  parameter int unsigned Width     = 8, // bits of a word
  parameter int unsigned Depth     = 2, // words, 2 or more
  parameter bit          BlockRam  = 0, // memory in block RAM, otherwise in LUTs
  parameter int unsigned BankWords = 0, // words of a bank of it, a power of two; 0 where it is one
  parameter bit          HalfRate  = 0, // at most one word in two cycles
  parameter int unsigned Id        = 0  // number under which the simulation harness knows it
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

  if (Depth < 2) begin : gen_check
    $error("streaming_fifo %0d: found Depth=%0d, expected 2 or more", Id, Depth);
  end
  if (BankWords != 0 && (!BlockRam || BankWords < 2 || BankWords >= Depth ||
                         (BankWords & (BankWords - 1)) != 0)) begin : gen_check_banks
    $error("streaming_fifo %0d: found BankWords=%0d, expected 0, or a power of two below Depth=%0d",
           Id, BankWords, Depth, " with BlockRam");
  end

  // The simulation of a network sets the depth at run time: there all memories are alike. With
  // `ANDPOP_BUILT_FIFOS` it has the depths that were found, and the forms that are built.
`ifdef ANDPOP_BUILT_FIFOS
  localparam bit AnyDepth = 1'b0;
`elsif ANDPOP_SIM
  localparam bit AnyDepth = 1'b1;
`else
  localparam bit AnyDepth = 1'b0;
`endif
  // Four words are what the rate of one per cycle needs then.
  localparam bit          Deep        = !BlockRam && !AnyDepth && Depth > 256; // in parts of LUTs
  localparam bit          Late        = Deep || (BlockRam && !AnyDepth && Depth >= 4);
  localparam bit          Banked      = Late && BankWords != 0;
  localparam bit          Wraps       = (Depth & (Depth - 1)) == 0; // addresses do so themselves
  localparam int unsigned FillBits    = $clog2(Depth + 1);
  localparam int unsigned AddressBits = $clog2(Depth);

  logic [FillBits-1:0] fill_q, fill_d, capacity;
  logic                over; // more words than that: it was lowered meanwhile
  logic                push, pop;

  assign push   = in_valid_i && in_ready_o;
  assign pop    = out_valid_o && out_ready_i;
  assign fill_d = push ? fill_q + 1'b1 : fill_q - 1'b1; // of use only when push and pop differ

  always_ff @(posedge clk_i) begin
    if (!rst_ni) fill_q <= '0;
    else if (push != pop) fill_q <= fill_d;
  end

  if (Depth == 2 && !HalfRate && !AnyDepth) begin : gen_register
    stream_register #(
      .Width(Width)
    ) u_register (
      .clk_i,
      .rst_ni,
      .in_valid_i,
      .in_ready_o,
      .in_data_i,
      .out_valid_o,
      .out_ready_i,
      .out_data_o
    );
    logic unused_capacity;
    assign unused_capacity = &{capacity, over};
  end else begin : gen_queue
    logic [AddressBits-1:0] write_q, read_q;
    logic                   in_ready_q, out_valid;
    logic                   store, fetch; // a word goes into the memory, out of it

    assign in_ready_o  = in_ready_q;
    assign out_valid_o = out_valid;

    always_ff @(posedge clk_i) begin
      if (!rst_ni) in_ready_q <= 1'b1;
      else if (push != pop) in_ready_q <= push ? fill_q < capacity - 1'b1 : !over;
    end

    always_ff @(posedge clk_i) begin
      if (!rst_ni) write_q <= '0;
      else if (store) write_q <= !Wraps && write_q == AddressBits'(Depth - 1) ? '0 : write_q + 1'b1;
    end

    always_ff @(posedge clk_i) begin
      if (!rst_ni) read_q <= '0;
      else if (fetch) read_q <= !Wraps && read_q == AddressBits'(Depth - 1) ? '0 : read_q + 1'b1;
    end

    logic [Width-1:0] memory_q;
    logic             word_q, word_leaves; // with `Late`: a word is at the memory's output
    logic             takes;               // a word that is fetched now has where to go
    logic             unused_late;

    assign unused_late = &{word_q, word_leaves, takes};
    if (!Late) begin : gen_early
      assign {word_q, word_leaves, takes} = '0;
    end

    if (Banked) begin : gen_banks
      localparam int unsigned Banks    = (Depth + BankWords - 1) / BankWords;
      localparam int unsigned WordBits = $clog2(BankWords);
      localparam int unsigned BankBits = AddressBits - WordBits;

      logic [BankBits-1:0] fetched_q;
      // The bank of the word behind, the bank written next: a bit each, which chooses in fewer
      // steps than a number.
      logic [Banks-1:0]    chosen_q, target_q;
      logic                bank_ends;      // with the word that is written
      logic [Width-1:0]    behind [Banks]; // words in the registers behind the banks
      logic                held_q, moves;  // a word has been read; what was read moves behind

      assign moves    = !word_q || word_leaves;
      assign takes    = !held_q || moves;

      always_comb begin
        memory_q = '0;
        for (int unsigned b = 0; b < Banks; b++) memory_q |= {Width{chosen_q[b]}} & behind[b];
      end

      always_ff @(posedge clk_i) begin
        if (!rst_ni) held_q <= 1'b0;
        else         held_q <= fetch || !takes;
      end

      always_ff @(posedge clk_i) begin
        if (!rst_ni)    word_q <= 1'b0;
        else if (moves) word_q <= held_q;
      end

      always_ff @(posedge clk_i) begin
        if (fetch) fetched_q <= read_q[WordBits+:BankBits];
        if (moves) chosen_q <= Banks'(1) << fetched_q;
      end

      assign bank_ends = &write_q[WordBits-1:0] || write_q == AddressBits'(Depth - 1);

      always_ff @(posedge clk_i) begin
        if (!rst_ni)                 target_q <= Banks'(1);
        else if (store && bank_ends) target_q <= {target_q[Banks-2:0], target_q[Banks-1]};
      end

      for (genvar b = 0; b < Banks; b++) begin : gen_bank
        (* ram_style = "block", no_rw_check *) logic [Width-1:0] memory [BankWords];
        logic [Width-1:0] bank_word_q, behind_q;

        assign behind[b] = behind_q;
        always_ff @(posedge clk_i) begin
          if (store && target_q[b]) memory[write_q[WordBits-1:0]] <= in_data_i;
          if (fetch) bank_word_q <= memory[read_q[WordBits-1:0]];
          if (moves) behind_q <= bank_word_q;
        end
      end
    end else if (BlockRam && !AnyDepth) begin : gen_block
      (* ram_style = "block", no_rw_check *) logic [Width-1:0] memory [Depth];
      always_ff @(posedge clk_i) begin
        if (store) memory[write_q] <= in_data_i;
        if (fetch) memory_q <= memory[read_q];
      end
    end else if (Deep) begin : gen_deep
      deep_memory #(
        .Width(Width),
        .Depth(Depth)
      ) u_memory (
        .clk_i,
        .write_i        (store),
        .write_address_i(write_q),
        .write_data_i   (in_data_i),
        .read_i         (fetch),
        .read_address_i (read_q),
        .read_data_o    (memory_q)
      );
    end else begin : gen_distributed
      (* ram_style = "distributed" *) logic [Width-1:0] memory [Depth];
      always_ff @(posedge clk_i) begin
        if (store) memory[write_q] <= in_data_i;
        if (fetch) memory_q <= memory[read_q];
      end
    end

    if (Late) begin : gen_behind
      assign store = push;

      if (!Banked) begin : gen_one
        assign takes = !word_q || word_leaves;
        always_ff @(posedge clk_i) begin
          if (!rst_ni) word_q <= 1'b0;
          else         word_q <= fetch || (word_q && !word_leaves);
        end
      end

      output_register #(
        .Width(Width)
      ) u_out (
        .clk_i,
        .rst_ni,
        .in_valid_i(word_q),
        .in_ready_o(word_leaves),
        .in_data_i(memory_q),
        .out_valid_o(out_valid),
        .out_ready_i,
        .out_data_o
      );

      if (HalfRate && !Banked) begin : gen_half
        logic                stored_q; // the memory holds a word
        logic [FillBits-1:0] one_stored;

        assign one_stored = out_valid ? FillBits'(2) : FillBits'(1);

        // All words but the one at the output lie in the memory then.
        assign fetch = stored_q && !word_q && word_leaves;

        always_ff @(posedge clk_i) begin
          if (!rst_ni) stored_q <= 1'b0;
          else stored_q <= push || (stored_q && !(fetch && fill_q == one_stored));
        end
      end else begin : gen_full
        logic [FillBits:0] stored_q; // words in the memory less one, two's complement

        assign fetch = !stored_q[FillBits] && takes;

        always_ff @(posedge clk_i) begin
          if (!rst_ni) stored_q <= '1;
          else if (push != fetch) stored_q <= push ? stored_q + 1'b1 : stored_q - 1'b1;
        end
      end
    end else if (HalfRate) begin : gen_half
      logic out_valid_q;
      logic stored_q; // the memory holds a word

      assign out_valid  = out_valid_q;
      assign store      = push;
      assign fetch      = stored_q && !out_valid_q; // so all words lie in the memory then
      assign out_data_o = memory_q;

      always_ff @(posedge clk_i) begin
        if (!rst_ni) begin
          stored_q    <= 1'b0;
          out_valid_q <= 1'b0;
        end else begin
          stored_q    <= push || (stored_q && !(fetch && fill_q == FillBits'(1)));
          out_valid_q <= out_valid_q ? !out_ready_i : fetch;
        end
      end
    end else begin : gen_full
      // The oldest word always stands in an output register, so a word passes the memory by when
      // nothing stays there: the FIFO is empty, or its only word leaves in this cycle.
      logic             out_valid_q, passes, from_memory_q;
      logic [Width-1:0] direct_q;

      assign out_valid  = out_valid_q;
      assign passes     = fill_q == FillBits'(pop);
      assign store      = push && !passes;
      assign fetch      = pop && !passes;
      assign out_data_o = from_memory_q ? memory_q : direct_q;

      always_ff @(posedge clk_i) begin
        if (!rst_ni) out_valid_q <= 1'b0;
        else if (push != pop) out_valid_q <= fill_d != '0;
      end

      always_ff @(posedge clk_i) begin
        if (push && passes) direct_q <= in_data_i;
        if (fetch || (push && passes)) from_memory_q <= fetch;
      end
    end
  end

`ifdef SYNTHESIS
  assign capacity = FillBits'(Depth);
  assign over     = 1'b0;
`else
  logic [FillBits-1:0] capacity_q, peak_q;
  assign capacity = capacity_q;
  assign over     = fill_q > capacity_q;

`ifdef ANDPOP_SIM
  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      // 0, or more than the storage: the storage is the limit.
      capacity_q <= andpop_fifo_capacity(Id) - 1 < Depth ? FillBits'(andpop_fifo_capacity(Id))
                                                         : FillBits'(Depth);
      andpop_fifo_report(Id, 32'(fill_q), 32'(peak_q));
    end
  end
`else
  always_ff @(posedge clk_i) begin
    if (!rst_ni) capacity_q <= FillBits'(Depth);
  end
`endif

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      peak_q <= '0;
    end else if (push && !pop) begin
      if (fill_d > peak_q) peak_q <= fill_d;
    end
  end
`endif

endmodule
