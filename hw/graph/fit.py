# SPDX-License-Identifier: Apache-2.0
"""A network for a board: fused, folded and balanced until it takes no more than its share."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from qonnx.core.modelwrapper import ModelWrapper

from ..boards import DEFAULT, Board, boards
from ..kernels.costs import RESOURCES, Usage
from .balance_memories import Move, balance
from .folding import cycles, fold
from .folding_file import FoldingError
from .pair_roms import Pair, pair_roms, part_again
from .reach import fuse_for
from .replace import replace_dear
from .share import chains, in_engines, named_by, require, taken
from .usage import NodeUsage, network_usage, total

WORDS = {
    "lut": "LUTs",
    "ff": "flip-flops",
    "lutram": "LUTs of memory",
    "bram18": "BRAM18",
    "dsp": "DSP blocks",
}
"""What resources are called."""
CLOSE = 1.05
"""How near the search for the fastest target comes to it."""
LARGEST = 3
"""Consumers that a refusal names."""


@dataclass(frozen=True)
class Shares:
    """Percent of a board that a network may take."""

    lut: float = 75.0
    bram18: float = 90.0
    dsp: float = 90.0

    def of(self, board: Board) -> Usage:
        """What a network may take of a board; flip-flops and LUT RAM up to the last."""
        return Usage(
            int(board.lut * self.lut / 100),
            board.ff,
            board.lutram,
            int(board.bram18 * self.bram18 / 100),
            int(board.dsp * self.dsp / 100),
        )


@dataclass(frozen=True)
class Fit:
    """A folded graph and what it takes of a board."""

    model: ModelWrapper
    board: Board
    allowed: Usage
    rows: list[NodeUsage]
    """What each node takes, and what stands on edges with FIFOs as deep as is to be expected."""
    moves: list[Move] = field(default_factory=list)
    """What was traded."""
    notes: list[str] = field(default_factory=list)

    @property
    def used(self) -> Usage:
        """The sum."""
        return total(self.rows)

    @property
    def cycles(self) -> int:
        """Stated cycles of the slowest node."""
        return max(cycles(self.model).values())

    @property
    def fits(self) -> bool | None:
        """Whether it takes no more than allowed; None where its estimates say nothing of the
        board."""
        return self.used.within(self.allowed) if judged(self.board) else None


class DoesNotFit(RuntimeError):
    """A network takes more than its share of a board; the message says of what, and what helps."""


def judged(board: Board) -> bool:
    """Whether estimates hold for a board: they count LUTs of six inputs and AMD's blocks."""
    return board.lut_inputs == 6


def limiting(used: Usage, allowed: Usage) -> str:
    """Return the resource of which a network takes most, against what is allowed."""
    return max(RESOURCES, key=lambda name: getattr(used, name) / max(1, getattr(allowed, name)))


def excess(used: Usage, allowed: Usage) -> float:
    """Return how many times what is allowed a network takes, of the resource that limits it."""
    name = limiting(used, allowed)
    return float(getattr(used, name) / max(1, getattr(allowed, name)))


