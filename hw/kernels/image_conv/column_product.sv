// SPDX-License-Identifier: Apache-2.0
// Products of windows and weights, the windows read from a ring of columns, in cascades of DSPs.

/// For every window, in passes of Pe outputs: reads its Kernel columns, Simd elements a cycle, and
/// adds the products of a step along a cascade of Simd DSPs per output, those of the steps behind
/// it. Passes follow one another without a gap. Nothing behind the start of a pass ever waits: a
/// pass starts when its window is there and its results have room, so no register of the datapath
/// has a clock enable but the sums. Windows of a row share columns, so a ring of 32 words holds
/// them, Columns of them per word. A window begins with a word; what its last word has beyond the
/// window, weights of 0 multiply. A column comes two cycles after its promise.
///
/// Row r of a cascade works r cycles after row 0: its element and weights come later by as much.
/// With Paired one DSP computes the products of two outputs (see `column_cascade`). Weights: for
/// each row of a cascade the words of its Pe weights, in the order of the steps; with Paired the
/// odd outputs' are less by 1 where the even one's below is negative.
module column_product #(
  parameter int unsigned Kernel      = 3,  // columns of a window
  parameter int unsigned Elements    = 3,  // elements of a column, 8 bits each
  parameter int unsigned Columns     = 1,  // columns read at once, a divisor of Stride
  parameter int unsigned Stride      = 1,  // columns from window to window, at most Kernel
  parameter int unsigned OutWidth    = 4,  // windows in a row
  parameter int unsigned Mh          = 4,  // outputs per window
  parameter int unsigned Pe          = 2,  // outputs computed in parallel
  parameter int unsigned Simd        = 3,  // elements per cycle
  parameter int unsigned Lanes       = 1,  // outputs per word
  parameter int unsigned WeightWidth = 8,  // bits of a weight
  parameter int unsigned AccWidth    = 20, // bits of an output
  parameter bit          Paired      = 0,  // a DSP for two outputs
  parameter bit          BlockRom    = 0,  // weights in block RAM, read from WeightFile
  parameter              WeightFile  = "", // one word per step: the weights of all rows, row 0 low
  parameter bit          Primitives  = 0,  // explicit LUT6_2 and DSP48E1
  localparam int unsigned WindowWords = (Kernel + Columns - 1) / Columns,
  localparam int unsigned Steps = WindowWords * (Columns * Elements / Simd),
  localparam int unsigned Depth = Steps * (Mh / Pe),
  localparam int unsigned RowWidth = Pe * WeightWidth,
  parameter logic [(BlockRom ? 1 : Simd*Depth*RowWidth)-1:0] Weights = '0 // else the weights
) (
  input  logic                      clk_i,
  input  logic                      rst_ni,

  output logic                      room_o, // a column may be promised
  input  logic                      take_i, // it is
  input  logic                      column_valid_i,
  input  logic [Elements*8-1:0]     column_data_i,

  output logic                      out_valid_o,
  input  logic                      out_ready_i,
  output logic [Lanes*AccWidth-1:0] out_data_o
);

  localparam int unsigned Groups    = Columns * Elements / Simd;
  localparam int unsigned Passes    = Mh / Pe;
  localparam int unsigned Words     = Pe / Lanes; // of a pass
  localparam int unsigned RingWords = 32;
  localparam int unsigned Advance   = Stride / Columns; // words from window to window

  // Among more than 4 groups the elements of a step are chosen in two cycles.
  localparam bit Halfway = Groups > 4;

  // A pair's factor has 25 bits; the sums of its lower output fit below the upper weight for a
  // chunk of so many rows.
  localparam int unsigned Field   = 25 - WeightWidth;
  localparam int unsigned Fitting = (1 << (Field - 1)) / (255 << (WeightWidth - 1));
  localparam int unsigned Chunk   = Paired && Fitting < Simd ? Fitting : Simd;
  localparam int unsigned Latency = Simd + 4 + 32'(Chunk < Simd) + 32'(Halfway); // from step to sum

  if (Stride % Columns != 0) begin : gen_check_columns
    $error("column_product: found Columns=%0d, expected a divisor of Stride=%0d", Columns, Stride);
  end
  if (Columns * Elements % Simd != 0) begin : gen_check_simd
    $error("column_product: %0d elements of %0d columns cannot be split over Simd=%0d",
           Columns * Elements, Columns, Simd);
  end
  if (Mh % Pe != 0) begin : gen_check_pe
    $error("column_product: Mh %0d cannot be split over Pe %0d", Mh, Pe);
  end
  if (Pe % Lanes != 0 || Words > Steps) begin : gen_check_lanes
    $error("column_product: found Lanes=%0d, expected a divisor of Pe=%0d of at least Pe/%0d",
           Lanes, Pe, Steps);
  end
  if (2 * Kernel > RingWords || Stride > Kernel) begin : gen_check_kernel
    $error("column_product: found Kernel=%0d, Stride=%0d, expected at most %0d and at most Kernel",
           Kernel, Stride, RingWords / 2);
  end

  // Results that are under way when a pass starts, and its own: as many have room.
  function automatic int unsigned words_under_way();
    int unsigned count;
    count = Words;
    for (int unsigned pass = 1; pass * Steps <= Steps + Latency + Words + 4; pass++) begin
      for (int unsigned word = 0; word < Words; word++) begin
        if (Steps + Latency + 4 + word >= pass * Steps) count++;
      end
    end
    return count;
  endfunction

  localparam int unsigned OutDepth   = words_under_way() <= 32 ? 32
                                                               : 1 << $clog2(words_under_way());
  localparam int unsigned OutBits    = $clog2(OutDepth);
  localparam int unsigned RingBits   = $clog2(RingWords);
  localparam int unsigned WeightBits = $clog2(Depth);

  // The ring. It is read while the step stands on its address.
  logic [RingBits-1:0]           write_q, base_q, base_next, read_q;
  logic [RingBits:0]             room_q;  // words free and not promised, less 1, signed
  logic [RingBits:0]             ahead_q; // beyond the window's, signed: negative while it waits
  logic [RingBits:0]             room, room_less, ahead, ahead_less;
  logic [RingBits:0]             leaves;  // words that go with a window
  logic [RingBits:0]             freed_q; // of the one that ended in the cycle before, or 0
  logic [RingBits:0]             freed_less_q; // 1 less
  logic [1:0]                    unused_carry;
  logic                          window_end, comes;
  logic [Columns*Elements*8-1:0] columns;
  logic                          promised; // a word
  logic [Columns-1:0]            here;     // the column's place in its word
  logic                          enough;   // with this column the word has what ends a window
  logic                          full;     // with this column the word has all

  if (Columns == 1) begin : gen_single
    assign room_o   = !room_q[RingBits];
    assign promised = take_i;
    assign here     = 1'b1;
    assign enough   = 1'b1;
    assign full     = 1'b1;
  end else begin : gen_several
    // Every word, the last of a row too, has as many columns as the last word of a window.
    localparam int unsigned Least      = Kernel - (WindowWords - 1) * Columns;
    localparam int unsigned RowColumns = (OutWidth - 1) * Stride + Kernel;
    localparam int unsigned RowBits    = $clog2(RowColumns);

    logic [Columns-1:0] place_q, place1_q, place2_q; // one of them is set
    logic [RowBits-1:0] unused_column;
    logic               row_end, full1_q, full2_q;

    loop_counter #(
      .Count(RowColumns)
    ) u_column (
      .clk_i,
      .rst_ni,
      .advance_i(take_i),
      .count_o  (unused_column),
      .last_o   (row_end)
    );

    assign room_o   = !place_q[0] || !room_q[RingBits];
    assign promised = take_i && place_q[0];
    assign here     = place2_q;
    assign enough   = place2_q[Least-1];
    assign full     = full2_q;

    always_ff @(posedge clk_i) begin
      if (!rst_ni) place_q <= Columns'(1);
      else if (take_i && row_end) place_q <= Columns'(1);
      else if (take_i) place_q <= {place_q[Columns-2:0], place_q[Columns-1]};
    end

    always_ff @(posedge clk_i) begin
      place1_q <= place_q;
      place2_q <= place1_q;
      full1_q  <= place_q[Columns-1] || row_end;
      full2_q  <= full1_q;
    end
  end

  for (genvar c = 0; c < Columns; c++) begin : gen_ring
    (* ram_style = "distributed" *) logic [Elements*8-1:0] ring [RingWords];

    always_ff @(posedge clk_i) begin
      if (column_valid_i && here[c]) ring[write_q] <= column_data_i;
    end
    assign columns[c*Elements*8 +: Elements*8] = ring[read_q];
  end

  // A promise comes late in a cycle: it only chooses. What is freed counts a cycle later.
  assign room      = room_q + freed_q;
  assign room_less = room_q + freed_less_q;

  // So does the end of a window. Each is one sum, with the word that comes as its carry in.
  assign comes                         = column_valid_i && enough;
  assign {ahead, unused_carry[0]}      = {ahead_q, 1'b1} + (RingBits + 2)'(comes);
  assign {ahead_less, unused_carry[1]} = {ahead_q, 1'b1} + {-leaves, comes};

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      write_q <= '0;
      freed_q <= '0;
      room_q  <= (RingBits + 1)'(RingWords - 1);
      ahead_q <= -(RingBits + 1)'(WindowWords);
    end else begin
      if (column_valid_i && full) write_q <= write_q + 1'b1;
      freed_q <= window_end ? leaves : '0;
      room_q  <= promised ? room_less : room;
      ahead_q <= window_end ? ahead_less : ahead;
    end
  end

  always_ff @(posedge clk_i) freed_less_q <= (rst_ni && window_end ? leaves : '0) - 1'b1;

  // Steps: groups of a word, words of a window, passes, windows of a row.
  localparam int unsigned GroupBits = Groups > 1 ? $clog2(Groups) : 1;
  localparam int unsigned WordBits  = WindowWords > 1 ? $clog2(WindowWords) : 1;
  localparam int unsigned PassBits  = Passes > 1 ? $clog2(Passes) : 1;
  localparam int unsigned XBits     = OutWidth > 1 ? $clog2(OutWidth) : 1;

  logic [GroupBits-1:0]  group;
  logic [WordBits-1:0]   unused_word;
  logic [PassBits-1:0]   unused_pass;
  logic [XBits-1:0]      unused_x;
  logic [WeightBits-1:0] weight_q;
  // Words of results that have room, less those of a pass, signed: negative while it waits.
  logic [OutBits:0]      credit_q;
  logic                  inside_q;     // a pass, behind its first step
  logic                  first_pass_q;
  logic                  start, step, last_group, last_word, last_step, last_pass, last_x;
  logic                  fetch;

  assign start      = !inside_q && (!first_pass_q || !ahead_q[RingBits]) && !credit_q[OutBits];
  assign step       = inside_q || start;
  assign last_step  = last_group && last_word;
  assign window_end = step && last_step && last_pass;
  assign leaves     = (RingBits + 1)'(last_x ? WindowWords : Advance);
  assign base_next  = base_q + leaves[RingBits-1:0];

  loop_counter #(
    .Count(Groups)
  ) u_group (
    .clk_i,
    .rst_ni,
    .advance_i(step),
    .count_o  (group),
    .last_o   (last_group)
  );

  loop_counter #(
    .Count(WindowWords)
  ) u_word (
    .clk_i,
    .rst_ni,
    .advance_i(step && last_group),
    .count_o  (unused_word),
    .last_o   (last_word)
  );

  loop_counter #(
    .Count(Passes)
  ) u_pass (
    .clk_i,
    .rst_ni,
    .advance_i(step && last_step),
    .count_o  (unused_pass),
    .last_o   (last_pass)
  );

  loop_counter #(
    .Count(OutWidth)
  ) u_x (
    .clk_i,
    .rst_ni,
    .advance_i(window_end),
    .count_o  (unused_x),
    .last_o   (last_x)
  );

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      first_pass_q <= 1'b1;
      weight_q     <= '0;
      inside_q     <= 1'b0;
      base_q       <= '0;
      read_q       <= '0;
      credit_q     <= (OutBits + 1)'(OutDepth - Words);
    end else begin
      if (step) begin
        inside_q <= !last_step;
        weight_q <= last_step && last_pass ? '0 : weight_q + 1'b1;
        if (last_step) first_pass_q <= last_pass;
        if (last_group) read_q <= !last_step ? read_q + 1'b1 : last_pass ? base_next : base_q;
      end
      if (window_end) base_q <= base_next;
      credit_q <= credit_q - (start ? (OutBits + 1)'(Words) : '0) + (OutBits + 1)'(fetch);
    end
  end

  // The elements of a step, and for each row of the cascade as many cycles later as it is behind.
  logic [Simd*8-1:0] chosen, elements_q, skewed;

  if (Halfway) begin : gen_two_choices
    localparam int unsigned Fours = (Groups + 3) / 4;
    logic [4*Fours*Simd*8-1:0] groups;
    logic [Fours*Simd*8-1:0]   four_q;
    logic [GroupBits-3:0]      which_q;

    assign groups = (4 * Fours * Simd * 8)'(columns);
    for (genvar f = 0; f < Fours; f++) begin : gen_four
      logic [4*Simd*8-1:0] four;

      assign four = groups[f*4*Simd*8 +: 4*Simd*8];
      always_ff @(posedge clk_i) four_q[f*Simd*8 +: Simd*8] <= four[group[1:0]*(Simd*8) +: Simd*8];
    end

    always_ff @(posedge clk_i) which_q <= group[GroupBits-1:2];
    assign chosen = four_q[which_q*(Simd*8) +: Simd*8];
  end else if (Groups > 1) begin : gen_choice
    assign chosen = columns[group*(Simd*8) +: Simd*8];
  end else begin : gen_whole
    assign chosen = columns;

    logic unused_group;
    assign unused_group = &group;
  end

  always_ff @(posedge clk_i) elements_q <= chosen;

  for (genvar r = 0; r < Simd; r++) begin : gen_skew
    if (r == 0) begin : gen_none
      assign skewed[r*8 +: 8] = elements_q[r*8 +: 8];
    end else begin : gen_delay
      // Flip-flops are there in plenty; the reset keeps the line out of shift registers of LUTs.
      logic [r*8-1:0] line_q;

      always_ff @(posedge clk_i) begin
        if (!rst_ni) line_q <= '0;
        else line_q <= (r*8)'({line_q, elements_q[r*8 +: 8]});
      end
      assign skewed[r*8 +: 8] = line_q[r*8-1 -: 8];
    end
  end

  // Weights of each row, in step with its element.
  logic [Simd*RowWidth-1:0] weights;
  logic [WeightBits-1:0]    weight;

  if (Halfway) begin : gen_weight_later
    logic [WeightBits-1:0] later_q;

    always_ff @(posedge clk_i) later_q <= weight_q;
    assign weight = later_q;
  end else begin : gen_weight
    assign weight = weight_q;
  end

  if (BlockRom) begin : gen_block
    (* rom_style = "block", ram_style = "block" *) logic [Simd*RowWidth-1:0] memory [Depth];
    logic [Simd*RowWidth-1:0] word_q;
    logic                     unused;

    assign unused = &Weights;
    initial $readmemh(WeightFile, memory);
    always_ff @(posedge clk_i) word_q <= memory[weight];

    for (genvar r = 0; r < Simd; r++) begin : gen_row
      if (r == 0) begin : gen_none
        assign weights[r*RowWidth +: RowWidth] = word_q[r*RowWidth +: RowWidth];
      end else begin : gen_delay
        logic [r*RowWidth-1:0] line_q;

        always_ff @(posedge clk_i) begin
          if (!rst_ni) line_q <= '0;
          else line_q <= (r*RowWidth)'({line_q, word_q[r*RowWidth +: RowWidth]});
        end
        assign weights[r*RowWidth +: RowWidth] = line_q[r*RowWidth-1 -: RowWidth];
      end
    end
  end else begin : gen_luts
    logic [Simd*WeightBits-1:0] address_q; // row 0's first

    always_ff @(posedge clk_i) begin
      if (!rst_ni) address_q <= '0;
      else address_q <= (Simd*WeightBits)'({address_q, weight});
    end

    for (genvar r = 0; r < Simd; r++) begin : gen_row
      weight_rom #(
        .Depth     (Depth),
        .Width     (RowWidth),
        .Contents  (Weights[r*Depth*RowWidth +: Depth*RowWidth]),
        .Primitives(Primitives)
      ) u_rom (
        .address_i(address_q[r*WeightBits +: WeightBits]),
        .data_o   (weights[r*RowWidth +: RowWidth])
      );
    end
  end

  // What a step is, until its sums come out of the cascades: valid, first and last of its pass.
  logic [Latency-1:0] valid_q, first_q, last_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) valid_q <= '0;
    else valid_q <= {valid_q[Latency-2:0], step};
  end

  always_ff @(posedge clk_i) begin
    first_q <= {first_q[Latency-2:0], !inside_q};
    last_q  <= {last_q[Latency-2:0], last_step};
  end

  logic [Pe*AccWidth-1:0] sums_q;
  logic                   done_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) done_q <= 1'b0;
    else done_q <= valid_q[Latency-1] && last_q[Latency-1];
  end

  logic [Pe*AccWidth-1:0] step_sums;

  localparam int unsigned Width = Paired ? 2 : 1; // outputs of a cascade

  for (genvar p = 0; p < Pe; p += Width) begin : gen_cascade
    localparam int unsigned Outputs = p + Width > Pe ? Pe - p : Width;

    // The cascade's part of every row's word.
    logic [Simd*Outputs*WeightWidth-1:0] own;

    for (genvar r = 0; r < Simd; r++) begin : gen_row
      assign own[r*Outputs*WeightWidth +: Outputs*WeightWidth] =
          weights[r*RowWidth+p*WeightWidth +: Outputs*WeightWidth];
    end

    column_cascade #(
      .Simd       (Simd),
      .Chunk      (Chunk),
      .Outputs    (Outputs),
      .WeightWidth(WeightWidth),
      .AccWidth   (AccWidth),
      .Primitives (Primitives)
    ) u_cascade (
      .clk_i,
      .pixels_i (skewed),
      .weights_i(own),
      .sums_o   (step_sums[p*AccWidth +: Outputs*AccWidth])
    );
  end

  for (genvar p = 0; p < Pe; p++) begin : gen_output
    always_ff @(posedge clk_i) begin
      if (valid_q[Latency-1]) begin
        sums_q[p*AccWidth +: AccWidth] <= step_sums[p*AccWidth +: AccWidth] +
            (first_q[Latency-1] ? '0 : sums_q[p*AccWidth +: AccWidth]);
      end
    end
  end

  // Results one word after the other into a buffer that has room for them.
  logic                      push;
  logic [Lanes*AccWidth-1:0] word;

  if (Words == 1) begin : gen_one_word
    assign push = done_q;
    assign word = sums_q;
  end else begin : gen_words
    localparam int unsigned NumberBits = $clog2(Words);
    logic [Pe*AccWidth-1:0] held_q;
    logic [NumberBits-1:0]  number_q;
    logic                   sending_q;

    assign push = sending_q;
    assign word = held_q[number_q*(Lanes*AccWidth) +: Lanes*AccWidth];

    always_ff @(posedge clk_i) begin
      if (done_q) held_q <= sums_q;
    end

    always_ff @(posedge clk_i) begin
      if (!rst_ni || done_q) number_q <= '0;
      else number_q <= number_q + 1'b1;
    end

    always_ff @(posedge clk_i) begin
      if (!rst_ni) sending_q <= 1'b0;
      else if (done_q) sending_q <= 1'b1;
      else if (number_q == NumberBits'(Words - 1)) sending_q <= 1'b0;
    end
  end

  logic [OutBits-1:0] to_q, from_q;
  logic [OutBits:0]   filled_q;
  logic               out_valid_q;

  assign fetch       = filled_q != '0 && (!out_valid_q || out_ready_i);
  assign out_valid_o = out_valid_q;

  line_memory #(
    .Width(Lanes * AccWidth),
    .Depth(OutDepth)
  ) u_results (
    .clk_i,
    .write_i        (push),
    .write_address_i(to_q),
    .write_data_i   (word),
    .read_i         (fetch),
    .read_address_i (from_q),
    .read_data_o    (out_data_o)
  );

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      to_q        <= '0;
      from_q      <= '0;
      filled_q    <= '0;
      out_valid_q <= 1'b0;
    end else begin
      if (push) to_q <= to_q + 1'b1;
      if (fetch) from_q <= from_q + 1'b1;
      filled_q    <= filled_q + (OutBits + 1)'(push) - (OutBits + 1)'(fetch);
      out_valid_q <= fetch || (out_valid_q && !out_ready_i);
    end
  end

endmodule
