# SPDX-License-Identifier: Apache-2.0
"""FINN's matrix-vector units and andpop's, side by side: writes a table of docs/03_reference.

Run as ``python tests/finn_table.py FILE`` (``make finn-table``): replaces what stands between the
two markers of the file.
"""

from __future__ import annotations

import datetime
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from andpop.hw.kernels.grouped_mvu import cases as grouped_cases
from andpop.hw.kernels.int_mvu import cases as int_cases
from andpop.hw.synth import cases as designs
from andpop.hw.synth import timing, yosys
from andpop.hw.synth.yosys import SynthResult
from andpop.quant.files import rewrite
from andpop.quant.grid import IntArray
from andpop.sim import bench
from andpop.sim.bench import Result
from andpop.sim.cache import scratch
from andpop.sim.cases import Case
from andpop.sim.tools import find_tool
from finn_synthesis import synthesise
from finn_units import Unit, finn_unit
from kernel_cases import FPGA_PART, build_op
from test_kernels import make_plan

BEGIN = "<!-- finn: begin -->"
END = "<!-- finn: end -->"
VECTORS = (1, 4, 4)


def _narrow(case: Case, limit: int) -> Case:
    """The case with no weight below ``-limit``, as Brevitas trains: FINN packs more of those."""

    def initializers(rng: np.random.Generator) -> list[IntArray]:
        assert case.initializers is not None
        return [np.maximum(values, -limit) for values in case.initializers(rng)]

    return replace(case, name=f"{case.name}_narrow", initializers=initializers)


def shapes() -> dict[str, Case]:
    """The shapes by what the table calls them; the first dense and depthwise ones are small."""
    dense, depthwise = int_cases._case, grouped_cases._case
    four = {"x_type": "UINT4", "w_type": "INT4"}
    return {
        "256 to 32, 4x4 bits narrow, SIMD 8, PE 4": _narrow(
            dense(256, 32, 8, 4, (1, 1, 2), x_type="INT4", w_bits=4), 7
        ),
        "144 to 16, 4x4 bits, SIMD 16, PE 8": dense(
            144, 16, 16, 8, VECTORS, x_type="UINT4", w_bits=4
        ),
        "144 to 16, 8x8 bits, SIMD 9, PE 4": dense(144, 16, 9, 4, VECTORS),
        "depthwise 3x3 of 16, 4x4 bits, PE 4": depthwise(16, 1, 1, 9, 4, **four),
        "depthwise 3x3 of 32, 8x8 bits, PE 8": depthwise(32, 1, 1, 9, 8),
        "depthwise 3x3 of 8, 4x4 bits, PE 8, SIMD 3": depthwise(8, 1, 1, 9, 24, VECTORS, **four),
    }


@dataclass(frozen=True)
class Measured:
    """One unit of one shape."""

    name: str
    run: Result
    usage: SynthResult
    mhz: float | None

    def row(self, shape: str) -> str:
        """Its line of the table."""
        cells = self.usage
        dsp = cells.cells.get("DSP58")
        figures = (
            shape, self.name, f"{self.run.interval:,}", self.run.latency,
            f"{cells.luts + cells.lutram:,}", f"{cells.lutram:,}", f"{cells.ffs:,}", cells.bram18,
            f"{dsp} DSP58" if dsp else cells.dsp, "-" if self.mhz is None else f"{self.mhz:.0f}",
            f"{self.run.values:,}", self.run.differing,
        )  # fmt: skip
        return f"| {' | '.join(map(str, figures))} |"


def simulate(unit: Unit, folder: Path) -> Result:
    """Play the bench of the case on FINN's unit."""
    sources = unit.generate(folder)
    return bench.run_plan(unit.plan(), sources, unit.top, folder / "run", data=folder)


def ours(case: Case, folder: Path) -> Measured:
    """andpop's kernel: simulated, mapped, its clock estimated."""
    kernel = "grouped_mvu" if case.op_type == "GroupedMvu" else "int_mvu"
    built = build_op(case)
    sources = built.generate(folder / "rtl")
    top = built.op.get_nodeattr("gen_top_module")
    run = bench.run_plan(
        make_plan(kernel, case, built), sources, top, folder / "run", data=folder / "rtl"
    )
    design = designs.generate(case, folder / "design")
    usage = yosys.synthesise(
        design.top, design.sources, defines=["ANDPOP_PRIMITIVES=1"],
        memories=design.memories, dsp=design.dsp,
    )  # fmt: skip
    return Measured("andpop", run, usage, timing.estimate(usage.json, design.top).mhz)


def as_andpops(case: Case) -> str:
    """Where andpop's products of a case lie: what ``synthesise`` is asked for."""
    return "dsp" if build_op(case).op.dsp_estimation(FPGA_PART) else "luts"


def finns(case: Case, folder: Path) -> Iterator[Measured]:
    """FINN's unit with the DSP blocks it names; where no 7-series part has them, without too."""
    unit = finn_unit(case)
    run = simulate(unit, folder / "run")
    usage = synthesise(unit, folder / "blocks", products="blocks")
    mhz = None if unit.depthwise else timing.estimate(usage.json, unit.top).mhz
    yield Measured("FINN", run, usage, mhz)
    if unit.depthwise:
        usage = synthesise(unit, folder / "model", products=as_andpops(case))
        mhz = timing.estimate(usage.json, unit.top).mhz
        yield Measured("FINN's model of it", run, usage, mhz)


def table() -> str:
    """Simulate and map every shape and return the table as Markdown."""
    lines = [
        f"Measured on {datetime.date.today()} on an AMD EPYC; Yosys {yosys.version()}, not placed; "
        f"Verilator {find_tool().version}:",
        "",
        "| shape | unit | cycles a frame | latency | LUT | of it memory | FF | BRAM18 | DSP | MHz, "
        "estimate | values compared | differing |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for shape, case in shapes().items():
        with scratch("finn") as folder:
            for found in (*finns(case, folder / "finn"), ours(case, folder / "ours")):
                lines.append(found.row(shape))
                print(lines[-1], flush=True)
    return "\n".join(lines)


if __name__ == "__main__":
    rewrite(Path(sys.argv[1]), table(), BEGIN, END)
