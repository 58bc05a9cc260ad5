// SPDX-License-Identifier: Apache-2.0
// Bytes and ends of frames to the bytes of a line (SLIP, RFC 1055).

/// A word in is a byte, or an end, which has no data. A byte that means something on the line takes
/// two.
module slip_encode (
  input  logic       clk_i,
  input  logic       rst_ni,

  input  logic       in_valid_i,
  output logic       in_ready_o,
  input  logic       in_end_i,
  input  logic [7:0] in_data_i,

  output logic       out_valid_o,
  input  logic       out_ready_i,
  output logic [7:0] out_data_o
);

  localparam logic [7:0] End       = 8'hC0;
  localparam logic [7:0] Escape    = 8'hDB;
  localparam logic [7:0] EscapeEnd = 8'hDC;
  localparam logic [7:0] EscapeEscape = 8'hDD;

  logic       valid_q, second_q, special, free; // a second byte follows the one that is out
  logic [7:0] data_q, code_q;

  assign special     = !in_end_i && (in_data_i == End || in_data_i == Escape);
  assign free        = !valid_q || out_ready_i;
  assign in_ready_o  = free && !second_q;
  assign out_valid_o = valid_q;
  assign out_data_o  = data_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      valid_q  <= 1'b0;
      second_q <= 1'b0;
    end else if (free) begin
      valid_q  <= second_q || in_valid_i;
      second_q <= !second_q && in_valid_i && special;
    end
  end

  always_ff @(posedge clk_i) begin
    if (free) begin
      if (second_q)     data_q <= code_q;
      else if (in_end_i) data_q <= End;
      else if (special) data_q <= Escape;
      else              data_q <= in_data_i;
      code_q <= in_data_i == End ? EscapeEnd : EscapeEscape;
    end
  end

endmodule
