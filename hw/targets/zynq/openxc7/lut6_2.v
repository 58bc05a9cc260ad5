// SPDX-License-Identifier: Apache-2.0
// A LUT6_2 as the two LUTs it is made of: nextpnr-xilinx has no such cell with both outputs.
module LUT6_2 (output O6, output O5, input I0, input I1, input I2, input I3, input I4, input I5);
  parameter [63:0] INIT = 64'h0;
  LUT6 #(.INIT(INIT)) whole (
    .O(O6), .I0(I0), .I1(I1), .I2(I2), .I3(I3), .I4(I4), .I5(I5)
  );
  LUT5 #(.INIT(INIT[31:0])) half (
    .O(O5), .I0(I0), .I1(I1), .I2(I2), .I3(I3), .I4(I4)
  );
endmodule
