// SPDX-License-Identifier: Apache-2.0
// Tells which steps along an axis end a window.

/// The first window of a line ends `Reach` steps behind its first step, the others `Stride` steps
/// behind one another. `ends_o`, a register, is high while the next step ends one; `last_i` says
/// that it is the last step of the line.
module window_end #(
  parameter int unsigned Reach  = 2, // steps from a window's first to its last
  parameter int unsigned Stride = 1
) (
  input  logic clk_i,
  input  logic rst_ni,

  input  logic step_i,
  input  logic last_i,
  output logic ends_o
);

  if (Reach == 0 && Stride == 1) begin : gen_always
    assign ends_o = 1'b1;

    logic unused_clocking;
    assign unused_clocking = &{clk_i, rst_ni, step_i, last_i};
  end else begin : gen_count
    localparam int unsigned Longest = Reach > Stride - 1 ? Reach : Stride - 1;
    localparam int unsigned Bits    = $clog2(Longest + 1);
    logic [Bits-1:0] wait_q, wait_d; // steps until one that ends a window
    logic            ends_q;

    assign ends_o = ends_q;

    always_comb begin
      if (last_i)      wait_d = Bits'(Reach);
      else if (ends_q) wait_d = Bits'(Stride - 1);
      else             wait_d = wait_q - 1'b1;
    end

    always_ff @(posedge clk_i) begin
      if (!rst_ni) begin
        wait_q <= Bits'(Reach);
        ends_q <= Reach == 0;
      end else if (step_i) begin
        wait_q <= wait_d;
        ends_q <= wait_d == '0;
      end
    end
  end

endmodule
