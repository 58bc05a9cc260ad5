# SPDX-License-Identifier: Apache-2.0
"""Pictures of a folder at the network's size, read as andpop reads them on a computer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import PIL

from .errors import BoardError
from .network import Network

OLDEST = (10, 1)
"""Of Pillow. With an older one the reader beside this file would not tell what is wrong."""


def list_folder(images: str | Path) -> list[Path]:
    """Return the pictures of a folder and its subfolders in natural order, or the one file.

    Raises:
        BoardError: Pillow is too old.
        ValueError: nothing there, or a folder without pictures.
    """
    _check()
    from .pictures import list_pictures

    found: list[Path] = list_pictures(images)
    return found


def read(network: Network, paths: Sequence[Path]) -> npt.NDArray[np.uint8]:
    """Return pictures (N, H, W, C) at the size that a network takes.

    Raises:
        BoardError: Pillow is too old.
        ValueError: a file is no picture, or cannot be used as one.
    """
    _check()
    from .pictures import read_picture

    height, width, channels = network.source.shape
    return np.stack([read_picture(p, height, width, channels, network.filter) for p in paths])


def _check() -> None:
    version = tuple(int(n) for n in PIL.__version__.split(".")[:2])
    if version < OLDEST:
        raise BoardError(
            f"Pillow: found {PIL.__version__}, expected {'.'.join(map(str, OLDEST))} or newer; "
            f"pip install 'pillow>={'.'.join(map(str, OLDEST))}'"
        )
