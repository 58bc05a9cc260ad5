// SPDX-License-Identifier: Apache-2.0
// One DSP block of the 7 series as a multiply-accumulate unit that a sequencer leads.

/// p <= {(d - a) * b | p} + {0 | c | p} where `p_enable_i`, of the registers d, a, b and c, with p
/// in the product's place where `p_keeps_i`. `a_clear_i` sets a to 0 and goes before `a_enable_i`.
/// A value loaded in cycle n counts in cycle n + 1. The difference and the product have registers
/// that always run: p takes in cycle n what d and a held in cycle n - 2 and b in cycle n - 1, and
/// `c_i` of the cycle before. Nothing is reset. Both bodies are equal in every cycle, if d - a has
/// DataWidth bits; the cells' is one DSP48E1.
module dsp_mac #(
  parameter int unsigned DataWidth   = 25, // bits of d, a and their difference
  parameter int unsigned FactorWidth = 18, // bits of b
  parameter int unsigned SumWidth    = 48, // bits of c and p
  parameter bit          Primitives  = 0   // the cells' body
) (
  input  logic                          clk_i,

  input  logic                          d_enable_i,
  input  logic signed [DataWidth-1:0]   d_i,
  input  logic                          a_clear_i,
  input  logic                          a_enable_i,
  input  logic signed [DataWidth-1:0]   a_i,
  input  logic                          b_enable_i,
  input  logic signed [FactorWidth-1:0] b_i,
  input  logic                          c_enable_i,
  input  logic signed [SumWidth-1:0]    c_i,

  input  logic                          p_enable_i,
  input  logic                          p_adds_c_i,
  input  logic                          p_adds_p_i, // counts where p_adds_c_i does not
  input  logic                          p_keeps_i,  // p in the place of the product
  output logic signed [SumWidth-1:0]    p_o
);

  if (DataWidth > 25 || FactorWidth > 18 || SumWidth > 48) begin : gen_check
    $error("dsp_mac: %0d and %0d bits with a sum of %0d, a DSP block has 25, 18 and 48", DataWidth,
           FactorWidth, SumWidth);
  end

  if (Primitives) begin : gen_cell
    logic signed [47:0] p;

    DSP48E1 #(
      .A_INPUT("DIRECT"),
      .B_INPUT("DIRECT"),
      .USE_DPORT("TRUE"),
      .USE_MULT("MULTIPLY"),
      .USE_SIMD("ONE48"),
      .USE_PATTERN_DETECT("NO_PATDET"),
      .AUTORESET_PATDET("NO_RESET"),
      .ACASCREG(1),
      .ADREG(1),
      .ALUMODEREG(0),
      .AREG(1),
      .BCASCREG(1),
      .BREG(1),
      .CARRYINREG(0),
      .CARRYINSELREG(0),
      .CREG(1),
      .DREG(1),
      .INMODEREG(0),
      .MREG(1),
      .OPMODEREG(0),
      .PREG(1)
    ) u_dsp (
      .CLK(clk_i),
      .A(30'(a_i)),
      .B(18'(b_i)),
      .C(48'(c_i)),
      .D(25'(d_i)),
      .P(p),
      .INMODE(5'b01100), // D - A
      .OPMODE({1'b0, p_adds_c_i || p_adds_p_i, p_adds_c_i,
               1'b0, !p_keeps_i, p_keeps_i, !p_keeps_i}),
      .ALUMODE(4'b0000),
      .CARRYIN(1'b0),
      .CARRYINSEL(3'b000),
      .CEA1(1'b0),
      .CEA2(a_enable_i),
      .CEAD(1'b1),
      .CEALUMODE(1'b1),
      .CEB1(1'b0),
      .CEB2(b_enable_i),
      .CEC(c_enable_i),
      .CECARRYIN(1'b1),
      .CECTRL(1'b1),
      .CED(d_enable_i),
      .CEINMODE(1'b1),
      .CEM(1'b1),
      .CEP(p_enable_i),
      .RSTA(a_clear_i),
      .RSTALLCARRYIN(1'b0),
      .RSTALUMODE(1'b0),
      .RSTB(1'b0),
      .RSTC(1'b0),
      .RSTCTRL(1'b0),
      .RSTD(1'b0),
      .RSTINMODE(1'b0),
      .RSTM(1'b0),
      .RSTP(1'b0),
      .ACIN(30'b0),
      .BCIN(18'b0),
      .PCIN(48'b0),
      .CARRYCASCIN(1'b0),
      .MULTSIGNIN(1'b0)
    );

    assign p_o = p[SumWidth-1:0];

    logic unused;
    assign unused = &p;
  end else begin : gen_plain
    localparam int unsigned ProductWidth = DataWidth + FactorWidth;

    logic signed [DataWidth-1:0]    d_q, a_q, difference_q;
    logic signed [FactorWidth-1:0]  b_q;
    logic signed [ProductWidth-1:0] product_q;
    logic signed [SumWidth-1:0]     c_q, p_q, base, added;

    always_ff @(posedge clk_i) begin
      difference_q <= d_q - a_q;
      product_q    <= difference_q * b_q;
      if (d_enable_i) d_q <= d_i;
      if (b_enable_i) b_q <= b_i;
      if (c_enable_i) c_q <= c_i;
      if (a_clear_i) a_q <= '0;
      else if (a_enable_i) a_q <= a_i;
    end

    assign base  = p_adds_c_i ? c_q : p_adds_p_i ? p_q : '0;
    assign added = p_keeps_i ? p_q : SumWidth'(product_q);

    always_ff @(posedge clk_i) begin
      if (p_enable_i) p_q <= base + added;
    end
    assign p_o = p_q;

    logic unused;
    assign unused = &product_q;
  end

endmodule
