# SPDX-License-Identifier: Apache-2.0
"""The models of the 7 series' block RAMs: memories, as Yosys maps them, against their RTL."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from andpop.hw.synth import yosys
from andpop.sim import verilator
from andpop.sim.model import Model
from comparisons import Comparisons
from xc7_cells import MODEL, cell_models

pytestmark = pytest.mark.sim

TOP = "memories_bench"
BENCH = Path(__file__).parent / f"{TOP}.sv"
WIDTHS = {"rst_i": 1, "en_i": 1, "we_i": 4, "data_i": 64}
CYCLES = 4000


def test_the_model_is_silent_under_lint(tmp_path: Path) -> None:
    assert verilator.lint([MODEL], MODEL.stem, cwd=tmp_path) == ""


def test_block_rams_do_what_their_memories_do(tmp_path: Path, compared: Comparisons) -> None:
    rng = random.Random(5)
    rom = tmp_path / "rom.mem"
    rom.write_text("".join(f"{rng.getrandbits(18):05x}\n" for _ in range(1024)))
    found = yosys.synthesise(TOP, [BENCH], memories={rom.name: rom})
    assert found.cells["RAMB18E1"] >= 4 and found.cells["RAMB36E1"] >= 1
    rtl = verilator.build([BENCH], TOP)
    netlist = verilator.build([*cell_models(tmp_path / "cells"), found.netlist], TOP)
    with Model(rtl, data=tmp_path) as left, Model(netlist) as right:
        outputs = [port.name for port in left.ports.values() if not port.is_input]
        for _ in range(CYCLES):
            drawn = {name: rng.getrandbits(width) for name, width in WIDTHS.items()}
            drawn |= {name: rng.choice((0, 1, 2, 3, 511, 1023, 16383)) for name in ("a_i", "b_i")}
            for model in (left, right):
                for name, value in drawn.items():
                    model.set(name, value)
                model.step()
            compared.arrays(
                *([model.get(name) for name in outputs] for model in (left, right)), outputs
            )


@pytest.mark.parametrize(
    ("cell", "parameter", "value"),
    [
        ("RAMB18E1", "DOA_REG", "1"),
        ("RAMB18E1", "RAM_MODE", '"FIFO"'),
        ("RAMB18E1", "READ_WIDTH_A", "36"),
        ("RAMB36E1", "RAM_EXTENSION_A", '"LOWER"'),
        ("RAMB36E1", "WRITE_MODE_B", '"LAST"'),
        ("RAMB36E1", "WRITE_WIDTH_B", "5"),
    ],
)
def test_what_the_model_does_not_know_is_refused(
    tmp_path: Path, cell: str, parameter: str, value: str
) -> None:
    top = tmp_path / "refused.v"
    top.write_text(f"module refused;\n  {cell} #(.{parameter}({value})) u_ram ();\nendmodule\n")
    with pytest.raises(verilator.BuildError, match=f"found {parameter}|port [01]"):
        verilator.build([*cell_models(tmp_path / "cells"), top], "refused")
