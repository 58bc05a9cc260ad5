// SPDX-License-Identifier: Apache-2.0
// Register between a block RAM's own output register and a stream.

/// With `Present` a word is held here before it leaves: the word of a block RAM comes late in a
/// cycle. One word per cycle; ready follows `out_ready_i` within the cycle. Without, wires.
module output_register #(
  parameter int unsigned Width   = 8, // bits of a word
  parameter bit          Present = 1
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

  if (Present) begin : gen_register
    logic             valid_q;
    logic [Width-1:0] data_q;

    assign in_ready_o  = !valid_q || out_ready_i;
    assign out_valid_o = valid_q;
    assign out_data_o  = data_q;

    always_ff @(posedge clk_i) begin
      if (!rst_ni) valid_q <= 1'b0;
      else if (in_ready_o) valid_q <= in_valid_i;
    end

    always_ff @(posedge clk_i) begin
      if (in_ready_o) data_q <= in_data_i;
    end
  end else begin : gen_wires
    logic unused;

    assign in_ready_o  = out_ready_i;
    assign out_valid_o = in_valid_i;
    assign out_data_o  = in_data_i;
    assign unused      = &{clk_i, rst_ni};
  end

endmodule
