// SPDX-License-Identifier: Apache-2.0
// Maximum or sum over a sliding window along one axis of a stream.

/// A line is `Length` steps of `Inner` words. Output line: `OutLength` steps of `Inner` words, step
/// w the maximum, or with Sum the sum, over the input steps
/// `w*Stride - PadLow .. w*Stride - PadLow + Kernel-1` that exist. Only the running maxima or sums
/// of the open windows are stored: `Slots` per inner word. An element has the bits of a sum.
///
/// One input word per cycle. A window leaves two cycles after its last step: first all comparisons
/// are made, then the window and the larger of its two words are chosen. Windows that reach beyond
/// the line leave with the line's last step, the further ones of them in `Drains` extra steps
/// without input. With Buffered the output has a second register and `in_ready_o` does not depend
/// on `out_ready_i`; without, it follows it in the same cycle.
module window_pool #(
  parameter int unsigned Lanes     = 1, // elements of a word
  parameter int unsigned Bits      = 8, // bits of an element
  parameter bit          Signed    = 1,
  parameter bit          Sum       = 0, // the sum of a window, otherwise its maximum
  parameter int unsigned Length    = 4, // input steps of a line
  parameter int unsigned Inner     = 1, // words of a step
  parameter int unsigned Kernel    = 2,
  parameter int unsigned Stride    = 2,
  parameter int unsigned PadLow    = 0, // border steps in front of the line
  parameter int unsigned OutLength = 2, // output steps of a line
  parameter bit          BlockRam  = 0, // maxima or sums in block RAM, otherwise in LUTs
  parameter bit          Buffered  = 0  // two registers at the output
) (
  input  logic                  clk_i,
  input  logic                  rst_ni,

  input  logic                  in_valid_i,
  output logic                  in_ready_o,
  input  logic [Lanes*Bits-1:0] in_data_i,

  output logic                  out_valid_o,
  input  logic                  out_ready_i,
  output logic [Lanes*Bits-1:0] out_data_o
);

  // Windows that stay open from one step to the next, at most.
  localparam int unsigned Slots = Kernel > 1 ? (Kernel - 2 + Stride) / Stride : 1;
  // Windows that end before the last step; one more may leave in it, the others are drained.
  localparam int unsigned Early = Length + PadLow <= Kernel ? 0 :
                                  (Length + PadLow - Kernel + Stride - 1) / Stride;
  localparam bit          EndsAtLast = OutLength > Early;
  localparam int unsigned Drains     = EndsAtLast ? OutLength - Early - 1 : 0;
  // The window that leaves in the last step has only this one step inside the line.
  localparam bit          LastAlone  =
      Drains == 0 && (OutLength - 1) * Stride == Length - 1 + PadLow;
  // The first window that starts behind step 0, and where.
  localparam int unsigned LateWindow = PadLow / Stride + 1;
  localparam int unsigned LateStart  = LateWindow * Stride - PadLow;

  if (BlockRam && Inner < 5) begin : gen_check_ahead
    $error("window_pool: found Inner=%0d words, expected 5 or more in block RAM", Inner);
  end
  if (PadLow >= Kernel) begin : gen_check_pad
    $error("window_pool: found PadLow=%0d, expected less than Kernel=%0d", PadLow, Kernel);
  end
  if ((OutLength - 1) * Stride > Length - 1 + PadLow) begin : gen_check_out
    $error("window_pool: found OutLength=%0d, but window %0d starts behind Length=%0d",
           OutLength, OutLength - 1, Length);
  end
  if (OutLength < Early) begin : gen_check_early
    $error("window_pool: found OutLength=%0d, but Length=%0d holds %0d windows",
           OutLength, Length, Early);
  end

  localparam int unsigned WordBits  = Lanes * Bits;
  localparam int unsigned Span      = Length + Kernel + Stride;
  localparam int unsigned StepBits  = $clog2(Span + 1);
  localparam int unsigned InnerBits = Inner > 1 ? $clog2(Inner) : 1;
  localparam int unsigned SlotBits  = Slots > 1 ? $clog2(Slots) : 1;

  logic [InnerBits-1:0] inner, read_address; // word of the step, and what is read meanwhile
  logic [StepBits-1:0]  step_q;     // step of the line, or of the drain
  logic [StepBits-1:0]  to_close_q; // steps until the next window ends
  logic [StepBits-1:0]  to_open_q;  // steps until the next window starts
  logic [SlotBits-1:0]  close_slot_q, open_slot_q;
  logic                 drain_q, first_q;
  logic                 last_q, emits_q; // the line's last step, one that sends
  logic                 drain_next, last_next, closes_next;
  logic                 last_inner;      // the step's last word
  logic                 opens, alone, free, fire, line_done;

  assign opens      = first_q || to_open_q == '0;
  assign alone      = first_q || Kernel == 1 || (last_q && LastAlone);

  assign fire       = (drain_q || in_valid_i) && (free || !emits_q);
  assign in_ready_o = !drain_q && (free || !emits_q);
  assign line_done  = Drains == 0 ? last_q : drain_q && step_q == StepBits'(Drains - 1);

  // What the next step is, known a step ahead.
  assign drain_next  = !line_done && (drain_q || last_q);
  assign last_next   = !drain_next && (line_done ? Length == 1 : step_q == StepBits'(Length - 2));
  assign closes_next = line_done          ? Kernel - 1 == PadLow :
                       to_close_q == '0   ? Stride == 1 :
                                            to_close_q == StepBits'(1);

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      step_q       <= '0;
      first_q      <= 1'b1;
      drain_q      <= 1'b0;
      last_q       <= Length == 1;
      emits_q      <= Length == 1 ? EndsAtLast : Kernel - 1 == PadLow;
      to_close_q   <= StepBits'(Kernel - 1 - PadLow);
      to_open_q    <= StepBits'(LateStart);
      close_slot_q <= '0;
      open_slot_q  <= SlotBits'(LateWindow % Slots);
    end else if (fire && last_inner) begin
      first_q <= line_done;
      step_q  <= line_done || last_q ? '0 : step_q + 1'b1;
      drain_q <= drain_next;
      last_q  <= last_next;
      emits_q <= drain_next || (last_next ? EndsAtLast : closes_next);
      if (line_done) begin
        to_close_q   <= StepBits'(Kernel - 1 - PadLow);
        to_open_q    <= StepBits'(LateStart);
        close_slot_q <= '0;
        open_slot_q  <= SlotBits'(LateWindow % Slots);
      end else begin
        to_close_q <= to_close_q == '0 ? StepBits'(Stride - 1) : to_close_q - 1'b1;
        to_open_q  <= to_open_q == '0 ? StepBits'(Stride - 1) : to_open_q - 1'b1;
        if (emits_q) begin
          close_slot_q <= close_slot_q == SlotBits'(Slots - 1) ? '0 : close_slot_q + 1'b1;
        end
        if (to_open_q == '0) begin
          open_slot_q <= open_slot_q == SlotBits'(Slots - 1) ? '0 : open_slot_q + 1'b1;
        end
      end
    end
  end

  // The words of a step are counted where memory is read, one or two words ahead.
  if (Inner == 1) begin : gen_one_word
    assign inner        = '0;
    assign read_address = '0;
    assign last_inner   = 1'b1;
  end else begin : gen_words
    localparam int unsigned Ahead = BlockRam ? 2 : 1;

    logic [Ahead:0][InnerBits-1:0] word_q; // highest: the one that is read
    logic [Ahead:0]                last_word_q;

    assign inner        = word_q[0];
    assign last_inner   = last_word_q[0];
    assign read_address = word_q[Ahead];

    always_ff @(posedge clk_i) begin
      if (!rst_ni) begin
        for (int unsigned a = 0; a <= Ahead; a++) begin
          word_q[a]      <= InnerBits'(a % Inner);
          last_word_q[a] <= a % Inner == Inner - 1;
        end
      end else if (fire) begin
        word_q[Ahead-1:0]      <= word_q[Ahead:1];
        last_word_q[Ahead-1:0] <= last_word_q[Ahead:1];
        word_q[Ahead]          <= last_word_q[Ahead] ? '0 : word_q[Ahead] + 1'b1;
        last_word_q[Ahead]     <= word_q[Ahead] == InnerBits'(Inner - 2);
      end
    end
  end

  // old: running maxima or sums of this inner word; kept: those after the new word, with new
  // windows. joined: what is kept or leaves of a window, unless it is the new word.
  logic [Slots*WordBits-1:0] old_q, joined, kept;
  logic [Slots*Lanes-1:0]    greater; // the new word is; never with Sum
  logic [Slots-1:0]          starts;  // a window starts with it

  for (genvar s = 0; s < Slots; s++) begin : gen_slot
    // In step 0 all slots start anew: the ones without a window are started again in time.
    assign starts[s] = first_q || (opens && open_slot_q == SlotBits'(s));

    for (genvar i = 0; i < Lanes; i++) begin : gen_lane
      logic [Bits-1:0] a, b;

      assign a = in_data_i[i*Bits +: Bits];
      assign b = old_q[s*WordBits + i*Bits +: Bits];

      if (Sum) begin : gen_sum
        // A drained window has met its last step.
        assign joined[s*WordBits + i*Bits +: Bits] = b + (a & {Bits{!drain_q}});
        assign greater[s*Lanes + i] = 1'b0;
      end else begin : gen_max
        // The sign of a difference is a carry chain alone; of a comparison tools make more.
        logic [Bits:0] less;

        assign less = {Signed && b[Bits-1], b} - {Signed && a[Bits-1], a};
        assign joined[s*WordBits + i*Bits +: Bits] = b;
        assign greater[s*Lanes + i] = less[Bits];

        logic unused;
        assign unused = &less[Bits-1:0];
      end
    end
  end

  // What `kept` is chosen from: where it is written a cycle later, in that cycle.
  logic [WordBits-1:0]       met;
  logic [Slots*WordBits-1:0] was;
  logic [Slots*Lanes-1:0]    newer_kept;
  logic [Slots-1:0]          new_kept;

  if (Inner < 4) begin : gen_at_once
    assign met        = in_data_i;
    assign was        = joined;
    assign newer_kept = greater;
    assign new_kept   = starts;
  end else begin : gen_later
    always_ff @(posedge clk_i) begin
      met        <= in_data_i;
      was        <= joined;
      newer_kept <= greater;
      new_kept   <= starts;
    end
  end

  for (genvar k = 0; k < Slots * Lanes; k++) begin : gen_kept
    assign kept[k*Bits +: Bits] =
        new_kept[k/Lanes] || newer_kept[k] ? met[(k%Lanes)*Bits +: Bits] : was[k*Bits +: Bits];
  end

  // The maxima of the next inner word are read while this one's are written. In block RAM there is
  // time enough between two steps: they are written a cycle later and pass one more register.
  if (Inner == 1) begin : gen_register
    logic unused;

    assign unused = &{inner, read_address};
    always_ff @(posedge clk_i) begin
      if (fire && !drain_q) old_q <= kept;
    end
  end else if (Inner < 4) begin : gen_short
    line_memory #(
      .Width   (Slots * WordBits),
      .Depth   (Inner),
      .BlockRam(0)
    ) u_memory (
      .clk_i,
      .write_i        (fire && !drain_q),
      .write_address_i(inner),
      .write_data_i   (kept),
      .read_i         (fire),
      .read_address_i (read_address),
      .read_data_o    (old_q)
    );
  end else begin : gen_memory
    logic                      write_q;
    logic [InnerBits-1:0]      address_q;
    logic [Slots*WordBits-1:0] word;

    always_ff @(posedge clk_i) begin
      if (!rst_ni) write_q <= 1'b0;
      else         write_q <= fire && !drain_q;
    end

    always_ff @(posedge clk_i) begin
      address_q <= inner;
    end

    line_memory #(
      .Width   (Slots * WordBits),
      .Depth   (Inner),
      .BlockRam(BlockRam)
    ) u_memory (
      .clk_i,
      .write_i        (write_q),
      .write_address_i(address_q),
      .write_data_i   (kept),
      .read_i         (fire),
      .read_address_i (read_address),
      .read_data_o    (word)
    );

    if (BlockRam) begin : gen_behind
      logic [Slots*WordBits-1:0] word_q;

      always_ff @(posedge clk_i) begin
        if (fire) word_q <= word;
      end
      assign old_q = word_q;
    end else begin : gen_direct
      assign old_q = word;
    end
  end

  // Of a step that sends: the word, the maxima or sums, and what compares them.
  logic                      sent_q, alone_q, drained_q;
  logic                      leaves; // the output takes it
  logic [SlotBits-1:0]       slot_q;
  logic [WordBits-1:0]       in_q;
  logic [Slots*WordBits-1:0] maxima_q;
  logic [Slots*Lanes-1:0]    greater_q;

  assign free = !sent_q || leaves;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) sent_q <= 1'b0;
    else if (free) sent_q <= fire && emits_q;
  end

  always_ff @(posedge clk_i) begin
    if (free) begin
      alone_q   <= alone;
      drained_q <= drain_q;
      slot_q    <= close_slot_q;
      in_q      <= in_data_i;
      maxima_q  <= joined;
      greater_q <= greater;
    end
  end

  logic [WordBits-1:0] maximum;
  logic [Lanes-1:0]    newer;

  if (Slots == 1) begin : gen_one
    logic unused_slot;

    assign maximum     = maxima_q;
    assign newer       = greater_q;
    assign unused_slot = slot_q;
  end else begin : gen_several
    assign maximum = maxima_q[slot_q*WordBits +: WordBits];
    assign newer   = greater_q[slot_q*Lanes +: Lanes];
  end

  logic [WordBits-1:0] chosen;

  for (genvar i = 0; i < Lanes; i++) begin : gen_chosen
    assign chosen[i*Bits +: Bits] = alone_q || (newer[i] && !drained_q) ? in_q[i*Bits +: Bits] :
                                                                        maximum[i*Bits +: Bits];
  end

  if (Buffered) begin : gen_two_registers
    stream_register #(
      .Width(WordBits)
    ) u_out (
      .clk_i,
      .rst_ni,
      .in_valid_i(sent_q),
      .in_ready_o(leaves),
      .in_data_i (chosen),
      .out_valid_o,
      .out_ready_i,
      .out_data_o
    );
  end else begin : gen_one_register
    output_register #(
      .Width(WordBits)
    ) u_out (
      .clk_i,
      .rst_ni,
      .in_valid_i(sent_q),
      .in_ready_o(leaves),
      .in_data_i (chosen),
      .out_valid_o,
      .out_ready_i,
      .out_data_o
    );
  end

endmodule
