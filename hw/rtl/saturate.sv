// SPDX-License-Identifier: Apache-2.0
// Clamps a two's complement number into fewer bits.

/// Combinational: `out_o` is `in_i` clamped to the range of OutWidth bits.
module saturate #(
  parameter int unsigned InWidth  = 16, // bits of the input
  parameter int unsigned OutWidth = 8   // bits of the output
) (
  input  logic signed [InWidth-1:0]  in_i,
  output logic signed [OutWidth-1:0] out_o
);

  if (OutWidth >= InWidth) begin : gen_extend
    assign out_o = OutWidth'(in_i);
  end else begin : gen_clamp
    localparam int unsigned TopWidth = InWidth - OutWidth + 1;
    logic [TopWidth-1:0] top;
    logic                fits;

    assign top   = in_i[InWidth-1:OutWidth-1];
    assign fits  = top == '0 || top == '1;
    assign out_o = fits ? in_i[OutWidth-1:0]
                        : {in_i[InWidth-1], {(OutWidth - 1){!in_i[InWidth-1]}}};
  end

endmodule
