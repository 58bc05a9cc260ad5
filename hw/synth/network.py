# SPDX-License-Identifier: Apache-2.0
"""Synthesis of an emitted network: what each kernel, link and width converter costs in the whole.

The top is read once. Then every node is mapped by itself, with the ports that it uses in the top,
or all of them as one netlist. Nodes that are equal but for what block RAMs hold are mapped once.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp

from ...sim.cache import building, content_key, finished, scratch
from ..boards import find
from ..graph.pair_roms import KIND, shared_roms
from ..kernels import register
from ..kernels.costs import Usage
from ..rtl.top_info import TopInfo
from . import timing as timing_of
from . import yosys
from .yosys import SynthesisError, SynthResult

Progress = Callable[[str, int, int], None]
Cells = Mapping[str, int]
Found = Mapping[str, Any]
"""What mapping one design gave: ``{"cells", "timing"}``."""

SPLIT = f"{__package__}.split"
JOBS = 2
"""Yosys processes at a time."""
BATCH = 600_000
"""Characters of the designs that one process maps after another: it reads the libraries once."""


class UnknownNode(ValueError):
    """A node was asked for that the network does not have."""


@dataclass(frozen=True)
class Mapped(Usage):
    """What synthesis found of a design."""

    carry4: int = 0

    @staticmethod
    def of(cells: Cells) -> Mapped:
        """The usage of a netlist's cells by type."""
        found = SynthResult(cells, Path())
        return Mapped(
            found.luts + found.lutram, found.ffs, found.lutram, found.bram18, found.dsp,
            found.carry4,
        )  # fmt: skip


@dataclass(frozen=True)
class NodeUsage:
    """One node of a network: what synthesis found beside what its op estimates."""

    name: str
    op: str
    """Type of the op; the module where the graph has no node of that name."""
    estimate: Mapping[str, int]
    """What the op states: ``lut``, ``lutram``, ``ff``, ``bram18``, ``dsp``."""
    usage: Mapped
    timing: Mapping[str, Any] | None
    """The estimated clock, see ``timing.as_dict``; None where it was not asked for, or where the
    node has no path between registers."""
    node: Any = field(default=None, compare=False)
    """Its op; None where the graph has no node of that name."""


def synthesise_network(
    rtl: Path, *, node: str | None, primitives: bool, progress: Progress, timing: bool = False
) -> list[NodeUsage]:
    """Synthesise every node of an emitted folder.

    Args:
        rtl: folder written by ``emit_top``.
        node: only the node of this name.
        primitives: as the folder states for its board; False for the plain bodies.
        progress: called with (stage, designs done, designs).
        timing: estimate the clock of every node as well.

    Returns:
        Every instance of the top, in the order of the graph.

    Raises:
        UnknownNode: there is no node of that name.
        EmitError: the folder holds no emitted network.
        SynthesisError: Yosys refused a source.
        ToolMissing: no Yosys.
    """
    network = Network(rtl, primitives)
    if node is not None and node not in {*network.ops, *network.roms}:
        raise UnknownNode(
            f"--node: found '{node}', expected a node such as {next(iter(network.ops))}; "
            f"{rtl / 'top.json'} lists them"
        )
    key = network.key("nodes", node, timing)
    with building(key) as (final, work):
        if work is not None:
            found = _map_nodes(network, node, timing, progress)
            (work / "nodes.json").write_text(json.dumps(found), encoding="utf-8")
    found = json.loads((final / "nodes.json").read_text(encoding="utf-8"))
    order = {name: i for i, name in enumerate(network.ops)}
    names = sorted(found, key=lambda name: order.get(name, len(order)))
    return [network.row(name, found[name]) for name in names]


