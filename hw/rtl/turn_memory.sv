// SPDX-License-Identifier: Apache-2.0
// A word of each of several turns that go round: running sums of channels, one after the other.

/// `data_o` is what `data_i` was `Turns` steps before. Steps are counted outside: `turn_i` is the
/// number of the turn, `last_i` marks the last one. Of two turns and more the words lie in a memory
/// and are read while the word before is made; of four and more they are written a step later. Out
/// of block RAM, or of LUTs that hold more than 64, they come late in a cycle: these are read two
/// steps ahead, through a register.
module turn_memory #(
  parameter int unsigned Width    = 8, // bits of a word
  parameter int unsigned Turns    = 1, // words
  parameter bit          BlockRam = 0, // in block RAM, otherwise in LUTs; of four turns and more
  localparam int unsigned TurnBits = Turns > 1 ? $clog2(Turns) : 1
) (
  input  logic                clk_i,
  input  logic                rst_ni,
  input  logic                step_i,
  input  logic [TurnBits-1:0] turn_i,
  input  logic                last_i,
  input  logic [Width-1:0]    data_i,
  output logic [Width-1:0]    data_o
);

  if (Turns == 1) begin : gen_register
    logic [Width-1:0] data_q;
    logic             unused;

    always_ff @(posedge clk_i) begin
      if (step_i) data_q <= data_i;
    end
    assign data_o = data_q;
    assign unused = &{rst_ni, turn_i, last_i};
  end else if (Turns < 4) begin : gen_short
    logic unused;

    line_memory #(
      .Width   (Width),
      .Depth   (Turns),
      .BlockRam(0)
    ) u_memory (
      .clk_i,
      .write_i        (step_i),
      .write_address_i(turn_i),
      .write_data_i   (data_i),
      .read_i         (step_i),
      .read_address_i (last_i ? '0 : turn_i + 1'b1),
      .read_data_o    (data_o)
    );
    assign unused = rst_ni;
  end else begin : gen_memory
    localparam bit          Deep  = !BlockRam && Turns > 64; // in parts of LUT RAM
    localparam bit          Late  = BlockRam || Deep;
    localparam int unsigned Ahead = Late ? 2 : 1;

    logic                write_q, unused;
    logic [TurnBits-1:0] address_q, ahead_q;
    logic [Width-1:0]    data_q, word;

    always_ff @(posedge clk_i) begin
      if (!rst_ni) begin
        write_q <= 1'b0;
        ahead_q <= TurnBits'(Ahead);
      end else begin
        write_q <= step_i;
        if (step_i) ahead_q <= ahead_q == TurnBits'(Turns - 1) ? '0 : ahead_q + 1'b1;
      end
    end

    always_ff @(posedge clk_i) begin
      address_q <= turn_i;
      data_q    <= data_i;
    end

    if (Deep) begin : gen_deep
      deep_memory #(
        .Width(Width),
        .Depth(Turns)
      ) u_memory (
        .clk_i,
        .write_i        (write_q),
        .write_address_i(address_q),
        .write_data_i   (data_q),
        .read_i         (step_i),
        .read_address_i (ahead_q),
        .read_data_o    (word)
      );
    end else begin : gen_whole
      line_memory #(
        .Width   (Width),
        .Depth   (Turns),
        .BlockRam(BlockRam)
      ) u_memory (
        .clk_i,
        .write_i        (write_q),
        .write_address_i(address_q),
        .write_data_i   (data_q),
        .read_i         (step_i),
        .read_address_i (ahead_q),
        .read_data_o    (word)
      );
    end

    if (Late) begin : gen_behind
      logic [Width-1:0] word_q;

      always_ff @(posedge clk_i) begin
        if (step_i) word_q <= word;
      end
      assign data_o = word_q;
    end else begin : gen_direct
      assign data_o = word;
    end
    assign unused = last_i;
  end

endmodule
