// SPDX-License-Identifier: Apache-2.0
// Counts along a line that is mirrored at both ends.

/// The indices of a line with its borders are Low, Low-1 .. 1, then 0 .. Length-1, then Length-2
/// .. Length-1-High; after the last one it starts again. `step_i` goes to the next index.
module reflect_index #(
  parameter  int unsigned Length    = 4, // of the line
  parameter  int unsigned Low       = 1, // indices in front of it
  parameter  int unsigned High      = 1, // indices behind it
  localparam int unsigned IndexBits = Length > 1 ? $clog2(Length) : 1
) (
  input  logic                 clk_i,
  input  logic                 rst_ni,

  input  logic                 step_i,
  output logic [IndexBits-1:0] index_o,
  output logic                 inside_o,   // the index is not one of a border
  output logic                 descends_o, // the next index is the one below
  output logic                 last_o      // the next index starts anew
);

  if (Low >= Length || High >= Length) begin : gen_check
    $error("reflect_index: found Low=%0d High=%0d, expected less than Length=%0d",
           Low, High, Length);
  end

  logic [IndexBits-1:0] index_q;
  logic                 front_q, back_q; // in the border in front, behind
  logic                 top;

  assign top        = index_q == IndexBits'(Length - 1);
  assign index_o    = index_q;
  assign inside_o   = !front_q && !back_q;
  assign descends_o = front_q || back_q || top;
  assign last_o     = High == 0 ? !front_q && top :
                                  back_q && index_q == IndexBits'(Length - 1 - High);

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      index_q <= IndexBits'(Low);
      front_q <= Low != 0;
      back_q  <= 1'b0;
    end else if (step_i) begin
      if (last_o) begin
        index_q <= IndexBits'(Low);
        front_q <= Low != 0;
        back_q  <= 1'b0;
      end else begin
        index_q <= descends_o ? index_q - 1'b1 : index_q + 1'b1;
        if (front_q) front_q <= index_q != IndexBits'(1);
        else if (top) back_q <= 1'b1;
      end
    end
  end

endmodule
