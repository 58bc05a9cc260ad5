# SPDX-License-Identifier: Apache-2.0
"""From a folded dataflow graph to a simulated whole network: emit, size FIFOs, run, explain.

An emitted folder is all a simulation needs. FIFO sizing and every later run share one Verilator
build: the storage of the FIFOs stays, their capacity is set at run time from fifo.json.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper

from ...quant.grid import IntArray
from ...sim.cache import scratch
from ...sim.network import (
    NetworkRun,
    Pauses,
    Words,
    build_network,
    pack_words,
    read_capture,
    run_network,
    unpack_words,
)
from ..boards import DEFAULT_BOARD, Board
from ..graph.fifo_sizing import (
    FifoDepth,
    SizingError,
    choose_depths,
    load_depths,
    save_depths,
)
from ..graph.insert_streams import insert_streams
from ..graph.ops import facts_of
from .emit_top import emit_top, set_depths
from .top_info import EmitError, TapInfo, TopInfo

Pictures = npt.NDArray[np.uint8]
Progress = Callable[[dict[str, int]], None]

FIFO_FILE = "fifo.json"
SIZING_FRAMES = 4
INTERVAL_TOLERANCE = 0.05
"""How far the steady interval may lie above the slowest node's stated cycles."""
WAVE_CYCLES = 200
"""Cycles of waveform before the value in question."""


class NetworkStuck(RuntimeError):
    """The network stopped moving; the message names the FIFOs around the standstill."""


@dataclass(frozen=True)
class SimResult:
    """What a simulation of pictures gave."""

    images: int
    outputs: dict[str, IntArray]
    """(images, ...) each output tensor of the graph, batch in front."""
    cycles_per_frame: int
    """Latency of the first picture: its first word in to the last word of its last result out."""
    interval: int
    """Cycles between the last two pictures whose results are out; the latency if there is one."""
    cycles: int
    sim_cycles_per_second: float
    build_seconds: float
    tensors: dict[str, IntArray]
    """Every stream that exists by tensor name, (images, ...), or (fewer, ...) where words stayed
    away; empty without capture."""
    cycle_of: dict[str, npt.NDArray[np.uint32]]
    """By tensor name: the cycle in which each word passed; empty without capture."""


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

    @property
    def bits(self) -> int:
        """Bits of all FIFOs together."""
        return sum(f.bits for f in self.fifos)


def emit(
    model: ModelWrapper, folder: Path, board: Board = DEFAULT_BOARD, clock_mhz: float | None = None
) -> TopInfo:
    """Stitch a folded dataflow graph of ``_rtl`` ops and write its RTL folder, FIFOs unsized.

    Args: see `emit_top`.

    Raises:
        StreamError: the graph cannot be stitched.
        EmitError: a node cannot be written.
    """
    return emit_top(insert_streams(model), folder, board, clock_mhz)


def size_fifos(folder: Path, *, progress: Progress | None = None, jobs: int = 2) -> Sizing:
    """Find FIFO depths by simulation and store them: fifo.json, depth package, stitched graph.

    Run 1 spreads each frame over the slowest node's stated cycles and lets FIFOs grow; their
    peaks, rounded up, are the depths. It is repeated with more frames if more are under way at
    once than were fed. Run 2 checks the depths at full input rate.

    Raises:
        SizingError: a FIFO would outgrow its storage, or the interval is missed.
        NetworkStuck: a run came to a standstill.
    """
    info = TopInfo.load(folder)
    slowest = info.slowest
    executable, build_seconds = _build(folder, info, jobs=jobs)
    frames, free = SIZING_FRAMES, None
    while free is None or frames < _frames_needed(free, slowest.cycles):
        if free is not None:
            frames = _frames_needed(free, slowest.cycles)
        pictures = np.random.default_rng(0).integers(
            0, 256, (frames, *info.input.shape[1:]), dtype=np.uint8
        )
        words = _input_words(info, pictures)
        free = _run(executable, folder, info, words, throttle=slowest.cycles, progress=progress)
    for fifo, peak in zip(info.fifos, free.peak, strict=True):
        if peak >= fifo.storage:
            raise SizingError(
                f"{fifo.name}: found {peak} words waiting, expected less than its storage of "
                f"{fifo.storage}; a node behind it is slower than {slowest.name}'s "
                f"{slowest.cycles} stated cycles"
            )
    fifos = choose_depths([f.name for f in info.fifos], [f.width for f in info.fifos], free.peak)
    capacities = [min(f.depth, i.storage) for f, i in zip(fifos, info.fifos, strict=True)]
    full = _run(executable, folder, info, words, capacities=capacities, progress=progress)
    interval = _interval(full)
    if interval > slowest.cycles * (1 + INTERVAL_TOLERANCE):
        raise SizingError(
            f"found a steady interval of {interval} cycles, expected {slowest.cycles} "
            f"({slowest.name}) within {INTERVAL_TOLERANCE:.0%}; a node is slower than it states, "
            "build with a larger --target-cycles"
        )
    save_depths(fifos, folder / FIFO_FILE)
    set_depths(folder, {f.name: f.depth for f in fifos})
    return Sizing(
        tuple(fifos),
        interval,
        slowest.cycles,
        slowest.name,
        build_seconds,
        (free.cycles + full.cycles) / max(free.seconds + full.seconds, 1e-9),
    )


