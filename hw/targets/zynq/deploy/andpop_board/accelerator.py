# SPDX-License-Identifier: Apache-2.0
"""The network on the board: batches go in and come back, two of them under way at a time."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pynq

from .errors import BoardError, FrameLost, SelfTestError
from .network import Network, load_vectors
from .registers import Control, Dma
from .state import State

Pictures = npt.NDArray[np.uint8]
Values = npt.NDArray[np.int64]
SLOTS = 2
"""Batches under way: one at work, one that waits behind it."""
BATCH = 16
"""Pictures of a batch, unless told."""
PATIENCE = 10
"""A batch may take so many times as long as the network states."""
LEAST_SECONDS = 2.0
"""No time-out is shorter, unless told: Linux may be busy elsewhere."""
PAUSE_SECONDS = 20e-6
"""Between two looks at the registers."""


@dataclass
class _Slot:
    """Memory of a batch."""

    source: Any
    sinks: list[Any]
    frames: int = 0


class Accelerator:
    """A network that is loaded into the board.

    Args:
        folder: with ``andpop.bit``, ``andpop.hwh`` and the files beside them; the one that this
            package lies in, unless told.
        batch: most pictures of a batch.
        timeout: seconds after which a batch counts as lost; unless told, ``PATIENCE`` times
            what the network states, and ``LEAST_SECONDS`` at least.
        self_test: run the stored vectors first.
        download: load the bit file; False where it is loaded already.
        device: pynq's device, the board itself unless told.

    Raises:
        BoardError: a file is missing.
        WrongBuild: bit file and settings are not of one build.
        SelfTestError: stored results do not come out.
        FrameLost: no results come out.
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        *,
        batch: int = BATCH,
        timeout: float | None = None,
        self_test: bool = True,
        download: bool = True,
        device: Any = None,
    ) -> None:
        self.folder = Path(__file__).resolve().parents[1] if folder is None else Path(folder)
        self.network = Network.load(self.folder)
        bits = self.folder / "andpop.bit"
        if not bits.is_file():
            raise BoardError(
                f"{bits}: found no such file, expected what Vivado wrote; copy it and andpop.hwh "
                "into this folder"
            )
        if batch < 1:
            raise BoardError(f"batch: found {batch}, expected 1 or more pictures")
        self.batch = batch
        frames = SLOTS * batch
        stated = frames * self.network.cycles / (1e6 * self.network.clock_mhz)
        self.timeout = max(LEAST_SECONDS, PATIENCE * stated) if timeout is None else timeout
        self.overlay = pynq.Overlay(str(bits), download=download, device=device)
        network = self.network
        self._control = Control(getattr(self.overlay, network.control))
        self._source, *self._sinks = (
            Dma(s.dma, getattr(self.overlay, s.dma)) for s in (network.source, *network.sinks)
        )
        self._control.check(network.build_hash, 1, len(network.sinks))
        self._slots: list[_Slot] = []
        self._waiting: deque[_Slot] = deque()
        # Before memory is asked for: a batch that is still under way would be written into it.
        self.reset()
        self._slots = [self._slot(device) for _ in range(SLOTS)]
        self._free = deque(self._slots)
        if self_test:
            self.self_test()

    def run(self, pictures: Pictures) -> dict[str, Values]:
        """Return what every head gives for pictures, by the heads' names.

        Args:
            pictures: (N, H, W, C) uint8 of the network's size.

        Returns:
            (N,) class indices, (N, H, W) class indices per pixel, or (N, ...) integers.

        Raises:
            ValueError: the pictures do not fit the network.
            FrameLost: a batch did not come back; `reset` before the next run.
        """
        if not len(pictures):
            raise ValueError("pictures: found none, expected at least one")
        parts = list(
            self.stream(pictures[i : i + self.batch] for i in range(0, len(pictures), self.batch))
        )
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def stream(self, batches: Iterable[Pictures]) -> Iterator[dict[str, Values]]:
        """Yield results batch by batch while the next ones are read, packed and computed.

        Args:
            batches: (N, H, W, C) uint8 each, up to ``batch`` of them.

        Raises:
            ValueError: the pictures do not fit the network.
            BoardError: a stream is in use already, or a batch was lost before.
            FrameLost: a batch did not come back; `reset` before the next run.
        """
        if self._lost:
            raise BoardError("a batch was lost before, expected a reset; call reset() first")
        if self._waiting:
            raise BoardError("stream: found one in use, expected none; finish it or call reset()")
        try:
            for pictures in batches:
                if not self._free:
                    yield self._finish()
                self._submit(pictures)
            while self._waiting:
                yield self._finish()
        finally:
            # Whoever stops in between leaves batches that the next one would take for its own. A
            # lost one stays as it is, to be looked at.
            if self._waiting and not self._lost:
                self.reset()

    def classes(self, pictures: Pictures) -> list[str]:
        """Return the name of each picture's class.

        Raises:
            BoardError: the network has no head that classifies; others as `run`.
        """
        head = self.network.heads[self.network.head("class")]
        return [self.class_name(int(i)) for i in self.run(pictures)[head.name]]

    def masks(self, pictures: Pictures) -> npt.NDArray[np.bool_]:
        """Return (N, H, W): pixels of every class but 0, the background.

        Raises:
            BoardError: the network has no class per pixel; others as `run`.
        """
        head = self.network.heads[self.network.head("class_map")]
        mask: npt.NDArray[np.bool_] = self.run(pictures)[head.name] != 0
        return mask

    def class_name(self, index: int) -> str:
        """Return the name of a class, its number where the build names none."""
        names = self.network.classes
        return names[index] if index < len(names) else str(index)

    def self_test(self) -> int:
        """Run the stored vectors; return how many values were compared, all of them equal.

        Raises:
            BoardError: there are no vectors.
            SelfTestError: a value differs.
            FrameLost: a batch did not come back.
        """
        pictures, results = load_vectors(self.folder, len(self.network.heads))
        found = self.run(pictures)
        compared = 0
        for head, wanted in zip(self.network.heads, results, strict=True):
            got = found[head.name]
            wrong = got != wanted.reshape(got.shape)
            compared += got.size
            if wrong.any():
                at = tuple(int(i) for i in np.argwhere(wrong)[0])
                raise SelfTestError(
                    f"self-test: found {got[at]} at {at} of {head.name}, expected "
                    f"{wanted.reshape(got.shape)[at]}; {int(wrong.sum())} of {got.size} values "
                    "differ; check the clock, then load the bit file again"
                )
        return compared

    def state(self) -> State:
        """Return what the board says of itself."""
        dmas = [self._source, *self._sinks]
        return self._control.state(dmas, self._submitted, self._returned)

    def reset(self) -> None:
        """Reset network and DMAs, and forget what was under way.

        Raises:
            BoardError: the bus does not come to rest.
        """
        self._control.reset()
        for dma in (self._source, *self._sinks):
            dma.forget()
        self._waiting.clear()
        self._free = deque(self._slots)
        self._submitted = self._returned = 0
        self._lost = False

    def _slot(self, device: Any) -> _Slot:
        source, *sinks = (
            pynq.allocate((self.batch, *s.packed), np.uint8, target=device, cacheable=True)
            for s in (self.network.source, *self.network.sinks)
        )
        return _Slot(source, sinks)

    def _submit(self, pictures: Pictures) -> None:
        shape = self.network.source.shape
        if pictures.dtype != np.uint8 or pictures.shape[1:] != shape:
            raise ValueError(
                f"pictures: found {pictures.dtype} {pictures.shape}, expected uint8 "
                f"(N, {', '.join(map(str, shape))}); resize them"
            )
        if not 0 < len(pictures) <= self.batch:
            raise ValueError(
                f"pictures: found a batch of {len(pictures)}, expected 1 to {self.batch}; "
                "cut it, or ask for larger batches"
            )
        slot = self._free.popleft()
        slot.frames = len(pictures)
        slot.source[: slot.frames] = self.network.source.pack(pictures)
        slot.source.flush()
        for dma, sink in zip(self._sinks, slot.sinks, strict=True):
            dma.start(int(sink.device_address), slot.frames)
        self._source.start(int(slot.source.device_address), slot.frames)
        self._waiting.append(slot)
        self._submitted += slot.frames

    def _finish(self) -> dict[str, Values]:
        """Wait for the oldest batch and return its results."""
        self._wait(len(self._waiting) - 1)
        slot = self._waiting.popleft()
        found = {}
        streams = zip(self.network.heads, self.network.sinks, slot.sinks, strict=True)
        for head, stream, sink in streams:
            sink.invalidate()
            values = stream.unpack(np.asarray(sink[: slot.frames]))
            if head.kind == "class":
                values = values.reshape(slot.frames)
            found[head.name] = values[..., 0] if head.kind == "class_map" else values
        self._returned += slot.frames
        self._free.append(slot)
        return found

    def _wait(self, most: int) -> None:
        """Wait until no head has more batches under way."""
        begin = time.monotonic()
        while max(dma.poll() for dma in (self._source, *self._sinks)) > most:
            troubled = self._control.in_trouble()
            if troubled or time.monotonic() > begin + self.timeout:
                self._lost = True
                state = self.state()
                why = state.trouble if troubled else f"no answer within {self.timeout:g} s"
                raise FrameLost(
                    f"batch of {self._waiting[0].frames} pictures: found {why}, expected results; "
                    f"{state.returned} of {state.submitted} frames came back; look at the state, "
                    "then call reset()",
                    state,
                )
            time.sleep(PAUSE_SECONDS)
