# SPDX-License-Identifier: Apache-2.0
"""Draws synthetic grey steel surfaces with six kinds of defect, so that nothing needs a download.

The class names are those of NEU-DET, the pictures are not: they are drawn from noise, and a figure
measured on them says nothing about real steel. NumPy and Pillow only.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from .checkpoint import replace_file
from .pictures import Picture

Field = npt.NDArray[np.floating[Any]]
"""(size, size) grey values or strengths."""


def picture(name: str, rng: np.random.Generator, size: int) -> Picture:
    """Draw one synthetic surface.

    Args:
        name: one of ``CLASSES``.
        rng: the only source of randomness.
        size: rows and columns, at least 16.

    Returns:
        (size, size, 1) uint8.

    Raises:
        ValueError: unknown class or a size below 16.
    """
    if name not in _DEFECTS:
        raise ValueError(f"found synthetic class '{name}', expected one of {', '.join(CLASSES)}")
    return _photograph(_steel(rng, size) + _DEFECTS[name](rng, size), rng)


def masked_picture(name: str, rng: np.random.Generator, size: int) -> tuple[Picture, Picture]:
    """Draw one synthetic surface and the mask of its defect.

    A pixel is defect where the defect changes its grey value by more than half of its strongest
    change.

    Args:
        name: one of ``MASKED_CLASSES``; "Free" has no defect.
        rng: the only source of randomness.
        size: rows and columns, at least 16.

    Returns:
        (size, size, 1) uint8 twice; the mask is 0 or 255.

    Raises:
        ValueError: unknown class or a size below 16.
    """
    if name not in MASKED_CLASSES:
        raise ValueError(
            f"found synthetic class '{name}' with a mask, expected one of "
            f"{', '.join(MASKED_CLASSES)}"
        )
    surface = _steel(rng, size)
    if name == FREE:
        return _photograph(surface, rng), np.zeros((size, size, 1), dtype=np.uint8)
    defect = _DEFECTS[name.lower()](rng, size)
    change = np.abs(defect)
    mask = np.where(change > 0.5 * change.max(), 255, 0).astype(np.uint8)
    return _photograph(surface + defect, rng), mask[:, :, None]


def draw(folder: str | Path, per_class: int, size: int, seed: int) -> Iterator[Path]:
    """Write synthetic pictures as ``<folder>/<class>/<class>_<n>.png``.

    Picture n of a class is the same for every ``per_class`` that includes it.

    Yields:
        Every file when it is written, class by class.

    Raises:
        ValueError: ``per_class`` below 1, or as for ``picture``.
        OSError: the folder cannot be written.
    """
    _check(per_class)
    for label, name in enumerate(CLASSES):
        target = Path(folder) / name
        target.mkdir(parents=True, exist_ok=True)
        for n in range(1, per_class + 1):
            path = target / f"{name}_{n}.png"
            _write(path, picture(name, np.random.default_rng([seed, label, n]), size))
            yield path


def draw_masked(folder: str | Path, per_class: int, size: int, seed: int) -> Iterator[Path]:
    """Write synthetic pictures and masks as ``<folder>/MT_<Class>/Imgs/synthetic_<n>``.

    The layout is that of Magnetic Tile, .jpg beside .png; the pictures are drawn, not its.

    Yields:
        Every picture when it is written after its mask, class by class.

    Raises:
        ValueError: ``per_class`` below 1, or as for ``masked_picture``.
        OSError: the folder cannot be written.
    """
    _check(per_class)
    for label, name in enumerate(MASKED_CLASSES):
        target = Path(folder) / f"MT_{name}" / "Imgs"
        target.mkdir(parents=True, exist_ok=True)
        for n in range(1, per_class + 1):
            drawn, mask = masked_picture(name, np.random.default_rng([seed, label, n]), size)
            path = target / f"synthetic_{n}.jpg"
            # A picture is never there without its mask.
            _write(path.with_suffix(".png"), mask)
            _write(path, drawn, quality=95)
            yield path


def generate(folder: str | Path, per_class: int, size: int, seed: int) -> list[Path]:
    """Write all pictures of ``draw`` and return their files."""
    return list(draw(folder, per_class, size, seed))


def generate_masked(folder: str | Path, per_class: int, size: int, seed: int) -> list[Path]:
    """Write all pictures and masks of ``draw_masked`` and return the pictures' files."""
    return list(draw_masked(folder, per_class, size, seed))


