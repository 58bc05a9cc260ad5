// SPDX-License-Identifier: Apache-2.0
// Constants of a binary block: weights and epilogue parameters, each read through two registers.

/// With `Shared` both lie in one memory of `Width` bits, read at two ports: the weights from word 0
/// on, the parameters behind them in the low bits. Its words may lie in `Parts` memories side by
/// side, so that nothing has to select among blocks. Otherwise they are two memories of their own
/// width. The weights run on without an enable: two cycles after a step, its word is at the output.
/// Address and both registers of the parameters move on with `param_next_i` alone. With `Outside`
/// both memories and the first of the two registers lie outside, where another node reads as well.
module block_rom #(
  parameter int unsigned Steps       = 8,  // weight words: steps of an output pixel
  parameter int unsigned WeightWidth = 12, // bits of one
  parameter int unsigned Params      = 40, // parameter words
  parameter int unsigned ParamWidth  = 18, // bits of one
  parameter bit          Shared      = 1,  // one memory
  parameter int unsigned Parts       = 1,  // if more: of images <WeightFile>_<part>.mem
  parameter bit          BlockRom    = 1,  // weights (or both) in block RAM
  parameter bit          Outside     = 0,  // both in memories outside, neither shared nor here
  parameter int unsigned WeightFirst = 0,  // address of the first weight word outside
  parameter int unsigned WeightSpace = 1,  // address bits of the memory of the weights outside
  parameter int unsigned ParamFirst  = 0,  // the same of the parameters
  parameter int unsigned ParamSpace  = 1,
  parameter              WeightFile  = "", // $readmemh image, of both if shared
  parameter              ParamFile   = ""  // $readmemh image, if not shared
) (
  input  logic                   clk_i,
  input  logic                   rst_ni,

  input  logic                   step_i,         // on to the next weight word
  input  logic                   restart_i,      // back to the first one
  output logic [WeightWidth-1:0] weights_o,

  input  logic                   param_next_i,   // on to the next parameter word
  output logic [ParamWidth-1:0]  param_o,

  output logic [WeightSpace-1:0] weight_address_o,
  input  logic [WeightWidth-1:0] weight_word_i,
  output logic [ParamSpace-1:0]  param_address_o,
  input  logic [ParamWidth-1:0]  param_word_i
);

  localparam int unsigned Width =
      (Shared && ParamWidth > WeightWidth) ? ParamWidth : WeightWidth;
  localparam int unsigned Depth        = Shared ? Steps + Params : Steps;
  localparam int unsigned OwnWidth     = (Depth > 1) ? $clog2(Depth) : 1;
  localparam int unsigned AddressWidth = Outside ? WeightSpace : OwnWidth;
  localparam int unsigned ParamsWidth  = (Params > 1) ? $clog2(Params) : 1;

  localparam logic [AddressWidth-1:0] FirstWeight = AddressWidth'(Outside ? WeightFirst : 0);

  if (Outside && (WeightFirst + Steps > 2 ** WeightSpace ||
                  ParamFirst + Params > 2 ** ParamSpace)) begin : gen_check
    $error("block_rom: %0d weights from %0d, %0d parameters from %0d, expected within %0d and %0d",
           Steps, WeightFirst, Params, ParamFirst, 2 ** WeightSpace, 2 ** ParamSpace);
  end

  logic [AddressWidth-1:0] address_q;
  logic [Width-1:0]        word, word2_q;
  logic [ParamWidth-1:0]   param_q, param2_q;
  logic                    unused;

  assign weights_o = word2_q[WeightWidth-1:0];
  assign param_o   = param2_q;
  assign unused    = &word2_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) address_q <= FirstWeight;
    else if (step_i) address_q <= restart_i ? FirstWeight : address_q + 1'b1;
  end

  always_ff @(posedge clk_i) begin
    word2_q <= word;
    if (param_next_i) param2_q <= param_q;
  end

  if (Shared || Outside) begin : gen_counted
    localparam int unsigned ParamBits = Outside ? ParamSpace : AddressWidth;

    localparam logic [ParamBits-1:0] First = ParamBits'(Outside ? ParamFirst : Steps);
    localparam logic [ParamBits-1:0] Last  = First + ParamBits'(Params - 1);

    logic [ParamBits-1:0] param_address_q;
    logic                 param_last_q;

    always_ff @(posedge clk_i) begin
      if (!rst_ni) begin
        param_address_q <= First;
        param_last_q    <= 1'b0;
      end else if (param_next_i) begin
        param_address_q <= param_last_q ? First : param_address_q + 1'b1;
        param_last_q    <= param_address_q == Last - 1'b1;
      end
    end

    if (Outside) begin : gen_outside
      assign weight_address_o = address_q;
      assign word             = weight_word_i;
      assign param_address_o  = param_address_q;
      assign param_q          = param_word_i;
    end else begin : gen_shared
      localparam int unsigned PartWidth = (Width + Parts - 1) / Parts;

      logic [Width-1:0] param_word;
      logic             unused_param;

      assign param_q      = param_word[ParamWidth-1:0];
      assign unused_param = &param_word;

      for (genvar p = 0; p < Parts; p++) begin : gen_part
        localparam int unsigned Low  = p * PartWidth;
        localparam int unsigned Bits = (Width - Low < PartWidth) ? Width - Low : PartWidth;

        (* rom_style = "block", ram_style = "block" *) logic [Bits-1:0] memory [Depth];
        logic [Bits-1:0] word_q, param_word_q;

        if (Parts == 1) begin : gen_whole
          initial $readmemh(WeightFile, memory);
        end else begin : gen_image
          initial $readmemh($sformatf("%s_%0d.mem", WeightFile, p), memory);
        end

        assign word[Low+:Bits]       = word_q;
        assign param_word[Low+:Bits] = param_word_q;

        always_ff @(posedge clk_i) begin
          word_q <= memory[address_q];
          if (param_next_i) param_word_q <= memory[param_address_q];
        end
      end
    end
  end else begin : gen_apart
    logic [ParamsWidth-1:0] param_address;
    logic                   unused_param_last;

    loop_counter #(
      .Count(Params)
    ) u_param (
      .clk_i,
      .rst_ni,
      .advance_i(param_next_i),
      .count_o(param_address),
      .last_o(unused_param_last)
    );

    deep_rom #(
      .Width(ParamWidth),
      .Depth(Params),
      .File(ParamFile)
    ) u_params (
      .clk_i,
      .read_i(param_next_i),
      .address_i(param_address),
      .word_o(param_q)
    );

    if (BlockRom) begin : gen_block
      (* rom_style = "block", ram_style = "block" *) logic [Width-1:0] memory [Depth];
      initial $readmemh(WeightFile, memory);

      logic [Width-1:0] word_q;

      assign word = word_q;

      always_ff @(posedge clk_i) begin
        word_q <= memory[address_q];
      end
    end else begin : gen_logic
      deep_rom #(
        .Width(Width),
        .Depth(Depth),
        .File(WeightFile)
      ) u_weights (
        .clk_i,
        .read_i(1'b1),
        .address_i(address_q),
        .word_o(word)
      );
    end
  end

  if (!Outside) begin : gen_closed
    logic unused_outside;

    assign weight_address_o = '0;
    assign param_address_o  = '0;
    assign unused_outside   = &{weight_word_i, param_word_i};
  end

endmodule
