# SPDX-License-Identifier: Apache-2.0
"""Both bodies of every dot product are equal, cycle by cycle, for all inputs: proven by Yosys."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from andpop.hw.synth import yosys

HW = Path(__file__).parent.parent / "hw"
PARTS = [HW / "rtl" / "gated_popcount.sv", HW / "rtl" / "adder_tree.sv"]
PARTS += sorted((HW / "rtl").glob("bit_heap*.sv"))
PARTS += [HW / "rtl" / "binary_plane_heap.sv"]

BLACK_BOXES = """
module LUT6_2 #(parameter [63:0] INIT = 0) (output O6, O5, input I0, I1, I2, I3, I4, I5);
endmodule
module CARRY4 (output [3:0] CO, O, input CI, CYINIT, input [3:0] DI, S);
endmodule
"""

MITER = """
module miter (
  input  logic clk_i, rst_ni, enable_i, valid_i,
  input  logic [1:0] tag_i,
  input  logic [{a_width}-1:0] a_i,
  input  logic [{b_width}-1:0] b_i,
  output logic differ_o
);
  logic [1:0] valid;
  logic [3:0] tag;
  logic [2*{out_width}-1:0] result;
  for (genvar k = 0; k < 2; k++) begin : gen_body
    {module} #({parameters}, .TagWidth(2), .Primitives(k)) u_core (
      .clk_i, .rst_ni, .enable_i, .valid_i, .tag_i, .{a}(a_i), .{b}(b_i),
      .valid_o(valid[k]), .tag_o(tag[2*k+:2]), .{out}(result[k*{out_width}+:{out_width}])
    );
  end
  assign differ_o = valid[0] != valid[1] || (valid[0] && (tag[0+:2] != tag[2+:2] ||
      result[0+:{out_width}] != result[{out_width}+:{out_width}]));
endmodule
"""


@dataclass(frozen=True)
class Pair:
    """Two bodies of a module: its data ports by name and width, its parameters, its cycles."""

    module: str
    a: tuple[str, int]
    b: tuple[str, int]
    out: tuple[str, int]
    parameters: str
    cycles: int

    def miter(self) -> str:
        """SystemVerilog of both bodies on the same inputs; ``differ_o`` compares them."""
        return MITER.format(
            module=self.module, parameters=self.parameters, a=self.a[0], a_width=self.a[1],
            b=self.b[0], b_width=self.b[1], out=self.out[0], out_width=self.out[1],
        )  # fmt: skip


SUM_MITER = """
module miter (
  input  logic clk_i, rst_ni, enable_i,
  input  logic signed [{x}-1:0] x_i,
  input  logic signed [{factor}-1:0] factor_i,
  input  logic signed [{summand}-1:0] summand_i,
  output logic differ_o
);
  logic signed [{bits}-1:0] sum [2];
  for (genvar k = 0; k < 2; k++) begin : gen_body
    requant_sum #(.XBits({x}), .FactorBits({factor}), .SummandBits({summand}), .SumBits({bits}),
      .DigitBits({digit}), .Split({split}), .Primitives(k)
    ) u_core (.clk_i, .rst_ni, .enable_i, .x_i, .factor_i, .summand_i, .sum_o(sum[k]));
  end
  assign differ_o = sum[0] != sum[1];
