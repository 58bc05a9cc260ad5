// SPDX-License-Identifier: Apache-2.0
// Counts the steps of a loop; its last step is known from a register.

/// Counts `Length` steps, over and over. `last_o` is high while the next step is the last one.
module loop_count #(
  parameter int unsigned Length = 2 // steps
) (
  input  logic clk_i,
  input  logic rst_ni,

  input  logic step_i,
  output logic last_o
);

  if (Length == 0) begin : gen_check
    $error("loop_count: found Length=0, expected 1 or more");
  end

  if (Length == 1) begin : gen_one
    assign last_o = 1'b1;

    logic unused_clocking;
    assign unused_clocking = &{clk_i, rst_ni, step_i};
  end else begin : gen_count
    localparam int unsigned Bits = $clog2(Length);
    logic [Bits-1:0] count_q;
    logic            last_q;

    assign last_o = last_q;

    always_ff @(posedge clk_i) begin
      if (!rst_ni) begin
        count_q <= '0;
        last_q  <= 1'b0;
      end else if (step_i) begin
        count_q <= last_q ? '0 : count_q + 1'b1;
        last_q  <= count_q == Bits'(Length - 2);
      end
    end
  end

endmodule
