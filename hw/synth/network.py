# SPDX-License-Identifier: Apache-2.0
"""Synthesis of an emitted network, node by node: what each kernel, FIFO and width converter costs.

Nodes are synthesised out of context, so nothing is shared between them; those of equal sources,
parameters and memories are synthesised once, whatever their names are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp

from ...sim.cache import scratch
from ..graph.ops import facts_of
from ..kernels import register
from ..kernels.base import RtlKernel
from ..rtl.emit_top import PART
from ..rtl.top_info import TopInfo
from . import yosys
from .sources import Sources
from .yosys import SynthesisError, SynthResult

Progress = Callable[[str, int, int], None]

CAPACITY = {"lut": 53_200, "ff": 106_400, "bram18": 280, "dsp": 220}
"""Resources of the xc7z020 (AMD DS190; LUT, block RAM and DSP also in FINN's platforms.py)."""
ANONYMOUS = "node"
JOBS = 2
"""Yosys processes at a time."""


class UnknownNode(ValueError):
    """A node was asked for that the network does not have."""


@dataclass(frozen=True)
class Usage:
    """Resources of a node. ``lut`` counts logic and memory, ``lutram`` the memory among it."""

    lut: int
    lutram: int
    ff: int
    carry4: int
    bram18: int
    dsp: int

    @staticmethod
    def of(result: SynthResult) -> Usage:
        """The usage of a synthesis."""
        return Usage(
            result.luts + result.lutram, result.lutram, result.ffs, result.carry4, result.bram18,
            result.dsp,
        )  # fmt: skip


@dataclass(frozen=True)
class NodeUsage:
    """One node of a network: what synthesis found beside what its op estimates."""

    name: str
    op: str
    estimate: Mapping[str, int]
    """LUTs, 18 Kbit block RAMs and DSPs that the op states: ``lut``, ``bram18``, ``dsp``."""
    usage: Usage | None
    """None where Yosys does not read FINN's source."""
    reason: str
    """Why there is no usage; empty where there is."""


@dataclass(frozen=True)
class _Design:
    """What one synthesis needs, under names that tell nodes apart by content alone."""

    top: str
    sources: tuple[tuple[str, str], ...]
    memories: tuple[tuple[str, str], ...]
    parameters: tuple[tuple[str, int | str], ...]
    dsp: bool


def synthesise_network(
    rtl: Path, *, node: str | None, primitives: bool, progress: Progress
) -> list[NodeUsage]:
    """Synthesise every node of an emitted folder.

    Args:
        rtl: folder written by ``emit_top``.
        node: only the node of this name.
        primitives: define ANDPOP_PRIMITIVES, as a synthesis for the board does.
        progress: called with (stage, designs done, designs).

    Returns:
        The nodes in topological order.

    Raises:
        UnknownNode: there is no node of that name.
        EmitError: the folder holds no emitted network.
        SynthesisError: Yosys refused one of andpop's own kernels.
        ToolMissing: no Yosys.
    """
    register()
    info = TopInfo.load(rtl)
    model = ModelWrapper(str(rtl / "stitched.onnx"))
    nodes = [n for n in model.graph.node if node in (None, n.name)]
    if not nodes:
        raise UnknownNode(
            f"--node: found '{node}', expected a node such as {model.graph.node[0].name}; "
            f"{rtl / 'top.json'} lists them"
        )
    library = _Library(rtl, info.sources)
    ops = [getCustomOp(n) for n in nodes]
    designs = [library.design(op) for op in ops]
    distinct = list(dict.fromkeys(designs))
    results: dict[_Design, Usage | str] = {}
    defines = ["ANDPOP_PRIMITIVES=1"] if primitives else []

    def one(design: _Design) -> None:
        try:
            results[design] = Usage.of(_run(design, defines))
        except SynthesisError as error:
            results[design] = str(error)

    progress("synthesis", 0, len(distinct))
    with ThreadPoolExecutor(max_workers=JOBS) as pool:
        for done, _ in enumerate(pool.map(one, distinct), start=1):
            progress("synthesis", done, len(distinct))
    rows = []
    for op, design in zip(ops, designs, strict=True):
        found = results[design]
        name = op.onnx_node.name
        if isinstance(found, str) and isinstance(op, RtlKernel):
            raise SynthesisError(f"{name}: {found}")
        rows.append(
            NodeUsage(
                name,
                op.onnx_node.op_type.removesuffix("_rtl"),
                _estimate(op),
                None if isinstance(found, str) else found,
                found if isinstance(found, str) else "",
            )
        )
    return rows


def _estimate(op: Any) -> dict[str, int]:
    return {
        "lut": int(op.lut_estimation(PART)),
        "bram18": int(op.bram_estimation(PART)),
        "dsp": int(op.dsp_estimation(PART)),
    }


class _Library:
    """The sources of an emitted folder."""

    def __init__(self, rtl: Path, sources: Sequence[str]) -> None:
        self._rtl = rtl
        self._sources = Sources(
            {
                name: (rtl / name).read_text(encoding="utf-8")
                for name in sources
                if name != "fifo_depths_pkg.sv"
            }
        )

    def design(self, op: Any) -> _Design:
        """The design of a node: every file its module needs, the node's name taken out."""
        name = op.onnx_node.name
        top: str = op.get_nodeattr("gen_top_module")
        parameters: dict[str, int | str] = {}
        if facts_of(op.onnx_node.op_type).is_fifo:
            # The top instantiates the core itself; its number exists for simulation only.
            top, parameters = op.module, {**op.rtl_parameters(), "Id": 0}
        files = self._sources.needed(top)
        memories = sorted(
            f for f in (self._rtl / name).glob("*") if f.suffix in (".dat", ".mem", ".hex")
        )

        def anonymous(text: str) -> str:
            return re.sub(rf"(?<![A-Za-z0-9_]){name}(?![A-Za-z0-9])", ANONYMOUS, text)

        return _Design(
            anonymous(top),
            tuple((anonymous(Path(f).name), anonymous(self._sources.texts[f])) for f in files),
            tuple((anonymous(f"{name}/{f.name}"), f.read_text("ascii")) for f in memories),
            tuple(parameters.items()),
            op.dsp_estimation(PART) > 0,
        )


def _run(design: _Design, defines: Sequence[str]) -> SynthResult:
    with scratch("synth") as folder:
        for name, text in (*design.sources, *design.memories):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
        return yosys.synthesise(
            design.top,
            [folder / name for name, _ in design.sources],
            parameters=dict(design.parameters),
            defines=defines,
            memories={name: folder / name for name, _ in design.memories},
            dsp=design.dsp,
        )
