# SPDX-License-Identifier: Apache-2.0
"""What a test bench must know about an emitted top: its files, streams and stated cycles."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from ...quant.files import digest


class EmitError(ValueError):
    """The graph cannot be written as RTL."""


@dataclass(frozen=True)
class TapInfo:
    """One observable stream of the top: a tensor of the graph, as its producer writes it."""

    id: int
    tensor: str
    shape: tuple[int, ...]
    datatype: str
    lanes: int
    words: int
    """Words per frame."""
    width: int
    """Bits per word."""
    producer: str
    """Node that writes it, or that holds it inside; empty for the graph input."""


@dataclass(frozen=True)
class FifoInfo:
    """One FIFO of the top."""

    id: int
    name: str
    words: int
    """Words per frame that pass it."""
    width: int
    """Bits per word."""
    storage: int
    """Words the FIFO can hold in simulation."""


@dataclass(frozen=True)
class NodeInfo:
    """One node of the dataflow graph: its stated cycles per frame."""

    name: str
    op_type: str
    cycles: int


@dataclass(frozen=True)
class TopInfo:
    """What a test bench needs to know about an emitted top; ``top.json`` in the folder."""

    top: str
    sources: tuple[str, ...]
    """Files for synthesis in compile order, relative to the folder."""
    sim_sources: tuple[str, ...]
    """The same for simulation."""
    fifos: tuple[FifoInfo, ...]
    """In topological order."""
    taps: tuple[TapInfo, ...]
    """Every observable stream in topological order; the first is the graph input."""
    nodes: tuple[NodeInfo, ...]
    memories: tuple[str, ...]
    """Files the design reads at start, relative to the folder."""
    results: tuple[int, ...]
    """Ids of the taps of the graph outputs, in their order: those of ``m_axis_0``, ..."""
    board: str
    """Board that the RTL was written for."""
    clock_mhz: float
    """Clock that it is to run at."""

    @property
    def input(self) -> TapInfo:
        """The stream of pictures."""
        return self.taps[0]

    @property
    def outputs(self) -> tuple[TapInfo, ...]:
        """The streams of the graph outputs, in their order."""
        return tuple(self.taps[i] for i in self.results)

    @property
    def slowest(self) -> NodeInfo:
        """The node with the most stated cycles per frame."""
        return max(self.nodes, key=lambda n: n.cycles)

    @staticmethod
    def load(folder: Path) -> TopInfo:
        """Read ``top.json`` of an emitted folder.

        Raises:
            EmitError: the folder holds no readable top.json.
        """
        path = folder / "top.json"
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
            return TopInfo(
                raw["top"],
                tuple(raw["sources"]),
                tuple(raw["sim_sources"]),
                tuple(FifoInfo(**f) for f in raw["fifos"]),
                tuple(TapInfo(**{**t, "shape": tuple(t["shape"])}) for t in raw["taps"]),
                tuple(NodeInfo(**n) for n in raw["nodes"]),
                tuple(raw["memories"]),
                tuple(raw["results"]),
                str(raw["board"]),
                float(raw["clock_mhz"]),
            )
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise EmitError(f"{path}: cannot be read ({error}); emit the RTL again") from error


def build_hash(rtl: Path) -> bytes:
    """Return the 16 bytes by which a board tells which build it was made of: the digest of a folder
    of RTL, memories and FIFO depths among it, cut short."""
    return bytes.fromhex(digest(rtl))[:16]
