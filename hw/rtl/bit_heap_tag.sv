// SPDX-License-Identifier: Apache-2.0
// Valid and tag of a pipeline of fixed length.

/// Hands valid and tag on after Cycles enabled cycles.
module bit_heap_tag #(
  parameter int unsigned Cycles   = 2, // at least 2
  parameter int unsigned TagWidth = 2  // bits of the tag
) (
  input  logic                clk_i,
  input  logic                rst_ni,
  input  logic                enable_i,

  input  logic                valid_i,
  input  logic [TagWidth-1:0] tag_i,

  output logic                valid_o,
  output logic [TagWidth-1:0] tag_o
);

  logic [Cycles-1:0]          valid_q;
  logic [Cycles*TagWidth-1:0] tag_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      valid_q <= '0;
      tag_q   <= '0;
    end else if (enable_i) begin
      valid_q <= {valid_q[Cycles-2:0], valid_i};
      tag_q   <= {tag_q[(Cycles-1)*TagWidth-1:0], tag_i};
    end
  end

  assign valid_o = valid_q[Cycles-1];
  assign tag_o   = tag_q[Cycles*TagWidth-1-:TagWidth];

endmodule
