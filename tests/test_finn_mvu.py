# SPDX-License-Identifier: Apache-2.0
"""FINN's own matrix-vector units in Verilator, weights in FINN's own memory: equal to our goldens.

MVAU_rtl is also checked as a netlist of the DSP48E1 blocks that its sources name, which no
simulation of the sources reaches: in Verilator they choose a model of the block.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from andpop.hw.synth import yosys
from andpop.sim import bench
from andpop.sim.cases import Case
from comparisons import Comparisons
from finn_synthesis import EDITS, synthesise
from finn_table import BEGIN, END, as_andpops, ours, shapes, simulate
from finn_units import finn_unit
from kernel_cases import FPGA_PART, build_op

DOCUMENT = Path(__file__).parents[1] / "docs/03_reference/synthesis.md"
QUICK = ("256 to 32", "depthwise 3x3 of 16")
PRODUCTS = {"4x4 bits narrow": 4, "4x4 bits": 3, "8x8 bits": 2}
"""Of MVAU_rtl in a DSP48E1."""


def _shapes(quick: tuple[str, ...] = ()) -> list[Any]:
    """(shape, case) parameters: the quick ones, the others under the marker ``full``."""
    return [
        pytest.param(
            shape, case, id=shape, marks=[] if shape.startswith(quick or "-") else pytest.mark.full
        )
        for shape, case in shapes().items()
    ]


@pytest.mark.sim
@pytest.mark.parametrize(("shape", "case"), _shapes(QUICK))
def test_finns_unit_equals_golden(
    shape: str, case: Case, tmp_path: Path, record_property: Any, compared: Comparisons
) -> None:
    unit = finn_unit(case)
    assert type(unit.op).__module__.startswith("finn.")
    assert unit.cycles == build_op(case).op.get_exp_cycles()
    result = simulate(unit, tmp_path / "rtl")
    compared.count(result.values, result.differing)
    for name in ("interval", "latency"):
        record_property(name, getattr(result, name))


@pytest.mark.sim
@pytest.mark.parametrize("start", QUICK)
def test_a_wrong_weight_is_noticed(start: str, tmp_path: Path) -> None:
    (case,) = (case for shape, case in shapes().items() if shape.startswith(start))
    (weights,) = case.make_initializers()
    weights = weights.copy()
    weights[3, 2] ^= 1
    with pytest.raises(bench.BenchFailure, match="expected 0x"):
        simulate(finn_unit(case, weights), tmp_path / "rtl")


@pytest.mark.sim
@pytest.mark.parametrize(("shape", "case"), _shapes())
def test_finns_netlist_equals_golden(
    shape: str, case: Case, tmp_path: Path, compared: Comparisons
) -> None:
    unit = finn_unit(case)
    found = synthesise(unit, tmp_path, products=as_andpops(case) if unit.depthwise else "blocks")
    if not unit.depthwise:
        (per_block,) = (n for kind, n in PRODUCTS.items() if f"{kind}," in shape)
        assert found.dsp == -(-unit.pe // per_block) * unit.simd
    result = bench.run_plan(
        unit.plan(), [found.netlist, yosys.cells_sim()], unit.top, tmp_path / "run", data=tmp_path,
        ports_only=True,
    )  # fmt: skip
    compared.count(result.values, result.differing)


@pytest.mark.sim
@pytest.mark.parametrize(("shape", "case"), _shapes())
def test_andpops_unit_takes_as_many_cycles(
    shape: str, case: Case, tmp_path: Path, compared: Comparisons
) -> None:
    found = ours(case, tmp_path)
    compared.count(found.run.values, found.run.differing)
    assert found.run.interval == finn_unit(case).cycles


def test_finns_depthwise_unit_is_for_versal_alone(tmp_path: Path) -> None:
    from finn.util.exception import FINNUserError

    unit = finn_unit(shapes()["depthwise 3x3 of 16, 4x4 bits, PE 4"])
    unit.op.set_nodeattr("code_gen_dir_ipgen", str(tmp_path))
    with pytest.raises(FINNUserError, match="only supported on Versal"):
        unit.op.generate_hdl(unit.model, FPGA_PART, 10.0)


def test_the_edits_for_yosys_fit_the_installed_texts() -> None:
    import finn

    for name, edit in EDITS.items():
        (source,) = (Path(finn.__path__[0]) / "finn-rtllib").rglob(name)
        text = source.read_text()
        assert all(text.count(old) == 1 for old, _ in edit.replacements)


def test_the_table_has_every_shape_with_its_cycles() -> None:
    text = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    rows = re.findall(
        r"^\| (.+?) \| (FINN|andpop) \| ([\d,]+) \|.*\| ([\d,]+) \| 0 \|$", text, re.M
    )
    wanted = [
        (shape, name, f"{finn_unit(case).cycles:,}")
        for shape, case in shapes().items()
        for name in ("FINN", "andpop")
    ]
    assert [row[:3] for row in rows] == wanted
