// SPDX-License-Identifier: Apache-2.0
// Words of one number of bytes into words of another number, no byte lost between them.

/// A plain stream of bytes, the low byte of a word first. Goes through words of the least common
/// multiple of both widths, and is as fast as the slower side.
module byte_repack #(
  parameter int unsigned InBytes  = 8, // bytes of a word that comes in
  parameter int unsigned OutBytes = 8  // bytes of a word that goes out
) (
  input  logic                  clk_i,
  input  logic                  rst_ni,

  input  logic                  in_valid_i,
  output logic                  in_ready_o,
  input  logic [8*InBytes-1:0]  in_data_i,

  output logic                  out_valid_o,
  input  logic                  out_ready_i,
  output logic [8*OutBytes-1:0] out_data_o
);

  if (InBytes < 1 || OutBytes < 1) begin : gen_check
    $error("byte_repack: found InBytes=%0d, OutBytes=%0d, expected 1 or more", InBytes, OutBytes);
  end

  function automatic int unsigned common(int unsigned a, int unsigned b);
    while (b != 0) begin
      int unsigned rest;
      rest = a % b;
      a    = b;
      b    = rest;
    end
    return a;
  endfunction

  localparam int unsigned Common = common(InBytes, OutBytes);
  localparam int unsigned Up     = OutBytes / Common; // words in per wide word
  localparam int unsigned Down   = InBytes / Common;  // words out per wide word
  localparam int unsigned Wide   = 8 * InBytes * Up;  // bits

  logic            wide_valid, wide_ready;
  logic [Wide-1:0] wide;

  if (Up > 1) begin : gen_up
    width_up #(
      .Width(8 * InBytes),
      .Ratio(Up)
    ) u_up (
      .clk_i,
      .rst_ni,
      .in_valid_i,
      .in_ready_o,
      .in_data_i,
      .out_valid_o(wide_valid),
      .out_ready_i(wide_ready),
      .out_data_o (wide)
    );
  end else begin : gen_no_up
    assign wide_valid = in_valid_i;
    assign in_ready_o = wide_ready;
    assign wide       = in_data_i;
  end

  if (Down > 1) begin : gen_down
    width_down #(
      .Width(8 * OutBytes),
      .Ratio(Down)
    ) u_down (
      .clk_i,
      .rst_ni,
      .in_valid_i (wide_valid),
      .in_ready_o (wide_ready),
      .in_data_i  (wide),
      .out_valid_o,
      .out_ready_i,
      .out_data_o
    );
  end else begin : gen_no_down
    assign out_valid_o = wide_valid;
    assign wide_ready  = out_ready_i;
    assign out_data_o  = wide;
  end

  if (Up == 1 && Down == 1) begin : gen_wires
    logic unused;
    assign unused = &{clk_i, rst_ni};
  end

endmodule
