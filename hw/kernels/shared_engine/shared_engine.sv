// SPDX-License-Identifier: Apache-2.0
// Units of equal shape, one after the other in one engine: split, 1-bit layers, shuffle.

/// One channel per word in, one per word out, 2C channels. A unit's 1-bit layers of C channels work
/// on the right half of the channels, each with its own input as the shortcut; then left and right
/// are shuffled. A frame lies in one of two buffers and is changed in place; the other buffer takes
/// the next frame behind the one that leaves. Valid, data and both readies are registers; no frame
/// waits for the next one.
module shared_engine #(
  parameter int unsigned Channels       = 4,  // channels of a layer, C
  parameter int unsigned Height         = 2,  // rows
  parameter int unsigned Width          = 2,  // columns
  parameter int unsigned Units          = 2,
  parameter int unsigned Layers         = 2,  // of a unit
  parameter int unsigned Kernel         = 3,  // rows and columns of a wide window, odd
  parameter int unsigned WideLayers     = 2,  // bit l: layer l has a wide window; otherwise 1x1
  parameter int unsigned Stride         = 2,  // between the places of channels behind the last unit
  parameter int unsigned Simd           = 4,  // bits of a step
  parameter int unsigned Pe             = 2,  // outputs of a step
  parameter int unsigned Bits           = 8,  // bits of a word, two's complement
  parameter int unsigned ShortcutShift  = 0,  // left shift of the shortcut
  parameter int unsigned PreShift       = 0,  // rounding shift to the pre-activation
  parameter int unsigned PreBits        = 14, // bits of the pre-activation
  parameter int unsigned SlopeShift     = 6,  // fraction bits of the slope
  parameter int unsigned OutShift       = 4,  // rounding shift to the output
  parameter int unsigned MulWidth       = 10, // bits of the parameters of the epilogue
  parameter int unsigned BiasWidth      = 24,
  parameter int unsigned ZetaWidth      = 14,
  parameter int unsigned SlopeWidth     = 8,
  parameter int unsigned EtaWidth       = 14,
  parameter int unsigned ThresholdWidth = 9,  // bits of a threshold
  parameter int unsigned LineAddress    = 5,  // address bits of the bit maps
  parameter int unsigned WeightWords    = 40, // weight words of all layers
  parameter bit          LineBlock      = 0,  // bit maps in block RAM, otherwise in LUTs
  parameter bit          MapBlock       = 1,  // feature maps in block RAM
  parameter int unsigned MapBank        = 64, // words of a bank of maps
  parameter bit          WeightBlock    = 1,  // weights in block RAM
  parameter int unsigned WeightBank     = 40, // words of a bank of weights
  parameter bit          ParamBlock     = 1,  // parameters in block RAM
  parameter              WeightPrefix   = "", // $readmemh images <WeightPrefix>_<bank>.mem
  parameter int unsigned ParamBank      = 32, // words of a bank of parameters
  parameter              ParamPrefix    = "", // $readmemh images <ParamPrefix>_<bank>.mem
  parameter int unsigned TapId          = 0   // number of the first tap in a simulation
) (
  input  logic            clk_i,
  input  logic            rst_ni,

  input  logic            in_valid_i,
  output logic            in_ready_o,
  input  logic [Bits-1:0] in_data_i,

  output logic            out_valid_o,
  input  logic            out_ready_i,
  output logic [Bits-1:0] out_data_o
);

  localparam int unsigned Pixels        = Height * Width;
  localparam int unsigned LayerWidth    = (Layers > 1) ? $clog2(Layers) : 1;
  localparam int unsigned UnitWidth     = (Units > 1) ? $clog2(Units) : 1;
  localparam int unsigned PlaceWidth    = $clog2(2 * Channels);
  localparam int unsigned AddressWidth  = $clog2(2 * Channels * Pixels);
  localparam int unsigned WeightAddress = (WeightWords > 1) ? $clog2(WeightWords) : 1;
  localparam int unsigned WideInputs    = ((WideLayers != 0) ? Kernel * Kernel : 1) * Channels;
  localparam int unsigned CountWidth    = $clog2(WideInputs + 1);
  localparam int unsigned Levels        = $clog2((Simd + 5) / 6); // of block_dot's adders

  logic                    start, done, running, work;
  logic                    in_write, out_buffer;
  logic [AddressWidth-1:0] in_address, out_address;
  logic [Bits-1:0]         out_word;

  engine_frames #(
    .Channels(2 * Channels),
    .Pixels(Pixels),
    .Width(Bits),
    .Stride(Stride)
  ) u_frames (
    .clk_i,
    .rst_ni,
    .in_valid_i,
    .in_ready_o,
    .in_write_o(in_write),
    .in_address_o(in_address),
    .out_valid_o,
    .out_ready_i,
    .out_data_o,
    .out_buffer_o(out_buffer),
    .out_address_o(out_address),
    .word_i(out_word),
    .start_o(start),
    .done_i(done),
    .running_o(running),
    .work_o(work)
  );

  logic                     next, bits, last_layer, word, step, first, last, border, pass_end;
  logic [LayerWidth-1:0]    layer;
  logic [UnitWidth-1:0]     unit;
  logic [PlaceWidth-1:0]    stride, place_start;
  logic [LineAddress-1:0]   line_address;
  logic [WeightAddress-1:0] weight_address;

  engine_sequencer #(
    .Channels(Channels),
    .Height(Height),
    .Width(Width),
    .Units(Units),
    .Layers(Layers),
    .Kernel(Kernel),
    .WideLayers(WideLayers),
    .Simd(Simd),
    .Pe(Pe),
    .LineAddress(LineAddress),
    .WeightWords(WeightWords)
  ) u_sequencer (
    .clk_i,
    .rst_ni,
    .start_i(start),
    .done_o(done),
    .end_i(pass_end),
    .next_o(next),
    .bits_o(bits),
    .layer_o(layer),
    .unit_o(unit),
    .last_layer_o(last_layer),
    .stride_o(stride),
    .start_o(place_start),
    .word_o(word),
    .step_o(step),
    .first_o(first),
    .last_o(last),
    .border_o(border),
    .line_address_o(line_address),
    .weight_address_o(weight_address)
  );

  // Bits and weights of a step come three cycles later, and the step travels beside them.
  logic                       line_write;
  logic [Simd-1:0]            line_data, data, data_q;
  logic [Pe*Simd-1:0]         weights, weights_q;
  logic [2:0]                 step_q, first_q, last_q;
  logic [Levels+1:0]          launch;
  logic                       counted;
  logic [Pe*CountWidth-1:0]   count;

  block_lines #(
    .Width(Simd),
    .AddressWidth(LineAddress),
    .BlockRam(LineBlock)
  ) u_lines (
    .clk_i,
    .rst_ni,
    .write_i(line_write),
    .write_data_i(line_data),
    .read_address_i(line_address),
    .border_i(border),
    .read_data_o(data)
  );

  banked_rom #(
    .Width(Pe * Simd),
    .Words(WeightWords),
    .Bank(WeightBank),
    .Block(WeightBlock),
    .Prefix(WeightPrefix)
  ) u_weights (
    .clk_i,
    .address_i(weight_address),
    .word_o(weights)
  );

  // Blocks lie far apart: what is chosen among them is not compared in the same cycle.
  always_ff @(posedge clk_i) begin
    data_q    <= data;
    weights_q <= weights;
    first_q   <= {first_q[1:0], first};
    last_q    <= {last_q[1:0], last};
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      step_q <= '0;
    end else begin
      step_q <= {step_q[1:0], step};
    end
  end

  // Words and parameters are on their way as early as the counts.
  assign launch[0] = step && last;
  for (genvar i = 1; i <= Levels + 1; i++) begin : gen_launch
    logic launch_q;

    assign launch[i] = launch_q;

    always_ff @(posedge clk_i) begin
      if (!rst_ni) launch_q <= 1'b0;
      else         launch_q <= launch[i-1];
    end
  end

  block_dot #(
    .Simd(Simd),
    .Pe(Pe),
    .CountWidth(CountWidth)
  ) u_dot (
    .clk_i,
    .rst_ni,
    .valid_i(step_q[2]),
    .first_i(first_q[2]),
    .last_i(last_q[2]),
    .data_i(data_q),
    .weights_i(weights_q),
    .done_o(counted),
    .count_o(count)
  );

  logic [AddressWidth-1:0] read_address, write_address;
  logic [Bits-1:0]         read_data, write_data;
  logic                    write, word_valid, bit_valid, bit_value;

  engine_results #(
    .Channels(Channels),
    .Pixels(Pixels),
    .Rows(Units * Layers),
    .Simd(Simd),
    .Pe(Pe),
    .CountWidth(CountWidth),
    .Width(Bits),
    .ShortcutShift(ShortcutShift),
    .PreShift(PreShift),
    .PreBits(PreBits),
    .SlopeShift(SlopeShift),
    .OutShift(OutShift),
    .MulWidth(MulWidth),
    .BiasWidth(BiasWidth),
    .ZetaWidth(ZetaWidth),
    .SlopeWidth(SlopeWidth),
    .EtaWidth(EtaWidth),
    .ThresholdWidth(ThresholdWidth),
    .BlockRom(ParamBlock),
    .Bank(ParamBank),
    .ParamPrefix(ParamPrefix)
  ) u_results (
    .clk_i,
    .rst_ni,
    .next_i(next),
    .hold_i(last_layer && !bits),
    .bits_i(bits),
    .write_bits_i(bits || !last_layer),
    .start_i(place_start),
    .stride_i(stride),
    .word_i(word),
    .launch_i(launch[Levels+1]),
    .done_i(counted),
    .count_i(count),
    .read_address_o(read_address),
    .read_data_i(read_data),
    .write_o(write),
    .write_address_o(write_address),
    .write_data_o(write_data),
    .word_valid_o(word_valid),
    .bit_valid_o(bit_valid),
    .bit_o(bit_value),
    .line_write_o(line_write),
    .line_data_o(line_data),
    .end_o(pass_end)
  );

  engine_maps #(
    .Width(Bits),
    .Depth(2 * Channels * Pixels),
    .BankWords(MapBank),
    .BlockRam(MapBlock)
  ) u_maps (
    .clk_i,
    .running_i(running),
    .work_i(work),
    .write_i(write),
    .write_address_i(write_address),
    .write_data_i(write_data),
    .read_address_i(read_address),
    .read_data_o(read_data),
    .in_write_i(in_write),
    .in_address_i(in_address),
    .in_data_i(in_data_i),
    .out_buffer_i(out_buffer),
    .out_address_i(out_address),
    .out_data_o(out_word)
  );

