// SPDX-License-Identifier: Apache-2.0
// Bytes of a line to the bytes and ends of frames (SLIP, RFC 1055).

/// A word in is a byte of the line, or with its top bit a mark of one that is missing: lowest bit 0
/// for a broken one, 1 for bytes that found no room. A word out is a byte of a frame, the end of
/// one, or such a mark. An escape in front of anything but its two codes is a broken byte.
module slip_decode (
  input  logic       clk_i,
  input  logic       rst_ni,

  input  logic       in_valid_i,
  output logic       in_ready_o,
  input  logic [8:0] in_data_i,

  output logic       out_valid_o,
  input  logic       out_ready_i,
  output logic [1:0] out_kind_o, // 0 byte, 1 end, 2 broken, 3 lost
  output logic [7:0] out_data_o
);

  localparam logic [7:0] End       = 8'hC0;
  localparam logic [7:0] Escape    = 8'hDB;
  localparam logic [7:0] EscapeEnd = 8'hDC;
  localparam logic [7:0] EscapeEscape = 8'hDD;

  typedef enum logic [1:0] {KindByte, KindEnd, KindBroken, KindLost} kind_e;

  kind_e      kind_d, kind_q;
  logic [7:0] data_d, data_q;
  logic       valid_q, escape_q, mark, skip;

  assign mark        = in_data_i[8];
  assign skip        = !mark && in_data_i[7:0] == Escape && !escape_q;
  assign in_ready_o  = !valid_q || out_ready_i;
  assign out_valid_o = valid_q;
  assign out_kind_o  = kind_q;
  assign out_data_o  = data_q;

  always_comb begin
    kind_d = KindByte;
    data_d = in_data_i[7:0];
    if (mark) begin
      kind_d = in_data_i[0] ? KindLost : KindBroken;
    end else if (in_data_i[7:0] == End) begin
      kind_d = KindEnd;
    end else if (escape_q) begin
      if (in_data_i[7:0] == EscapeEnd)         data_d = End;
      else if (in_data_i[7:0] == EscapeEscape) data_d = Escape;
      else                                     kind_d = KindBroken;
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      valid_q  <= 1'b0;
      escape_q <= 1'b0;
    end else if (in_ready_o) begin
      valid_q <= in_valid_i && !skip;
      if (in_valid_i) escape_q <= skip;
    end
  end

  always_ff @(posedge clk_i) begin
    if (in_ready_o) begin
      kind_q <= kind_d;
      data_q <= data_d;
    end
  end

endmodule
