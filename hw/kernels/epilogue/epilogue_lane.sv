// SPDX-License-Identifier: Apache-2.0
// One lane of the epilogue: batch norm, shortcut, RPReLU and re-quantisation, pipelined.

/// y = acc * m + b + (shortcut << ShortcutShift); t = saturated rounding shift of y; u = t - zeta;
/// out = saturated rounding shift of (u >= 0 ? u : (u * slope) >>> SlopeShift) + eta.
/// With AccShift > 0 the accumulator is first shifted with rounding and saturated to AccBits.
/// Latency: 4 enabled cycles, 5 with AccShift > 0. Every intermediate is wide enough for any input.
module epilogue_lane #(
  parameter int unsigned AccWidth      = 12, // bits of the accumulator
  parameter int unsigned AccShift      = 0,  // rounding shift before the multiplication
  parameter int unsigned AccBits       = 16, // bits after that shift
  parameter int unsigned ShortcutWidth = 8,  // bits of the shortcut
  parameter int unsigned ShortcutShift = 0,  // left shift of the shortcut
  parameter int unsigned PreShift      = 0,  // rounding shift to the pre-activation
  parameter int unsigned PreBits       = 14, // bits of the pre-activation, zeta and eta
  parameter int unsigned SlopeShift    = 6,  // fraction bits of the slope
  parameter int unsigned OutShift      = 4,  // rounding shift to the output
  parameter int unsigned OutWidth      = 8,  // bits of the output
  parameter int unsigned MulWidth      = 10, // bits of m
  parameter int unsigned BiasWidth     = 24, // bits of b
  parameter int unsigned SlopeWidth    = 8   // bits of the slope
) (
  input  logic                            clk_i,
  input  logic                            enable_i,

  input  logic signed [AccWidth-1:0]      acc_i,
  input  logic signed [ShortcutWidth-1:0] shortcut_i,
  input  logic signed [MulWidth-1:0]      mul_i,
  input  logic signed [BiasWidth-1:0]     bias_i,
  input  logic signed [PreBits-1:0]       zeta_i,
  input  logic signed [SlopeWidth-1:0]    slope_i,
  input  logic signed [PreBits-1:0]       eta_i,

  output logic signed [OutWidth-1:0]      out_o
);

  localparam int unsigned FactorWidth  = (AccShift > 0) ? AccBits : AccWidth;
  localparam int unsigned ProductWidth = FactorWidth + MulWidth;
  localparam int unsigned AlignedWidth = ShortcutWidth + ShortcutShift;
  localparam int unsigned HalfWidth    = PreShift + 1;
  // Four terms, each of at most the widest term's bits.
  localparam int unsigned WideWidth    = (ProductWidth > BiasWidth) ? ProductWidth : BiasWidth;
  localparam int unsigned WiderWidth   = (WideWidth > AlignedWidth) ? WideWidth : AlignedWidth;
  localparam int unsigned SumWidth     = ((WiderWidth > HalfWidth) ? WiderWidth : HalfWidth) + 2;
  localparam int unsigned DiffWidth    = PreBits + 1;
  localparam int unsigned BentWidth    = DiffWidth + SlopeWidth;
  localparam int unsigned LastWidth    = BentWidth + 2;

  localparam logic signed [SumWidth-1:0]  PreHalf =
      (PreShift > 0) ? SumWidth'(1) << (PreShift - 1) : '0;
  localparam logic signed [LastWidth-1:0] OutHalf =
      (OutShift > 0) ? LastWidth'(1) << (OutShift - 1) : '0;

  if (AccShift > AccWidth) begin : gen_check_acc
    $error("epilogue_lane: AccShift %0d is above the %0d bits it shifts", AccShift, AccWidth);
  end
  if (OutShift > BentWidth) begin : gen_check_out
    $error("epilogue_lane: OutShift %0d is above the %0d bits it shifts", OutShift, BentWidth);
  end

  // Stage 0, only with AccShift > 0: the accumulator on fewer bits.
  logic signed [FactorWidth-1:0]   acc;
  logic signed [ShortcutWidth-1:0] shortcut;
  logic signed [MulWidth-1:0]      mul;
  logic signed [BiasWidth-1:0]     bias0;
  logic signed [PreBits-1:0]       zeta0, eta0;
  logic signed [SlopeWidth-1:0]    slope0;

  if (AccShift > 0) begin : gen_acc_shift
    localparam logic signed [AccWidth:0] AccHalf = (AccWidth + 1)'(1) << (AccShift - 1);
    logic signed [AccWidth:0]  rounded;
    logic signed [AccBits-1:0] clamped;

    assign rounded = ((AccWidth + 1)'(acc_i) + AccHalf) >>> AccShift;

    saturate #(
      .InWidth(AccWidth + 1),
      .OutWidth(AccBits)
    ) u_saturate (
      .in_i(rounded),
      .out_o(clamped)
    );

    always_ff @(posedge clk_i) begin
      if (enable_i) begin
        acc      <= clamped;
        shortcut <= shortcut_i;
        mul      <= mul_i;
        bias0    <= bias_i;
        zeta0    <= zeta_i;
        slope0   <= slope_i;
        eta0     <= eta_i;
      end
    end
  end else begin : gen_acc
    assign acc      = acc_i;
    assign shortcut = shortcut_i;
    assign mul      = mul_i;
    assign bias0    = bias_i;
    assign zeta0    = zeta_i;
    assign slope0   = slope_i;
    assign eta0     = eta_i;
  end

  // Stages 1 to 4: product; sum; difference; bent difference.
  logic signed [ProductWidth-1:0]  product_q;
  logic signed [ShortcutWidth-1:0] shortcut1_q;
  logic signed [BiasWidth-1:0]     bias1_q;
  logic signed [SumWidth-1:0]      sum_q, shifted;
  logic signed [PreBits-1:0]       pre;
  logic signed [DiffWidth-1:0]     diff_q, diff4_q;
  logic signed [BentWidth-1:0]     bent_q;
  logic signed [PreBits-1:0]       zeta1_q, zeta2_q, eta1_q, eta2_q, eta3_q, eta4_q;
  logic signed [SlopeWidth-1:0]    slope1_q, slope2_q, slope3_q;
  logic signed [LastWidth-1:0]     last;

  assign shifted = sum_q >>> PreShift;

  saturate #(
    .InWidth(SumWidth),
    .OutWidth(PreBits)
  ) u_saturate_pre (
    .in_i(shifted),
    .out_o(pre)
  );

  always_ff @(posedge clk_i) begin
    if (enable_i) begin
      product_q   <= acc * mul;
      shortcut1_q <= shortcut;
      bias1_q     <= bias0;
      zeta1_q     <= zeta0;
      slope1_q    <= slope0;
      eta1_q      <= eta0;

      sum_q       <= (SumWidth'(product_q) + SumWidth'(bias1_q)) +
                     ((SumWidth'(shortcut1_q) <<< ShortcutShift) + PreHalf);
      zeta2_q     <= zeta1_q;
      slope2_q    <= slope1_q;
      eta2_q      <= eta1_q;

      diff_q      <= DiffWidth'(pre) - DiffWidth'(zeta2_q);
      slope3_q    <= slope2_q;
      eta3_q      <= eta2_q;

      diff4_q     <= diff_q;
      bent_q      <= diff_q * slope3_q;
      eta4_q      <= eta3_q;
    end
  end

  assign last = ((diff4_q[DiffWidth-1] ? LastWidth'(bent_q >>> SlopeShift) : LastWidth'(diff4_q)) +
                 (LastWidth'(eta4_q) + OutHalf)) >>> OutShift;

  saturate #(
    .InWidth(LastWidth),
    .OutWidth(OutWidth)
  ) u_saturate_out (
    .in_i(last),
    .out_o(out_o)
  );

endmodule
