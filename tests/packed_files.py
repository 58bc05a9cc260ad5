# SPDX-License-Identifier: Apache-2.0
"""Packed models taken apart, changed and sealed again with a right checksum."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from andpop.hw.cpu import container

Header = dict[str, Any]
Arrays = dict[str, npt.NDArray[Any]]
PREFIX = 48
"""Bytes before the header."""


def parts(path: Path) -> tuple[Header, Arrays]:
    """Return the header of a packed model as JSON has it, and copies of the constants."""
    data = path.read_bytes()
    length = int.from_bytes(data[PREFIX - 8 : PREFIX], "little")
    _, constants = container.read(path)
    arrays = {name: np.array(array) for name, array in constants.items()}
    return json.loads(data[PREFIX : PREFIX + length]), arrays


def seal(header: Any, arrays: Arrays) -> bytes:
    """Return the bytes of a file whose checksum is right, whatever its header says."""
    return container.seal(json.dumps(header).encode(), arrays)


def resealed(
    source: Path, out: Path, change: Callable[[Header, Arrays], Any] = lambda header, arrays: None
) -> Path:
    """Copy a packed model with its header and constants changed; the checksum is right again."""
    header, arrays = parts(source)
    header, arrays = copy.deepcopy(header), dict(arrays)
    change(header, arrays)
    out.write_bytes(seal(header, arrays))
    return out


def card(classes: int, channels: int = 1, **values: Any) -> dict[str, Any]:
    """A card for a packed model of so many classes and channels."""
    return {
        "network": "bi-shufflenet",
        "input": {"height": 33, "width": 47, "channels": channels},
        "classes": [f"class {i}" for i in range(classes)],
        "frozen": True,
        "checkpoint_sha256": "0" * 64,
        **values,
    }
