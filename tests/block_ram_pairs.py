# SPDX-License-Identifier: Apache-2.0
"""What builds would save if two read-only memories of each shared block RAM, one port each.

    python tests/block_ram_pairs.py BUILD...

Prints a row per build: BRAM18 of all memories as Yosys reads the emitted top; the pairs of
``hw/graph/pair_roms.py``, which share weights and parameters; and the best pairs of the other
read-only memories that use one port, whole ones behind each other.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import networkx
from andpop.hw.graph.pair_roms import pair_roms
from andpop.hw.kernels import register
from andpop.hw.kernels.memory import bram18_blocks, shared_blocks
from andpop.hw.rtl.top_info import TopInfo
from andpop.hw.synth import yosys
from qonnx.core.modelwrapper import ModelWrapper

READ = (
    "hierarchy -check -auto-top", "proc", "flatten -noscopeinfo", "opt_expr", "opt_clean",
    "opt_dff", "memory_dff", "opt_clean", "memory_collect", "opt_clean", "select t:$mem_v2",
    "write_json -selected memories.json",
)  # fmt: skip


class Memory(NamedTuple):
    """A memory in block RAM."""

    name: str
    width: int
    depth: int
    readers: int
    writers: int

    @property
    def blocks(self) -> int:
        """Its BRAM18."""
        if self.readers > 1:
            return shared_blocks(self.depth, self.width)
        return bram18_blocks(self.depth, self.width, read_only=not self.writers)


def memories(rtl: Path) -> list[Memory]:
    """List the memories of an emitted folder that are forced into block RAM."""
    info = TopInfo.load(rtl)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(shutil.copytree(rtl, Path(scratch) / "rtl"))
        yosys.run([yosys.read_command(info.sources, info.top), *READ], folder, info.top)
        found = json.loads((folder / "memories.json").read_text(encoding="utf-8"))
    cells = [cell for module in found["modules"].values() for cell in module["cells"].values()]
    return [
        _memory(cell["parameters"])
        for cell in cells
        if "block" in (cell["attributes"].get("ram_style"), cell["attributes"].get("rom_style"))
    ]


def _memory(cell: Mapping[str, str]) -> Memory:
    """A memory; of one that is not written without the bits that are the same in every word."""
    width, depth, readers, writers = (
        int(cell[name], 2) for name in ("WIDTH", "SIZE", "RD_PORTS", "WR_PORTS")
    )
    varying = width
    if not writers:
        varying = sum(len(set(cell["INIT"][i::width])) > 1 for i in range(width))
    return Memory(cell["MEMID"], varying, depth, readers, writers)


def best_pairs(roms: list[Memory]) -> tuple[int, int]:
    """Return the pairs that save most, and what they save."""
    graph = networkx.Graph()
    for a, b in combinations(range(len(roms)), 2):
        first, second = roms[a], roms[b]
        whole = shared_blocks(first.depth + second.depth, max(first.width, second.width))
        gain = first.blocks + second.blocks - whole
        if gain > 0:
            graph.add_edge(a, b, weight=gain)
    pairs = networkx.max_weight_matching(graph)
    return len(pairs), sum(graph[a][b]["weight"] for a, b in pairs)


def main(builds: list[str]) -> None:
    """Print a row per build."""
    register()
    for build in builds:
        found = memories(Path(build) / "rtl")
        fused = pair_roms(ModelWrapper(str(Path(build) / "dataflow.onnx")))
        saved = -sum(pair.change.bram18 for pair in fused)
        luts = sum(pair.change.lut for pair in fused)
        others = [m for m in found if m.readers == 1 and not m.writers]
        pairs, gain = best_pairs(others)
        blocks = sum(m.blocks for m in found)
        sys.stdout.write(
            f"{build}: {blocks} BRAM18, {len(fused)} pairs of nodes save {saved} for {luts} LUTs, "
            f"{pairs} pairs of {len(others)} other ROMs {gain}\n"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
