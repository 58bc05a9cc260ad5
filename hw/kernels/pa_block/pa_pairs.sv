// SPDX-License-Identifier: Apache-2.0
// Dot product of level codes on DSP blocks, two outputs in each.

/// dot = sum over s of Alpha[weight code + Zero] * Beta[input code], modulo 2**OutWidth, in each of
/// Pe lanes. A factor holds the levels of two lanes, the upper one Field bits higher, so that one
/// product is both. Chain of them are added in a cascade, from a half of the field on: then the
/// lower sum never borrows from the upper one, and its top bit, inverted, is its sign. What the
/// cascades give is added in LUTs. Nothing waits; takes Chain + 3 + ceil(log4(Simd / Chain))
/// cycles.
module pa_pairs #(
  parameter int unsigned         Pe          = 2,  // lanes
  parameter int unsigned         Simd        = 4,  // code pairs per lane
  parameter int unsigned         InWidth     = 3,  // bits of an input code, unsigned
  parameter int unsigned         WeightWidth = 3,  // bits of a weight code, two's complement
  parameter int unsigned         M           = 4,  // weight levels besides 0
  parameter int unsigned         N           = 5,  // input levels besides 0
  parameter int unsigned         Zero        = 2,  // index of the weight level 0
  parameter logic [16*(M+1)-1:0] Alpha       = 0,  // weight levels, 16 bits each, level 0 lowest
  parameter logic [16*(N+1)-1:0] Beta        = 0,  // input levels, likewise, of 0..255
  parameter int unsigned         Field       = 16, // bits of a cascade's sum, two's complement
  parameter int unsigned         Chain       = 1,  // products of a cascade
  parameter int unsigned         OutWidth    = 8,  // bits of a dot product
  parameter int unsigned         TagWidth    = 2,  // bits of the tag
  parameter int unsigned         Primitives  = 0   // 1: LUT6_2 and DSP48E1 of the 7 series
) (
  input  logic                           clk_i,
  input  logic                           rst_ni,

  input  logic                           valid_i,
  input  logic [TagWidth-1:0]            tag_i,
  input  logic [Simd*InWidth-1:0]        data_i,
  input  logic [Pe*Simd*WeightWidth-1:0] weight_i, // code p * Simd + s meets input s in lane p

  output logic                           valid_o,
  output logic [TagWidth-1:0]            tag_o,
  output logic [Pe*OutWidth-1:0]         dot_o
);

  localparam int unsigned Pairs     = (Pe + 1) / 2;
  localparam int unsigned Cascades  = Simd / Chain;
  localparam int unsigned Wait      = Chain + 3;
  localparam int unsigned HighWidth = 25 - Field;
  localparam int unsigned TermWidth = (Field < OutWidth) ? Field : OutWidth;
  localparam int unsigned HighCode  = WeightWidth + 1;

  if (Simd % Chain != 0) begin : gen_check_chain
    $error("pa_pairs: %0d products are no multiple of Chain=%0d", Simd, Chain);
  end
  for (genvar i = 0; i <= M; i++) begin : gen_check_sign
    if (Alpha[16*i+15] != (i < Zero)) begin : gen_check
      $error("pa_pairs: found level %0d for code %0d, expected one of its sign",
             $signed(Alpha[16*i+:16]), i - int'(Zero));
    end
  end

  // Level of a weight code; 0 where there is none.
  function automatic int alpha_of(logic [WeightWidth-1:0] code);
    int index;
    index = 32'($signed(code)) + int'(Zero);
    return (index < 0 || index > int'(M)) ? 0 : 32'($signed(Alpha[16*index+:16]));
  endfunction

  function automatic logic [HighWidth*(2**WeightWidth)-1:0] low_table();
    for (int unsigned c = 0; c < 2 ** WeightWidth; c++) begin
      low_table[c*HighWidth+:HighWidth] = HighWidth'(alpha_of(WeightWidth'(c)));
    end
  endfunction

  // The upper level, and one less below a negative lower one.
  function automatic logic [HighWidth*(2**HighCode)-1:0] high_table();
    for (int unsigned c = 0; c < 2 ** HighCode; c++) begin
      high_table[c*HighWidth+:HighWidth] =
          HighWidth'(alpha_of(WeightWidth'(c)) - int'(c >> WeightWidth));
    end
  endfunction

  function automatic logic [8*(2**InWidth)-1:0] beta_table();
    for (int unsigned c = 0; c < 2 ** InWidth; c++) begin
      beta_table[c*8+:8] = (c <= N) ? Beta[16*c+:8] : 8'd0;
    end
  endfunction

  localparam logic [HighWidth*(2**WeightWidth)-1:0] Low  = low_table();
  localparam logic [HighWidth*(2**HighCode)-1:0]    High = high_table();
  localparam logic [8*(2**InWidth)-1:0]             Byte = beta_table();

  logic [Pe*Cascades*TermWidth-1:0] term;

  for (genvar g = 0; g < Cascades; g++) begin : gen_cascade
    for (genvar c = 0; c < Chain; c++) begin : gen_place
      localparam int unsigned S = g * Chain + c;

      // A product later in the cascade is due a cycle later.
      logic [InWidth-1:0]        code;
      logic [Pe*WeightWidth-1:0] weights, now;

      for (genvar p = 0; p < Pe; p++) begin : gen_lane
        assign now[p*WeightWidth+:WeightWidth] = weight_i[(p*Simd+S)*WeightWidth+:WeightWidth];
      end

      if (c == 0) begin : gen_first
        assign code    = data_i[S*InWidth+:InWidth];
        assign weights = now;
      end else begin : gen_later
        logic [c*InWidth-1:0]        code_q;
        logic [c*Pe*WeightWidth-1:0] weights_q;

        always_ff @(posedge clk_i) begin
          code_q    <= (c * InWidth)'({code_q, data_i[S*InWidth+:InWidth]});
          weights_q <= (c * Pe * WeightWidth)'({weights_q, now});
        end
        assign code    = code_q[(c-1)*InWidth+:InWidth];
        assign weights = weights_q[(c-1)*Pe*WeightWidth+:Pe*WeightWidth];
      end

      logic [7:0]               level;
      logic [Pairs*48-1:0]      cascade, behind;
      logic [Pairs*2*Field-1:0] sum;

      pa_table #(
        .Address(InWidth),
        .Width(8),
        .Table(Byte),
        .Primitives(Primitives)
      ) u_level (
        .address_i(code),
        .value_o(level)
      );

      if (c == 0) begin : gen_start
        assign behind = '0;
      end else begin : gen_behind
        assign behind = gen_place[c-1].cascade;
      end

      for (genvar q = 0; q < Pairs; q++) begin : gen_pair
        logic [WeightWidth-1:0] lower, upper;
        logic [HighWidth-1:0]   high, low;

        assign lower = weights[2*q*WeightWidth+:WeightWidth];
        if (2 * q + 1 < Pe) begin : gen_two
          assign upper = weights[(2*q+1)*WeightWidth+:WeightWidth];
        end else begin : gen_one
          assign upper = '0;
        end

        pa_table #(
          .Address(WeightWidth),
          .Width(HighWidth),
          .Table(Low),
          .Primitives(Primitives)
        ) u_low (
          .address_i(lower),
          .value_o(low)
        );

        pa_table #(
          .Address(HighCode),
          .Width(HighWidth),
          .Table(High),
          .Primitives(Primitives)
        ) u_high (
          .address_i({lower[WeightWidth-1], upper}),
          .value_o(high)
        );

        cascade_mac #(
          .Cascaded(c > 0),
          .FactorWidth(25),
          .Width(2 * Field),
          .Primitives(Primitives != 0)
        ) u_mac (
          .clk_i,
          .pixel_i(level),
          .factor_i({high, Field'($signed(low))}),
          .addend_i(48'd1 << (Field - 1)),
          .cascade_i(behind[q*48+:48]),
          .cascade_o(cascade[q*48+:48]),
          .sum_o(sum[q*2*Field+:2*Field])
        );
      end

      logic unused;
      assign unused = &{sum, cascade};
    end

    for (genvar p = 0; p < Pe; p++) begin : gen_term
      logic [Field-1:0] field;

      assign field = gen_place[Chain-1].sum[p*Field+:Field];
      if (p % 2 == 0) begin : gen_lower
        assign term[(p*Cascades+g)*TermWidth+:TermWidth] =
            TermWidth'({!field[Field-1], field[Field-2:0]});
      end else begin : gen_upper
        assign term[(p*Cascades+g)*TermWidth+:TermWidth] = TermWidth'(field);
      end
    end
  end

  logic [Wait-1:0]          valid_q;
  logic [Wait*TagWidth-1:0] tag_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      valid_q <= '0;
      tag_q   <= '0;
    end else begin
      valid_q <= {valid_q[Wait-2:0], valid_i};
      tag_q   <= (Wait * TagWidth)'({tag_q, tag_i});
    end
  end

  adder_tree #(
    .Lanes(Pe),
    .Count(Cascades),
    .InWidth(TermWidth),
    .OutWidth(OutWidth),
    .Signed(1),
    .TagWidth(TagWidth)
  ) u_tree (
    .clk_i,
    .rst_ni,
    .enable_i(1'b1),
    .valid_i(valid_q[Wait-1]),
    .tag_i(tag_q[(Wait-1)*TagWidth+:TagWidth]),
    .data_i(term),
    .valid_o,
    .tag_o,
    .sum_o(dot_o)
  );

endmodule
