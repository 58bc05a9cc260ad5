// SPDX-License-Identifier: Apache-2.0
// Rounds away fraction bits (half up) and saturates to a narrower type.

/// y = saturate((x + 2**(Shift-1)) >> Shift), lane by lane. Two cycles of latency (add and shift |
/// saturate), one word per cycle. `in_ready_o` follows `out_ready_i` in the same cycle.
module shift_requant #(
  parameter int unsigned Lanes     = 1,  // elements of a word
  parameter int unsigned InBits    = 16, // bits of an input element
  parameter bit          InSigned  = 1,
  parameter int unsigned OutBits   = 8,  // bits of an output element
  parameter bit          OutSigned = 1,
  parameter int unsigned Shift     = 0   // fraction bits to round away
) (
  input  logic                     clk_i,
  input  logic                     rst_ni,

  input  logic                     in_valid_i,
  output logic                     in_ready_o,
  input  logic [Lanes*InBits-1:0]  in_data_i,

  output logic                     out_valid_o,
  input  logic                     out_ready_i,
  output logic [Lanes*OutBits-1:0] out_data_o
);

  // A sign for unsigned inputs, a carry for the rounding, and room for the limits of the output.
  localparam int unsigned WideIn  = InBits > Shift ? InBits : Shift;
  localparam int unsigned SumBits = (WideIn > OutBits ? WideIn : OutBits) + 2;

  localparam logic signed [SumBits-1:0] One  = SumBits'(1);
  localparam logic signed [SumBits-1:0] Half = Shift == 0 ? '0 : (One <<< Shift) >>> 1;
  localparam logic signed [SumBits-1:0] High = (One <<< (OutSigned ? OutBits - 1 : OutBits)) - One;
  localparam logic signed [SumBits-1:0] Low  = OutSigned ? -High - One : '0;

  logic                     sum_valid_q, out_valid_q, sum_free, out_free;
  logic [Lanes*SumBits-1:0] sum_d, sum_q;
  logic [Lanes*OutBits-1:0] out_d, out_q;

  for (genvar i = 0; i < Lanes; i++) begin : gen_lane
    logic signed [SumBits-1:0] wide, rounded;
    assign wide = {{SumBits - InBits{InSigned && in_data_i[i*InBits + InBits - 1]}},
                   in_data_i[i*InBits +: InBits]};
    assign sum_d[i*SumBits +: SumBits] = (wide + Half) >>> Shift;

    assign rounded = sum_q[i*SumBits +: SumBits];
    assign out_d[i*OutBits +: OutBits] = rounded > High ? High[OutBits-1:0] :
                                         rounded < Low  ? Low[OutBits-1:0] : rounded[OutBits-1:0];
  end

  assign out_free    = !out_valid_q || out_ready_i;
  assign sum_free    = !sum_valid_q || out_free;
  assign in_ready_o  = sum_free;
  assign out_valid_o = out_valid_q;
  assign out_data_o  = out_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      sum_valid_q <= 1'b0;
      out_valid_q <= 1'b0;
    end else begin
      if (sum_free) sum_valid_q <= in_valid_i;
      if (out_free) out_valid_q <= sum_valid_q;
    end
  end

  always_ff @(posedge clk_i) begin
    if (sum_free && in_valid_i) sum_q <= sum_d;
    if (out_free && sum_valid_q) out_q <= out_d;
  end

endmodule
