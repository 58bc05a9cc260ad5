# SPDX-License-Identifier: Apache-2.0
"""From a folded dataflow graph to a simulated whole network: emit, run, explain.

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
from ...sim.network import NetworkRun, Pauses, Words, read_capture, run_network, unpack_words
from ..boards import DEFAULT_BOARD, Board
from ..graph.insert_streams import insert_streams
from ..kernels.ops import facts_of
from . import runs
from .emit_top import emit_top
from .runs import Pictures, Progress
from .top_info import TapInfo, TopInfo

WAVE_CYCLES = 200
"""Cycles of waveform before the value in question."""


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


def simulate(
    folder: Path,
    pictures: Pictures,
    *,
    capture: bool = False,
    pauses: Pauses | None = None,
    cells: Path | None = None,
    progress: Progress | None = None,
    jobs: int = 2,
) -> SimResult:
    """Run pictures through the whole network in Verilator.

    Args:
        folder: emitted RTL folder with a fifo.json.
        pictures: (N, H, W, C) uint8.
        capture: return every stream's tensor as well (slower).
        pauses: random standstills at input and output.
        cells: models of the 7-series cells, see `runs.build`.
        progress: called about once a second with cycle, frames_in, frames_out.
        jobs: compilers at a time, if the model must be built.

    Raises:
        ValueError: the pictures do not fit the network.
        NetworkStuck: the network came to a standstill.
    """
    info = TopInfo.load(folder)
    words = runs.input_words(info, pictures)
    # As built a FIFO has its depth.
    capacities = runs.capacities(folder, info) if cells is None else []
    executable, build_seconds = runs.build(folder, info, cells=cells, jobs=jobs)
    tensors: dict[str, IntArray] = {}
    cycle_of: dict[str, npt.NDArray[np.uint32]] = {}

    def feed(words: Words, captured: Path | None) -> NetworkRun:
        return runs.run(
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
        runs.interval(run),
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


def waveform(
    folder: Path,
    pictures: Pictures,
    cycle: int,
    path: Path,
    *,
    pauses: Pauses | None = None,
    cells: Path | None = None,
    jobs: int = 2,
) -> None:
    """Write a VCD of every stream of the network for the last cycles before ``cycle``.

    Args:
        folder: emitted RTL folder with a fifo.json.
        pictures: the pictures of the run in question.
        cycle: such as `locate` returns.
        path: VCD file to write.
        pauses: those of the run in question.
        cells: those of the run in question.
        jobs: compilers at a time; tracing is a build of its own.
    """
    info = TopInfo.load(folder)
    executable, _ = runs.build(folder, info, cells=cells, trace=True, jobs=jobs)
    words = runs.input_words(info, pictures)
    run_network(
        executable, folder, words,
        words_out=runs.words_out(info), bytes_out=runs.bytes_out(info),
        watchdog=runs.watchdog(info),
        capacities=runs.capacities(folder, info) if cells is None else [], pauses=pauses,
        vcd=path, vcd_from=max(0, cycle - WAVE_CYCLES),
        last_cycle=cycle + 4,
    )  # fmt: skip


def _tensor(tap: TapInfo, words: Words, images: int) -> IntArray:
    datatype = DataType[tap.datatype]
    values = unpack_words(words, int(datatype.bitwidth()), tap.lanes, bool(datatype.signed()))
    return values.reshape(images, *tap.shape[1:])
