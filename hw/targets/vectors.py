# SPDX-License-Identifier: Apache-2.0
"""Vectors that a build carries: seeded pictures and what the golden model makes of them.

They test a board without a picture at hand, and tell what a comparison of its results covers.
"""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...quant.files import replace_file
from ...quant.grid import IntArray

PICTURES = 2
TILE = 8
"""Pixels of a side of the tiles of the second picture."""


class VectorsError(ValueError):
    """The file holds no vectors; the message is one line for the user."""


@dataclass(frozen=True)
class Vectors:
    """Pictures and results.

    Attributes:
        pictures: (N, H, W, C).
        results: (N, ...) of every head, in the order of the graph's outputs.
        distinct: distinct values of each of them for one picture, as ``hw.graph.distinct`` counts.
        layers: number of layers of the graph, results among them.
        not_covered: the layers that results do not show, as ``flows.coverage`` tells them.
    """

    pictures: npt.NDArray[np.uint8]
    results: tuple[IntArray, ...]
    distinct: tuple[int, ...]
    layers: int
    not_covered: list[dict[str, Any]]


def draw(height: int, width: int, channels: int) -> npt.NDArray[np.uint8]:
    """Return ``PICTURES`` seeded pictures (N, H, W, C): noise, and tiles with a little of it."""
    random = np.random.default_rng(1)
    noise = random.integers(0, 256, (height, width, channels))
    tiles = random.integers(0, 256, (-(-height // TILE), -(-width // TILE), channels))
    large = tiles.repeat(TILE, axis=0).repeat(TILE, axis=1)[:height, :width]
    return np.stack([noise, np.clip(large + noise // 16, 0, 255)]).astype(np.uint8)


def write(path: Path, vectors: Vectors) -> None:
    """Write a file that ``read`` reads."""
    about = {
        "distinct": vectors.distinct,
        "layers": vectors.layers,
        "not_covered": vectors.not_covered,
    }
    arrays: dict[str, npt.NDArray[Any]] = {
        "about": np.frombuffer(json.dumps(about).encode(), np.uint8),
        "pictures": vectors.pictures,
        **{f"result_{i}": result for i, result in enumerate(vectors.results)},
    }
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)  # type: ignore[arg-type]
    replace_file(path, content.getvalue())


def read(path: Path) -> Vectors:
    """Read vectors.

    Raises:
        VectorsError: the file is missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            about = json.loads(arrays["about"].tobytes())
            results = [arrays[f"result_{i}"] for i in range(len(about["distinct"]))]
            return Vectors(
                arrays["pictures"],
                tuple(results),
                tuple(int(n) for n in about["distinct"]),
                int(about["layers"]),
                list(about["not_covered"]),
            )
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise VectorsError(
            f"{path}: found no vectors ({error}), expected those that a build stores; build again"
        ) from error