def simulate(
    folder: Path,
    pictures: Pictures,
    *,
    capture: bool = False,
    pauses: Pauses | None = None,
    progress: Progress | None = None,
    jobs: int = 2,
) -> SimResult:
    """Run pictures through the whole network in Verilator.

    Args:
        folder: emitted RTL folder with a fifo.json.
        pictures: (N, H, W, C) uint8.
        capture: return every stream's tensor as well (slower).
        pauses: random standstills at input and output.
        progress: called about once a second with cycle, frames_in, frames_out.
        jobs: compilers at a time, if the model must be built.

    Raises:
        ValueError: the pictures do not fit the network.
        NetworkStuck: the network came to a standstill.
    """
    info = TopInfo.load(folder)
    words = _input_words(info, pictures)
    capacities = _capacities(folder, info)
    executable, build_seconds = _build(folder, info, jobs=jobs)
    tensors: dict[str, IntArray] = {}
    cycle_of: dict[str, npt.NDArray[np.uint32]] = {}

    def feed(words: Words, captured: Path | None) -> NetworkRun:
        return _run(
            executable, folder, info, words,
            capacities=capacities, pauses=pauses, capture=captured, progress=progress,
        )  # fmt: skip

    if capture:
        run, tensors, cycle_of = _feed_captured(feed, info, words)
    else:
        run = feed(words, None)
    images = len(pictures)
    outputs = {
        tap.tensor: _tensor(tap, found[:images].reshape(-1, found.shape[-1]), images)
        for tap, found in zip(info.outputs, run.outputs, strict=True)
    }
    return SimResult(
        images,
        outputs,
        run.finished[0] - run.started[0] + 1,
        _interval(run),
        run.cycles,
        run.cycles / max(run.seconds, 1e-9),
        build_seconds,
        tensors,
        cycle_of,
    )