def _check(per_class: int) -> None:
    if per_class < 1:
        raise ValueError(f"found {per_class} synthetic pictures per class, expected 1 or more")


def _write(path: Path, pixels: Picture, **options: int) -> None:
    buffer = io.BytesIO()
    Image.fromarray(pixels[:, :, 0]).save(
        buffer, format=Image.registered_extensions()[path.suffix], **options
    )
    replace_file(path, buffer.getvalue())


def _photograph(surface: Field, rng: np.random.Generator) -> Picture:
    """Add the noise of a camera and round to (size, size, 1) uint8."""
    noisy = surface + rng.normal(0.0, 3.0, surface.shape).astype(np.float32)
    return np.clip(np.floor(noisy + 0.5), 0, 255).astype(np.uint8)[:, :, None]


def _noise(rng: np.random.Generator, size: int, rows: float, columns: float) -> Field:
    """Smooth noise of unit variance with that many bumps along each axis."""
    shape = (max(2, round(rows)), max(2, round(columns)))
    coarse = Image.fromarray(rng.normal(0.0, 1.0, shape).astype(np.float32))
    smooth = np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC), dtype=np.float32)
    return smooth / max(float(smooth.std()), 1e-3)


def _steel(rng: np.random.Generator, size: int) -> Field:
    """Brushed background: uneven light, streaks along the rolling direction, grain."""
    if size < 16:
        raise ValueError(f"found synthetic picture size {size}, expected 16 or more")
    level = rng.uniform(110.0, 160.0)
    light = rng.uniform(4.0, 12.0) * _noise(rng, size, 2, 3)
    streaks = rng.uniform(2.0, 5.0) * _noise(rng, size, size / 2, 3)
    grain = rng.uniform(2.0, 5.0) * _noise(rng, size, size / 2, size / 2)
    return level + light + streaks + grain


def _step(strength: Field, softness: float) -> Field:
    """Turn a signed distance or strength into 0..1 with a soft edge."""
    return np.clip(strength / softness + 0.5, 0.0, 1.0)


def _grid(size: int) -> tuple[Field, Field]:
    """Row and column coordinates in 0..1."""
    axis = (np.arange(size, dtype=np.float32) + 0.5) / size
    rows, columns = np.meshgrid(axis, axis, indexing="ij")
    return rows, columns


def _crazing(rng: np.random.Generator, size: int) -> Field:
    """A net of fine dark cracks: the borders between the cells of scattered points."""
    y, x = _grid(size)
    y = y + 0.02 * _noise(rng, size, 12, 12)
    x = x + 0.02 * _noise(rng, size, 12, 12)
    count = int(rng.integers(50, 90))
    nearest = np.full((2, size, size), np.inf, dtype=np.float32)
    for py, px in rng.uniform(-0.1, 1.1, (count, 2)):
        distance = np.hypot(y - np.float32(py), x - np.float32(px))
        nearest[1] = np.minimum(nearest[1], np.maximum(nearest[0], distance))
        nearest[0] = np.minimum(nearest[0], distance)
    crack = _step(0.012 - (nearest[1] - nearest[0]), 0.012)
    return -rng.uniform(25.0, 45.0) * crack * _step(_noise(rng, size, 4, 4) + 0.8, 1.0)


