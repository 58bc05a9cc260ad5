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

from ...sim.cache import building, content_key, finished, scratch
from ...sim.cases import Case
from ..boards import DEFAULT_BOARD
from ..kernels.base import Kernel
from ..kernels.one_node import one_node
from . import yosys
from .network import Mapped

BATCH = 12
"""Cases that one process maps."""
JOBS = 2
CELLS = "cells.json"
"""File of a cache entry: cells by type."""
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

    number: int
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
        op.count_constants(model)
        built.append(_Built(number, f"{kernel} {case.name}", model, op))
    with scratch("calibrate") as folder:
        keys = [_key(node, folder / f"alone{node.number}") for node in built]
        found = [_read(finished(key)) for key in keys]
        batches = list(_batches([node for node in built if found[node.number] is None]))
        made = [_generated(batch, folder / str(i)) for i, batch in enumerate(batches)]
        with ThreadPoolExecutor(JOBS) as pool:
            for batch, cells in zip(batches, pool.map(_mapped, batches, made), strict=True):
                for node, kinds in zip(batch, cells, strict=True):
                    with building(keys[node.number]) as (final, work):
                        if work is not None:
                            (work / CELLS).write_text(json.dumps(kinds), encoding="utf-8")
                    found[node.number] = _read(final)
                if progress is not None:
                    done = sum(usage is not None for usage in found)
                    progress("synthesis of cases", done, len(built))
    return [
        Point(node.label, node.op, usage)
        for node, usage in zip(built, found, strict=True)
        if usage is not None
    ]


def _read(entry: Path | None) -> Mapped | None:
    """What a cache entry says, if there is one."""
    if entry is None:
        return None
    return Mapped.of(json.loads((entry / CELLS).read_text(encoding="utf-8")))


def _key(node: _Built, folder: Path) -> str:
    """Content key of a case: its RTL and memories, and how they are mapped."""
    files = sorted(_generated([node], folder).iterdir())
    script = [yosys.read_command([], "top0"), *yosys.mapping(dsp=node.dsp, contents=False)]
    return content_key("case", yosys.version(), script, [f.name for f in files], *files)


def _batches(built: Sequence[_Built]) -> Iterator[list[_Built]]:
    """Cases of one kernel, with DSPs and without apart."""
    groups: dict[tuple[str, bool], list[_Built]] = {}
    for node in built:
        groups.setdefault((node.label.split()[0], node.dsp), []).append(node)
    for group in groups.values():
        for first in range(0, len(group), BATCH):
            yield group[first : first + BATCH]


def _generated(batch: Sequence[_Built], folder: Path) -> Path:
    """Write sources and memories of a batch, each node's top by the name ``top<number>``."""
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
    yosys.run(script, folder, batch[0].label)
    modules = json.loads((folder / "stat.json").read_text(encoding="utf-8"))["modules"]
    return [
        dict(yosys.checked(node.label, modules[f"\\{top}"].get("num_cells_by_type", {})))
        for node, top in zip(batch, tops, strict=True)
    ]