`ifdef ANDPOP_SIM
  // Three taps a layer: its bits, which the pass before it makes, its sums, its results. A bit
  // comes a cycle later than its word, when the pass may be over.
  logic [LayerWidth-1:0] bit_layer_q;
  logic [UnitWidth-1:0]  bit_unit_q;
  logic                  bit_bits_q;

  always_ff @(posedge clk_i) begin
    bit_layer_q <= layer;
    bit_unit_q  <= unit;
    bit_bits_q  <= bits;
  end

  for (genvar u = 0; u < Units; u++) begin : gen_unit
    for (genvar l = 0; l < Layers; l++) begin : gen_layer
      localparam int unsigned Inputs =
          (((WideLayers >> l) & 1) != 0 ? Kernel * Kernel : 1) * Channels;
      localparam int unsigned SumWidth = $clog2(Inputs + 1) + 1;
      localparam int unsigned First    = TapId + 3 * (u * Layers + l);

      logic                   here, makes;
      logic [Pe*SumWidth-1:0] sums;

      assign here = 32'(unit) == u && 32'(layer) == l;
      if (l == 0) begin : gen_first
        assign makes = 32'(bit_unit_q) == u && 32'(bit_layer_q) == 0 && bit_bits_q;
      end else begin : gen_other
        assign makes = 32'(bit_unit_q) == u && 32'(bit_layer_q) == l - 1 && !bit_bits_q;
      end

      for (genvar p = 0; p < Pe; p++) begin : gen_sum
        assign sums[p*SumWidth+:SumWidth] =
            SumWidth'({count[p*CountWidth+:CountWidth], 1'b0}) - SumWidth'(Inputs);
      end

      stream_tap #(
        .Width(1),
        .Id(First)
      ) u_tap_bits (
        .clk_i,
        .rst_ni,
        .valid_i(bit_valid && makes),
        .ready_i(1'b1),
        .data_i(bit_value)
      );

      stream_tap #(
        .Width(Pe * SumWidth),
        .Id(First + 1)
      ) u_tap_sums (
        .clk_i,
        .rst_ni,
        .valid_i(counted && here),
        .ready_i(1'b1),
        .data_i(sums)
      );

      stream_tap #(
        .Width(Bits),
        .Id(First + 2)
      ) u_tap_results (
        .clk_i,
        .rst_ni,
        .valid_i(word_valid && here),
        .ready_i(1'b1),
        .data_i(write_data)
      );
    end
  end
`else
  logic unused;
  assign unused = &{bit_valid, bit_value, word_valid, layer, unit, TapId};
`endif

endmodule