def _inclusion(rng: np.random.Generator, size: int) -> Field:
    """A few dark slivers along the rolling direction, with ragged edges."""
    y, x = _grid(size)
    out = np.zeros((size, size), dtype=np.float32)
    for _ in range(int(rng.integers(1, 4))):
        cy, cx = rng.uniform(0.15, 0.85, 2)
        length, thickness = rng.uniform(0.25, 0.6), rng.uniform(0.015, 0.04)
        ragged = np.maximum(1.0 + 0.35 * _noise(rng, size, 24, 24), 0.3)
        body = 1.0 - ((x - cx) / length) ** 2 - ((y - cy) / thickness) ** 2 * ragged
        out = np.minimum(out, -rng.uniform(45.0, 80.0) * _step(body, 0.8))
    return out


def _patches(rng: np.random.Generator, size: int) -> Field:
    """Large dark areas with clear, irregular outlines."""
    shape = _noise(rng, size, 4, 4) + 0.25 * _noise(rng, size, 16, 16)
    dark = _step(shape - rng.uniform(0.1, 0.5), 0.25)
    return -rng.uniform(40.0, 70.0) * dark


def _pitted_surface(rng: np.random.Generator, size: int) -> Field:
    """Many small round pits, each dark with a bright rim, crowded in places."""
    y, x = _grid(size)
    out = np.zeros((size, size), dtype=np.float32)
    centres = rng.uniform(0.15, 0.85, (3, 2))
    for _ in range(int(rng.integers(40, 80))):
        cy, cx = centres[rng.integers(3)] + rng.normal(0.0, 0.14, 2)
        radius = rng.uniform(0.008, 0.022)
        distance = np.hypot(y - np.float32(cy), x - np.float32(cx)) / radius
        depth = np.float32(rng.uniform(40.0, 90.0))
        out -= depth * np.exp(-(distance**2))
        out += 0.4 * depth * np.exp(-((distance - 1.8) ** 2) * 4.0)
    return out


def _rolled_in_scale(rng: np.random.Generator, size: int) -> Field:
    """Rows of overlapping dark flakes, wider than high, denser in some areas."""
    flakes = _noise(rng, size, 26, 9) - 0.5 * np.abs(_noise(rng, size, 40, 40))
    area = _step(_noise(rng, size, 3, 3) + 0.6, 1.2)
    flake = _step(flakes - 0.2, 0.3) * area
    return -rng.uniform(35.0, 60.0) * flake


def _scratches(rng: np.random.Generator, size: int) -> Field:
    """A few long, thin, bright lines, near one direction."""
    y, x = _grid(size)
    out = np.zeros((size, size), dtype=np.float32)
    direction = rng.uniform(0.0, np.pi)
    for _ in range(int(rng.integers(1, 4))):
        angle = direction + rng.normal(0.0, 0.15)
        cy, cx = rng.uniform(0.25, 0.75, 2)
        along = (y - cy) * np.sin(angle) + (x - cx) * np.cos(angle)
        across = (x - cx) * np.sin(angle) - (y - cy) * np.cos(angle)
        half, thickness = rng.uniform(0.25, 0.6), rng.uniform(0.006, 0.014)
        line = _step(thickness - np.abs(across), 0.01) * _step(half - np.abs(along), 0.05)
        out = np.maximum(out, rng.uniform(50.0, 90.0) * line)
    return out


_DEFECTS: dict[str, Callable[[np.random.Generator, int], Field]] = {
    "crazing": _crazing,
    "inclusion": _inclusion,
    "patches": _patches,
    "pitted_surface": _pitted_surface,
    "rolled-in_scale": _rolled_in_scale,
    "scratches": _scratches,
}

CLASSES = tuple(_DEFECTS)
"""Names of the synthetic classes, in the order of their labels."""

FREE = "Free"
"""The synthetic class without a defect."""

MASKED_CLASSES = (FREE, "Inclusion", "Patches", "Scratches")
"""Synthetic classes with masks: those whose defects have an outline."""