def _feed_captured(
    feed: Callable[[Words, Path], NetworkRun], info: TopInfo, words: Words
) -> tuple[NetworkRun, dict[str, IntArray], dict[str, npt.NDArray[np.uint32]]]:
    """Run with capture; return the run, every stream's tensor and the cycles of its words.

    The last result may be out before what it does not need has come through: borders that are
    cropped off, rows that no window reaches. One more picture behind the last pushes them out. It
    is fed from the start where the graph crops, else in a second run if the first comes short. A
    stream that is short even then has fewer pictures than were asked for.
    """
    images = len(words)
    crops = any(facts_of(node.op_type).swallows for node in info.nodes)
    longer = np.concatenate((words, words[-1:]))
    for fed in (longer,) if crops else (words, longer):
        with scratch("capture") as found:
            run = feed(fed, found)
            tensors, cycle_of = {}, {}
            for tap in info.taps:
                got, cycles = read_capture(found, tap.id, tap.width)
                whole = min(len(got) // tap.words, images)
                tensors[tap.tensor] = _tensor(tap, got[: whole * tap.words], whole)
                cycle_of[tap.tensor] = cycles[: whole * tap.words]
        if all(len(tensor) == images for tensor in tensors.values()):
            break
    return run, tensors, cycle_of


def locate(folder: Path, result: SimResult, tensor: str, index: Sequence[int]) -> tuple[str, int]:
    """Return the node that wrote a captured value, and the cycle in which its word left it.

    Args:
        folder: emitted RTL folder.
        result: a simulation with capture.
        tensor: name of the stream.
        index: the value's, picture first, then the tensor's axes.

    Returns:
        (node, empty for the graph input; cycle)
    """
    tap = next(t for t in TopInfo.load(folder).taps if t.tensor == tensor)
    flat = int(np.ravel_multi_index(tuple(index), result.tensors[tensor].shape))
    return tap.producer, int(result.cycle_of[tensor][flat // tap.lanes])


def waveform(folder: Path, pictures: Pictures, cycle: int, path: Path, *, jobs: int = 2) -> None:
    """Write a VCD of every stream of the network for the last cycles before ``cycle``.

    Args:
        folder: emitted RTL folder with a fifo.json.
        pictures: the pictures of the run in question.
        cycle: such as `locate` returns.
        path: VCD file to write.
        jobs: compilers at a time; tracing is a build of its own.
    """
    info = TopInfo.load(folder)
    executable, _ = _build(folder, info, trace=True, jobs=jobs)
    words = _input_words(info, pictures)
    run_network(
        executable, folder, words,
        words_out=_words_out(info), bytes_out=_bytes_out(info), watchdog=_watchdog(info),
        capacities=_capacities(folder, info), vcd=path, vcd_from=max(0, cycle - WAVE_CYCLES),
        last_cycle=cycle + 4,
    )  # fmt: skip


def _build(
    folder: Path, info: TopInfo, *, trace: bool = False, jobs: int = 2
) -> tuple[Path, float]:
    for memory in info.memories:
        if not (folder / memory).is_file():
            raise EmitError(f"{folder / memory}: memory file not found; emit the RTL again")
    return build_network(
        folder, info.sim_sources, info.top, outputs=len(info.results), trace=trace, jobs=jobs
    )


def _run(
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
    run = run_network(
        executable, folder, words,
        words_out=_words_out(info), bytes_out=_bytes_out(info), watchdog=_watchdog(info),
        capacities=capacities or [], throttle=throttle, pauses=pauses, capture=capture,
        progress=progress,
    )  # fmt: skip
    if run.status != "done":
        raise NetworkStuck(_standstill(info, run, capacities))
    return run


def _standstill(info: TopInfo, run: NetworkRun, capacities: list[int] | None) -> str:
    """Say where a network stopped: the full FIFOs nearest to the output, the first empty one."""
    limits = capacities or [f.storage for f in info.fifos]
    full = [f.name for f, n, c in zip(info.fifos, run.fill, limits, strict=True) if n >= c]
    empty = [f.name for f, n in zip(info.fifos, run.fill, strict=True) if n == 0]
    return (
        f"network {run.status} in cycle {run.cycles} after {len(run.finished)} results: "
        f"{len(full)} FIFOs full (last: {', '.join(full[-3:]) or 'none'}), "
        f"{len(empty)} empty (first: {', '.join(empty[:3]) or 'none'}); "
        "give the full ones more depth in fifo.json or size the FIFOs again"
    )


def _frames_needed(run: NetworkRun, interval: int) -> int:
    """Frames until FIFOs are as full as they get: those that are under way at once, and one."""
    return -(-(run.finished[0] - run.started[0]) // interval) + 1


def _interval(run: NetworkRun) -> int:
    """Cycles between the last two results."""
    if len(run.finished) < 2:
        return run.finished[0] - run.started[0] + 1
    return run.finished[-1] - run.finished[-2]


def _watchdog(info: TopInfo) -> int:
    """Cycles without a word in or out that prove a standstill: no picture takes longer through
    the network than through all its nodes one after the other."""
    return sum(n.cycles for n in info.nodes) + 10_000


def _words_out(info: TopInfo) -> list[int]:
    """Words per frame of every result stream."""
    return [tap.words for tap in info.outputs]


def _bytes_out(info: TopInfo) -> list[int]:
    """Bytes per word of every result stream."""
    return [-(-tap.width // 8) for tap in info.outputs]


def _capacities(folder: Path, info: TopInfo) -> list[int]:
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


def _input_words(info: TopInfo, pictures: Pictures) -> Words:
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


def _tensor(tap: TapInfo, words: Words, images: int) -> IntArray:
    datatype = DataType[tap.datatype]
    values = unpack_words(words, int(datatype.bitwidth()), tap.lanes, bool(datatype.signed()))
    return values.reshape(images, *tap.shape[1:])
