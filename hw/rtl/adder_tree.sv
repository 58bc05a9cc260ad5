// SPDX-License-Identifier: Apache-2.0
// Pipelined adder tree: sums of Count operands per lane, two or four per level and cycle.

/// Adds Count operands in each lane, modulo 2**OutWidth; the tag travels beside the sums. Takes
/// Levels enabled cycles, ceil(log4(Count)) unless told to take more. Where they are enough for
/// two operands per level, it adds two, otherwise four. Operand i of lane l sits at index
/// l * Count + i of `data_i`. Each level is only as wide as its sums.
module adder_tree #(
  parameter int unsigned Lanes    = 1, // independent sums
  parameter int unsigned Count    = 8, // operands of a sum
  parameter int unsigned InWidth  = 8, // bits of an operand
  parameter int unsigned OutWidth = 8, // bits of a sum, at least InWidth
  parameter bit          Signed   = 1, // operands are two's complement
  parameter int unsigned TagWidth = 2, // bits of the tag
  parameter int unsigned Levels   = ($clog2(Count) + 1) / 2 // cycles
) (
  input  logic                           clk_i,
  input  logic                           rst_ni,
  input  logic                           enable_i,

  input  logic                           valid_i,
  input  logic [TagWidth-1:0]            tag_i,
  input  logic [Lanes*Count*InWidth-1:0] data_i,

  output logic                           valid_o,
  output logic [TagWidth-1:0]            tag_o,
  output logic [Lanes*OutWidth-1:0]      sum_o
);

  if (OutWidth < InWidth) begin : gen_check
    $error("adder_tree: OutWidth %0d is below InWidth %0d", OutWidth, InWidth);
  end
  if (4 ** Levels < Count) begin : gen_check_levels
    $error("adder_tree: Levels %0d cannot add %0d operands", Levels, Count);
  end

  localparam int unsigned Radix = (2 ** Levels < Count) ? 4 : 2;
  localparam int unsigned Grow  = $clog2(Radix); // bits that a level adds

  for (genvar k = 0; k <= Levels; k++) begin : gen_level
    localparam int unsigned Terms = (Count + Radix ** k - 1) / Radix ** k;
    localparam int unsigned Width =
        (InWidth + Grow * k < OutWidth) ? InWidth + Grow * k : OutWidth;

    logic                         valid;
    logic [TagWidth-1:0]          tag;
    logic [Lanes*Terms*Width-1:0] data;

    if (k == 0) begin : gen_input
      assign valid = valid_i;
      assign tag   = tag_i;
      assign data  = data_i;
    end else begin : gen_add
      localparam int unsigned LowTerms = (Count + Radix ** (k - 1) - 1) / Radix ** (k - 1);
      localparam int unsigned LowWidth =
          (InWidth + Grow * (k - 1) < OutWidth) ? InWidth + Grow * (k - 1) : OutWidth;

      logic                valid_q;
      logic [TagWidth-1:0] tag_q;

      for (genvar g = 0; g < Lanes * Terms; g++) begin : gen_group
        localparam int unsigned First = Radix * (g % Terms);
        logic [4*Width-1:0] operand;
        logic [Width-1:0]   sum_q;

        for (genvar i = 0; i < 4; i++) begin : gen_operand
          localparam int unsigned Index = (g / Terms) * LowTerms + First + i;
          if (i >= Radix || First + i >= LowTerms) begin : gen_none
            assign operand[i*Width+:Width] = '0;
          end else if (Signed) begin : gen_signed
            assign operand[i*Width+:Width] =
                Width'($signed(gen_level[k-1].data[Index*LowWidth+:LowWidth]));
          end else begin : gen_unsigned
            assign operand[i*Width+:Width] =
                Width'(gen_level[k-1].data[Index*LowWidth+:LowWidth]);
          end
        end

        always_ff @(posedge clk_i) begin
          if (enable_i && gen_level[k-1].valid) begin
            sum_q <= (operand[0+:Width] + operand[Width+:Width]) +
                     (operand[2*Width+:Width] + operand[3*Width+:Width]);
          end
        end
        assign data[g*Width+:Width] = sum_q;
      end

      always_ff @(posedge clk_i) begin
        if (!rst_ni) valid_q <= 1'b0;
        else if (enable_i) valid_q <= gen_level[k-1].valid;
      end

      always_ff @(posedge clk_i) begin
        if (enable_i) tag_q <= gen_level[k-1].tag;
      end

      assign valid = valid_q;
      assign tag   = tag_q;
    end
  end

  localparam int unsigned LastWidth =
      (InWidth + Grow * Levels < OutWidth) ? InWidth + Grow * Levels : OutWidth;

  assign valid_o = gen_level[Levels].valid;
  assign tag_o   = gen_level[Levels].tag;
  for (genvar l = 0; l < Lanes; l++) begin : gen_lane
    if (Signed) begin : gen_signed
      assign sum_o[l*OutWidth+:OutWidth] =
          OutWidth'($signed(gen_level[Levels].data[l*LastWidth+:LastWidth]));
    end else begin : gen_unsigned
      assign sum_o[l*OutWidth+:OutWidth] =
          OutWidth'(gen_level[Levels].data[l*LastWidth+:LastWidth]);
    end
  end

  if (Levels == 0) begin : gen_no_clock
    logic unused;
    assign unused = &{clk_i, rst_ni, enable_i};
  end

endmodule
