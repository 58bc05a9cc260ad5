# SPDX-License-Identifier: Apache-2.0
"""Inputs from .npy files: what no picture file holds, such as vectors or maps of many channels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..quant.folders import Folders
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


def read_array(path: Path, shape: tuple[int, int, int]) -> tuple[npt.NDArray[np.uint8], bool]:
    """Read a file as inputs of a network.

    Args:
        path: the file.
        shape: height, width, channels of one input.

    Returns:
        (N, H, W, C), and whether the file has an axis for N.

    Raises:
        PictureError: it is none, of another shape, or holds other numbers than 0..255.
    """
    shown = printable(path)
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        why = " ".join(str(error).split())[:200]
        raise PictureError(f"{shown}: found no NumPy array ({why}); save one by numpy.save") from (
            error
        )
    height, width, channels = shape
    forms: list[tuple[int, ...]] = [shape]
    if channels == 1:
        forms.append((height, width))
    if height == 1 < width:
        forms += [form[1:] for form in forms]
    if (height, width) == (1, 1):
        forms.append((channels,))
    if not isinstance(values, np.ndarray) or not any(
        values.shape in (form, (*values.shape[:1], *form)) for form in forms
    ):
        # An archive of several arrays has no shape.
        found = getattr(values, "shape", "several arrays")
        either = " or ".join(f"{form} or (N, {', '.join(map(str, form))})" for form in forms)
        raise PictureError(f"{shown}: found {found}, expected {either}, channels last")
    if values.dtype.kind not in "bui":
        raise PictureError(
            f"{shown}: found numbers of type {values.dtype}, expected whole ones of 0..255 "
            "(uint8): what one stands for is said at build time, by --input-scale"
        )
    if values.size and not 0 <= values.min() <= values.max() <= 255:
        raise PictureError(
            f"{shown}: found numbers of {values.min()}..{values.max()}, expected 0..255"
        )
    return np.asarray(values, dtype=np.uint8).reshape(-1, *shape), values.shape not in forms
