// SPDX-License-Identifier: Apache-2.0
// Counts along a line with a border at either end.

/// Counts Low + Length + High steps, over and over. Registers say of the next step whether it lies
/// inside the line, and whether it is the last one.
module border_count #(
  parameter int unsigned Low    = 1, // steps in front of the line
  parameter int unsigned Length = 4,
  parameter int unsigned High   = 1  // steps behind it
) (
  input  logic clk_i,
  input  logic rst_ni,

  input  logic step_i,
  output logic inside_o,
  output logic last_o
);

  localparam int unsigned All = Low + Length + High;

  if (Length == 0) begin : gen_check
    $error("border_count: found Length=0, expected 1 or more");
  end

  if (All == 1) begin : gen_one
    assign inside_o = 1'b1;
    assign last_o   = 1'b1;

    logic unused_clocking;
    assign unused_clocking = &{clk_i, rst_ni, step_i};
  end else begin : gen_count
    localparam int unsigned Bits = $clog2(All);
    logic [Bits-1:0] count_q;
    logic            inside_q, last_q;

    assign inside_o = inside_q;
    assign last_o   = last_q;

    always_ff @(posedge clk_i) begin
      if (!rst_ni) begin
        count_q  <= '0;
        inside_q <= Low == 0;
        last_q   <= 1'b0;
      end else if (step_i) begin
        count_q <= last_q ? '0 : count_q + 1'b1;
        last_q  <= count_q == Bits'(All - 2);
        if (last_q)                                     inside_q <= Low == 0;
        else if (Low > 0 && count_q == Bits'(Low - 1))  inside_q <= 1'b1;
        else if (count_q == Bits'(Low + Length - 1))    inside_q <= 1'b0;
      end
    end
  end

endmodule
