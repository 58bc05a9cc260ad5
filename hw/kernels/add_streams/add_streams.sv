// SPDX-License-Identifier: Apache-2.0
// Adds the words of several inputs, each times a constant.

/// y = sum over the inputs s of the signed number `Factors[32*s +: 32]` times x_s, lane by lane,
/// modulo 2**OutBits. A word of each input is taken in one cycle: an input is ready where
/// the others are valid. One cycle of latency where the sizes of all factors are powers of two,
/// else two (products | sum); one word per cycle. The ready outputs follow `out_ready_i` in the
/// same cycle.
module add_streams #(
  parameter int unsigned           Lanes    = 1,  // elements of a word
  parameter int unsigned           Streams  = 2,  // inputs
  parameter int unsigned           Width    = 16, // bits of the words of all inputs together
  parameter logic [32*Streams-1:0] InBits   = {32'd8, 32'd8}, // bits of an element of each input
  parameter logic [Streams-1:0]    InSigned = '1,
  parameter logic [32*Streams-1:0] Factors  = {32'd1, 32'd1},
  parameter int unsigned           OutBits  = 9   // bits of an output element
) (
  input  logic                     clk_i,
  input  logic                     rst_ni,

  input  logic [Streams-1:0]       in_valid_i,
  output logic [Streams-1:0]       in_ready_o,
  input  logic [Width-1:0]         in_data_i,

  output logic                     out_valid_o,
  input  logic                     out_ready_i,
  output logic [Lanes*OutBits-1:0] out_data_o
);

  function automatic bit [31:0] magnitude(int unsigned stream);
    bit [31:0] factor;
    factor = Factors[32*stream +: 32];
    magnitude = factor[31] ? -factor : factor;
  endfunction

  // Bits of the words in front of those of an input.
  function automatic int unsigned first_bit(int unsigned stream);
    first_bit = 0;
    for (int unsigned s = 0; s < stream; s++) first_bit = first_bit + Lanes * InBits[32*s +: 32];
  endfunction

  function automatic bit has_adders();
    has_adders = 0;
    for (int unsigned s = 0; s < Streams; s++) begin
      if ((magnitude(s) & (magnitude(s) - 1)) != 0) has_adders = 1;
    end
  endfunction

  localparam int unsigned FactorBits = 16;
  localparam bit          Scaled     = has_adders();

  if (Streams < 1) begin : gen_check_streams
    $error("add_streams: found Streams=%0d, expected 1 or more", Streams);
  end
  if (first_bit(Streams) != Width) begin : gen_check_width
    $error("add_streams: found Width=%0d, expected %0d as InBits say", Width, first_bit(Streams));
  end
  for (genvar s = 0; s < Streams; s++) begin : gen_check
    if (InBits[32*s +: 32] == 0 || InBits[32*s +: 32] > OutBits) begin : gen_bits
      $error("add_streams: found InBits=%0d of input %0d, expected 1 to OutBits=%0d",
             InBits[32*s +: 32], s, OutBits);
    end
    if (magnitude(s) == 0 || magnitude(s) >= 1 << FactorBits) begin : gen_factor
      $error("add_streams: found the factor %0d of input %0d, expected %0d bits and a sign",
             $signed(Factors[32*s +: 32]), s, FactorBits);
    end
  end

  logic                             out_valid_q, out_free, take, sum_valid;
  logic [Streams*Lanes*OutBits-1:0] products, terms;
  logic [Lanes*OutBits-1:0]         out_d, out_q;

  for (genvar s = 0; s < Streams; s++) begin : gen_term
    localparam int unsigned Bits  = InBits[32*s +: 32];
    localparam int unsigned First = first_bit(s);
    // The digits -1, 0, +1 of the factor: of two neighbours at most one is not 0.
    localparam bit [31:0]             Size   = magnitude(s);
    localparam bit                    Falls  = Factors[32*s + 31];
    localparam logic [FactorBits+1:0] Factor = Size[FactorBits+1:0];
    localparam logic [FactorBits+1:0] Half   = Factor >> 1;
    localparam logic [FactorBits+1:0] Triple = Factor + Half;
    localparam logic [FactorBits+1:0] Plus   = Falls ? Half & ~Triple : Triple & ~Half;
    localparam logic [FactorBits+1:0] Minus  = Falls ? Triple & ~Half : Half & ~Triple;

    for (genvar i = 0; i < Lanes; i++) begin : gen_lane
      logic [Bits-1:0]    x;
      logic [OutBits-1:0] wide, product;
      assign x = in_data_i[First + i*Bits +: Bits];
      if (Bits < OutBits) begin : gen_wide
        assign wide = {{OutBits - Bits{InSigned[s] && x[Bits-1]}}, x};
      end else begin : gen_same
        assign wide = x;
      end
      always_comb begin
        product = '0;
        for (int unsigned b = 0; b < FactorBits + 2; b++) begin
          if (Plus[b]) product = product + (wide << b);
          if (Minus[b]) product = product - (wide << b);
        end
      end
      assign products[(s*Lanes + i)*OutBits +: OutBits] = product;
    end

    assign in_ready_o[s] = take && (in_valid_i | Streams'(1) << s) == '1;
  end

  if (Scaled) begin : gen_products
    logic                             valid_q;
    logic [Streams*Lanes*OutBits-1:0] products_q;
    assign take      = !valid_q || out_free;
    assign sum_valid = valid_q;
    assign terms     = products_q;
    always_ff @(posedge clk_i) begin
      if (!rst_ni) valid_q <= 1'b0;
      else if (take) valid_q <= in_valid_i == '1;
    end
    always_ff @(posedge clk_i) begin
      if (take && in_valid_i == '1) products_q <= products;
    end
  end else begin : gen_plain
    assign take      = out_free;
    assign sum_valid = in_valid_i == '1;
    assign terms     = products;
  end

  always_comb begin
    out_d = terms[0 +: Lanes*OutBits];
    for (int unsigned s = 1; s < Streams; s++) begin
      for (int unsigned i = 0; i < Lanes; i++) begin
        out_d[i*OutBits +: OutBits] =
            out_d[i*OutBits +: OutBits] + terms[(s*Lanes + i)*OutBits +: OutBits];
      end
    end
  end

  assign out_free    = !out_valid_q || out_ready_i;
  assign out_valid_o = out_valid_q;
  assign out_data_o  = out_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) out_valid_q <= 1'b0;
    else if (out_free) out_valid_q <= sum_valid;
  end

  always_ff @(posedge clk_i) begin
    if (out_free && sum_valid) out_q <= out_d;
  end

endmodule
