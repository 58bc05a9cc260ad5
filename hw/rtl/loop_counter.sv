// SPDX-License-Identifier: Apache-2.0
// A loop over Count steps whose last step is known from a register.

/// `count_o` is the number of the step at hand, 0 .. Count-1 and then again from 0; `last_o` marks
/// the last one. Both are registers, so that an enable that hangs on `last_o` needs no comparison.
module loop_counter #(
  parameter int unsigned Count = 2, // steps
  localparam int unsigned Width = (Count > 1) ? $clog2(Count) : 1
) (
  input  logic             clk_i,
  input  logic             rst_ni,
  input  logic             advance_i,
  output logic [Width-1:0] count_o,
  output logic             last_o
);

  if (Count < 1) begin : gen_check
    $error("loop_counter: found Count=%0d, expected 1 or more", Count);
  end

  if (Count == 1) begin : gen_one
    logic unused;

    assign count_o = '0;
    assign last_o  = 1'b1;
    assign unused  = &{clk_i, rst_ni, advance_i};
  end else begin : gen_loop
    localparam bit Wraps = Count == 2 ** Width;

    logic [Width-1:0] count_q;
    logic             last_q;

    assign count_o = count_q;
    assign last_o  = last_q;

    always_ff @(posedge clk_i) begin
      if (!rst_ni) begin
        count_q <= '0;
        last_q  <= 1'b0;
      end else if (advance_i) begin
        count_q <= (!Wraps && last_q) ? '0 : count_q + 1'b1;
        last_q  <= count_q == Width'(Count - 2);
      end
    end
  end

endmodule
