// SPDX-License-Identifier: Apache-2.0
// Steps up and down at per-channel thresholds, by one comparator for each of them.

/// code = base + sum of steps where x >= threshold, Pe channels per word, one word per cycle.
/// Stages: compare | count (ceil(log4(Steps)) cycles) | add the base and encode | output register.
///
/// Word k of `ParamFile` holds channels k * Pe .. k * Pe + Pe - 1, per lane from the low bits up:
/// Steps thresholds and, with `Directions`, Steps direction bits (1 = down), and the code where
/// every comparison inverted by its direction is 0, modulo 2**CodeBits. Without `Directions` every
/// step goes up, from the code `Start`.
module threshold_parallel #(
  parameter int unsigned Channels        = 2,  // channels, a multiple of Pe
  parameter int unsigned Pe              = 1,  // lanes
  parameter int unsigned Steps           = 5,  // thresholds per channel
  parameter int unsigned InBits          = 8,  // bits of x
  parameter bit          InSigned        = 1,
  parameter int unsigned ThresholdBits   = 8,  // bits of a threshold
  parameter bit          ThresholdSigned = 1,
  parameter bit          Directions      = 1,  // steps go up or down, from a start per channel
  parameter int unsigned CodeBits        = 3,  // bits of a code
  parameter int          Start           = 0,  // code below all thresholds, without Directions
  parameter int unsigned Encoding        = 0,  // 0 code, 1 bit [code = i], 2 bit [code >= i]
  parameter int unsigned OutBits         = 3,  // CodeBits, or the levels i = 1 .. OutBits
  parameter bit          BlockRom        = 0,  // parameters in block RAM, otherwise in LUTs
  parameter              ParamFile       = ""  // $readmemh image
) (
  input  logic                  clk_i,
  input  logic                  rst_ni,

  input  logic                  in_valid_i,
  output logic                  in_ready_o,
  input  logic [Pe*InBits-1:0]  in_data_i,

  output logic                  out_valid_o,
  input  logic                  out_ready_i,
  output logic [Pe*OutBits-1:0] out_data_o
);

  localparam int unsigned DownAt   = Steps * ThresholdBits;
  localparam int unsigned LaneBits = DownAt + (Directions ? Steps + CodeBits : 0);
  localparam int unsigned WideBits = (InBits > ThresholdBits ? InBits : ThresholdBits) + 1;

  logic                   param_valid, param_ready;
  logic [Pe*LaneBits-1:0] param_data;

  rom_stream #(
    .Width(Pe * LaneBits),
    .Depth(Channels / Pe),
    .Style(BlockRom ? 2 : 1),
    .InitFile(ParamFile)
  ) u_params (
    .clk_i,
    .rst_ni,
    .out_valid_o(param_valid),
    .out_ready_i(param_ready),
    .out_data_o(param_data)
  );

  logic                   enable, step, compared_valid_q, count_valid, coded_valid_q;
  logic [Pe*Steps-1:0]    compared_d, compared_q;
  logic [Pe*CodeBits-1:0] start_d, start_q, start, count;
  logic [Pe*OutBits-1:0]  coded_d, coded_q;

  assign step        = in_valid_i && param_valid;
  assign in_ready_o  = enable && param_valid;
  assign param_ready = enable && in_valid_i;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      compared_valid_q <= 1'b0;
      coded_valid_q    <= 1'b0;
    end else if (enable) begin
      compared_valid_q <= step;
      coded_valid_q    <= count_valid;
    end
  end

  always_ff @(posedge clk_i) begin
    if (enable && step) begin
      compared_q <= compared_d;
      start_q    <= start_d;
    end
    if (enable && count_valid) coded_q <= coded_d;
  end

  for (genvar p = 0; p < Pe; p++) begin : gen_lane
    logic [LaneBits-1:0]        param;
    logic [InBits-1:0]          x;
    logic signed [WideBits-1:0] wide_x;
    logic [Steps-1:0]           down;
    logic [CodeBits-1:0]        code;

    assign param  = param_data[p*LaneBits+:LaneBits];
    assign x      = in_data_i[p*InBits+:InBits];
    assign wide_x = {{WideBits - InBits{InSigned && x[InBits-1]}}, x};
    if (Directions) begin : gen_directions
      localparam int unsigned StartAt = DownAt + Steps;
      assign down = param[DownAt+:Steps];
      assign start_d[p*CodeBits+:CodeBits] = param[StartAt+:CodeBits];
    end else begin : gen_rising
      assign down = '0;
      assign start_d[p*CodeBits+:CodeBits] = CodeBits'(Start);
    end

    for (genvar i = 0; i < Steps; i++) begin : gen_step
      logic [ThresholdBits-1:0]   t;
      logic signed [WideBits-1:0] wide_t;
      assign t      = param[i*ThresholdBits+:ThresholdBits];
      assign wide_t = {{WideBits - ThresholdBits{ThresholdSigned && t[ThresholdBits-1]}}, t};
      assign compared_d[p*Steps+i] = (wide_x >= wide_t) ^ down[i];
    end

    assign code = start[p*CodeBits+:CodeBits] + count[p*CodeBits+:CodeBits];
    if (Encoding == 0) begin : gen_code
      assign coded_d[p*OutBits+:OutBits] = code;
    end else begin : gen_levels
      for (genvar i = 1; i <= OutBits; i++) begin : gen_level
        assign coded_d[p*OutBits+i-1] = Encoding == 1 ? code == CodeBits'(i)
                                                      : code >= CodeBits'(i);
      end
    end
  end

  adder_tree #(
    .Lanes(Pe),
    .Count(Steps),
    .InWidth(1),
    .OutWidth(CodeBits),
    .Signed(0),
    .TagWidth(Pe * CodeBits)
  ) u_count (
    .clk_i,
    .rst_ni,
    .enable_i(enable),
    .valid_i(compared_valid_q),
    .tag_i(start_q),
    .data_i(compared_q),
    .valid_o(count_valid),
    .tag_o(start),
    .sum_o(count)
  );

  stream_register #(
    .Width(Pe * OutBits)
  ) u_out (
    .clk_i,
    .rst_ni,
    .in_valid_i(coded_valid_q),
    .in_ready_o(enable),
    .in_data_i(coded_q),
    .out_valid_o,
    .out_ready_i,
    .out_data_o
  );

endmodule
