// SPDX-License-Identifier: Apache-2.0
// Frame of a matrix-vector unit: everything but the dot product that hangs in it.

/// Joins each input vector, replayed Mh / Pe times, with one weight word per step, and accumulates
/// the dot products that come back. A step carries `data_o` and the caller's weight word, marked by
/// `step_o` and its tag; the dot product returns it after any fixed number of cycles in which
/// `enable_o` is high, with the same tag. One step per cycle, without bubbles; sums are modulo
/// 2**AccWidth.
module mvu_frame #(
  parameter int unsigned Mw       = 8, // input elements per vector
  parameter int unsigned Mh       = 4, // outputs per vector
  parameter int unsigned Simd     = 4, // input elements per cycle
  parameter int unsigned Pe       = 2, // outputs computed in parallel
  parameter int unsigned InWidth  = 8, // bits of an input element
  parameter int unsigned AccWidth = 8  // bits of an output
) (
  input  logic                    clk_i,
  input  logic                    rst_ni,

  input  logic                    in_valid_i,
  output logic                    in_ready_o,
  input  logic [Simd*InWidth-1:0] in_data_i,

  input  logic                    weight_valid_i,
  output logic                    weight_ready_o,

  output logic                    enable_o, // clock enable of the dot product
  output logic                    step_o,
  output logic [1:0]              tag_o,    // first, last step of a pass
  output logic [Simd*InWidth-1:0] data_o,

  input  logic                    dot_valid_i,
  input  logic [1:0]              dot_tag_i,
  input  logic [Pe*AccWidth-1:0]  dot_data_i,

  input  logic                    init_valid_i, // one word per pass: what the sums start from
  output logic                    init_ready_o,
  input  logic [Pe*AccWidth-1:0]  init_data_i,

  output logic                    out_valid_o,
  input  logic                    out_ready_i,
  output logic [Pe*AccWidth-1:0]  out_data_o
);

  if (Mw % Simd != 0) begin : gen_check_simd
    $error("mvu_frame: Mw %0d cannot be split over Simd %0d", Mw, Simd);
  end
  if (Mh % Pe != 0) begin : gen_check_pe
    $error("mvu_frame: Mh %0d cannot be split over Pe %0d", Mh, Pe);
  end

  localparam bit SingleStep = Mw == Simd;

  logic front_valid, front_valid_d, front_ready, init_ok, free_d;

  assign step_o = front_valid && weight_valid_i;

  // Wide weights have their clock enable from `weight_ready_o`: a register, where it can be one.
  if (!SingleStep && Mh != Pe) begin : gen_go
    logic go_q;

    assign weight_ready_o = go_q && init_ok;
    assign front_ready    = weight_valid_i && weight_ready_o;

    always_ff @(posedge clk_i) begin
      if (!rst_ni) go_q <= 1'b0;
      else         go_q <= front_valid_d && free_d;
    end
  end else begin : gen_no_go
    logic unused;

    assign weight_ready_o = front_valid && enable_o;
    assign front_ready    = weight_valid_i && enable_o;
    assign unused         = &{front_valid_d, free_d, init_ok};
  end

  mvu_front #(
    .Width(Simd * InWidth),
    .Sf(Mw / Simd),
    .Nf(Mh / Pe)
  ) u_front (
    .clk_i,
    .rst_ni,
    .in_valid_i,
    .in_ready_o,
    .in_data_i,
    .out_valid_o(front_valid),
    .out_valid_d_o(front_valid_d),
    .out_ready_i(front_ready),
    .out_data_o(data_o),
    .out_first_o(tag_o[1]),
    .out_last_o(tag_o[0])
  );

  mvu_back #(
    .Pe(Pe),
    .AccWidth(AccWidth),
    .SingleStep(SingleStep)
  ) u_back (
    .clk_i,
    .rst_ni,
    .enable_o,
    .init_ok_o(init_ok),
    .free_d_o(free_d),
    .dot_valid_i,
    .dot_first_i(dot_tag_i[1]),
    .dot_last_i(dot_tag_i[0]),
    .dot_data_i,
    .init_valid_i,
    .init_ready_o,
    .init_data_i,
    .out_valid_o,
    .out_ready_i,
    .out_data_o
  );

endmodule
