// SPDX-License-Identifier: Apache-2.0
// First-word-fall-through FIFO of any depth, with a capacity limit and a peak fill in simulation.

`ifdef ANDPOP_SIM
// Outside the module: the generated C++ has one wrapper of each, not one per FIFO.
import "DPI-C" function int unsigned andpop_fifo_capacity(input int unsigned id);
import "DPI-C" function void andpop_fifo_report(
  input int unsigned id, input int unsigned fill, input int unsigned peak
);
`endif

/// Holds at most `Depth` words, the output register included. One cycle of latency, one word per
/// cycle at every depth from 2 on; valid, data and ready are registers (with `BlockRam` the data
/// passes one multiplexer, which keeps the memory's own output register usable).
///
/// In simulation (`SYNTHESIS` undefined) `capacity_q` limits the fill below `Depth` and `peak_q`
/// is the largest fill since reset; both may be read, and `capacity_q` (2 or more) deposited, while
/// the clock runs. With `ANDPOP_SIM` defined the harness is asked for the capacity and told the
/// fill and peak of the run before while reset is low; a run calls nothing.
module streaming_fifo #(
  parameter int unsigned Width    = 8, // bits of a word
  parameter int unsigned Depth    = 2, // words, 2 or more
  // Memory in block RAM, otherwise in LUTs: at 8192 bits LUT RAM takes about 170 LUTs.
  parameter bit          BlockRam = Depth > 64 && Depth * Width > 8192,
  parameter int unsigned Id       = 0  // number under which the simulation harness knows it
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

`ifdef ANDPOP_SIM
  localparam bit OneMemory = 1'b1; // the same cycles with less to simulate
`else
  localparam bit OneMemory = 1'b0;
`endif
  localparam bit          UseBlock    = BlockRam && !OneMemory;
  localparam int unsigned FillBits    = $clog2(Depth + 1);
  localparam int unsigned AddressBits = $clog2(Depth);

  logic [FillBits-1:0]    fill_q, fill_d, capacity;
  logic [AddressBits-1:0] write_q, read_q;
  logic                   in_ready_q, out_valid_q;
  logic                   push, pop, passes;

  assign push = in_valid_i && in_ready_q;
  assign pop  = out_valid_q && out_ready_i;

  // The oldest word always stands in the output register, so a word passes the memory by when
  // nothing stays there: the FIFO is empty, or its only word leaves in this cycle.
  assign passes = fill_q == FillBits'(pop);
  assign fill_d = push ? fill_q + 1'b1 : fill_q - 1'b1; // of use only when push and pop differ

  // Everything below hangs on push or pop: in a simulation an idle FIFO costs two branches.
  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      fill_q      <= '0;
      in_ready_q  <= 1'b1;
      out_valid_q <= 1'b0;
    end else if (push != pop) begin
      fill_q      <= fill_d;
      in_ready_q  <= fill_d < capacity;
      out_valid_q <= fill_d != '0;
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      write_q <= '0;
    end else if (push) begin
      if (!passes) write_q <= write_q == AddressBits'(Depth - 1) ? '0 : write_q + 1'b1;
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      read_q <= '0;
    end else if (pop) begin
      if (!passes) read_q <= read_q == AddressBits'(Depth - 1) ? '0 : read_q + 1'b1;
    end
  end

  assign in_ready_o  = in_ready_q;
  assign out_valid_o = out_valid_q;

  if (UseBlock) begin : gen_block
    (* ram_style = "block" *) logic [Width-1:0] memory [Depth];
    logic [Width-1:0] memory_q, direct_q;
    logic             from_memory_q;
    logic             fetch;
    assign fetch = pop && !passes;
    always_ff @(posedge clk_i) begin
      if (push && !passes) memory[write_q] <= in_data_i;
      if (fetch) memory_q <= memory[read_q];
    end
    always_ff @(posedge clk_i) begin
      if (push && passes) direct_q <= in_data_i;
      if (fetch || (push && passes)) from_memory_q <= fetch;
    end
    assign out_data_o = from_memory_q ? memory_q : direct_q;
  end else begin : gen_distributed
    (* ram_style = "distributed" *) logic [Width-1:0] memory [Depth];
    logic [Width-1:0] data_q;
    always_ff @(posedge clk_i) begin
      if (push) begin
        if (!passes) memory[write_q] <= in_data_i;
      end
    end
    always_ff @(posedge clk_i) begin
      if (pop && !passes) data_q <= memory[read_q];
      else if (push && passes) data_q <= in_data_i;
    end
    assign out_data_o = data_q;
  end

`ifdef SYNTHESIS
  assign capacity = FillBits'(Depth);
`else
  logic [FillBits-1:0] capacity_q, peak_q;
  assign capacity = capacity_q;

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
