# SPDX-License-Identifier: Apache-2.0
"""The popcount core in simulation: both bodies and the synthesised netlist, cycle by cycle."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from andpop.hw.synth import yosys
from andpop.sim import verilator
from andpop.sim.model import Model
from comparisons import Comparisons

pytestmark = pytest.mark.sim

RTL = Path(__file__).parent.parent / "hw" / "rtl"
SOURCES = [RTL / "gated_popcount.sv", RTL / "adder_tree.sv", *sorted(RTL.glob("bit_heap*.sv"))]
TOP = "gated_popcount"
LANES = 2
TAG_BITS = 4


def parameters(width: int, gate: int, primitives: int) -> dict[str, int | str]:
    """Parameters of the core under test."""
    return {
        "Lanes": LANES, "Width": width, "Gate": gate, "TagWidth": TAG_BITS,
        "Primitives": primitives,
    }  # fmt: skip


def operand(rng: random.Random, bits: int) -> int:
    """All zeros, all ones, sparse, dense or uniform."""
    a, b = rng.getrandbits(bits), rng.getrandbits(bits)
    return rng.choice([0, (1 << bits) - 1, a & b, a | b, a])


def check(library: Path, width: int, gate: int, steps: int, compared: Comparisons) -> None:
    """Compare a model with counting in Python under random stalls, gaps and resets of one edge."""
    cycles = max((width - 1).bit_length(), 4) - 1
    count_bits = width.bit_length()
    rng = random.Random(f"{width} {gate}")
    pipeline: list[tuple[int, int] | None] = [None] * cycles
    with Model(library) as model:
        for step in range(steps):
            reset = step == 0 or rng.random() < 0.01
            a, b = operand(rng, LANES * width), operand(rng, LANES * width)
            enable, valid = rng.random() < 0.8, rng.random() < 0.8
            model.set("rst_ni", not reset)
            tag = rng.getrandbits(TAG_BITS)
            for name, value in (("a_i", a), ("b_i", b), ("tag_i", tag)):
                model.set(name, value)
            model.set("enable_i", enable)
            model.set("valid_i", valid)
            model.step()
            if reset:
                pipeline = [None] * cycles
            elif enable:
                gated = (a, a & b, ~(a ^ b))[gate]
                counts = 0
                for lane in range(LANES):
                    ones = (gated >> (lane * width) & ((1 << width) - 1)).bit_count()
                    counts |= ones << (lane * count_bits)
                pipeline = [(tag, counts) if valid else None, *pipeline[:-1]]
            expected = pipeline[-1]
            assert model.get("valid_o") == (expected is not None)
            if expected is not None:
                compared.words(expected, (model.get("tag_o"), model.get("count_o")), LANES)
    assert compared.values > steps


def netlist(width: int, gate: int) -> Path:
    """Build the synthesised core with Yosys' cell models."""
    result = yosys.synthesise(TOP, SOURCES, parameters=parameters(width, gate, 1))
    assert result.cells.get("LUT6_2", 0) > 0
    return verilator.build([result.netlist, yosys.cells_sim()], TOP, jobs=1)


@pytest.mark.parametrize("primitives", [0, 1])
def test_rtl_counts(primitives: int, compared: Comparisons) -> None:
    sources = [*SOURCES, yosys.cells_sim()] if primitives else SOURCES
    library = verilator.build(sources, TOP, parameters=parameters(72, 2, primitives), jobs=1)
    check(library, 72, 2, 4000, compared)


def test_netlist_counts(compared: Comparisons) -> None:
    check(netlist(33, 1), 33, 1, 4000, compared)


MODELS = {
    "LUT6_2": """
module LUT6_2 #(
  parameter logic [63:0] INIT = 0
) (
  output logic O6, O5,
  input  logic I0, I1, I2, I3, I4, I5
);
  assign O6 = INIT[{I5, I4, I3, I2, I1, I0}];
  assign O5 = INIT[{1'b0, I4, I3, I2, I1, I0}];
endmodule
""",
    "CARRY4": """
module CARRY4 (
  output logic [3:0] CO, O,
  input  logic       CI, CYINIT,
  input  logic [3:0] DI, S
);
  assign O  = S ^ {CO[2:0], CI | CYINIT};
  assign CO = (S & {CO[2:0], CI | CYINIT}) | (~S & DI);
endmodule
""",
}
"""The two cells, silent under lint."""


def lint_of_widths(widths: list[int], folder: Path) -> str:
    """What lint says of the cells' body at all of these widths and gates."""
    cores = [(width, gate) for width in widths for gate in (0, 1, 2)]
    body = [
        f"  logic [{width.bit_length() - 1}:0] count_{i};\n"
        f"  gated_popcount #(.Width({width}), .Gate({gate}), .Primitives(1)) u_core_{i} (\n"
        f"    .clk_i, .rst_ni, .enable_i, .valid_i, .tag_i, .a_i(a_i[{width - 1}:0]),\n"
        f"    .b_i(b_i[{width - 1}:0]), .valid_o(valid_o[{i}]), .tag_o(tag_o[{2 * i}+:2]),\n"
        f"    .count_o(count_{i})\n  );\n  assign ones_o[{i}] = ^count_{i};\n"
        for i, (width, gate) in enumerate(cores)
    ]
    high = len(cores) - 1
    text = (
        "module widths (\n  input logic clk_i, rst_ni, enable_i, valid_i,\n"
        f"  input logic [1:0] tag_i,\n  input logic [{max(widths) - 1}:0] a_i, b_i,\n"
        f"  output logic [{high}:0] valid_o, ones_o,\n  output logic [{2 * high + 1}:0] tag_o\n"
        ");\n" + "".join(body) + "endmodule\n"
    )
    files = {"widths": text, **MODELS}
    for name, content in files.items():
        (folder / f"{name}.sv").write_text(content, encoding="ascii")
    sources = [*SOURCES, *(folder / f"{name}.sv" for name in files)]
    return verilator.lint(sources, "widths", cwd=folder)


def test_cells_are_silent_under_lint(tmp_path: Path) -> None:
    assert lint_of_widths([1, 2, 3, 8, 24, 72, 135], tmp_path) == ""


@pytest.mark.full
@pytest.mark.parametrize("width", [4, 6, 7, 16, 17, 31, 33, 63, 65, 127, 129, 217, 256, 512, 1000])
def test_cycles_are_enough(width: int, tmp_path: Path) -> None:
    """A heap that does not fit its cycles is an error of elaboration."""
    assert lint_of_widths([width], tmp_path) == ""


@pytest.mark.full
@pytest.mark.parametrize("gate", [1, 2])
@pytest.mark.parametrize("width", [1, 2, 3, 5, 8, 13, 16, 17, 24, 31, 40, 64, 128, 256])
def test_netlist_counts_at_every_width(width: int, gate: int, compared: Comparisons) -> None:
    check(netlist(width, gate), width, gate, 20_000, compared)
