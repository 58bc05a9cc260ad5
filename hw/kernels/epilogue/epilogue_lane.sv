// SPDX-License-Identifier: Apache-2.0
// One lane of the epilogue: batch norm, shortcut, RPReLU and re-quantisation, pipelined.

/// y = acc * m + b + (shortcut << ShortcutShift); t = saturated rounding shift of y; u = t - zeta;
/// out = saturated rounding shift of (u >= 0 ? u : (u * slope) >>> SlopeShift) + eta.
/// With AccShift > 0 the accumulator is first shifted with rounding and saturated to AccBits.
/// Latency: 7 enabled cycles, 8 with AccShift > 0. Every intermediate is wide enough for any input.
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
  localparam int unsigned EtaWidth     = ((PreBits > OutShift) ? PreBits : OutShift) + 1;

  localparam logic signed [SumWidth-1:0]  PreHalf =
      (PreShift > 0) ? SumWidth'(1) << (PreShift - 1) : '0;
  localparam logic signed [EtaWidth-1:0]  OutHalf =
      (OutShift > 0) ? EtaWidth'(1) << (OutShift - 1) : '0;

  if (AccShift > AccWidth) begin : gen_check_acc
    $error("epilogue_lane: AccShift %0d is above the %0d bits it shifts", AccShift, AccWidth);
  end
  if (OutShift > BentWidth) begin : gen_check_out
    $error("epilogue_lane: OutShift %0d is above the %0d bits it shifts", OutShift, BentWidth);
  end

  // Everything is taken into registers first: parameters come out of a memory.
  logic signed [ShortcutWidth-1:0] shortcut0_q;
  logic signed [MulWidth-1:0]      mul0_q;
  logic signed [BiasWidth-1:0]     bias0_q;
  logic signed [PreBits-1:0]       zeta0_q, eta0_q;
  logic signed [SlopeWidth-1:0]    slope0_q;

  always_ff @(posedge clk_i) begin
    if (enable_i) begin
      shortcut0_q <= shortcut_i;
      mul0_q      <= mul_i;
      bias0_q     <= bias_i;
      zeta0_q     <= zeta_i;
      slope0_q    <= slope_i;
      eta0_q      <= eta_i;
    end
  end

  // With AccShift > 0 the accumulator is rounded on its way in, and one more step saturates it.
  logic signed [FactorWidth-1:0]   acc;
  logic signed [ShortcutWidth-1:0] shortcut;
  logic signed [MulWidth-1:0]      mul;
  logic signed [BiasWidth-1:0]     bias;
  logic signed [PreBits-1:0]       zeta, eta;
  logic signed [SlopeWidth-1:0]    slope;

  if (AccShift > 0) begin : gen_acc_shift
    localparam logic signed [AccWidth:0] AccHalf = (AccWidth + 1)'(1) << (AccShift - 1);
    logic signed [AccWidth:0]  rounded_q;
    logic signed [AccBits-1:0] clamped;

    saturate #(
      .InWidth(AccWidth + 1),
      .OutWidth(AccBits)
    ) u_saturate (
      .in_i(rounded_q),
      .out_o(clamped)
    );

    always_ff @(posedge clk_i) begin
      if (enable_i) begin
        rounded_q <= ((AccWidth + 1)'(acc_i) + AccHalf) >>> AccShift;
        acc       <= clamped;
        shortcut  <= shortcut0_q;
        mul       <= mul0_q;
        bias      <= bias0_q;
        zeta      <= zeta0_q;
        slope     <= slope0_q;
        eta       <= eta0_q;
      end
    end
  end else begin : gen_acc
    always_ff @(posedge clk_i) begin
      if (enable_i) acc <= acc_i;
    end
    assign shortcut = shortcut0_q;
    assign mul      = mul0_q;
    assign bias     = bias0_q;
    assign zeta     = zeta0_q;
    assign slope    = slope0_q;
    assign eta      = eta0_q;
  end

  // Stages 1 to 6: product and what is added to it; sum; pre-activation; difference; bent
  // difference; last sum. Numbers on names are stages.
  logic signed [ProductWidth-1:0] product_q;
  logic signed [SumWidth-1:0]     addend_q, sum_q, shifted;
  logic signed [PreBits-1:0]      pre, pre_q;
  logic signed [DiffWidth-1:0]    diff_q, diff5_q;
  logic signed [BentWidth-1:0]    bent_q;
  logic signed [PreBits-1:0]      zeta1_q, zeta2_q, zeta3_q, eta1_q, eta2_q, eta3_q, eta4_q;
  logic signed [EtaWidth-1:0]     eta5_q;
  logic signed [SlopeWidth-1:0]   slope1_q, slope2_q, slope3_q, slope4_q;
  logic signed [LastWidth-1:0]    last_q;

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
      product_q <= acc * mul;
      addend_q  <= SumWidth'(bias) + ((SumWidth'(shortcut) <<< ShortcutShift) + PreHalf);
      zeta1_q   <= zeta;
      slope1_q  <= slope;
      eta1_q    <= eta;

      sum_q     <= SumWidth'(product_q) + addend_q;
      zeta2_q   <= zeta1_q;
      slope2_q  <= slope1_q;
      eta2_q    <= eta1_q;

      pre_q     <= pre;
      zeta3_q   <= zeta2_q;
      slope3_q  <= slope2_q;
      eta3_q    <= eta2_q;

      diff_q    <= DiffWidth'(pre_q) - DiffWidth'(zeta3_q);
      slope4_q  <= slope3_q;
      eta4_q    <= eta3_q;

      diff5_q   <= diff_q;
      bent_q    <= diff_q * slope4_q;
      eta5_q    <= EtaWidth'(eta4_q) + OutHalf;

      last_q    <= (diff5_q[DiffWidth-1] ? LastWidth'(bent_q >>> SlopeShift)
                                         : LastWidth'(diff5_q)) + LastWidth'(eta5_q);
    end
  end

  logic signed [LastWidth-1:0] rounded;

  assign rounded = last_q >>> OutShift;

  saturate #(
    .InWidth(LastWidth),
    .OutWidth(OutWidth)
  ) u_saturate_out (
    .in_i(rounded),
    .out_o(out_o)
  );

endmodule