endmodule
"""


@dataclass(frozen=True)
class Sums:
    """The bodies of `requant_sum`, with digits of three bits."""

    x: int
    factor: int
    summand: int
    split: bool
    module: str = "requant_sum"
    digit: int = 3

    @property
    def cycles(self) -> int:
        """From the operands to the sum."""
        return 3 + sum(bits > self.digit + 1 for bits in (self.x, self.factor))

    def miter(self) -> str:
        """As of a `Pair`."""
        return SUM_MITER.format(
            x=self.x, factor=self.factor, summand=self.summand, digit=self.digit,
            split=int(self.split), bits=max(self.x + self.factor, self.summand) + 1,
        )  # fmt: skip


def popcount(width: int, gate: int) -> Pair:
    """`gated_popcount` in one lane."""
    return Pair(
        "gated_popcount",
        ("a_i", width),
        ("b_i", width),
        ("count_o", width.bit_length()),
        f".Lanes(1), .Width({width}), .Gate({gate})",
        max((width - 1).bit_length(), 4) - 1,
    )


def binary(way: str, simd: int, code_bits: int, out: int) -> Pair:
    """`binary_dot_serial` or `binary_dot_addsub` in one lane."""
    return Pair(
        f"binary_dot_{way}",
        ("data_i", simd * code_bits),
        ("weight_i", simd),
        ("dot_o", out),
        f".Pe(1), .Simd({simd}), .InWidth({code_bits}), .OutWidth({out})",
        max((simd - 1).bit_length(), 4) + 2,
    )


def planes(simd: int, weight_bits: int, input_bits: int, out: int) -> Pair:
    """`pa_dot_planes` in one lane; codes of all bits."""
    return Pair(
        "pa_dot_planes",
        ("data_i", simd * input_bits),
        ("weight_i", simd * weight_bits),
        ("dot_o", out),
        f".Pe(1), .Simd({simd}), .InWidth({input_bits}), .WeightWidth({weight_bits}), "
        f".OutWidth({out})",
        max((simd - 1).bit_length(), 2) + 3,
    )


def coded(simd: int, alpha: list[int], beta: list[int], out: int) -> Pair:
    """`pa_dot_coded` in one lane."""
    m, n, zero = len(alpha) - 1, len(beta) - 1, alpha.index(0)
    weight_bits, input_bits = zero.bit_length() + 1, n.bit_length()
    product = max(abs(a * b) for a in alpha for b in beta).bit_length() + 1
    packed = [
        f"{16 * len(v)}'h{sum((x & 0xFFFF) << (16 * i) for i, x in enumerate(v)):x}"
        for v in (alpha, beta)
    ]
    return Pair(
        "pa_dot_coded",
        ("data_i", simd * input_bits),
        ("weight_i", simd * weight_bits),
        ("dot_o", out),
        f".Pe(1), .Simd({simd}), .InWidth({input_bits}), .WeightWidth({weight_bits}), .M({m}), "
        f".N({n}), .Zero({zero}), .Alpha({packed[0]}), .Beta({packed[1]}), "
        f".ProductWidth({product}), .OutWidth({out})",
        max((simd - 1).bit_length(), 2) + 3,
    )


def proof(
    pair: Pair | Sums, folder: Path, *, stalls: bool = False, faults: dict[str, str] | None = None
) -> None:
    """Prove that both bodies of a pair agree.

    With the clock enabled throughout, from any state, once a pipeline's length has passed: what
    comes out then depends on inputs alone, so one such stretch stands for all. ``stalls``: with
    any enable, from reset on, for a pipeline's length and three cycles. ``faults`` maps text to
    what replaces it, once, in the sources.

    Raises:
        SynthesisError: they differ.
    """
    names = []
    planted = 0
    for source in dict.fromkeys((*PARTS, *HW.rglob(f"{pair.module}.sv"))):
        text = source.read_text(encoding="ascii")
        for good, bad in (faults or {}).items():
            planted += text.count(good)
            text = text.replace(good, bad)
        (folder / source.name).write_text(text, encoding="ascii")
        names.append(source.name)
    assert planted == len(faults or {}), "a fault was not planted exactly once"
    (folder / "miter.sv").write_text(pair.miter(), encoding="ascii")
    (folder / "black_boxes.v").write_text(BLACK_BOXES, encoding="ascii")
    shutil.copyfile(yosys.cells_sim(), folder / "cells_sim.v")
    if stalls:
        bounds = f"-seq {pair.cycles + 4} -set-at 1 rst_ni 0 -prove-skip 1"
    else:
        bounds = f"-seq {pair.cycles + 1} -set rst_ni 1 -set enable_i 1 -prove-skip {pair.cycles}"
    script = [
        f"read_slang --threads 1 --empty-blackboxes --top miter miter.sv {' '.join(names)} "
        "black_boxes.v",
        "read_verilog -overwrite cells_sim.v",
        "hierarchy -check -top miter",
        "flatten",
        "proc",
        "opt -full",
        "async2sync",
        "dffunmap",
        f"sat -verify {bounds} -prove differ_o 0 miter",
    ]
    yosys.run(script, folder, pair.module)


LEVELS = ([-97, -30, 0, 31, 90], [0, 14, 50, 90, 140, 201])
SHORT = [
    popcount(8, 0),
    popcount(16, 2),
    popcount(25, 1),
    planes(2, 3, 3, 9),
    coded(2, *LEVELS, 20),
    binary("serial", 5, 3, 8),
    binary("addsub", 5, 3, 8),
]


@pytest.mark.parametrize("pair", SHORT, ids=lambda p: f"{p.module}_{p.a[1]}")
def test_bodies_are_equal(pair: Pair, tmp_path: Path) -> None:
    proof(pair, tmp_path)


SUMS = [
    Sums(4, 4, 9, False),
    Sums(6, 4, 5, False),
    Sums(3, 6, 12, False),
    Sums(4, 7, 10, True),
    Sums(6, 5, 14, True),
    Sums(5, 7, 6, True),
]


@pytest.mark.parametrize("sums", SUMS, ids=lambda s: f"{s.x}_{s.factor}_{s.summand}")
def test_sums_of_products_are_equal(sums: Sums, tmp_path: Path) -> None:
    proof(sums, tmp_path)


def test_bodies_are_equal_while_stalled(tmp_path: Path) -> None:
    proof(popcount(7, 2), tmp_path, stalls=True)


FAULTS = {
    "adder of three": (popcount(8, 2), "64'h96969696_E8E8E8E8", "64'h96969696_E8E8E8E9"),
    "parity of seven": (popcount(16, 1), "64'h69969669_96696996", "64'h69969669_96696997"),
    "pairs of seven": (popcount(16, 1), "ones_within(2, 3)", "ones_within(2, 4)"),
    "gate": (popcount(8, 2), "4'b1001", "4'b1011"),
    "last adder": (popcount(8, 2), "64'h69966996_E8E8E8E8", "64'h69966996_E8E8E8E0"),
    "inverted plane": (planes(2, 3, 3, 9), "4'b0111", "4'b0110"),
    "upper digits": (SUMS[4], "OfX > 0 && OfFactor", "OfX > 1 && OfFactor"),
    "upper part": (SUMS[3], "upper_q   <= x1_q", "upper_q   <= x_q"),
    "product table": (coded(2, *LEVELS, 20), "index >= TermWidth", "index >= TermWidth - 1"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_wrong_table_is_found(name: str, tmp_path: Path) -> None:
    pair, good, bad = FAULTS[name]
    with pytest.raises(yosys.SynthesisError):
        proof(pair, tmp_path, faults={good: bad})


@pytest.mark.full
@pytest.mark.parametrize("gate", [0, 1, 2])
@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 6, 7, 9, 11, 12, 17, 24, 32, 33])
def test_bodies_are_equal_at_small_widths(width: int, gate: int, tmp_path: Path) -> None:
    proof(popcount(width, gate), tmp_path)


PA_SMALL = [
    planes(1, 2, 1, 5),
    planes(2, 4, 4, 10),
    planes(3, 3, 3, 9),
    planes(4, 2, 3, 4),
    planes(7, 2, 1, 12),
    coded(1, *LEVELS, 15),
    coded(3, [-5, 0, 7], [0, 2, 9, 11], 9),
    coded(2, [-90, -50, -20, -3, 0, 1, 8, 40, 127], [0, 1, 2, 3, 5, 8, 13, 21], 17),
]


@pytest.mark.full
@pytest.mark.parametrize("pair", PA_SMALL, ids=lambda p: f"{p.module}_{p.a[1]}_{p.out[1]}")
def test_pa_bodies_are_equal_at_small_widths(pair: Pair, tmp_path: Path) -> None:
    proof(pair, tmp_path)
