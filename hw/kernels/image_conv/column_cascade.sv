// SPDX-License-Identifier: Apache-2.0
// Sums of products for one output, or for two of which each DSP computes both products.

/// sums[o] + carries[o] = sum over rows of pixel * weight[o], modulo 2**AccWidth. Row r of a chunk is
/// due r cycles after its row 0, chunk c c cycles after the first, and the last chunk so that its
/// last row is due as that of a whole chunk. Sums come Chunk + 2 cycles after the operands of the
/// first row, and with more than one chunk as many more as there are chunks.
///
/// Two outputs: the weight of the second stands above that of the first in one factor. The sum of
/// the lower products, if negative, has borrowed from the upper ones: the carry gives it back.
module column_cascade #(
  parameter int unsigned Simd        = 3,  // rows
  parameter int unsigned Chunk       = 3,  // rows whose products one cascade adds
  parameter int unsigned Outputs     = 1,  // 1 or 2
  parameter int unsigned WeightWidth = 8,  // bits of a weight
  parameter int unsigned AccWidth    = 20, // bits of a sum
  parameter bit          Primitives  = 0   // explicit DSP48E1
) (
  input  logic                                clk_i,
  input  logic [Simd*8-1:0]                   pixels_i,
  input  logic [Simd*Outputs*WeightWidth-1:0] weights_i, // row 0 lowest, in it the first output
  output logic [Outputs*AccWidth-1:0]         sums_o,
  output logic [Outputs-1:0]                  carries_o
);

  localparam int unsigned Chunks      = (Simd + Chunk - 1) / Chunk;
  localparam int unsigned Field       = 25 - WeightWidth; // bits of the lower sum of a pair
  localparam int unsigned FactorWidth = Outputs == 2 ? 25 : WeightWidth;
  localparam int unsigned SumWidth    = Outputs == 2 ? 2 * Field : AccWidth;

  if (Outputs < 1 || Outputs > 2) begin : gen_check_outputs
    $error("column_cascade: found Outputs=%0d, expected 1 or 2", Outputs);
  end
  if (Outputs == 2 && Chunk * (255 << (WeightWidth - 1)) > (1 << (Field - 1))) begin : gen_check
    $error("column_cascade: sums of Chunk=%0d products do not fit %0d bits", Chunk, Field);
  end

  logic [Chunks*SumWidth-1:0] chunk_sums;

  for (genvar c = 0; c < Chunks; c++) begin : gen_chunk
    localparam int unsigned Rows = (c + 1) * Chunk > Simd ? Simd - c * Chunk : Chunk;
    logic [(Rows+1)*48-1:0]   cascade;
    logic [Rows*SumWidth-1:0] along;

    assign cascade[47:0] = '0;

    for (genvar i = 0; i < Rows; i++) begin : gen_row
      localparam int unsigned Row = c * Chunk + i;
      logic [Outputs*WeightWidth-1:0] weights;
      logic [FactorWidth-1:0]         factor;

      assign weights = weights_i[Row*Outputs*WeightWidth +: Outputs*WeightWidth];

      if (Outputs == 2) begin : gen_pair
        assign factor = {weights[WeightWidth +: WeightWidth],
                         {(Field - WeightWidth){weights[WeightWidth-1]}}, weights[WeightWidth-1:0]};
      end else begin : gen_one
        assign factor = weights;
      end

      cascade_mac #(
        .First      (i == 0),
        .FactorWidth(FactorWidth),
        .Width      (SumWidth),
        .Primitives (Primitives)
      ) u_mac (
        .clk_i,
        .pixel_i  (pixels_i[Row*8 +: 8]),
        .factor_i (factor),
        .cascade_i(cascade[i*48 +: 48]),
        .cascade_o(cascade[(i+1)*48 +: 48]),
        .sum_o    (along[i*SumWidth +: SumWidth])
      );
    end

    assign chunk_sums[c*SumWidth +: SumWidth] = along[(Rows-1)*SumWidth +: SumWidth];

    logic unused;
    assign unused = &{cascade, along};
  end

  for (genvar o = 0; o < Outputs; o++) begin : gen_output
    logic [Chunks*AccWidth-1:0] parts;
    logic [Chunks-1:0]          borrowed;

    for (genvar c = 0; c < Chunks; c++) begin : gen_part
      if (Outputs == 2) begin : gen_field
        assign parts[c*AccWidth +: AccWidth] =
            AccWidth'($signed(chunk_sums[c*SumWidth+o*Field +: Field]));
        assign borrowed[c] = o == 1 && chunk_sums[c*SumWidth+Field-1];
      end else begin : gen_whole
        assign parts[c*AccWidth +: AccWidth] = chunk_sums[c*SumWidth +: AccWidth];
        assign borrowed[c] = 1'b0;
      end
    end

    if (Chunks == 1) begin : gen_one_chunk
      assign sums_o[o*AccWidth +: AccWidth] = parts;
      assign carries_o[o]                   = borrowed;
    end else begin : gen_chunks
      // Chunk by chunk; what one has borrowed is given back in the next addition.
      logic [Chunks*AccWidth-1:0] totals_q;
      logic [Chunks-1:0]          carries_q;

      for (genvar c = 0; c < Chunks; c++) begin : gen_total
        if (c == 0) begin : gen_first
          always_ff @(posedge clk_i) totals_q[AccWidth-1:0] <= parts[AccWidth-1:0];
        end else begin : gen_next
          logic [AccWidth:0] total;

          assign total = {totals_q[(c-1)*AccWidth +: AccWidth], 1'b1} +
                         {parts[c*AccWidth +: AccWidth], carries_q[c-1]};
          always_ff @(posedge clk_i) totals_q[c*AccWidth +: AccWidth] <= total[AccWidth:1];

          logic unused;
          assign unused = total[0];
        end
      end

      always_ff @(posedge clk_i) carries_q <= borrowed;

      assign sums_o[o*AccWidth +: AccWidth] = totals_q[(Chunks-1)*AccWidth +: AccWidth];
      assign carries_o[o]                   = carries_q[Chunks-1];
    end
  end

endmodule
