// SPDX-License-Identifier: Apache-2.0
// One byte more in a CRC-32 of IEEE 802.3, the one of zlib.

/// Combinational. A sum begins with all ones and is sent inverted, low byte first. Taken over a
/// message and its sum, it ends at 32'hDEBB20E3.
module crc32_byte (
  input  logic [31:0] crc_i,
  input  logic [7:0]  data_i,
  output logic [31:0] crc_o
);

  always_comb begin
    crc_o = crc_i ^ {24'b0, data_i};
    for (int unsigned i = 0; i < 8; i++) begin
      crc_o = {1'b0, crc_o[31:1]} ^ (crc_o[0] ? 32'hEDB88320 : 32'h0);
    end
  end

endmodule
