// SPDX-License-Identifier: Apache-2.0
// One product of a systolic sum: a DSP whose adder takes the sum of the one before it.

/// sum = pixel * factor + the neighbour's sum, or + `addend_i` where it is not Cascaded. The sum is
/// there four cycles after its operands and one after what it is added to; it is modulo 2**Width.
/// All registers always run. The cell has two for the operands; the plain body has one there and
/// one more behind the product, which it adds up from two where the factor is long.
module cascade_mac #(
  parameter bit          Cascaded    = 0,  // behind a neighbour
  parameter int unsigned FactorWidth = 8,  // bits of the factor, two's complement, at most 25
  parameter int unsigned Width       = 20, // bits of the sum, at most 48
  parameter bit          Primitives  = 0   // an explicit DSP48E1
) (
  input  logic                   clk_i,
  input  logic [7:0]             pixel_i,
  input  logic [FactorWidth-1:0] factor_i,
  input  logic [47:0]            addend_i,
  input  logic [47:0]            cascade_i,
  output logic [47:0]            cascade_o, // only to the next cascade_i
  output logic [Width-1:0]       sum_o
);

  if (Width > 48 || FactorWidth > 25) begin : gen_check
    $error("cascade_mac: found Width=%0d, FactorWidth=%0d, expected at most 48 and 25", Width,
           FactorWidth);
  end

  if (Primitives) begin : gen_dsp
    logic [47:0] sum;

    DSP48E1 #(
      .A_INPUT           ("DIRECT"),
      .B_INPUT           ("DIRECT"),
      .USE_DPORT         ("FALSE"),
      .USE_MULT          ("MULTIPLY"),
      .USE_PATTERN_DETECT("NO_PATDET"),
      .USE_SIMD          ("ONE48"),
      .AUTORESET_PATDET  ("NO_RESET"),
      .ACASCREG          (1),
      .ADREG             (0),
      .ALUMODEREG        (0),
      .AREG              (2),
      .BCASCREG          (1),
      .BREG              (2),
      .CARRYINREG        (0),
      .CARRYINSELREG     (0),
      .CREG              (0),
      .DREG              (0),
      .INMODEREG         (0),
      .MREG              (1),
      .OPMODEREG         (0),
      .PREG              (1)
    ) u_dsp (
      .CLK          (clk_i),
      .A            (30'($signed(factor_i))),
      .B            ({10'b0, pixel_i}),
      .C            (addend_i),
      .D            (25'b0),
      .P            (sum),
      .PCIN         (cascade_i),
      .PCOUT        (cascade_o),
      .ACIN         (30'b0),
      .BCIN         (18'b0),
      .CARRYIN      (1'b0),
      .CARRYCASCIN  (1'b0),
      .CARRYINSEL   (3'b0),
      .MULTSIGNIN   (1'b0),
      .INMODE       (5'b0),
      .ALUMODE      (4'b0),
      .OPMODE       (Cascaded ? 7'b001_01_01 : 7'b011_01_01), // product + PCIN or C
      .CEA1         (1'b1),
      .CEA2         (1'b1),
      .CEAD         (1'b0),
      .CEALUMODE    (1'b0),
      .CEB1         (1'b1),
      .CEB2         (1'b1),
      .CEC          (1'b0),
      .CECARRYIN    (1'b0),
      .CECTRL       (1'b0),
      .CED          (1'b0),
      .CEINMODE     (1'b0),
      .CEM          (1'b1),
      .CEP          (1'b1),
      .RSTA         (1'b0),
      .RSTALLCARRYIN(1'b0),
      .RSTALUMODE   (1'b0),
      .RSTB         (1'b0),
      .RSTC         (1'b0),
      .RSTCTRL      (1'b0),
      .RSTD         (1'b0),
      .RSTINMODE    (1'b0),
      .RSTM         (1'b0),
      .RSTP         (1'b0)
    );
    assign sum_o = sum[Width-1:0];

    if (Width < 48) begin : gen_unused
      logic unused;
      assign unused = &sum[47:Width];
    end
  end else begin : gen_plain
    logic signed [8:0]             pixel_q;
    logic signed [FactorWidth-1:0] factor_q;
    logic signed [Width-1:0]       product, product_q, sum_q;

    always_ff @(posedge clk_i) begin
      pixel_q   <= {1'b0, pixel_i};
      factor_q  <= factor_i;
      product_q <= product;
      sum_q     <= product_q + (Cascaded ? cascade_i[Width-1:0] : addend_i[Width-1:0]);
    end

    if (FactorWidth > 18) begin : gen_two_products
      // Multipliers of other families have 18 bits.
      localparam int unsigned HighWidth = FactorWidth - 17;
      logic signed [HighWidth+8:0] high_q;
      logic signed [26:0]          low_q;

      always_ff @(posedge clk_i) begin
        high_q <= (HighWidth + 9)'(pixel_q * $signed(factor_q[FactorWidth-1:17]));
        low_q  <= 27'(pixel_q * $signed({1'b0, factor_q[16:0]}));
      end
      assign product = (Width'(high_q) <<< 17) + Width'(low_q);
    end else begin : gen_product
      logic signed [FactorWidth+8:0] near_q;

      always_ff @(posedge clk_i) near_q <= (FactorWidth + 9)'(pixel_q * factor_q);
      assign product = Width'(near_q);
    end

    assign sum_o     = sum_q;
    assign cascade_o = 48'(sum_q);

    logic unused;
    assign unused = &{cascade_i, addend_i};
  end

endmodule