class Fitting:
    """The search for a folding of one network that a board has room for.

    Args:
        lowered: specialised, unfolded dataflow graph; it is left as it is.
        board: where it has to fit.
        shares: how much of it.
        fused: take whole blocks as one kernel where there is one.
        share: chains of equal units to run in one engine each (see `share.chains`); None for those
            without which the network does not fit.
        fps: cycles per frame -> frames per second, for messages.
        progress: called with (paces tried, paces to try at most) while a pace is searched.
    """

    def __init__(
        self,
        lowered: ModelWrapper,
        board: Board,
        shares: Shares,
        *,
        fused: bool = True,
        share: Collection[str] | None = (),
        fps: Callable[[int], float] | None = None,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        self._lowered, self._board, self._shares = lowered, board, shares
        self._fused, self._share, self._fps, self._progress = fused, share, fps, progress
        self._chains = chains(lowered) if fused and share is None else {}
        self._allowed = shares.of(board)
        self._known: dict[int, Fit | None] = {}

    def given(self, folding: Mapping[str, Mapping[str, Any]]) -> Fit:
        """Return the graph with a folding of the user's, memories that it leaves open balanced.

        Raises:
            FoldingError: the folding cannot be.
            DoesNotFit: it is too much for the board.
        """
        fixed = {(name, attribute) for name, values in folding.items() for attribute in values}
        found = self._fit(folding, fixed)
        if found.fits is False:
            raise self._refusal(found, "with this folding")
        return found

    def at(self, target: int) -> Fit:
        """Return the graph at a target: cycles per frame that no node exceeds.

        Raises:
            FoldingError: the target is out of a node's reach.
            DoesNotFit: it is too much for the board; the message names a target that is not.
        """
        found = self._fit(target)
        if found.fits is False:
            slower = self._fastest(target)
            if slower is None:
                raise self._refusal(found, f"at {self._pace(target)}, nor at any other pace")
            times = slower.cycles / target
            raise self._refusal(
                found,
                f"at {self._pace(target)}",
                f"it fits {times:.2f} times slower, at {self._pace(slower.cycles)}",
            )
        return found

    def near(self, target: int) -> Fit:
        """Return the graph at a target that nobody asked for, or the fastest that fits.

        Raises:
            FoldingError: the target is out of a node's reach on a board that is not judged.
            DoesNotFit: it is too much for the board at any pace.
        """
        try:
            found: Fit | None = self._fit(target)
        except FoldingError:
            if not judged(self._board):
                raise
            found = None
        if found is not None and found.fits is not False:
            return found
        slower = self._fastest(target)
        if slower is None:
            raise self._refusal(found or self._fit(_slowest(self._lowered)), "at any pace")
        note = (
            f"{self._pace(target)} does not fit {self._board.name}; built for the fastest that "
            f"does, {self._pace(slower.cycles)}"
        )
        return replace(slower, notes=[*slower.notes, note])

    def _fit(
        self,
        target: int | Mapping[str, Mapping[str, Any]],
        fixed: set[tuple[str, str]] | None = None,
    ) -> Fit:
        """Fold, sum up and balance; share what has to be."""
        if self._share is not None:
            return self._shared(target, fixed, self._share)
        if not isinstance(target, int):
            return self._shared(target, fixed, named_by(self._lowered, self._chains, target))
        apart = self._shared(target, fixed, ())
        if apart.fits is not False or not self._chains:
            return apart
        whole = self._shared(target, fixed, self._chains)
        if not whole.fits:
            return min((apart, whole), key=lambda fit: excess(fit.used, fit.allowed))
        # As few as will do, those first that give most of what is short.
        short = limiting(apart.used, apart.allowed)
        saved = {
            name: getattr(taken(apart.model, apart.rows, chain), short)
            - getattr(taken(whole.model, whole.rows, chain), short)
            for name, chain in self._chains.items()
        }
        order = sorted(saved, key=lambda name: -saved[name])
        for count in range(1, len(order)):
            fewer = self._shared(target, fixed, order[:count])
            if fewer.fits:
                return fewer
        return whole

    def _shared(
        self,
        target: int | Mapping[str, Mapping[str, Any]],
        fixed: set[tuple[str, str]] | None,
        share: Collection[str],
    ) -> Fit:
        """Fold, sum up and balance, with these chains in an engine each."""
        fused = self._fused or bool(share)
        model = fuse_for(self._lowered, target, share) if fused else _copy(self._lowered)
        if self._share:
            require(self._lowered, model, share)
        fold(model, target, self._board.part)
        replace_dear(model, fixed or ())
        rows = network_usage(model)
        if not judged(self._board) or total(rows).within(self._allowed):
            return self._result(model, rows, [], share)
        most = target if isinstance(target, int) else max(cycles(model).values())
        for pairing in (False, True):
            tried, pairs = _copy(model), []
            if pairing:
                pairs = pair_roms(tried, fixed or set())
                if not pairs:
                    break
            _, moves = balance(
                tried, total(network_usage(tried)), self._allowed, most, fixed or set()
            )
            # Summed up again: a move may change what stands beside the node.
            pairs = _needed(tried, pairs, total(network_usage(tried)), self._allowed)
            balanced = network_usage(tried)
            if total(balanced).within(self._allowed):
                return self._result(tried, balanced, moves, share, pairs)
        return self._result(model, rows, [], share)

    def _result(
        self,
        model: ModelWrapper,
        rows: list[NodeUsage],
        moves: list[Move],
        share: Collection[str],
        pairs: Collection[Pair] = (),
    ) -> Fit:
        notes = []
        if pairs:
            freed = -sum(pair.change.bram18 for pair in pairs)
            notes.append(
                f"constants of two nodes in the same block RAMs: {2 * len(pairs)} nodes, {freed} "
                "BRAM18 less"
            )
        shared = in_engines(self._lowered, model, share)
        if shared:
            why = "" if self._share else f", as the {self._board.name} has no room for all apart"
            notes.append(f"run in one engine each, by --share: {', '.join(shared)}{why}")
        if not judged(self._board):
            notes.append(
                f"{self._board.name} has LUTs of {self._board.lut_inputs} inputs, estimates count "
                "those of 6: whether the network fits is not known, the board constrains nothing"
            )
        return Fit(model, self._board, self._allowed, rows, moves, notes)

    def _fastest(self, missed: int) -> Fit | None:
        """The fastest fit that is slower than a target, within `CLOSE`; None if there is none."""
        low, high = missed, max(missed, _slowest(self._lowered))
        tried, most = 0, 1 + halvings(low, high)
        self._progress(tried, most)
        best = self._tried(high)
        if best is None:
            return None
        high = best.cycles
        while high > low * CLOSE and high - low > 1:
            tried += 1
            self._progress(tried, most)
            middle = min(max(low + 1, round((low * high) ** 0.5)), high - 1)
            found = self._tried(middle)
            if found is None:
                low = middle
            else:
                best, high = found, min(middle, found.cycles)
        self._progress(most, most)
        return best

    def _tried(self, target: int) -> Fit | None:
        """A fit at a target, None if there is none."""
        if target not in self._known:
            try:
                self._known[target] = self._fit(target)
            except FoldingError:
                self._known[target] = None
        found = self._known[target]
        return found if found is not None and found.fits else None

    def _pace(self, count: int) -> str:
        text = f"{count:,} cycles per frame"
        return text if self._fps is None else f"{text} ({self._fps(count):,.0f} FPS)"

    def _refusal(self, found: Fit, when: str, instead: str = "") -> DoesNotFit:
        """What is missing, who takes it, what would help: one line."""
        return DoesNotFit(
            refusal(found.rows, self._board, self._shares, when, instead, self._others(found))
        )

    def _others(self, found: Fit) -> str | None:
        """The smallest board that has room, once balanced for it."""
        candidates = sorted(boards().values(), key=lambda b: (b.lut, b.name != DEFAULT, b.name))
        for board in candidates:
            allowed = self._shares.of(board)
            if not judged(board) or board.part == self._board.part:
                continue
            if found.used.within(allowed):
                return board.name
            model = _copy(found.model)
            used, _ = balance(model, found.used, allowed, found.cycles)
            if used.within(allowed):
                return board.name
        return None


def refusal(
    rows: Sequence[NodeUsage],
    board: Board,
    shares: Shares,
    when: str,
    instead: str = "",
    other: str | None = None,
) -> str:
    """Say in one line what a network takes too much of, who takes most of it, and what helps.

    Args:
        rows: what every node takes.
        board: the board that has too little.
        shares: how much of it the network may take.
        when: how the network was folded.
        instead: what is known to fit.
        other: name of a board that has room.
    """
    used, allowed = total(rows), shares.of(board)
    name = limiting(used, allowed)
    found, most = getattr(used, name), getattr(allowed, name)
    have = {**board.capacity, "lutram": board.lutram}[name]
    largest = sorted(rows, key=lambda row: -getattr(row.usage, name))[:LARGEST]
    takers = ", ".join(f"{r.name} {getattr(r.usage, name):,}" for r in largest)
    known = f"{instead}; " if instead else ""
    larger = f", --board {other}" if other else ""
    return (
        f"does not fit {board.name} {when}: found {found:,} {WORDS[name]}, expected at most "
        f"{most:,} ({most / have:.0%} of {have:,}); most of them in {takers}; {known}use a smaller "
        f"--input{larger}, or train it with a smaller --width or with --head-bits 4 where it has "
        "them"
    )


def halvings(low: int, high: int) -> int:
    """Return how often the ratio of two paces is halved until they are `CLOSE`."""
    steps = math.log(high / low) / math.log(CLOSE)
    return max(0, math.ceil(math.log2(steps))) if steps > 0 else 0


def _slowest(lowered: ModelWrapper) -> int:
    """Cycles per frame of a graph without any lanes to spare."""
    return max(cycles(lowered).values())


def _needed(model: ModelWrapper, pairs: list[Pair], used: Usage, allowed: Usage) -> list[Pair]:
    """Part those pairs again that are not needed, those that give least first."""
    needed = list(pairs)
    for pair in reversed(pairs):
        without = used - pair.change
        if without.within(allowed):
            part_again(model, [pair])
            needed.remove(pair)
            used = without
    return needed


def _copy(model: ModelWrapper) -> ModelWrapper:
    return ModelWrapper(model.model, make_deepcopy=True)
