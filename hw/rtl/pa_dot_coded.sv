// SPDX-License-Identifier: Apache-2.0
// Dot product of level codes: each pair of codes looks its product up, an adder tree sums them.

/// dot = sum over s of Alpha[weight code + Zero] * Beta[input code], modulo 2**OutWidth, in each of
/// Pe lanes. The product of two levels is a constant of the pair of codes: one table per pair, six
/// address bits for codes of three bits. Takes max(ceil(log2(Simd)), 2) + 3 enabled cycles, with
/// and without Primitives.
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
  parameter int unsigned         TagWidth     = 2, // bits of the tag
  parameter int unsigned         Primitives   = 0  // 1: LUT6_2 and CARRY4 of the 7 series
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
  // The cycles that the bit heap of the primitives needs.
  localparam int unsigned Cycles       = (($clog2(Simd) > 2) ? $clog2(Simd) : 2) + 3;

  function automatic int product_of(int unsigned address);
    int weight, level;
    weight = 32'($signed(WeightWidth'(address >> InWidth))) + int'(Zero);
    level  = int'(address & ((1 << InWidth) - 1));
    if (weight < 0 || weight > int'(M) || level > int'(N)) return 0; // no code
    return 32'($signed(Alpha[16*weight+:16])) * 32'($signed(Beta[16*level+:16]));
  endfunction

  function automatic int least_product();
    int least;
    least = 0;
    for (int unsigned a = 0; a < Entries; a++) begin
      if (product_of(a) < least) least = product_of(a);
    end
    return least;
  endfunction

  function automatic int most_product();
    int most;
    most = 0;
    for (int unsigned a = 0; a < Entries; a++) begin
      if (product_of(a) > most) most = product_of(a);
    end
    return most;
  endfunction

  // A bit heap adds unsigned terms: products from the least one up, which costs fewer bits than
  // two's complement.
  localparam int          Base      = (Primitives == 0) ? 0 : least_product();
  localparam int          Span      = most_product() - least_product();
  localparam int unsigned SpanWidth = (Span > 0) ? $clog2(Span + 1) : 1;
  localparam int unsigned FullWidth = (Primitives == 0) ? ProductWidth : SpanWidth;
  // Sums are modulo 2**OutWidth, so higher bits of a term would be lost anyway.
  localparam int unsigned TermWidth = (FullWidth < OutWidth) ? FullWidth : OutWidth;

  function automatic logic [Entries*TermWidth-1:0] product_table();
    logic [Entries*TermWidth-1:0] entries;
    for (int unsigned a = 0; a < Entries; a++) begin
      entries[a*TermWidth+:TermWidth] = TermWidth'(product_of(a) - Base);
    end
    return entries;
  endfunction

  localparam logic [Entries*TermWidth-1:0] Products = product_table();

  // LUT6_2: bit `high` of the products by I0 to I5 if that is all, else bits `high` and `low` by I0
  // to I4 on O6 and O5.
  function automatic logic [63:0] lut_tables(int unsigned high, int unsigned low);
    logic [63:0] init;
    for (int unsigned i = 0; i < 64; i++) begin
      init[i] = table_bit(i, (i < 32) ? low : high);
    end
    return init;
  endfunction

  function automatic logic table_bit(int unsigned address, int unsigned index);
    if (index >= TermWidth) return 1'b0; // no partner for the last bit
    return Products[(address%Entries)*TermWidth+index];
  endfunction

  logic [Pe*Simd*TermWidth-1:0] term;

  for (genvar p = 0; p < Pe; p++) begin : gen_pe
    for (genvar s = 0; s < Simd; s++) begin : gen_simd
      logic [AddressWidth-1:0] address;
      logic [TermWidth-1:0]    term_d, term_q;

      assign address = {weight_i[(p*Simd+s)*WeightWidth+:WeightWidth], data_i[s*InWidth+:InWidth]};

      if (Primitives == 0 || AddressWidth > 6) begin : gen_table
        assign term_d = Products[address*TermWidth+:TermWidth];
      end else begin : gen_luts
        // A LUT holds one bit of the table, or two where five address bits are enough.
        localparam int unsigned PerLut = (AddressWidth == 6) ? 1 : 2;
        localparam int unsigned Luts   = (TermWidth + PerLut - 1) / PerLut;

        logic [5:0]      inputs;
        logic [Luts-1:0] high, low;

        assign inputs = (PerLut == 1) ? 6'(address) : 6'(address) | 6'b100000;
        for (genvar b = 0; b < Luts; b++) begin : gen_lut
          LUT6_2 #(
            .INIT(lut_tables(PerLut * b + PerLut - 1, PerLut * b))
          ) u_lut (
            .I0(inputs[0]),
            .I1(inputs[1]),
            .I2(inputs[2]),
            .I3(inputs[3]),
            .I4(inputs[4]),
            .I5(inputs[5]),
            .O6(high[b]),
            .O5(low[b])
          );
        end
        for (genvar b = 0; b < TermWidth; b++) begin : gen_bit
          assign term_d[b] = (b % PerLut == PerLut - 1) ? high[b/PerLut] : low[b/PerLut];
        end

        logic unused;
        assign unused = &{high, low};
      end

      always_ff @(posedge clk_i) begin
        if (enable_i && valid_i) term_q <= term_d;
      end
      assign term[(p*Simd+s)*TermWidth+:TermWidth] = term_q;
    end
  end

  if (Primitives == 0) begin : gen_behavioural
    logic                term_valid_q;
    logic [TagWidth-1:0] term_tag_q;

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
      .TagWidth(TagWidth),
      .Levels(Cycles - 1)
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
  end else begin : gen_primitives
    localparam int unsigned SumWidth  = ProductWidth + $clog2(Simd);
    localparam int unsigned HeapWidth = (SumWidth < OutWidth) ? SumWidth : OutWidth;

    for (genvar p = 0; p < Pe; p++) begin : gen_lane
      logic [TermWidth*Simd-1:0] columns;
      logic [HeapWidth-1:0]      sum;

      for (genvar s = 0; s < Simd; s++) begin : gen_term
        for (genvar b = 0; b < TermWidth; b++) begin : gen_bit
          assign columns[b*Simd+s] = term[(p*Simd+s)*TermWidth+b];
        end
      end

      bit_heap #(
        .OutWidth(HeapWidth),
        .Heights((16*HeapWidth)'({TermWidth{16'(Simd)}})),
        .Bits(TermWidth * Simd),
        .Constant(HeapWidth'(Base * int'(Simd))),
        .Stages(Cycles - 1)
      ) u_heap (
        .clk_i,
        .rst_ni,
        .enable_i,
        .bits_i(columns),
        .sum_o(sum)
      );
      assign dot_o[p*OutWidth+:OutWidth] = OutWidth'($signed(sum));
    end

    bit_heap_tag #(
      .Cycles(Cycles),
      .TagWidth(TagWidth)
    ) u_tag (
      .clk_i,
      .rst_ni,
      .enable_i,
      .valid_i,
      .tag_i,
      .valid_o,
      .tag_o
    );
  end

endmodule
