// SPDX-License-Identifier: Apache-2.0
// Epilogue of a layer: batch norm, shortcut, RPReLU and re-quantisation, parameters from a stream.

/// One word of Pe accumulators, one of Pe shortcuts (if any) and one parameter word make one output
/// word; one word per cycle. A parameter word holds per lane, from the low bits up: m, b, zeta,
/// slope, eta. Without shortcut its port is ignored.
module epilogue #(
  parameter int unsigned Pe            = 1,  // lanes
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
  parameter int unsigned MulWidth      = 10, // bits of m
  parameter int unsigned BiasWidth     = 24, // bits of b
  parameter int unsigned SlopeWidth    = 8,  // bits of the slope
  localparam int unsigned ParamWidth   = MulWidth + BiasWidth + 2 * PreBits + SlopeWidth
) (
  input  logic                        clk_i,
  input  logic                        rst_ni,

  input  logic                        acc_valid_i,
  output logic                        acc_ready_o,
  input  logic [Pe*AccWidth-1:0]      acc_data_i,

  input  logic                        shortcut_valid_i,
  output logic                        shortcut_ready_o,
  input  logic [Pe*ShortcutWidth-1:0] shortcut_data_i,

  input  logic                        param_valid_i,
  output logic                        param_ready_o,
  input  logic [Pe*ParamWidth-1:0]    param_data_i,

  output logic                        out_valid_o,
  input  logic                        out_ready_i,
  output logic [Pe*OutWidth-1:0]      out_data_o
);

  localparam int unsigned Latency     = (AccShift > 0) ? 8 : 7; // of epilogue_lane
  localparam int unsigned ZetaOffset  = MulWidth + BiasWidth;
  localparam int unsigned SlopeOffset = ZetaOffset + PreBits;
  localparam int unsigned EtaOffset   = SlopeOffset + SlopeWidth;

  logic                   enable, step, shortcut_ok, busy;
  logic [Latency-1:0]     valid_q;
  logic [Pe*OutWidth-1:0] result;

  assign shortcut_ok      = shortcut_valid_i || !HasShortcut;
  assign busy             = step || valid_q != '0; // lanes hold still while empty
  assign step             = acc_valid_i && shortcut_ok && param_valid_i;
  assign acc_ready_o      = enable && shortcut_ok && param_valid_i;
  assign shortcut_ready_o = enable && acc_valid_i && param_valid_i && HasShortcut;
  assign param_ready_o    = enable && acc_valid_i && shortcut_ok;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) valid_q <= '0;
    else if (enable) valid_q <= {valid_q[Latency-2:0], step};
  end

  for (genvar p = 0; p < Pe; p++) begin : gen_lane
    logic [ParamWidth-1:0]    param;
    logic [ShortcutWidth-1:0] shortcut;

    assign param    = param_data_i[p*ParamWidth+:ParamWidth];
    assign shortcut = HasShortcut ? shortcut_data_i[p*ShortcutWidth+:ShortcutWidth] : '0;

    epilogue_lane #(
      .AccWidth(AccWidth),
      .AccShift(AccShift),
      .AccBits(AccBits),
      .ShortcutWidth(ShortcutWidth),
      .ShortcutShift(ShortcutShift),
      .PreShift(PreShift),
      .PreBits(PreBits),
      .SlopeShift(SlopeShift),
      .OutShift(OutShift),
      .OutWidth(OutWidth),
      .MulWidth(MulWidth),
      .BiasWidth(BiasWidth),
      .SlopeWidth(SlopeWidth)
    ) u_lane (
      .clk_i,
      .enable_i(enable && busy),
      .acc_i(acc_data_i[p*AccWidth+:AccWidth]),
      .shortcut_i(shortcut),
      .mul_i(param[0+:MulWidth]),
      .bias_i(param[MulWidth+:BiasWidth]),
      .zeta_i(param[ZetaOffset+:PreBits]),
      .slope_i(param[SlopeOffset+:SlopeWidth]),
      .eta_i(param[EtaOffset+:PreBits]),
      .out_o(result[p*OutWidth+:OutWidth])
    );
  end

  stream_register #(
    .Width(Pe * OutWidth)
  ) u_out (
    .clk_i,
    .rst_ni,
    .in_valid_i(valid_q[Latency-1]),
    .in_ready_o(enable),
    .in_data_i(result),
    .out_valid_o,
    .out_ready_i,
    .out_data_o
  );

endmodule
