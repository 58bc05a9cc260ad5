# SPDX-License-Identifier: Apache-2.0
"""What nodes take, many in one process of Yosys: those of calibration and of its tests."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...sim.cache import building, content_key, scratch
from ...sim.cases import Case
from ..boards import DEFAULT_BOARD
from ..kernels.base import Kernel
from ..kernels.one_node import one_node
from . import yosys
from .network import Mapped

BATCH = 12
"""Cases that one process maps."""
JOBS = 2
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Point:
    """A node with what synthesis found."""

    label: str
    """Kernel and case, or network and node."""
    op: Any
    usage: Mapped


@dataclass(frozen=True)
class _Built:
    """A case as a node of its own name, whose RTL can be written."""

    label: str
    model: Any
    op: Any

    @property
    def dsp(self) -> bool:
        """Whether its products are those of DSP blocks."""
        return bool(self.op.dsp_estimation(DEFAULT_BOARD.part))


def measure(cases: Iterable[tuple[str, Case]], progress: Progress | None = None) -> list[Point]:
    """Synthesise every case as a design of its own, or find it in the cache.

    Args:
        cases: (kernel, case).
        progress: called with (stage, cases done, cases).

    Raises:
        SynthesisError: Yosys refused a source.
        ToolMissing: no Yosys.
    """
    built = []
    for number, (kernel, case) in enumerate(cases):
        model, op = one_node(case)
        op.onnx_node.name = f"case{number}_{kernel}"
        if isinstance(op, Kernel):
            op.read_constants(model)
        built.append(_Built(f"{kernel} {case.name}", model, op))
    batches = list(_batches(built))
    done = 0
    points: dict[str, Point] = {}
    with scratch("calibrate") as folder, ThreadPoolExecutor(JOBS) as pool:
        made = [_generated(batch, folder / str(i)) for i, batch in enumerate(batches)]
        for batch, cells in zip(batches, pool.map(_mapped, batches, made), strict=True):
            for node, found in zip(batch, cells, strict=True):
                points[node.label] = Point(node.label, node.op, Mapped.of(found))
            done += len(batch)
            if progress is not None:
                progress("synthesis of cases", done, len(built))
    return [points[node.label] for node in built]


def _batches(built: Sequence[_Built]) -> Iterator[list[_Built]]:
    """Cases of one kernel, with DSPs and without apart."""
    groups: dict[tuple[str, bool], list[_Built]] = {}
    for node in built:
        groups.setdefault((node.label.split()[0], node.dsp), []).append(node)
    for group in groups.values():
        for first in range(0, len(group), BATCH):
            yield group[first : first + BATCH]


def _generated(batch: Sequence[_Built], folder: Path) -> Path:
    """Write sources and memories of a batch, each node's top by the name ``top<number>``, so that
    equal batches are equal whatever else is measured."""
    folder.mkdir(parents=True)
    for number, node in enumerate(batch):
        node.op.onnx_node.name = f"top{number}"
        place = folder / f"{number}"
        place.mkdir()
        node.op.set_nodeattr("code_gen_dir_ipgen", str(place))
        node.op.generate_hdl(node.model, DEFAULT_BOARD.part, 1000.0 / DEFAULT_BOARD.clock_mhz)
        for file in node.op.get_rtl_file_list(abspath=True):
            shutil.copyfile(file, folder / Path(file).name)
        for memory in place.glob("*.mem"):
            shutil.copyfile(memory, folder / memory.name)
        shutil.rmtree(place)
    return folder


def _mapped(batch: Sequence[_Built], folder: Path) -> list[dict[str, int]]:
    """Cells by type of every node of a batch."""
    tops = [f"top{number}" for number in range(len(batch))]
    sources = sorted(f.name for f in folder.iterdir() if f.suffix in (".sv", ".v"))
    first, *others = tops
    script = [
        yosys.read_command(sources, first, options=[f"--top {top}" for top in others]),
        "setattr -mod -unset top *",  # flattening deletes what is not below it
        *yosys.LIBRARIES,
        *yosys.mapping(dsp=batch[0].dsp, contents=False),
    ]
    files = sorted(folder.iterdir())
    key = content_key("measure", yosys.version(), script, [f.name for f in files], *files)
    with building(key) as (final, work):
        if work is not None:
            yosys.run(script, folder, batch[0].label)
            modules = json.loads((folder / "stat.json").read_text(encoding="utf-8"))["modules"]
            cells = [
                dict(yosys.checked(node.label, modules[f"\\{top}"].get("num_cells_by_type", {})))
                for node, top in zip(batch, tops, strict=True)
            ]
            (work / "cells.json").write_text(json.dumps(cells), encoding="utf-8")
    found: list[dict[str, int]] = json.loads((final / "cells.json").read_text(encoding="utf-8"))
    return found
