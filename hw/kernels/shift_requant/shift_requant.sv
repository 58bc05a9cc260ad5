// SPDX-License-Identifier: Apache-2.0
// Adds a shortcut, rounds away fraction bits (half up) and saturates to a narrower type.

/// y = saturate((x + (shortcut << ShortcutShift) + 2**(Shift-1)) >> Shift), lane by lane. Two
/// cycles of latency (add and shift | saturate), one word per cycle; an input word and a shortcut
/// word are taken together. Without shortcut its port is ignored. The ready outputs follow
/// `out_ready_i` in the same cycle.
module shift_requant #(
  parameter int unsigned Lanes          = 1,  // elements of a word
  parameter int unsigned InBits         = 16, // bits of an input element
  parameter bit          InSigned       = 1,
  parameter bit          HasShortcut    = 0,  // add a shortcut
  parameter int unsigned ShortcutBits   = 8,  // bits of a shortcut element
  parameter bit          ShortcutSigned = 1,
  parameter int unsigned ShortcutShift  = 0,  // left shift that aligns the shortcut with x
  parameter int unsigned OutBits        = 8,  // bits of an output element
  parameter bit          OutSigned      = 1,
  parameter int unsigned Shift          = 0   // fraction bits to round away
) (
  input  logic                          clk_i,
  input  logic                          rst_ni,

  input  logic                          in_valid_i,
  output logic                          in_ready_o,
  input  logic [Lanes*InBits-1:0]       in_data_i,

  input  logic                          shortcut_valid_i,
  output logic                          shortcut_ready_o,
  input  logic [Lanes*ShortcutBits-1:0] shortcut_data_i,

  output logic                          out_valid_o,
  input  logic                          out_ready_i,
  output logic [Lanes*OutBits-1:0]      out_data_o
);

  // Signs for unsigned inputs, a carry for each addition, and room for the limits of the output.
  localparam int unsigned WideShortcut = HasShortcut ? ShortcutBits + ShortcutShift : 1;
  localparam int unsigned WideTerms    = InBits > WideShortcut ? InBits : WideShortcut;
  localparam int unsigned WideIn       = WideTerms > Shift ? WideTerms : Shift;
  localparam int unsigned SumBits      = (WideIn > OutBits ? WideIn : OutBits) + 3;

  localparam logic signed [SumBits-1:0] One  = SumBits'(1);
  localparam logic signed [SumBits-1:0] Half = Shift == 0 ? '0 : (One <<< Shift) >>> 1;
  localparam logic [OutBits-1:0] Top  = OutBits'(One <<< (OutBits - 1));
  localparam logic [OutBits-1:0] High = OutSigned ? ~Top : '1;
  localparam logic [OutBits-1:0] Low  = OutSigned ? Top : '0;

  logic                     sum_valid_q, out_valid_q, sum_free, out_free, shortcut_ok;
  logic [Lanes*SumBits-1:0] sum_d, sum_q;
  logic [Lanes*OutBits-1:0] out_d, out_q;

  localparam int unsigned ValueBits = OutSigned ? OutBits - 1 : OutBits;

  for (genvar i = 0; i < Lanes; i++) begin : gen_lane
    logic signed [SumBits-1:0]  wide, addend;
    logic [SumBits-1:0]         rounded;
    logic [SumBits-2:ValueBits] excess;
    logic                       negative, clipped;
    assign wide = {{SumBits - InBits{InSigned && in_data_i[i*InBits + InBits - 1]}},
                   in_data_i[i*InBits +: InBits]};

    if (HasShortcut) begin : gen_shortcut
      logic signed [SumBits-1:0] shortcut;
      assign shortcut = {
          {SumBits - ShortcutBits{ShortcutSigned && shortcut_data_i[(i+1)*ShortcutBits - 1]}},
          shortcut_data_i[i*ShortcutBits +: ShortcutBits]} <<< ShortcutShift;
      // Below the shortcut's lowest bit the rounding half needs no adder.
      assign addend = ShortcutShift >= Shift ? shortcut | Half : shortcut + Half;
    end else begin : gen_plain
      assign addend = Half;
    end
    assign sum_d[i*SumBits +: SumBits] = (wide + addend) >>> Shift;

    assign rounded  = sum_q[i*SumBits +: SumBits];
    assign negative = rounded[SumBits-1];
    assign excess   = rounded[SumBits-2:ValueBits];
    // Between the sign and the bits that stay, a number in range repeats the sign.
    assign clipped  = OutSigned ? excess != {$bits(excess){negative}} : negative || excess != '0;
    assign out_d[i*OutBits +: OutBits] = !clipped ? rounded[OutBits-1:0] :
                                         negative ? Low : High;
  end

  assign out_free         = !out_valid_q || out_ready_i;
  assign sum_free         = !sum_valid_q || out_free;
  assign shortcut_ok      = shortcut_valid_i || !HasShortcut;
  assign in_ready_o       = sum_free && shortcut_ok;
  assign shortcut_ready_o = sum_free && in_valid_i && HasShortcut;
  assign out_valid_o      = out_valid_q;
  assign out_data_o       = out_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      sum_valid_q <= 1'b0;
      out_valid_q <= 1'b0;
    end else begin
      if (sum_free) sum_valid_q <= in_valid_i && shortcut_ok;
      if (out_free) out_valid_q <= sum_valid_q;
    end
  end

  always_ff @(posedge clk_i) begin
    if (sum_free && in_valid_i && shortcut_ok) sum_q <= sum_d;
    if (out_free && sum_valid_q) out_q <= out_d;
  end

  if (!HasShortcut) begin : gen_no_shortcut
    logic unused_shortcut;
    assign unused_shortcut = &{shortcut_data_i};
  end

endmodule