def synthesise_flat(
    rtl: Path, *, primitives: bool, progress: Progress, timing: bool = False
) -> tuple[Mapped, Mapping[str, Any] | None]:
    """Synthesise an emitted folder as one netlist, optimised across its nodes.

    Args and errors: see ``synthesise_network``.

    Returns:
        What it takes, and its estimated clock where ``timing`` is asked for.
    """
    network = Network(rtl, primitives)
    with building(network.key("flat", timing)) as (final, work):
        if work is not None:
            progress("synthesis", 0, 1)
            with scratch("synth") as folder:
                network.write(folder)
                script = [
                    *network.reading(),
                    *network.soft_products(),
                    "flatten -noscopeinfo",
                    *yosys.LIBRARIES,
                    *yosys.mapping(dsp=True, contents=False),
                    *(timing_of.written([network.info.top]) if timing else ()),
                ]
                yosys.run(script, folder, network.info.top)
                clock = timing_of.estimated(folder, [network.info.top])[0] if timing else None
                stat = json.loads((folder / "stat.json").read_text(encoding="utf-8"))
            cells = yosys.checked(network.info.top, stat["design"]["num_cells_by_type"])
            text = json.dumps({"cells": cells, "timing": clock})
            (work / "found.json").write_text(text, encoding="utf-8")
            progress("synthesis", 1, 1)
    found = json.loads((final / "found.json").read_text(encoding="utf-8"))
    return Mapped.of(found["cells"]), found["timing"]


class Network:
    """An emitted folder: its sources, and its ops by name in the order of the graph."""

    def __init__(self, rtl: Path, primitives: bool) -> None:
        register()
        self.rtl = rtl
        self.info = TopInfo.load(rtl)
        board = find(self.info.board)
        if board.family == "ecp5":
            raise SynthesisError(
                f"{rtl}: found RTL for {board.name}, an ECP5; expected a Zynq board, as nodes are "
                "counted in the cells of AMD's 7 series; build with another --board"
            )
        self.part = board.part
        model = ModelWrapper(str(rtl / "stitched.onnx"))
        self.ops: dict[str, Any] = {n.name: getCustomOp(n) for n in model.graph.node}
        self.roms = {rom.name: rom.usage for rom in shared_roms(model)}
        self.dsp = {name for name, op in self.ops.items() if op.dsp_estimation(self.part) > 0}
        self._defines = [*yosys.DEFINES, *([] if primitives else ["ANDPOP_PRIMITIVES=0"])]
        self._files = (*self.info.sources, *self.info.memories)

    def key(self, kind: str, *parts: object) -> str:
        """Content key of something made of the whole folder."""
        script = [*self.reading(), *yosys.mapping(dsp=True, contents=False)]
        files = [self.rtl / name for name in self._files]
        return content_key(kind, yosys.version(), script, sorted(self.dsp), parts, *files)

    def write(self, folder: Path) -> None:
        """Copy sources and memories to a folder."""
        for name in self._files:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.rtl / name, target)

    def reading(self) -> list[str]:
        """Commands that read the network, hierarchy kept, and select its top, which then holds
        instances alone."""
        top = self.info.top
        return [
            yosys.read_command(
                self.info.sources, top, defines=self._defines, options=["--keep-hierarchy"]
            ),
            f"hierarchy -check -top {top}",
            f"select -module {top}",
            "opt_clean",
            "select t:$*",
            "submod -name glue",
            "select -clear",
            f"select -module {top}",
        ]

    def soft_products(self) -> list[str]:
        """Commands that keep the products of all nodes out of DSPs whose ops state none."""
        commands = ["select -clear", "select -set soft t:$mul"]
        for name in sorted(self.dsp):
            path = f"*${self.info.top}.u_{name}"
            commands.append(f"select -set soft @soft {path}/* {path}.*/* %u %d")
        return [*commands, "select -clear", "chtype -set $__soft_mul @soft"]

    def row(self, name: str, found: Mapping[str, Any]) -> NodeUsage:
        """The usage of one instance of the top."""
        op = self.ops.get(name)
        usage = Mapped.of(found["cells"])
        if name in self.roms:
            return NodeUsage(name, KIND, self.roms[name].as_dict(), usage, found["timing"])
        if op is None:
            return NodeUsage(name, found["module"], Usage().as_dict(), usage, found["timing"])
        kind = op.onnx_node.op_type.removesuffix("_rtl")
        return NodeUsage(name, kind, op.stated().as_dict(), usage, found["timing"], op)


@dataclass(frozen=True)
class _Design:
    """One thing to map: the file that ``split.py`` wrote, under the name of its digest."""

    digest: str
    dsp: bool
    timed: bool
    """Its clock is estimated, too."""

    @property
    def module(self) -> str:
        return f"d_{self.digest}"

    def key(self) -> str:
        script = yosys.mapping(dsp=self.dsp, contents=False)
        return content_key("design", yosys.version(), script, self.digest, self.timed)


