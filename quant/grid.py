# SPDX-License-Identifier: Apache-2.0
"""The integer rules of andpop, written once: rounding, saturation, snapping, the epilogue.

NumPy only. Training snaps its parameters by ``snap``; PyTorch's eval path, the golden models and
the C++ engine all follow this file, and the tests hold them to it with exact equality. Every
function takes and returns ``int64`` arrays unless it says otherwise, and works element by element
on arrays of any shape.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
"""Integers of any shape; the one name for them in every room."""

Reals = TypeVar("Reals")
"""A float array of NumPy or a tensor of PyTorch, which this file must not import."""

FLOAT32_EXACT_BITS = 24
"""A float32 holds every integer of magnitude up to 2**24 exactly."""
ACCUMULATOR_LIMIT = 1 << FLOAT32_EXACT_BITS
"""Largest magnitude of a sum in andpop's own networks, which PyTorch has in float32."""
ACCUMULATOR_BITS = 31
"""Widest accumulator that every backend has."""
SUM_LIMIT = 1 << (ACCUMULATOR_BITS - 1)
"""Sums of other people's networks are smaller than that."""


def round_half_up(x: Reals) -> Reals:
    """Return floor(x + 1/2) in x's own float type: the only rounding andpop knows."""
    y: Any = x
    y = y + 0.5
    rounded: Reals = y.floor() if hasattr(y, "floor") else np.floor(y)
    return rounded


def snap(x: Reals, frac_bits: int, low: float, high: float) -> Reals:
    """Return the integers of real ``x`` on the grid 2**-frac_bits, clamped to ``low..high``.

    ``frac_bits`` may be negative. Integers come in x's own float type; NaN stays NaN.
    """
    y: Any = x
    y = round_half_up(y * 2.0**frac_bits)
    clamped: Reals = y.clip(low, high)
    return clamped


def shift_round(v: npt.ArrayLike, shift: int) -> IntArray:
    """Return floor(v / 2**shift + 1/2) for integers: ``(v + (1 << (shift-1))) >> shift``.

    Raises:
        ValueError: ``shift`` is negative.
    """
    if shift < 0:
        raise ValueError(f"shift_round: found shift {shift}, expected 0 or more")
    a = np.asarray(v, dtype=np.int64)
    return a if shift == 0 else (a + (1 << (shift - 1))) >> shift


def container(values: IntArray) -> npt.NDArray[np.float32] | npt.NDArray[np.float64]:
    """Return integers as ONNX graphs hold them: float32, or float64 where that does not hold all.

    Args:
        values: of magnitudes up to 2**53.
    """
    single = values.astype(np.float32)
    held = np.array_equal(single.astype(np.float64), values)
    return single if held else values.astype(np.float64)


def limits(bits: int, signed: bool = True) -> tuple[int, int]:
    """Return the smallest and largest integer of a two's complement or unsigned type."""
    return (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)


def type_format(datatype: str) -> tuple[int, bool]:
    """Return (bits, signed) of an integer datatype's name: ``INTn``, ``UINTn`` or ``BINARY``.

    Raises:
        ValueError: another name.
    """
    if datatype == "BINARY":
        return 1, False
    match = re.fullmatch(r"(U?)INT([1-9][0-9]?)", datatype)
    if match is None:
        raise ValueError(f"found datatype {datatype}, expected INTn, UINTn or BINARY")
    return int(match[2]), not match[1]


def saturate(v: npt.ArrayLike, bits: int, signed: bool = True) -> IntArray:
    """Clamp integers into ``bits`` bits."""
    low, high = limits(bits, signed)
    return np.clip(np.asarray(v, dtype=np.int64), low, high)


def requantise(v: npt.ArrayLike, shift: int, bits: int = 8, signed: bool = True) -> IntArray:
    """Round away ``shift`` fraction bits (half up) and saturate to ``bits`` bits."""
    return saturate(shift_round(v, shift), bits, signed)


def signed_bits(limit: int) -> int:
    """Return the width of the two's complement type that holds ``-limit..limit``."""
    return max(1, int(limit).bit_length() + 1)


