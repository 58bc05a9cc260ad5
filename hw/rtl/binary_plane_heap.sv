// SPDX-License-Identifier: Apache-2.0
// Sum of gated k-bit codes as one bit heap of 7-series cells over their bit planes.

/// sum = sum over b of 2**b * (ones in plane b of the codes, gated with the weight bits). Takes
/// Stages enabled cycles; max(ceil(log2(Simd)), 2) + 1 are enough.
module binary_plane_heap #(
  parameter int unsigned Simd    = 4, // codes
  parameter int unsigned InWidth = 4, // bits of a code, unsigned
  parameter int unsigned Gate    = 1, // 0: the codes alone, 1: code bit and weight, 2: xnor
  parameter int unsigned Stages  = 3, // cycles
  localparam int unsigned SumWidth = $clog2(Simd * ((1 << InWidth) - 1) + 1)
) (
  input  logic                    clk_i,
  input  logic                    rst_ni,
  input  logic                    enable_i,
  input  logic [Simd*InWidth-1:0] data_i,
  input  logic [Simd-1:0]         weight_i, // not read where Gate is 0
  output logic [SumWidth-1:0]     sum_o
);

  // What `bit_heap_gates` leaves of each plane; codes alone go to the heap as they are.
  localparam int unsigned ChainLength = 5;
  localparam int unsigned Carries     = (Gate == 0) ? 0 : (Simd + 1) / 2;
  localparam int unsigned Sums        =
      (Gate == 0) ? Simd : (Carries + ChainLength - 1) / ChainLength;
  localparam int unsigned HeapStages  = (Gate == 0) ? Stages : Stages - 1;

  // Bits in a column: first the sums of its plane, then the carries of the plane below.
  function automatic int unsigned height_of(int unsigned column);
    return ((column < InWidth) ? Sums : 0) + ((column > 0 && column <= InWidth) ? Carries : 0);
  endfunction

  function automatic int unsigned start_of(int unsigned column);
    int unsigned start;
    start = 0;
    for (int unsigned c = 0; c < column; c++) start += height_of(c);
    return start;
  endfunction

  function automatic logic [16*SumWidth-1:0] heights();
    for (int unsigned c = 0; c < SumWidth; c++) heights[16*c+:16] = 16'(height_of(c));
  endfunction

  localparam int unsigned HeapBits = start_of(SumWidth);

  logic [HeapBits-1:0] columns;

  for (genvar b = 0; b < InWidth; b++) begin : gen_plane
    logic [Simd-1:0] plane;

    for (genvar s = 0; s < Simd; s++) begin : gen_bit
      assign plane[s] = data_i[s*InWidth+b];
    end

    if (Gate == 0) begin : gen_pass
      assign columns[start_of(b)+:Sums] = plane;
    end else begin : gen_gates
      logic [Sums-1:0]    sums;
      logic [Carries-1:0] carries;

      bit_heap_gates #(
        .Pairs(Simd),
        .Gate(Gate),
        .ChainLength(ChainLength)
      ) u_gates (
        .clk_i,
        .rst_ni,
        .enable_i,
        .a_i(plane),
        .b_i(weight_i),
        .sums_o(sums),
        .carries_o(carries)
      );
      assign columns[start_of(b)+:Sums] = sums;
      if (b + 1 < SumWidth) begin : gen_carries
        assign columns[start_of(b+1)+((b+1<InWidth)?Sums:0)+:Carries] = carries;
      end else begin : gen_no_carries // one code alone
        logic unused;
        assign unused = &carries;
      end
    end
  end

  bit_heap #(
    .OutWidth(SumWidth),
    .Heights(heights()),
    .Bits(HeapBits),
    .Stages(HeapStages)
  ) u_heap (
    .clk_i,
    .rst_ni,
    .enable_i,
    .bits_i(columns),
    .sum_o
  );

  if (Gate == 0) begin : gen_no_gate
    logic unused_weight;
    assign unused_weight = &weight_i;
  end

endmodule
