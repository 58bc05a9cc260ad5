# SPDX-License-Identifier: Apache-2.0
"""The processing element of xnor_mvu, to be synthesised by itself."""

from __future__ import annotations

from ..datapaths import Datapaths, Rows, Sizes, Top

LANES = 4
ACC_BITS = 16
WORDS = 9
"""Words that are accumulated: a 3x3 window."""

XNOR_PE = """
module xnor_pe #(
  parameter int unsigned Simd       = 8,
  parameter int unsigned Pe         = 4,
  parameter int unsigned Words      = 9,
  parameter int unsigned AccWidth   = 16,
  parameter int unsigned Primitives = 0
) (
  input  logic                   clk_i,
  input  logic                   rst_ni,
  input  logic                   in_valid_i,
  output logic                   in_ready_o,
  input  logic [Simd-1:0]        in_data_i,
  input  logic                   weight_valid_i,
  output logic                   weight_ready_o,
  input  logic [Pe*Simd-1:0]     weight_data_i,
  input  logic                   threshold_valid_i,
  output logic                   threshold_ready_o,
  input  logic [Pe*AccWidth-1:0] threshold_data_i,
  output logic                   out_valid_o,
  input  logic                   out_ready_i,
  output logic [Pe-1:0]          out_data_o
);
  logic                   acc_valid;
  logic [Pe*AccWidth-1:0] acc;
  xnor_mvu #(
    .Mw(Words * Simd), .Mh(Pe), .Simd(Simd), .Pe(Pe), .AccWidth(AccWidth), .Primitives(Primitives)
  ) u_mvu (
    .clk_i, .rst_ni, .in_valid_i, .in_ready_o, .in_data_i,
    .weight_valid_i, .weight_ready_o, .weight_data_i,
    .out_valid_o(acc_valid), .out_ready_i(threshold_valid_i && out_ready_i), .out_data_o(acc)
  );
  for (genvar p = 0; p < Pe; p++) begin : gen_compare
    assign out_data_o[p] = $signed(acc[p*AccWidth+:AccWidth]) >=
                           $signed(threshold_data_i[p*AccWidth+:AccWidth]);
  end
  assign out_valid_o       = acc_valid && threshold_valid_i;
  assign threshold_ready_o = acc_valid && out_ready_i;
endmodule
"""
"""A processing element with accumulator and threshold; weights and thresholds are streams."""


def top(sizes: Sizes) -> Top:
    """The element, with words of ``width`` bits."""
    return "xnor_pe", {"Simd": sizes.width, "Pe": LANES, "Words": WORDS, "AccWidth": ACC_BITS}


DATAPATHS = (
    Datapaths(
        "xnor-pe",
        top,
        (Rows("XNOR processing element", 8, (64, 128, 256)),),
        lanes=LANES,
        generated=XNOR_PE,
    ),
)
