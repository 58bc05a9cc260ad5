# SPDX-License-Identifier: Apache-2.0
"""FIFO sizing of an emitted folder by simulation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from qonnx.core.modelwrapper import ModelWrapper

from ...sim.network import NetworkRun
from .. import boards
from ..graph.fifo_sizing import FifoDepth, SizingError, choose_depths, save_depths
from ..graph.insert_streams import insert_streams, remove_streams
from . import runs
from .emit_top import emit_top, set_depths
from .top_info import TopInfo

FrameProgress = Callable[[int, int], None]
"""Called with the frames simulated so far, and those known to be needed by now."""

SIZING_FRAMES = 4
INTERVAL_TOLERANCE = 0.03
"""How far the steady interval may lie above the slowest node's stated cycles."""


@dataclass(frozen=True)
class Sizing:
    """Result of FIFO sizing."""

    fifos: tuple[FifoDepth, ...]
    interval: int
    """Steady interval with these depths and input at full rate."""
    stated: int
    """Stated cycles of the slowest node."""
    slowest: str
    build_seconds: float
    sim_cycles_per_second: float
    everywhere: str = ""
    """Why a FIFO had to be put on every edge: what the FIFOs that the structure asks for missed.
    Empty where they were enough."""

    @property
    def late(self) -> bool:
        """Whether a frame takes longer than the slowest node states, by more than the tolerance."""
        return self.interval > self.stated * (1 + INTERVAL_TOLERANCE)

    @property
    def bits(self) -> int:
        """Bits of all FIFOs together."""
        return sum(f.bits for f in self.fifos)


class _Frames:
    """Frames that runs have put out, one run after the other, told as they go."""

    def __init__(self, progress: FrameProgress | None) -> None:
        self.progress = progress
        self.done = 0

    def run(self, frames: int, behind: int) -> runs.Progress:
        """Begin a run of so many frames; so many more are known to be needed behind it."""
        before, total = self.done, self.done + frames + behind
        self.done += frames

        def tell(state: dict[str, int]) -> None:
            if self.progress is not None:
                self.progress(before + state["frames_out"], total)

        tell({"frames_out": 0})
        return tell


def size_fifos(folder: Path, *, progress: FrameProgress | None = None, jobs: int = 2) -> Sizing:
    """Find FIFO depths by simulation and store them: fifo.json, depth package, stitched graph.

    Run 1 spreads each frame over the slowest node's stated cycles and lets FIFOs grow; their
    peaks, rounded up, are the depths. It is repeated with more frames if more are under way at
    once than were fed. Run 2 checks the depths at full input rate. If that fails, the folder is
    written anew with a FIFO on every edge, and sized once more. An interval that is missed then as
    well is told (`Sizing.late`): small maps whose rows come in bursts may keep a node waiting.

    Raises:
        SizingError: a FIFO would outgrow its storage.
        NetworkStuck: a run came to a standstill.
    """
    frames = _Frames(progress)
    try:
        found = _size(folder, frames, jobs)
        if found.late:
            raise SizingError(
                f"found a steady interval of {found.interval} cycles, expected {found.stated} "
                f"({found.slowest}) within {INTERVAL_TOLERANCE:.0%}"
            )
        return found
    except (SizingError, runs.NetworkStuck) as error:
        missed = str(error)
        info = TopInfo.load(folder)
        plain = remove_streams(ModelWrapper(str(folder / "stitched.onnx")))
        stitched = insert_streams(plain, everywhere=True)
        emit_top(stitched, folder, boards.find(info.board), info.clock_mhz)
    return replace(_size(folder, frames, jobs), everywhere=missed)


def _size(folder: Path, told: _Frames, jobs: int) -> Sizing:
    """Size the FIFOs that a folder has; see `size_fifos`."""
    info = TopInfo.load(folder)
    stated = info.slowest.cycles
    executable, build_seconds = runs.build(folder, info, jobs=jobs)
    frames, free = SIZING_FRAMES, None
    while free is None or frames < _frames_needed(free, stated):
        if free is not None:
            frames = _frames_needed(free, stated)
        pictures = np.random.default_rng(0).integers(
            0, 256, (frames, *info.input.shape[1:]), dtype=np.uint8
        )
        words = runs.input_words(info, pictures)
        telling = told.run(frames, behind=frames)
        free = runs.run(executable, folder, info, words, throttle=stated, progress=telling)
    for fifo, peak in zip(info.fifos, free.peak, strict=True):
        if peak >= fifo.storage:
            raise SizingError(
                f"{fifo.name}: found {peak} words waiting, expected less than its storage of "
                f"{fifo.storage}; a node behind it is slower than {info.slowest.name}'s "
                f"{stated} stated cycles"
            )
    fifos = choose_depths([f.name for f in info.fifos], [f.width for f in info.fifos], free.peak)
    capacities = [min(f.depth, i.storage) for f, i in zip(fifos, info.fifos, strict=True)]
    telling = told.run(frames, behind=0)
    full = runs.run(executable, folder, info, words, capacities=capacities, progress=telling)
    telling({"frames_out": frames})
    save_depths(fifos, folder / runs.FIFO_FILE)
    set_depths(folder, {f.name: f.depth for f in fifos})
    return Sizing(
        tuple(fifos),
        runs.interval(full),
        stated,
        info.slowest.name,
        build_seconds,
        (free.cycles + full.cycles) / max(free.seconds + full.seconds, 1e-9),
    )


def _frames_needed(run: NetworkRun, interval: int) -> int:
    """Frames until FIFOs are as full as they get: those that are under way at once, and one."""
    return -(-(run.finished[0] - run.started[0]) // interval) + 1
