# SPDX-License-Identifier: Apache-2.0
"""The smoke cases of every kernel as designs to synthesise: sources, memories, top module."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from ...sim.cases import Case
from ..boards import DEFAULT_BOARD
from ..kernels import KERNELS
from ..kernels.one_node import one_node


@dataclass(frozen=True)
class CaseDesign:
    """The RTL of one case."""

    top: str
    sources: tuple[Path, ...]
    memories: dict[str, Path]
    dsp: bool
    """Whether the op counts on DSPs for its products."""


def smoke_cases() -> Iterator[tuple[str, Case]]:
    """(kernel, case) of every smoke case, in the order of the list of kernels."""
    for kernel in KERNELS:
        for case in import_module(f"..kernels.{kernel}.cases", __package__).SMOKE:
            yield kernel, case


def generate(case: Case, folder: Path) -> CaseDesign:
    """Write the RTL of a case into ``folder``; its memories hold the case's own values."""
    folder.mkdir(parents=True, exist_ok=True)
    model, op = one_node(case)
    op.set_nodeattr("code_gen_dir_ipgen", str(folder))
    op.generate_hdl(model, DEFAULT_BOARD.part, 1000.0 / DEFAULT_BOARD.clock_mhz)
    sources = tuple(Path(f) for f in op.get_rtl_file_list(abspath=True))
    memories = {f.name: f for f in sorted(folder.glob("*.mem"))}
    dsp = op.dsp_estimation(DEFAULT_BOARD.part) > 0
    return CaseDesign(op.get_nodeattr("gen_top_module"), sources, memories, dsp)
