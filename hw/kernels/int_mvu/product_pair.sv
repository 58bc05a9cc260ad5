// SPDX-License-Identifier: Apache-2.0
// Two products of one input, which the cell's body computes in one DSP block.

/// products_o = {input * second weight, input * first weight}, each of InWidth + WeightWidth bits,
/// four enabled cycles behind its factors. Both bodies are equal in every cycle but the first ones.
///
/// The cell multiplies the input by second * 2**Field + first, which its own adder makes. Half of
/// the lower product's range comes in addition: it is never negative, and borrows nothing from the
/// upper one.
module product_pair #(
  parameter int unsigned InWidth     = 8, // bits of the input
  parameter bit          InSigned    = 0, // the input is two's complement
  parameter int unsigned WeightWidth = 8, // bits of a weight, two's complement
  parameter bit          Primitives  = 0  // the cell's body
) (
  input  logic                               clk_i,
  input  logic                               enable_i,
  input  logic [InWidth-1:0]                 data_i,
  input  logic [2*WeightWidth-1:0]           weights_i, // the first one lower
  output logic [2*(InWidth+WeightWidth)-1:0] products_o
);

  localparam int unsigned Field = InWidth + WeightWidth;

  if (Field + WeightWidth > 24 || InWidth > 17) begin : gen_check
    $error("product_pair: InWidth=%0d and WeightWidth=%0d make a factor of %0d bits, a DSP has %0d",
           InWidth, WeightWidth, Field + WeightWidth + 1, 25);
  end

  if (Primitives) begin : gen_cell
    logic signed [WeightWidth-1:0] first, second;
    logic [17:0]                   data;
    logic [47:0]                   p;

    assign {second, first} = weights_i;
    assign data            = InSigned ? 18'($signed(data_i)) : 18'(data_i);

    DSP48E1 #(
      .A_INPUT           ("DIRECT"),
      .B_INPUT           ("DIRECT"),
      .USE_DPORT         ("TRUE"),
      .USE_MULT          ("MULTIPLY"),
      .USE_PATTERN_DETECT("NO_PATDET"),
      .USE_SIMD          ("ONE48"),
      .AUTORESET_PATDET  ("NO_RESET"),
      .ACASCREG          (1),
      .ADREG             (1),
      .ALUMODEREG        (0),
      .AREG              (1),
      .BCASCREG          (2),
      .BREG              (2),
      .CARRYINREG        (0),
      .CARRYINSELREG     (0),
      .CREG              (0),
      .DREG              (1),
      .INMODEREG         (0),
      .MREG              (1),
      .OPMODEREG         (0),
      .PREG              (1)
    ) u_dsp (
      .CLK          (clk_i),
      .A            (30'(first)),
      .B            (data),
      .C            (48'd1 << (Field - 1)),
      .D            (25'(second) << Field),
      .P            (p),
      .INMODE       (5'b00100), // D + A
      .OPMODE       (7'b011_01_01), // product + C
      .ALUMODE      (4'b0),
      .CARRYIN      (1'b0),
      .CARRYINSEL   (3'b0),
      .CEA1         (1'b0),
      .CEA2         (enable_i),
      .CEAD         (enable_i),
      .CEALUMODE    (1'b0),
      .CEB1         (enable_i),
      .CEB2         (enable_i),
      .CEC          (1'b0),
      .CECARRYIN    (1'b0),
      .CECTRL       (1'b0),
      .CED          (enable_i),
      .CEINMODE     (1'b0),
      .CEM          (enable_i),
      .CEP          (enable_i),
      .RSTA         (1'b0),
      .RSTALLCARRYIN(1'b0),
      .RSTALUMODE   (1'b0),
      .RSTB         (1'b0),
      .RSTC         (1'b0),
      .RSTCTRL      (1'b0),
      .RSTD         (1'b0),
      .RSTINMODE    (1'b0),
      .RSTM         (1'b0),
      .RSTP         (1'b0),
      .ACIN         (30'b0),
      .BCIN         (18'b0),
      .PCIN         (48'b0),
      .CARRYCASCIN  (1'b0),
      .MULTSIGNIN   (1'b0)
    );
    assign products_o = {p[2*Field-1:Field], !p[Field-1], p[Field-2:0]};

    if (2 * Field < 48) begin : gen_unused
      logic unused;
      assign unused = &p[47:2*Field];
    end
  end else begin : gen_plain
    for (genvar p = 0; p < 2; p++) begin : gen_product
      product_single #(
        .InWidth    (InWidth),
        .InSigned   (InSigned),
        .WeightWidth(WeightWidth)
      ) u_single (
        .clk_i,
        .enable_i,
        .data_i,
        .weight_i (weights_i[p*WeightWidth +: WeightWidth]),
        .product_o(products_o[p*Field +: Field])
      );
    end
  end

endmodule
