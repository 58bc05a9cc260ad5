# SPDX-License-Identifier: Apache-2.0
"""Inputs from .npy files: what no picture file holds, such as vectors or maps of many channels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..quant.folders import Folders
from ..quant.inputs import Reads
from ..quant.names import printable
from ..quant.pictures import PictureError, natural_key

SUFFIX = ".npy"


def list_arrays(path: Path) -> list[Path]:
    """Return the .npy files of a folder and its subfolders in natural order, or the one given.

    Raises:
        FolderError: a link leads nowhere.
    """
    if not path.is_dir():
        return [path] if path.suffix.lower() == SUFFIX and path.is_file() else []
    return sorted(Folders().walk(path, {SUFFIX}), key=natural_key)


def read_array(
    path: Path, shape: tuple[int, int, int], reads: Reads | None = None
) -> tuple[npt.NDArray[np.uint8], bool, float]:
    """Read a file as inputs of a network.

    Whole numbers are bytes. Floats and int8 are numbers that the network reads, where it is known
    what bytes stand for: each becomes the byte that stands for it.

    Args:
        path: the file.
        shape: height, width, channels of one input.
        reads: what a byte stands for.

    Returns:
        (N, H, W, C), whether the file has an axis for N, and how far a number lay, in steps, from
        what its byte stands for.

    Raises:
        PictureError: it is none, of another shape, or holds numbers that no bytes stand for.
    """
    shown = printable(path)
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        why = " ".join(str(error).split())[:200]
        raise PictureError(f"{shown}: found no NumPy array ({why}); save one by numpy.save") from (
            error
        )
    forms = _forms(shape)
    # An archive of several arrays has no shape.
    found = getattr(values, "shape", None)
    one = next((f for f in forms if found is not None and found in (f, (*found[:1], *f))), None)
    if one is None:
        last = [form for form, first in forms.items() if not first]
        either = " or ".join(f"{form} or (N, {', '.join(map(str, form))})" for form in last)
        raise PictureError(
            f"{shown}: found {'several arrays' if found is None else found}, expected {either}, "
            "channels last"
        )
    whole, off = _bytes(values, shape, forms[one], reads, shown)
    return whole, values.shape != one, off


def _forms(shape: tuple[int, int, int]) -> dict[tuple[int, ...], bool]:
    """The shapes that an input may have in a file, and whether its channels come first."""
    height, width, channels = shape
    forms: list[tuple[int, ...]] = [shape]
    if channels == 1:
        forms += [(height, width), (height * width,)]
    if height == 1 < width:
        forms += [form[1:] for form in forms if len(form) > 1]
    if (height, width) == (1, 1):
        forms.append((channels,))
    found = dict.fromkeys(forms, False)
    found.setdefault((channels, height, width), True)
    if height == 1 < width:
        found.setdefault((channels, width), True)
    return found


def _bytes(
    values: npt.NDArray[Any],
    shape: tuple[int, int, int],
    first: bool,
    reads: Reads | None,
    shown: str,
) -> tuple[npt.NDArray[np.uint8], float]:
    height, width, channels = shape
    numbers = values.reshape(-1, channels, height, width).transpose(0, 2, 3, 1) if first else values
    numbers = numbers.reshape(-1, *shape)
    if reads is not None and (values.dtype.kind == "f" or values.dtype == np.int8):
        exact = numbers.astype(np.float64)
        if not np.isfinite(exact).all():
            raise PictureError(f"{shown}: found numbers that are not finite")
        try:
            return reads.bytes_of(exact)
        except ValueError as error:
            raise PictureError(
                f"{shown}: {error}; scale or clip the inputs, or build with another --input-scale "
                "and --input-mean"
            ) from error
    if values.dtype.kind not in "bui":
        raise PictureError(
            f"{shown}: found numbers of type {values.dtype}, expected whole ones of 0..255 (uint8)"
        )
    if values.size and not 0 <= values.min() <= values.max() <= 255:
        known = "" if reads is None else "; save numbers that the network reads as float32 or int8"
        raise PictureError(
            f"{shown}: found numbers of {values.min()}..{values.max()}, expected 0..255{known}"
        )
    return np.asarray(numbers, dtype=np.uint8), 0.0