def _map_nodes(
    network: Network, node: str | None, timing: bool, progress: Progress
) -> dict[str, Any]:
    """What every instance of the top, or one, takes: ``{name: {"module", "cells", "timing"}}``."""
    with scratch("synth") as folder:
        network.write(folder)
        progress("synthesis: reading", 0, 1)
        yosys.run(network.reading(), folder, network.info.top, SPLIT)
        instances = {
            name.removeprefix("u_"): found
            for name, found in json.loads((folder / "designs.json").read_text("ascii")).items()
        }
        names = [name for name in instances if node in (None, name)]
        if not names:
            raise UnknownNode(f"--node: {node} has no instance of its own in {network.info.top}")
        designs = {n: _Design(instances[n]["design"], n in network.dsp, timing) for n in names}
        labels = {design: name for name, design in designs.items()}
        found = _map_designs(folder, labels, progress)
    return {n: {"module": instances[n]["module"], **found[designs[n]]} for n in names}


def _map_designs(
    folder: Path, labels: Mapping[_Design, str], progress: Progress
) -> dict[_Design, Found]:
    """What every design takes, out of the cache or mapped by ``JOBS`` processes."""
    done: dict[_Design, Found] = {}
    for design in labels:
        entry = finished(design.key())
        if entry is not None:
            done[design] = json.loads((entry / "found.json").read_text(encoding="ascii"))
    batches = _batches(folder, [design for design in labels if design not in done])
    progress("synthesis: mapping", len(done), len(labels))
    pool = ThreadPoolExecutor(max_workers=JOBS)
    try:
        runs = [
            pool.submit(_map_batch, folder, number, batch, labels)
            for number, batch in enumerate(batches)
        ]
        for run in as_completed(runs):
            for design, found in run.result().items():
                done[design] = found
                with building(design.key()) as (_, work):
                    if work is not None:
                        (work / "found.json").write_text(json.dumps(found), encoding="ascii")
            progress("synthesis: mapping", len(done), len(labels))
    finally:
        pool.shutdown(cancel_futures=True)
    return done


def _batches(folder: Path, designs: Iterable[_Design]) -> list[list[_Design]]:
    """Designs for one process each, the largest first; with DSPs and without apart."""
    batches: list[list[_Design]] = []
    room = {True: 0, False: 0}
    last: dict[bool, list[_Design]] = {}
    sizes = {design: (folder / f"{design.digest}.il").stat().st_size for design in designs}
    for design in sorted(sizes, key=lambda d: -sizes[d]):
        if room[design.dsp] < sizes[design] or design.dsp not in last:
            last[design.dsp] = []
            batches.append(last[design.dsp])
            room[design.dsp] = BATCH
        last[design.dsp].append(design)
        room[design.dsp] -= sizes[design]
    return batches


def _map_batch(
    folder: Path, number: int, batch: list[_Design], labels: Mapping[_Design, str]
) -> dict[_Design, Found]:
    place = folder / f"batch{number}"
    place.mkdir()
    script = [
        *yosys.LIBRARIES,
        *(f"read_rtlil ../{design.digest}.il" for design in batch),
        *yosys.mapping(dsp=batch[0].dsp, contents=False),
        *(timing_of.written([d.module for d in batch]) if batch[0].timed else ()),
    ]
    try:
        yosys.run(script, place, labels[batch[0]])
    except SynthesisError as error:
        known = {design.module: name for design, name in labels.items()}
        text = re.sub(r"d_[0-9a-f]{64}", lambda m: known.get(m[0], m[0]), str(error))
        more = f" (or one of {len(batch) - 1} others)" if len(batch) > 1 else ""
        raise SynthesisError(text.replace(": yosys", f"{more}: yosys", 1)) from error
    modules = json.loads((place / "stat.json").read_text(encoding="utf-8"))["modules"]
    clocks: list[Mapping[str, Any] | None] = [None] * len(batch)
    if batch[0].timed:
        clocks = timing_of.estimated(place, [design.module for design in batch])
    return {
        design: {
            "cells": yosys.checked(
                labels[design], modules[f"\\{design.module}"].get("num_cells_by_type", {})
            ),
            "timing": clock,
        }
        for design, clock in zip(batch, clocks, strict=True)
    }
