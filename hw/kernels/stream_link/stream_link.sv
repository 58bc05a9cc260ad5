// SPDX-License-Identifier: Apache-2.0
// A register on an edge between two kernels, as small as the rate of its words allows.

/// Words pass unchanged, one cycle later. Valid, data and ready are registers on both sides, so no
/// path runs through. With `HalfRate` it holds one word and passes one in two cycles, in Width + 1
/// flip-flops and a LUT; else it is a `stream_register`, which holds two and passes one in each.
module stream_link #(
  parameter int unsigned Width    = 8, // bits of a word
  parameter bit          HalfRate = 0  // at most one word in two cycles
) (
  input  logic             clk_i,
  input  logic             rst_ni,

  input  logic             in_valid_i,
  output logic             in_ready_o,
  input  logic [Width-1:0] in_data_i,

  output logic             out_valid_o,
  input  logic             out_ready_i,
  output logic [Width-1:0] out_data_o
);

  if (Width < 1) begin : gen_check
    $error("stream_link: found Width=%0d, expected 1 or more", Width);
  end

  if (HalfRate) begin : gen_half
    logic             valid_q;
    logic [Width-1:0] data_q;

    assign in_ready_o  = !valid_q;
    assign out_valid_o = valid_q;
    assign out_data_o  = data_q;

    always_ff @(posedge clk_i) begin
      if (!rst_ni) valid_q <= 1'b0;
      else valid_q <= valid_q ? !out_ready_i : in_valid_i;
    end

    always_ff @(posedge clk_i) begin
      if (!valid_q) data_q <= in_data_i; // of use only with in_valid_i
    end
  end else begin : gen_full
    stream_register #(
      .Width(Width)
    ) u_register (
      .clk_i,
      .rst_ni,
      .in_valid_i,
      .in_ready_o,
      .in_data_i,
      .out_valid_o,
      .out_ready_i,
      .out_data_o
    );
  end

endmodule
