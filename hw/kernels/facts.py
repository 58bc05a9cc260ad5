# SPDX-License-Identifier: Apache-2.0
"""What the passes over a dataflow graph ask of an op beyond FINN: lanes, pixels, how it behaves.

Every kernel's op states it in its own folder, so that no pass knows an op by its name.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from ...quant.grid import IntArray
from .costs import Structure, Usage, cost
from .memory import OutsideRom

if TYPE_CHECKING:
    from .base import Stream


@dataclass(frozen=True)
class FoldingRule:
    """How an op may be folded."""

    lanes: Mapping[str, int]
    """Folding attribute -> total; every divisor of the total is a choice. ``SIMD`` counts elements
    of its input words, ``PE`` of its output words (or of both, where there is no ``SIMD``)."""
    windows: bool = False
    """Has ``parallel_window``: with all channels per word it may emit whole windows."""
    options: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Attributes beside the lanes that name a way to compute, and what they may be."""
    paces: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Those of them that cycles depend on, and what folding may set: of equal cost the first."""
    ragged: frozenset[str] = frozenset()
    """Lanes whose last word may be partly empty: of those with equally many words the fewest."""
    only: Mapping[str, Sequence[int]] = field(default_factory=dict)
    """Lanes that may not be every divisor: what they may be, ascending."""

    def choices(self, attribute: str) -> list[int]:
        """Return the numbers of lanes that ``attribute`` may be, ascending."""
        total = self.lanes[attribute]
        if attribute in self.only:
            return list(self.only[attribute])
        if attribute in self.ragged:
            return sorted({-(-total // words) for words in range(1, total + 1)})
        return divisors(total)


def divisors(n: int) -> list[int]:
    """Return the divisors of ``n``, ascending."""
    return [d for d in range(1, n + 1) if n % d == 0]


class Geometry(NamedTuple):
    """Which pixel of its input an op needs last for each pixel of its output, by row and column.

    -1 stands for none: the pixel is a border.
    """

    rows: IntArray
    """Last input row of each output row."""
    columns: IntArray
    """Last input column of each output column."""
    width: int
    """Columns of the input."""

    def last_needed(self) -> IntArray:
        """Return the number of that pixel, for each output pixel."""
        needed = self.rows[:, None] * self.width + self.columns[None, :]
        none = (self.rows[:, None] < 0) | (self.columns[None, :] < 0)
        return np.where(none, -1, needed).reshape(-1)


class Stepped(NamedTuple):
    """Codes that step at thresholds: of an input x, base + the steps whose threshold x reaches."""

    thresholds: IntArray
    """(C, n), in any order."""
    steps: IntArray
    """(C, n) of -1 and +1."""
    base: IntArray
    """(C,)"""


class Facts:
    """Facts of an op, for its class and for a node; the defaults hold for most ops."""

    lanes: ClassVar[Mapping[str, str]] = {}
    """Folding attribute -> node attribute that holds its total (see `FoldingRule`)."""
    windows: ClassVar[bool] = False
    """See `FoldingRule`."""
    ragged: ClassVar[frozenset[str]] = frozenset()
    """See `FoldingRule`."""
    places: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Attributes that say where a memory lies, or ``auto``, and the places it may have: block RAM
    first."""
    moves: ClassVar[bool] = False
    """Passes values on and computes none: a copy, a border, another order or word width."""
    makes_borders: ClassVar[bool] = False
    """Emits words that wait for no input, in bursts."""
    forks: ClassVar[bool] = False
    """Gives every reader a copy of its input."""
    joins_in_turn: ClassVar[bool] = False
    """Takes a pixel of each input in turn, the first input's first: the others wait."""
    joins_together: ClassVar[bool] = False
    """Takes a word of each input at once."""
    classifies: ClassVar[bool] = False
    """Its output is a class: the index of the largest score."""
    swallows: ClassVar[bool] = False
    """Takes words behind the last output of a frame, which no result waits for."""
    on_edge: ClassVar[bool] = False
    """Stands on an edge, between two nodes of the network."""
    is_fifo: ClassVar[bool] = False
    """A FIFO: the top instantiates its core and sets its depth."""
    registers_output: ClassVar[bool] = False
    """Valid and data of its outputs come from registers."""
    registers_ready: ClassVar[bool] = False
    """The ready of its inputs does not follow the ready of its outputs within a cycle."""
    reads_ahead: ClassVar[bool] = False
    """Stores so many words of the next frame while it makes the last outputs of one that its
    neighbours need no FIFO for that."""
    group: ClassVar[str] = ""
    """Row in which a table sums all nodes of the op; empty for one row each."""
    outputs_are: ClassVar[str] = ""
    """What the outputs are called, in the plural; empty for "outputs of <op>"."""
    inside_module: ClassVar[bool] = False
    """The outputs stay inside a module of the PyTorch network, where none can read them."""

    if TYPE_CHECKING:

        def get_nodeattr(self, name: str) -> Any:
            """FINN's."""

        def lut_estimation(self, fpgapart: str) -> int:
            """FINN's, as the next two."""

        def bram_estimation(self, fpgapart: str) -> int: ...

        def dsp_estimation(self, fpgapart: str) -> int: ...

    def folding_rule(self) -> FoldingRule:
        """How the node may be folded."""
        totals = {lane: int(self.get_nodeattr(total)) for lane, total in self.lanes.items()}
        return FoldingRule(totals, self.windows, ragged=self.ragged)

    def stands_for(self) -> tuple[str, ...]:
        """Names of the nodes of the lowered graph that a fused node takes the place of."""
        return ()

    def leader(self) -> str:
        """Name of the node among these that it is folded as."""
        return ""

    def needs_full_rate(self, writer: Facts) -> bool:
        """Whether the node keeps its stated cycles only if ``writer`` has at least its lanes."""
        return self.joins_in_turn

    def leaving(self) -> float:
        """Share of a pixel's time in which its words leave, one per cycle; 1 where they leave as
        they are made, one by one."""
        return 1.0

    def cuts_output(self) -> bool:
        """See `registers_output`, for this node."""
        return self.registers_output

    def cuts_ready(self) -> bool:
        """See `registers_ready`, for this node."""
        return self.registers_ready

    def taps(self) -> Sequence[tuple[str, Stream]]:
        """Tensors that exist inside the node's RTL, each with its stream: a core that has some
        takes a parameter ``TapId``, the number of the first, and holds a ``stream_tap`` for each.
        """
        return ()

    def stepped(self, model: Any) -> Stepped | None:
        """The thresholds, where the outputs are codes that step at some, and nothing else."""
        return None

    def reached(self, model: Any) -> tuple[int, int] | None:
        """Smallest and largest output, where constants say more than the datatype does."""
        return None

    def outside_roms(self) -> tuple[OutsideRom, ...]:
        """Memories of constants that may lie outside, all of them or none: where the attribute
        ``shared_rom`` names a pair. An op that has some gives their words by ``outside_words`` and
        reads ``rom_first`` and ``rom_space``, a number for each: where its words begin, and address
        bits.
        """
        return ()

    def count_constants(self, model: Any) -> None:
        """Copy into attributes what memories of LUTs cost with the constants that they hold, where
        that is far from random ones; of a node that is folded."""

    def structures(self) -> Mapping[str, Structure]:
        """What the node is made of, for each implementation that can compute it; of most ops one
        without a name."""
        raise NotImplementedError(f"{type(self).__name__}: states no structures, expected some")

    def way(self) -> str:
        """The implementation in use, one of `structures`."""
        return next(iter(self.structures()))

    def structure(self) -> Structure:
        """What the node is made of with the implementation in use."""
        structures = self.structures()
        return structures[next(iter(structures)) if len(structures) == 1 else self.way()]

    def stated(self) -> Usage:
        """What the node takes, as estimated."""
        return self.cost_of(self.structure())

    def cost_of(self, structure: Structure) -> Usage:
        """What a structure takes, by the tables of the kernel's folder."""
        kernel = sys.modules[type(self).__module__].__file__
        return cost(structure, Path(kernel or "").parent)

    def geometry(self) -> Geometry | None:
        """Which pixels the node needs, if it makes pixels of pixels at other places."""
        return None

    def last_needed(self, pixels_in: int, pixels_out: int) -> IntArray:
        """Return for each output pixel the last input pixel it needs; -1 for none.

        Without a geometry that is the pixel at the same place, or the last one where the maps
        differ in size.
        """
        geometry = self.geometry()
        if geometry is not None:
            return geometry.last_needed()
        if pixels_in == pixels_out:
            return np.arange(pixels_out)
        return np.full(pixels_out, pixels_in - 1)
