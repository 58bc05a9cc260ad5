// SPDX-License-Identifier: Apache-2.0
// Dot product of level codes: each pair of codes looks its product up, an adder tree sums them.

/// dot = sum over s of Alpha[weight code + Zero] * Beta[input code], modulo 2**OutWidth, in each of
/// Pe lanes. The product of two levels is a constant of the pair of codes: one table per pair, six
/// address bits for codes of three bits. Takes 1 + ceil(log4(Simd)) enabled cycles.
module pa_dot_coded #(
  parameter int unsigned         Pe           = 2, // lanes
  parameter int unsigned         Simd         = 4, // code pairs per lane
  parameter int unsigned         InWidth      = 3, // bits of an input code, unsigned
  parameter int unsigned         WeightWidth  = 3, // bits of a weight code, two's complement
  parameter int unsigned         M            = 4, // weight levels besides 0
  parameter int unsigned         N            = 5, // input levels besides 0
  parameter int unsigned         Zero         = 2, // index of the weight level 0
  parameter logic [16*(M+1)-1:0] Alpha        = 0, // weight levels, 16 bits each, level 0 lowest
  parameter logic [16*(N+1)-1:0] Beta         = 0, // input levels, likewise
  parameter int unsigned         ProductWidth = 8, // bits of a product, two's complement
  parameter int unsigned         OutWidth     = 8, // bits of a dot product
  parameter int unsigned         TagWidth     = 2  // bits of the tag
) (
  input  logic                           clk_i,
  input  logic                           rst_ni,
  input  logic                           enable_i,

  input  logic                           valid_i,
  input  logic [TagWidth-1:0]            tag_i,
  input  logic [Simd*InWidth-1:0]        data_i,
  input  logic [Pe*Simd*WeightWidth-1:0] weight_i, // code p * Simd + s meets input s in lane p

  output logic                           valid_o,
  output logic [TagWidth-1:0]            tag_o,
  output logic [Pe*OutWidth-1:0]         dot_o
);

  localparam int unsigned AddressWidth = WeightWidth + InWidth;
  localparam int unsigned Entries      = 1 << AddressWidth;
  // Sums are modulo 2**OutWidth, so higher bits of a product would be lost anyway.
  localparam int unsigned TermWidth    = (ProductWidth < OutWidth) ? ProductWidth : OutWidth;

  function automatic logic [Entries*TermWidth-1:0] product_table();
    logic [Entries*TermWidth-1:0] entries;
    entries = '0;
    for (int i = 0; i <= int'(M); i++) begin
      for (int j = 0; j <= int'(N); j++) begin
        int unsigned address;
        address = {(32-InWidth)'(i - int'(Zero)), InWidth'(j)} & (Entries - 1);
        entries[address*TermWidth+:TermWidth] = TermWidth'(
            32'($signed(Alpha[16*i+:16])) * 32'($signed(Beta[16*j+:16])));
      end
    end
    return entries;
  endfunction

  localparam logic [Entries*TermWidth-1:0] Products = product_table();

  logic                         term_valid_q;
  logic [TagWidth-1:0]          term_tag_q;
  logic [Pe*Simd*TermWidth-1:0] term;

  for (genvar p = 0; p < Pe; p++) begin : gen_pe
    for (genvar s = 0; s < Simd; s++) begin : gen_simd
      logic [AddressWidth-1:0] address;
      logic [TermWidth-1:0]    term_q;

      assign address = {weight_i[(p*Simd+s)*WeightWidth+:WeightWidth], data_i[s*InWidth+:InWidth]};
      always_ff @(posedge clk_i) begin
        if (enable_i && valid_i) term_q <= Products[address*TermWidth+:TermWidth];
      end
      assign term[(p*Simd+s)*TermWidth+:TermWidth] = term_q;
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) term_valid_q <= 1'b0;
    else if (enable_i) term_valid_q <= valid_i;
  end

  always_ff @(posedge clk_i) begin
    if (enable_i) term_tag_q <= tag_i;
  end

  adder_tree #(
    .Lanes(Pe),
    .Count(Simd),
    .InWidth(TermWidth),
    .OutWidth(OutWidth),
    .Signed(1),
    .TagWidth(TagWidth)
  ) u_tree (
    .clk_i,
    .rst_ni,
    .enable_i,
    .valid_i(term_valid_q),
    .tag_i(term_tag_q),
    .data_i(term),
    .valid_o,
    .tag_o,
    .sum_o(dot_o)
  );

endmodule
