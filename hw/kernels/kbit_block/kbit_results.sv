// SPDX-License-Identifier: Apache-2.0
// Output side of a k-bit block: the sums of Pe outputs become codes, Lanes at a time.

/// Nothing here waits for the output: codes go to a memory of Depth words, and a group of outputs
/// may end only where there is room for its words, which is counted when it ends, and no sooner
/// after the group before it than that one's words take, Every cycles each. The last group of a
/// pixel may have outputs to spare: these are dropped.
module kbit_results #(
  parameter int unsigned Outputs     = 8,  // channels of a pixel
  parameter int unsigned Pe          = 1,  // outputs of a group
  parameter int unsigned Lanes       = 1,  // codes of an output word
  parameter int unsigned SumWidth    = 8,  // bits of a sum, unsigned
  parameter int unsigned Steps       = 15, // thresholds of an output
  parameter int unsigned OutBits     = 4,  // bits of a code
  parameter int unsigned Searchers   = 0,  // of `threshold_turns`, 0 for `threshold_search`
  parameter int unsigned Every       = 1,  // cycles from one word of sums to the next
  parameter bit          TurnBlock   = 1,  // tables in block RAM, if there are turns
  parameter logic [31:0] BlockTables = 0,  // otherwise those that are, see `threshold_search`
  parameter int unsigned Depth       = 32, // words of the memory, a power of 2
  parameter              TablePrefix = "", // $readmemh images, see `threshold_search`
  parameter int unsigned AccBits     = 8,  // for the tap: bits of a sum of +-code
  parameter              OffsetFile  = "", // and the image of what a sum is too large by
  parameter int unsigned TapId       = 0   // number of the tap in a simulation
) (
  input  logic                     clk_i,
  input  logic                     rst_ni,

  input  logic                     last_i,    // the step that ends a group
  input  logic                     restart_i, // and the output pixel
  output logic                     busy_o,    // no group may end
  input  logic                     done_i,    // its sums are there
  input  logic [Pe*SumWidth-1:0]   sum_i,

  output logic                     out_valid_o,
  input  logic                     out_ready_i,
  output logic [Lanes*OutBits-1:0] out_data_o
);

  localparam int unsigned Words        = Pe / Lanes;
  localparam int unsigned Folds        = (Outputs + Pe - 1) / Pe;
  localparam int unsigned Gap          = Words * Every;
  localparam int unsigned LastWords    = (Outputs - (Folds - 1) * Pe) / Lanes;
  localparam int unsigned WordWidth    = Lanes * SumWidth;
  localparam int unsigned AddressWidth = $clog2(Depth);
  localparam int unsigned RoomWidth    = AddressWidth + 2;

  if (Depth <= Words || Depth != 2 ** AddressWidth) begin : gen_check
    $error("kbit_results: Depth %0d, expected a power of 2 above %0d", Depth, Words);
  end
  if (Searchers != 0 &&
      (Lanes != 1 || Every < 3 ||
       Every * Searchers < $clog2(Steps + 1) + 1)) begin : gen_check_turns
    $error("kbit_results: %0d sums every %0d cycles are too many for %0d searchers", Lanes, Every,
           Searchers);
  end
  if (Pe % Lanes != 0 || Outputs % Lanes != 0) begin : gen_check_lanes
    $error("kbit_results: %0d outputs and Pe=%0d are no multiples of Lanes=%0d", Outputs, Pe,
           Lanes);
  end

  // One word after the other, Every cycles apart, and groups as far apart as that takes.
  logic                 word_valid, spaced;
  logic [WordWidth-1:0] word;

  if (Gap == 1) begin : gen_word
    assign word_valid = done_i;
    assign word       = sum_i;
    assign spaced     = 1'b1;
  end else begin : gen_words
    localparam int unsigned LeftWidth = (Words > 1) ? $clog2(Words) : 1;
    localparam int unsigned FoldWidth = (Folds > 1) ? $clog2(Folds) : 1;
    localparam int unsigned GapWidth  = $clog2(Gap);

    logic [LeftWidth-1:0]   left_q;
    logic [FoldWidth-1:0]   unused_fold;
    logic [GapWidth-1:0]    gap_q;
    logic                   valid_q, turn, fold_last, spaced_q;
    logic [Pe*SumWidth-1:0] sum_q;

    assign word_valid = valid_q && turn;
    assign word       = sum_q[WordWidth-1:0];
    assign spaced     = spaced_q;

    loop_counter #(
      .Count(Folds)
    ) u_fold (
      .clk_i,
      .rst_ni,
      .advance_i(done_i),
      .count_o(unused_fold),
      .last_o(fold_last)
    );

    if (Every == 1) begin : gen_each_cycle
      assign turn = 1'b1;
    end else begin : gen_turns
      localparam int unsigned WaitWidth = $clog2(Every);

      logic [WaitWidth-1:0] wait_q;

      assign turn = wait_q == '0;

      always_ff @(posedge clk_i) begin
        if (done_i)     wait_q <= '0;
        else if (!turn) wait_q <= wait_q - 1'b1;
        else            wait_q <= WaitWidth'(Every - 1);
      end
    end

    always_ff @(posedge clk_i) begin
      if (!rst_ni)                         valid_q <= 1'b0;
      else if (done_i)                     valid_q <= 1'b1;
      else if (word_valid && left_q == '0) valid_q <= 1'b0;
    end

    always_ff @(posedge clk_i) begin
      if (done_i) begin
        left_q <= fold_last ? LeftWidth'(LastWords - 1) : LeftWidth'(Words - 1);
        sum_q  <= sum_i;
      end else if (word_valid) begin
        left_q <= left_q - 1'b1;
        sum_q  <= sum_q >> WordWidth;
      end
    end

    always_ff @(posedge clk_i) begin
      if (!rst_ni) spaced_q <= 1'b1;
      else         spaced_q <= !last_i && (spaced_q || gap_q == GapWidth'(1));
    end

    always_ff @(posedge clk_i) begin
      gap_q <= last_i ? GapWidth'(Gap - 1) : gap_q - 1'b1;
    end
  end

  logic                     code_valid;
  logic [Lanes*OutBits-1:0] code;

  if (Searchers == 0) begin : gen_search
    logic unused_ready;

    threshold_search #(
      .Channels(Outputs),
      .Pe(Lanes),
      .Steps(Steps),
      .InBits(SumWidth),
      .InSigned(0),
      .CodeBits(OutBits),
      .BlockTables(BlockTables),
      .TablePrefix(TablePrefix)
    ) u_search (
      .clk_i,
      .rst_ni,
      .in_valid_i(word_valid),
      .in_ready_o(unused_ready),
      .in_data_i(word),
      .out_valid_o(code_valid),
      .out_ready_i(1'b1),
      .out_data_o(code)
    );
  end else begin : gen_turns
    threshold_turns #(
      .Channels(Outputs),
      .Searchers(Searchers),
      .Steps(Steps),
      .InBits(SumWidth),
      .CodeBits(OutBits),
      .BlockRom(TurnBlock),
      .ThresholdFile($sformatf("%s_thresholds.mem", TablePrefix)),
      .CodeFile($sformatf("%s_codes.mem", TablePrefix))
    ) u_turns (
      .clk_i,
      .rst_ni,
      .in_valid_i(word_valid),
      .in_data_i(word),
      .out_valid_o(code_valid),
      .out_data_o(code)
    );
  end

  // The memory, and a register behind it. Room: words that may still come, less those of a group.
  logic [AddressWidth-1:0]     write_q, read_q;
  logic signed [RoomWidth-1:0] room_q, taken;
  logic                        valid_q, read;
  logic [Lanes*OutBits-1:0]    data_q;

  (* ram_style = "distributed" *) logic [Lanes*OutBits-1:0] memory [Depth];

  assign busy_o      = room_q[RoomWidth-1] || !spaced;
  assign out_valid_o = valid_q;
  assign out_data_o  = data_q;
  assign read        = write_q != read_q && (!valid_q || out_ready_i);

  always_comb begin
    if (!last_i)        taken = '0;
    else if (restart_i) taken = RoomWidth'(LastWords);
    else                taken = RoomWidth'(Words);
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      write_q <= '0;
      read_q  <= '0;
      valid_q <= 1'b0;
      room_q  <= RoomWidth'(Depth - 1 - Words);
    end else begin
      write_q <= write_q + AddressWidth'(code_valid);
      read_q  <= read_q + AddressWidth'(read);
      valid_q <= read || (valid_q && !out_ready_i);
      room_q  <= room_q + RoomWidth'(read) - taken;
    end
  end

  always_ff @(posedge clk_i) begin
    if (code_valid) memory[write_q] <= code;
    if (read) data_q <= memory[read_q];
  end

`ifdef ANDPOP_SIM
  // The sums as the layer has them: without what weights of -1 add to them here.
  localparam int unsigned PixelWords = Outputs / Lanes;
  localparam int unsigned PlaceWidth = (PixelWords > 1) ? $clog2(PixelWords) : 1;

  logic [Lanes*AccBits-1:0] offsets [PixelWords];
  initial $readmemh(OffsetFile, offsets);

  logic [PlaceWidth-1:0]    place;
  logic                     unused_place_last;
  logic [Lanes*AccBits-1:0] offset, acc;

  assign offset = offsets[place];

  loop_counter #(
    .Count(PixelWords)
  ) u_place (
    .clk_i,
    .rst_ni,
    .advance_i(word_valid),
    .count_o(place),
    .last_o(unused_place_last)
  );

  for (genvar l = 0; l < Lanes; l++) begin : gen_acc
    assign acc[l*AccBits+:AccBits] =
        AccBits'(word[l*SumWidth+:SumWidth]) - offset[l*AccBits+:AccBits];
  end

  stream_tap #(
    .Width(Lanes * AccBits),
    .Id(TapId)
  ) u_tap_acc (
    .clk_i,
    .rst_ni,
    .valid_i(word_valid),
    .ready_i(1'b1),
    .data_i(acc)
  );
`else
  logic unused;
  assign unused = &{AccBits, OffsetFile, TapId};
`endif

endmodule