def signed_width(low: int, high: int) -> int:
    """Return the width of the two's complement type, 2 at least, that holds ``low..high``."""
    return max(2, (-low - 1).bit_length() + 1 if low < 0 else 2, high.bit_length() + 1)


def smallest_signed(low: int, high: int) -> str:
    """Return the narrowest INT datatype, two bits at least, that holds ``low..high``."""
    return f"INT{signed_width(low, high)}"


def smallest_unsigned(high: int) -> str:
    """Return the narrowest UINT datatype that holds ``0..high``."""
    return f"UINT{max(1, high.bit_length())}"


def sums_type(datatype: str, count: int) -> str:
    """Return the narrowest datatype that holds every sum of ``count`` numbers of a datatype."""
    low, high = limits(*type_format(datatype))
    return smallest_signed(low * count, high * count) if low else smallest_unsigned(high * count)


@dataclass(frozen=True)
class EpilogueFormat:
    """The shifts and widths of one epilogue (BN, shortcut, RPReLU, 8-bit output).

    With ``stream`` = fraction bits of the 8-bit residual streams (4), ``guard`` = extra fraction
    bits of the pre-activation (4) and ``w`` = fraction bits of ``acc*m``:
    ``shortcut_shift = w - stream`` and ``pre_shift = w - stream - guard``.
    """

    acc_shift: int
    """Rounding shift of the accumulator to ``acc_bits`` before BN; 0 leaves it alone."""
    shortcut_shift: int
    """Left shift k of the shortcut, aligning it with acc*m."""
    pre_shift: int
    """Rounding shift g from acc*m to the pre-activation."""
    slope_shift: int = 6
    """Fraction bits s of the slope; this shift is a floor, not a rounding."""
    out_shift: int = 4
    """Rounding shift r from the pre-activation to the output (= guard)."""
    acc_bits: int = 16
    pre_bits: int = 14
    out_bits: int = 8


def epilogue(
    acc: npt.ArrayLike,
    params: npt.ArrayLike,
    fmt: EpilogueFormat,
    shortcut: npt.ArrayLike | None = None,
) -> IntArray:
    """Apply BN -> + shortcut -> RPReLU -> 8-bit to an accumulator, channels last.

    Args:
        acc: (..., C) accumulators.
        params: (5, C) rows m, b, zeta, slope, eta (m at most 10 bits signed, slope 8 bits).
        fmt: shifts and widths.
        shortcut: (..., C) codes of the 8-bit residual stream, or None.

    Returns:
        (..., C) codes of ``fmt.out_bits`` bits, signed.
    """
    m, b, zeta, slope, eta = np.asarray(params, dtype=np.int64)
    a = np.asarray(acc, dtype=np.int64)
    if fmt.acc_shift:
        a = requantise(a, fmt.acc_shift, fmt.acc_bits)
    y = a * m + b
    if shortcut is not None:
        y = y + (np.asarray(shortcut, dtype=np.int64) << fmt.shortcut_shift)
    t = requantise(y, fmt.pre_shift, fmt.pre_bits)
    u = t - zeta
    v = np.where(u >= 0, u, (u * slope) >> fmt.slope_shift) + eta
    return requantise(v, fmt.out_shift, fmt.out_bits)


def accumulator_bounds(
    weights: npt.ArrayLike, low: int, high: int, bias: npt.ArrayLike = 0
) -> tuple[IntArray, IntArray]:
    """Return the exact worst-case (min, max) of ``x @ weights + bias`` per output channel.

    Args:
        weights: (MW, MH) integers.
        low: smallest input code.
        high: largest input code.
        bias: (MH,) or scalar integers.

    Returns:
        Two (MH,) arrays. With 0 in the input range they also bound every partial sum.
    """
    w = np.asarray(weights, dtype=np.int64)
    positive = np.maximum(w, 0).sum(axis=0)
    negative = np.minimum(w, 0).sum(axis=0)
    c = np.asarray(bias, dtype=np.int64)
    return positive * low + negative * high + c, positive * high + negative * low + c
