// SPDX-License-Identifier: Apache-2.0
// Back of a grouped_mvu: adds the partial sums of several groups, which come in turn.

/// Partial sums come round by round: one word of each of `Turns` groups of lanes, then again. A
/// word's sums start from `init_data_i`, of its turn, in the first round of a vector and leave in
/// the last one, modulo 2**AccWidth; the running sums of the others wait in a memory. `enable_o`,
/// the clock enable of the pipeline in front, is a register: one word per cycle, without a gap.
module grouped_back #(
  parameter int unsigned Pe       = 1, // lanes
  parameter int unsigned AccWidth = 8, // bits of a sum
  parameter int unsigned Turns    = 2, // words of a round
  parameter bit          BlockRam = 0  // running sums in block RAM, otherwise in LUTs
) (
  input  logic                   clk_i,
  input  logic                   rst_ni,
  output logic                   enable_o,

  input  logic                   dot_valid_i,
  input  logic                   dot_first_i, // of the first round of a vector
  input  logic                   dot_last_i,  // of the last round
  input  logic [Pe*AccWidth-1:0] dot_data_i,

  output logic                   init_ready_o, // a word per turn, which has to be there
  input  logic [Pe*AccWidth-1:0] init_data_i,

  output logic                   out_valid_o,
  input  logic                   out_ready_i,
  output logic [Pe*AccWidth-1:0] out_data_o
);

  localparam int unsigned TurnBits = Turns > 1 ? $clog2(Turns) : 1;

  logic [TurnBits-1:0]    turn;
  logic                   accept, last_turn, done_q;
  logic [Pe*AccWidth-1:0] sum_old, sum_new, sum_q;

  assign accept       = enable_o && dot_valid_i;
  assign init_ready_o = accept;

  loop_counter #(
    .Count(Turns)
  ) u_turn (
    .clk_i,
    .rst_ni,
    .advance_i(accept),
    .count_o(turn),
    .last_o(last_turn)
  );

  for (genvar p = 0; p < Pe; p++) begin : gen_lane
    // In this order Yosys needs one LUT per bit: the first operand goes to the carry chain.
    assign sum_new[p*AccWidth+:AccWidth] =
        dot_data_i[p*AccWidth+:AccWidth] +
        (dot_first_i ? init_data_i[p*AccWidth+:AccWidth] : sum_old[p*AccWidth+:AccWidth]);
  end

  turn_memory #(
    .Width   (Pe * AccWidth),
    .Turns   (Turns),
    .BlockRam(BlockRam)
  ) u_sums (
    .clk_i,
    .rst_ni,
    .step_i(accept),
    .turn_i(turn),
    .last_i(last_turn),
    .data_i(sum_new),
    .data_o(sum_old)
  );

  always_ff @(posedge clk_i) begin
    if (!rst_ni) done_q <= 1'b0;
    else if (enable_o) done_q <= dot_valid_i && dot_last_i;
  end

  always_ff @(posedge clk_i) begin
    if (enable_o) sum_q <= sum_new;
  end

  stream_register #(
    .Width(Pe * AccWidth)
  ) u_out (
    .clk_i,
    .rst_ni,
    .in_valid_i(done_q),
    .in_ready_o(enable_o),
    .in_data_i (sum_q),
    .out_valid_o,
    .out_ready_i,
    .out_data_o
  );

endmodule
