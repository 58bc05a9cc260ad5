// SPDX-License-Identifier: Apache-2.0
// Epilogue of a layer on one DSP block: one output after the other, several cycles each.

/// One accumulator, one shortcut (if any) and five parameter words make one output. Computes what
/// `epilogue_lane` does, in four passes of `dsp_mac`, whose p holds after each:
///
///   1  acc * m + b'        b' = b + half of PreShift
///   2  p + shortcut * 2**ShortcutShift         (only with HasShortcut)
///   3  (t - zeta) * 2**SlopeShift              t = p >> PreShift, saturated to PreBits
///   4  e + {(t - zeta) * slope | p}            e = (eta + half of OutShift) << SlopeShift
///
/// with the product where p < 0 after pass 3. The output is
/// p >> (SlopeShift + OutShift), saturated. The words of a channel, 18 bits each, in this order:
///
///   b'[17:0]   {m, b'[HighWidth-1+18:18]}   zeta   e[17:0]   {slope, e[HighWidth-1+18:18]}
///
/// with HighWidth = 18 - MulWidth. They come from a memory outside, whose ParamLatency registers
/// (its own output, and any behind it) and whose address all move on with `param_next_o`, and only
/// then. They need no reset: the core moves on ParamLatency times after one, when the address is
/// at the first word of channel 0.
///
/// An accumulator is taken every Pace cycles at most: 9, or 8 without shortcut.
/// `acc_ready_o` and `out_valid_o` are registers. The next accumulator is taken while one output
/// waits in the output register and another in p, so a reader that is late by 5 cycles costs
/// nothing. The shortcut is taken later than its accumulator.
module epilogue_serial #(
  parameter int unsigned AccWidth      = 12, // bits of the accumulator
  parameter int unsigned AccShift      = 0,  // rounding shift before the multiplication
  parameter int unsigned AccBits       = 16, // bits after that shift
  parameter bit          HasShortcut   = 0,  // add a shortcut
  parameter int unsigned ShortcutWidth = 8,  // bits of the shortcut
  parameter int unsigned ShortcutShift = 0,  // left shift of the shortcut
  parameter int unsigned PreShift      = 0,  // rounding shift to the pre-activation
  parameter int unsigned PreBits       = 14, // bits of the pre-activation, zeta and eta
  parameter int unsigned SlopeShift    = 6,  // fraction bits of the slope
  parameter int unsigned OutShift      = 4,  // rounding shift to the output
  parameter int unsigned OutWidth      = 8,  // bits of the output
  parameter int unsigned MulWidth      = 10, // bits of m, and of the slope in its word
  parameter int unsigned BiasWidth     = 26, // bits of b'
  parameter int unsigned SlopeWidth    = 8,  // bits of the slope
  parameter int unsigned ParamLatency  = 1,  // registers of the parameter memory
  parameter bit          Primitives    = 0   // the DSP block as a cell
) (
  input  logic                     clk_i,
  input  logic                     rst_ni,

  input  logic                     acc_valid_i,
  output logic                     acc_ready_o,
  input  logic [AccWidth-1:0]      acc_data_i,

  input  logic                     shortcut_valid_i,
  output logic                     shortcut_ready_o,
  input  logic [ShortcutWidth-1:0] shortcut_data_i,

  output logic                     param_next_o,
  input  logic [17:0]              param_data_i,

  output logic                     out_valid_o,
  input  logic                     out_ready_i,
  output logic [OutWidth-1:0]      out_data_o
);

  localparam int unsigned FactorWidth = (AccShift > 0) ? AccBits : AccWidth;
  localparam int unsigned HighWidth   = 18 - MulWidth;
  localparam int unsigned AllShift    = SlopeShift + OutShift;

  // Largest |p| after passes 1 and 2, after pass 4, and of e.
  localparam logic [63:0] SumLimit  = (64'd1 << (FactorWidth + MulWidth - 2)) +
                                      (64'd1 << (BiasWidth - 1)) +
                                      (64'(HasShortcut) << (ShortcutWidth - 1 + ShortcutShift));
  localparam logic [63:0] LastAdded = (64'd1 << (PreBits - 1 + SlopeShift)) +
                                      ((64'd1 << AllShift) >> 1);
  localparam int unsigned FactorLog = (SlopeShift > SlopeWidth - 1) ? SlopeShift : SlopeWidth - 1;
  localparam logic [63:0] LastLimit = (64'd1 << (PreBits + FactorLog)) + LastAdded;
  localparam int unsigned SumWidth  = $clog2(SumLimit + 1) + 1;
  localparam int unsigned LastWidth = $clog2(LastLimit + 1) + 1;

  function automatic int unsigned larger(int unsigned a, int unsigned b);
    return (a > b) ? a : b;
  endfunction

  // Bits of d and d - a, of b, of p and c.
  localparam int unsigned DataWidth = larger(larger(FactorWidth, PreBits + 1),
                                             HasShortcut ? ShortcutWidth : 1);
  localparam int unsigned BWidth    = larger(larger(MulWidth, SlopeShift + 2),
                                             HasShortcut ? ShortcutShift + 2 : 1);
  localparam int unsigned PWidth    = larger(larger(SumWidth, LastWidth), 18 + HighWidth);

  if (FactorWidth > 25 || (HasShortcut && ShortcutWidth > 25)) begin : gen_check_d
    $error("epilogue_serial: %0d bits of accumulator and %0d of shortcut, at most 25 fit a DSP",
           FactorWidth, ShortcutWidth);
  end
  if (PreBits > 18 || MulWidth > 17 || SlopeWidth > MulWidth) begin : gen_check_word
    $error("epilogue_serial: PreBits %0d, MulWidth %0d, SlopeWidth %0d, expected 18, 17, MulWidth",
           PreBits, MulWidth, SlopeWidth);
  end
  if ((HasShortcut && ShortcutShift > 16) || SlopeShift > 16) begin : gen_check_shift
    $error("epilogue_serial: ShortcutShift %0d and SlopeShift %0d, a factor holds 16 at most",
           ShortcutShift, SlopeShift);
  end
  if (BiasWidth > 18 + HighWidth || LastAdded >= 64'd1 << (17 + HighWidth)) begin : gen_check_c
    $error("epilogue_serial: b' of %0d bits and e up to %0d, words hold %0d bits", BiasWidth,
           LastAdded, 18 + HighWidth);
  end
  if (SumWidth > 48 || LastWidth > 48) begin : gen_check_p
    $error("epilogue_serial: sums of %0d and %0d bits, a DSP holds 48", SumWidth, LastWidth);
  end
  if (ParamLatency < 1) begin : gen_check_latency
    $error("epilogue_serial: ParamLatency is %0d, a memory has a register", ParamLatency);
  end

  // Steps of a word. The accumulator and b' low are loaded in step 0, where a word waits for its
  // accumulator; in step 1 it waits for its shortcut and for room. All others follow one another,
  // the last ones beside the first ones of the next word. The parameters zeta, e low and the last
  // word are taken in FullSum and the two steps behind it.
  localparam int unsigned LoadMul  = 2;                            // m and b'
  localparam int unsigned FirstSum = LoadMul + 2;                  // pass 1 ends
  localparam int unsigned FullSum  = FirstSum + 32'(HasShortcut);  // pass 2 ends
  localparam int unsigned LoadLow  = FullSum + 1;                  // e low
  localparam int unsigned LoadLast = FullSum + 2;                  // e and the slope
  localparam int unsigned LoadPre  = FullSum + 2;                  // t
  localparam int unsigned LoadBend = LoadPre + 2;                  // the slope's turn
  localparam int unsigned EndBend  = LoadPre + 3;                  // pass 3 ends
  localparam int unsigned EndLast  = EndBend + 1;                  // pass 4 ends
  localparam int unsigned Pace     = LoadBend;                     // t has been read for pass 4

  // One bit travels per word; behind a reset it first passes the ParamLatency steps of the memory.
  logic [ParamLatency-1:0] start_q;
  logic [EndLast:0]        step_q;
  logic                    take, leave, unlocked, pending, full_q, free;
  logic                    out_valid_q;

  assign acc_ready_o      = step_q[0];
  assign take             = step_q[0] && acc_valid_i;
  assign free             = !out_valid_q || out_ready_i;
  // The word before is not out yet.
  assign pending          = full_q || (step_q >> (Pace + 1)) != '0;
  assign unlocked         = free || !pending;
  assign leave            = step_q[1] && unlocked && (shortcut_valid_i || !HasShortcut);
  assign param_next_o     = start_q != '0 || take || step_q[LoadMul] ||
                            step_q[FullSum] || step_q[LoadLow] || step_q[LoadLast];
  assign out_valid_o      = out_valid_q;
  assign shortcut_ready_o = HasShortcut && step_q[2];

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      start_q     <= ParamLatency'(1);
      step_q      <= '0;
      full_q      <= 1'b0;
      out_valid_q <= 1'b0;
    end else begin
      start_q     <= start_q << 1;
      step_q[0]   <= (step_q[0] && !acc_valid_i) || step_q[Pace-1] || start_q[ParamLatency-1];
      step_q[1]   <= take || (step_q[1] && !leave);
      step_q[2]   <= leave;
      for (int unsigned i = 3; i <= EndLast; i++) step_q[i] <= step_q[i-1];
      full_q      <= step_q[EndLast] || (full_q && !free);
      out_valid_q <= full_q || !free;
    end
  end

  // The accumulator on fewer bits.
  logic signed [FactorWidth-1:0] acc;

  if (AccShift > 0) begin : gen_acc_shift
    localparam logic signed [AccWidth:0] AccHalf = (AccWidth + 1)'(1) << (AccShift - 1);
    logic signed [AccWidth:0] rounded;

    assign rounded = ((AccWidth + 1)'(signed'(acc_data_i)) + AccHalf) >>> AccShift;

    saturate #(
      .InWidth(AccWidth + 1),
      .OutWidth(AccBits)
    ) u_saturate (
      .in_i(rounded),
      .out_o(acc)
    );
  end else begin : gen_acc
    assign acc = acc_data_i;
  end

  // The pre-activation: saturation is found in one cycle and applied in the next.
  logic signed [PWidth-1:0]   p;
  logic signed [SumWidth-1:0] shifted;
  logic                       over_now, over_q;
  logic signed [PreBits-1:0]  pre;

  assign shifted = signed'(p[SumWidth-1:0]) >>> PreShift;
  if (SumWidth > PreBits) begin : gen_clamp
    assign over_now = shifted[SumWidth-1:PreBits-1] != '0 && shifted[SumWidth-1:PreBits-1] != '1;
    assign pre      = over_q ? {p[SumWidth-1], {(PreBits - 1){!p[SumWidth-1]}}}
                           : shifted[PreBits-1:0];
  end else begin : gen_extend
    assign over_now = 1'b0;
    assign pre      = PreBits'(shifted);
  end

  always_ff @(posedge clk_i) over_q <= over_now;

  logic signed [DataWidth-1:0] d;
  logic signed [BWidth-1:0]    b;
  logic        [17:0]          low_q; // the word before

  always_comb begin
    d = DataWidth'(acc);
    if (HasShortcut && step_q[2]) d = DataWidth'(signed'(shortcut_data_i));
    if (step_q[LoadPre]) d = DataWidth'(pre);
  end

  // The slope comes before it is its turn.
  logic [MulWidth-1:0] slope_q;

  always_ff @(posedge clk_i) begin
    if (step_q[LoadLast]) slope_q <= param_data_i[17-:MulWidth];
  end

  always_comb begin
    b = BWidth'(signed'(step_q[LoadBend] ? slope_q : param_data_i[17-:MulWidth]));
    if (HasShortcut && step_q[LoadMul+1]) b = BWidth'(1 << ShortcutShift);
    if (step_q[LoadPre]) b = BWidth'(1 << SlopeShift);
  end

  always_ff @(posedge clk_i) begin
    if (step_q[0] || step_q[LoadLow]) low_q <= param_data_i;
  end

  dsp_mac #(
    .DataWidth(DataWidth),
    .FactorWidth(BWidth),
    .SumWidth(PWidth),
    .Primitives(Primitives)
  ) u_mac (
    .clk_i,
    .d_enable_i(step_q[0] || (HasShortcut && step_q[2]) || step_q[LoadPre]),
    .d_i(d),
    .a_clear_i(step_q[0]),
    .a_enable_i(step_q[FullSum]),
    .a_i(DataWidth'(signed'(param_data_i[PreBits-1:0]))),
    .b_enable_i(step_q[LoadMul] || (HasShortcut && step_q[LoadMul+1]) || step_q[LoadPre] ||
                step_q[LoadBend]),
    .b_i(b),
    .c_enable_i(step_q[LoadMul] || step_q[LoadLast]),
    .c_i(PWidth'(signed'({param_data_i[HighWidth-1:0], low_q}))),
    .p_enable_i(step_q[FirstSum] || step_q[FullSum] || step_q[EndBend] || step_q[EndLast]),
    .p_adds_c_i(!step_q[EndBend] && !(HasShortcut && step_q[FullSum])),
    .p_adds_p_i(HasShortcut && step_q[FullSum]),
    .p_keeps_i(step_q[EndLast] && !p[LastWidth-1]),
    .p_o(p)
  );

  logic signed [LastWidth-1:0] last;
  logic        [OutWidth-1:0]  result;

  assign last = signed'(p[LastWidth-1:0]) >>> AllShift;

  saturate #(
    .InWidth(LastWidth),
    .OutWidth(OutWidth)
  ) u_saturate_out (
    .in_i(last),
    .out_o(result)
  );

  always_ff @(posedge clk_i) begin
    if (full_q && free) out_data_o <= result;
  end

  logic unused;
  assign unused = &{p, shortcut_valid_i, shortcut_data_i};

endmodule
