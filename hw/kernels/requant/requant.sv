// SPDX-License-Identifier: Apache-2.0
// Codes by a product, a sum and a shift, with constants of every channel.

/// code = clamp((x * factor + summand) >>> Shift, First, Last), Pe channels per word, one word per
/// cycle, through the stages of `requant_lane`. Valid and data of the output come from registers;
/// ready of the input follows registers alone. Word c of `ParamFile` holds the constants of
/// channels c * Pe .. c * Pe + Pe - 1, of each the factor in the low bits.
module requant #(
  parameter int unsigned Channels    = 2,  // channels, a multiple of Pe
  parameter int unsigned Pe          = 1,  // lanes
  parameter int unsigned InBits      = 8,  // bits of x
  parameter bit          InSigned    = 1,
  parameter int unsigned FactorBits  = 18, // bits of a factor
  parameter int unsigned SummandBits = 24, // bits of a summand
  parameter bit          Split       = 0,  // factors in two parts; see requant_sum
  parameter int unsigned Shift       = 0,  // bits that are shifted away
  parameter int          First       = 0,  // smallest code
  parameter int          Last        = 1,  // largest code
  parameter int unsigned OutBits     = 1,  // bits of a code
  parameter bit          BlockRom    = 0,  // constants in block RAM, otherwise in LUTs
  parameter              ParamFile   = "", // $readmemh image
  parameter bit          Primitives  = 0   // see requant_sum
) (
  input  logic                  clk_i,
  input  logic                  rst_ni,

  input  logic                  in_valid_i,
  output logic                  in_ready_o,
  input  logic [Pe*InBits-1:0]  in_data_i,

  output logic                  out_valid_o,
  input  logic                  out_ready_i,
  output logic [Pe*OutBits-1:0] out_data_o
);

  localparam int unsigned ParamBits = FactorBits + SummandBits;
  localparam int unsigned XBits     = InSigned ? InBits : InBits + 1;
  // Of requant_lane.
  localparam int unsigned Latency   = 4 + (XBits > 18 ? 1 : 0) + (FactorBits > 18 ? 1 : 0);

  if (Channels % Pe != 0) begin : gen_check_lanes
    $error("requant: %0d channels cannot be split over Pe %0d", Channels, Pe);
  end

  logic                    there, enable, step;
  logic [Pe*ParamBits-1:0] params;
  logic [Latency-1:0]      valid_q;
  logic [Pe*OutBits-1:0]   codes;

  assign step       = in_valid_i && there;
  assign in_ready_o = enable && there;

  rom_stream #(
    .Width   (Pe * ParamBits),
    .Depth   (Channels / Pe),
    .Style   (BlockRom ? 2 : 1),
    .InitFile(ParamFile)
  ) u_params (
    .clk_i,
    .rst_ni,
    .out_valid_o(there),
    .out_ready_i(in_valid_i && enable),
    .out_data_o (params)
  );

  always_ff @(posedge clk_i) begin
    if (!rst_ni) valid_q <= '0;
    else if (enable) valid_q <= {valid_q[Latency-2:0], step};
  end

  for (genvar p = 0; p < Pe; p++) begin : gen_lane
    requant_lane #(
      .InBits     (InBits),
      .InSigned   (InSigned),
      .FactorBits (FactorBits),
      .SummandBits(SummandBits),
      .Split      (Split),
      .Shift      (Shift),
      .First      (First),
      .Last       (Last),
      .OutBits    (OutBits),
      .Primitives (Primitives)
    ) u_lane (
      .clk_i,
      .rst_ni,
      .enable_i (enable),
      .x_i      (in_data_i[p*InBits+:InBits]),
      .factor_i (params[p*ParamBits+:FactorBits]),
      .summand_i(params[p*ParamBits+FactorBits+:SummandBits]),
      .out_o    (codes[p*OutBits+:OutBits])
    );
  end

  stream_register #(
    .Width(Pe * OutBits)
  ) u_out (
    .clk_i,
    .rst_ni,
    .in_valid_i(valid_q[Latency-1]),
    .in_ready_o(enable),
    .in_data_i (codes),
    .out_valid_o,
    .out_ready_i,
    .out_data_o
  );

endmodule
