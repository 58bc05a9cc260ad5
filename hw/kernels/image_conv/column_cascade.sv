// SPDX-License-Identifier: Apache-2.0
// Sums of products for one output, or for two of which each DSP computes both products.

/// sums[o] = sum over rows of pixel * weight[o], modulo 2**AccWidth. Operands of row r are due r
/// cycles after those of row 0. Sums come Simd + 3 cycles after these, one later where Chunk is
/// below Simd.
///
/// Two outputs: a factor holds the second's weight above the first's, so does a sum. After Chunk
/// rows the lower sum could grow into the upper one. It is taken off then and added in LUTs, while
/// the upper one goes on through the adder of the next DSP. Half of the lower sum's range comes in
/// addition: it is never negative, and borrows nothing.
module column_cascade #(
  parameter int unsigned Simd        = 3,  // rows
  parameter int unsigned Chunk       = 3,  // rows that a lower sum has room for
  parameter int unsigned Outputs     = 1,  // 1 or 2
  parameter int unsigned WeightWidth = 8,  // bits of a weight
  parameter int unsigned AccWidth    = 20, // bits of a sum
  parameter bit          Primitives  = 0   // explicit DSP48E1
) (
  input  logic                                clk_i,
  input  logic [Simd*8-1:0]                   pixels_i,
  input  logic [Simd*Outputs*WeightWidth-1:0] weights_i, // row 0 lowest, in it the first output
  output logic [Outputs*AccWidth-1:0]         sums_o
);

  localparam int unsigned Chunks      = (Simd + Chunk - 1) / Chunk;
  localparam int unsigned Field       = 25 - WeightWidth; // bits of the lower sum
  localparam int unsigned FactorWidth = Outputs == 2 ? 25 : WeightWidth;
  localparam int unsigned PairWidth   = Field + AccWidth > 48 ? 48 : Field + AccWidth;
  localparam int unsigned SumWidth    = Outputs == 2 ? PairWidth : AccWidth;
  localparam logic [47:0] Half        = Outputs == 2 ? 48'd1 << (Field - 1) : '0;

  if (Outputs < 1 || Outputs > 2) begin : gen_check_outputs
    $error("column_cascade: found Outputs=%0d, expected 1 or 2", Outputs);
  end
  if (Outputs == 2 && Chunk * (255 << (WeightWidth - 1)) > (1 << (Field - 1))) begin : gen_check
    $error("column_cascade: sums of Chunk=%0d products do not fit %0d bits", Chunk, Field);
  end

  logic [(Simd+1)*48-1:0]   cascade;
  logic [Simd*SumWidth-1:0] along;

  assign cascade[47:0] = '0;

  for (genvar r = 0; r < Simd; r++) begin : gen_row
    logic [Outputs*WeightWidth-1:0] weights;
    logic [FactorWidth-1:0]         factor;
    logic [47:0]                    addend;

    assign weights = weights_i[r*Outputs*WeightWidth +: Outputs*WeightWidth];

    if (Outputs == 2) begin : gen_pair
      assign factor = {weights[WeightWidth +: WeightWidth],
                       {(Field - WeightWidth){weights[WeightWidth-1]}}, weights[WeightWidth-1:0]};
    end else begin : gen_one
      assign factor = weights;
    end

    if (r == 0 || Outputs == 1) begin : gen_begin
      assign addend = Half;
    end else begin : gen_go_on
      assign addend = {48'($signed(along[(r-1)*SumWidth+Field +: SumWidth-Field])) << Field} | Half;
    end

    cascade_mac #(
      .Cascaded   (r > 0 && (Outputs == 1 || r % Chunk > 0)),
      .FactorWidth(FactorWidth),
      .Width      (SumWidth),
      .Primitives (Primitives)
    ) u_mac (
      .clk_i,
      .pixel_i  (pixels_i[r*8 +: 8]),
      .factor_i (factor),
      .addend_i (addend),
      .cascade_i(cascade[r*48 +: 48]),
      .cascade_o(cascade[(r+1)*48 +: 48]),
      .sum_o    (along[r*SumWidth +: SumWidth])
    );
  end

  logic unused;
  assign unused = &{cascade, along};

  // The upper sum, or that of the one output.
  logic [AccWidth-1:0] upper;

  if (Outputs == 2) begin : gen_upper
    assign upper = AccWidth'($signed(along[Simd*SumWidth-1 : (Simd-1)*SumWidth+Field]));
  end else begin : gen_only
    assign upper = along[Simd*SumWidth-1 -: SumWidth];
  end

  if (Chunks == 1) begin : gen_at_once
    assign sums_o[Outputs*AccWidth-1 -: AccWidth] = upper;
  end else begin : gen_later
    logic [AccWidth-1:0] upper_q;

    always_ff @(posedge clk_i) upper_q <= upper;
    assign sums_o[Outputs*AccWidth-1 -: AccWidth] = upper_q;
  end

  // The lower sums of the chunks, one after the other.
  if (Outputs == 2) begin : gen_lower
    for (genvar c = 0; c < Chunks; c++) begin : gen_chunk
      localparam int unsigned End   = (c + 1) * Chunk > Simd ? Simd : (c + 1) * Chunk;
      localparam int unsigned Place = (End - 1) * SumWidth;
      logic [AccWidth-1:0] part, total;

      assign part = AccWidth'($signed({!along[Place+Field-1], along[Place +: Field-1]}));

      if (c == 0) begin : gen_first
        assign total = part;
      end else begin : gen_next
        // The total so far waits for this chunk's sum.
        localparam int unsigned Wait = End - c * Chunk - (c > 1 ? 1 : 0);
        logic [AccWidth-1:0] so_far, total_q;

        if (Wait == 0) begin : gen_none
          assign so_far = gen_chunk[c-1].total;
        end else begin : gen_wait
          logic [Wait*AccWidth-1:0] line_q;

          always_ff @(posedge clk_i) begin
            line_q <= (Wait*AccWidth)'({line_q, gen_chunk[c-1].total});
          end
          assign so_far = line_q[Wait*AccWidth-1 -: AccWidth];
        end

        always_ff @(posedge clk_i) total_q <= so_far + part;
        assign total = total_q;
      end
    end

    assign sums_o[AccWidth-1:0] = gen_chunk[Chunks-1].total;
  end

endmodule
