# SPDX-License-Identifier: Apache-2.0
"""The files of the folder: what the network is, how its streams lie in memory, stored vectors."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import BoardError
from .words import Stream


@dataclass(frozen=True)
class Head:
    """An output of the network: its name, and ``class``, ``class_map``, ``map`` or ``raw``."""

    name: str
    kind: str


@dataclass(frozen=True)
class Network:
    """A network as its folder describes it.

    Attributes:
        name: of the network.
        task: ``classification``, ``masks``, or empty.
        classes: their names, in the order of the indices.
        heads: in the order of the DMAs behind them.
        filter: how pictures are resized.
        build_hash: of the design that this is for.
        clock_mhz: the design's clock.
        cycles: of the slowest node, per frame.
        control: cell of the control block.
        source: the input.
        sinks: the heads' streams.
    """

    name: str
    task: str
    classes: tuple[str, ...]
    heads: tuple[Head, ...]
    filter: str
    build_hash: str
    clock_mhz: float
    cycles: int
    control: str
    source: Stream
    sinks: tuple[Stream, ...]

    @staticmethod
    def load(folder: Path) -> Network:
        """Read ``settings.json`` and ``network.json``.

        Raises:
            BoardError: one is missing or damaged.
        """
        settings, network = (_read(folder / name) for name in ("settings.json", "network.json"))
        try:
            shapes = settings["driver_information"]["io_shape_dict"]
            own = settings["andpop"]
            (source,) = Stream.all_of(shapes, "i")
            found = Network(
                network["network"],
                network["task"],
                tuple(network["classes"]),
                tuple(Head(h["name"], h["kind"]) for h in network["heads"]),
                network["filter"],
                own["build_hash"],
                float(own["clock_mhz"]),
                int(own["cycles"]),
                own["control"],
                source,
                tuple(Stream.all_of(shapes, "o")),
            )
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise BoardError(
                f"{folder}: found settings that cannot be read ({error!r}), expected those that "
                "andpop wrote; copy the folder again"
            ) from error
        if len(found.heads) != len(found.sinks):
            raise BoardError(
                f"{folder}: found {len(found.sinks)} outputs in settings.json and "
                f"{len(found.heads)} heads in network.json; copy both files of one build"
            )
        return found

    def head(self, *kinds: str) -> int:
        """Return the index of the first head of one of these kinds.

        Raises:
            BoardError: there is none.
        """
        for index, head in enumerate(self.heads):
            if head.kind in kinds:
                return index
        raise BoardError(
            f"{self.name}: found heads of kind {', '.join(h.kind for h in self.heads)}, expected "
            f"{' or '.join(kinds)}; run gives every head by its name"
        )


def load_vectors(
    folder: Path, heads: int
) -> tuple[npt.NDArray[np.uint8], list[npt.NDArray[np.int64]]]:
    """Return pictures (N, H, W, C) and what each head has to give for them.

    Raises:
        BoardError: the file is missing or damaged.
    """
    path = folder / "vectors.npz"
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return arrays["pictures"], [arrays[f"result_{i}"] for i in range(heads)]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise BoardError(
            f"{path}: found no vectors ({error}), expected those of the build; copy the folder "
            "again, or start without self-test"
        ) from error


def _read(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BoardError(
            f"{path}: found no settings ({error}), expected a file that andpop wrote; copy the "
            "folder again"
        ) from error
    return found
