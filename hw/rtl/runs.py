# SPDX-License-Identifier: Apache-2.0
"""Build and run an emitted folder in Verilator: what sizing and simulation share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from qonnx.core.datatype import DataType

from ...sim.network import NetworkRun, Pauses, Words, build_network, pack_words, run_network
from ..graph.fifo_sizing import SizingError, load_depths
from .top_info import EmitError, TopInfo

Pictures = npt.NDArray[np.uint8]
Progress = Callable[[dict[str, int]], None]

FIFO_FILE = "fifo.json"


class NetworkStuck(RuntimeError):
    """The network stopped moving; the message names the FIFOs around the standstill."""


def build(
    folder: Path,
    info: TopInfo,
    *,
    cells: Path | None = None,
    trace: bool = False,
    jobs: int = 2,
) -> tuple[Path, float]:
    """Compile an emitted folder; return the executable and the seconds it took.

    Args:
        folder: emitted RTL folder.
        info: its top.json.
        cells: models of the 7-series cells; what synthesis reads is simulated then, the bodies
            made of cells and the FIFOs of their final depth and form. None for the plain bodies,
            and FIFOs whose depth a run sets.
        trace: compile waveforms in.
        jobs: compilers at a time.

    Raises:
        EmitError: a memory is missing.
    """
    for memory in info.memories:
        if not (folder / memory).is_file():
            raise EmitError(f"{folder / memory}: memory file not found; emit the RTL again")
    sources: Sequence[str] = info.sim_sources
    defines: list[str] = []
    if cells is not None:
        sources = [*info.sources, str(cells.resolve())]
        defines = ["ANDPOP_PRIMITIVES=1", "ANDPOP_BUILT_FIFOS"]
    return build_network(
        folder, sources, info.top, outputs=len(info.results), defines=defines, trace=trace,
        jobs=jobs,
    )  # fmt: skip


def run(
    executable: Path,
    folder: Path,
    info: TopInfo,
    words: Words,
    *,
    capacities: list[int] | None = None,
    throttle: int = 0,
    pauses: Pauses | None = None,
    capture: Path | None = None,
    progress: Progress | None = None,
) -> NetworkRun:
    """Run frames through a network; see `run_network`.

    Raises:
        NetworkStuck: it came to a standstill.
    """
    result = run_network(
        executable, folder, words,
        words_out=words_out(info), bytes_out=bytes_out(info), watchdog=watchdog(info),
        capacities=capacities or [], throttle=throttle, pauses=pauses, capture=capture,
        progress=progress,
    )  # fmt: skip
    if result.status != "done":
        raise NetworkStuck(_standstill(info, result, capacities))
    return result


def _standstill(info: TopInfo, run: NetworkRun, capacities: list[int] | None) -> str:
    """Say where a network stopped: streams with a word that waits and full FIFOs, those nearest to
    the output; the first empty FIFOs."""
    limits = capacities or [f.storage for f in info.fifos]
    full = [f.name for f, n, c in zip(info.fifos, run.fill, limits, strict=True) if n >= c]
    empty = [f.name for f, n in zip(info.fifos, run.fill, strict=True) if n == 0]
    waiting = [t.producer or "the input" for t in info.taps if t.id in run.waiting]
    return (
        f"network {run.status} in cycle {run.cycles} after {len(run.finished)} results: "
        f"{len(waiting)} streams wait (last: {', '.join(waiting[-3:]) or 'none'}), "
        f"{len(full)} FIFOs full (last: {', '.join(full[-3:]) or 'none'}), "
        f"{len(empty)} empty (first: {', '.join(empty[:3]) or 'none'}); "
        "give the full ones more depth in fifo.json or size the FIFOs again"
    )


def interval(run: NetworkRun) -> int:
    """Cycles between the last two results."""
    if len(run.finished) < 2:
        return run.finished[0] - run.started[0] + 1
    return run.finished[-1] - run.finished[-2]


def watchdog(info: TopInfo) -> int:
    """Cycles without a word in or out that prove a standstill: no picture takes longer through
    the network than through all its nodes one after the other."""
    return sum(n.cycles for n in info.nodes) + 10_000


def words_out(info: TopInfo) -> list[int]:
    """Words per frame of every result stream."""
    return [tap.words for tap in info.outputs]


def bytes_out(info: TopInfo) -> list[int]:
    """Bytes per word of every result stream."""
    return [-(-tap.width // 8) for tap in info.outputs]


def capacities(folder: Path, info: TopInfo) -> list[int]:
    """Depths from fifo.json, in the order of the FIFOs' ids.

    A depth rounded up for a block RAM may lie above the storage of the simulation, which four
    frames of words never filled: the storage is the limit then.
    """
    path = folder / FIFO_FILE
    depths = {f.name: f.depth for f in load_depths(path)}
    for fifo in info.fifos:
        if depths.get(fifo.name, 0) < 2:
            raise SizingError(
                f"{path}: {fifo.name}: found depth {depths.get(fifo.name)}, expected 2 or more; "
                "size the FIFOs again"
            )
    return [min(depths[f.name], f.storage) for f in info.fifos]


def input_words(info: TopInfo, pictures: Pictures) -> Words:
    """Return pictures as the words of the graph input.

    Raises:
        ValueError: they do not fit the network.
    """
    first = info.input
    if pictures.dtype != np.uint8 or pictures.shape[1:] != tuple(first.shape[1:]):
        raise ValueError(
            f"pictures: found {pictures.dtype} {pictures.shape}, expected uint8 "
            f"(N, {', '.join(map(str, first.shape[1:]))}); resize them as the card says"
        )
    if not len(pictures):
        raise ValueError("pictures: found none, expected at least one")
    flat = pictures.reshape(len(pictures), -1).astype(np.int64)
    return pack_words(flat, int(DataType[first.datatype].bitwidth()), first.lanes)
