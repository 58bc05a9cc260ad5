# SPDX-License-Identifier: Apache-2.0
"""The dot products of pa_mvu, to be synthesised by themselves."""

from __future__ import annotations

from functools import partial

from ..datapaths import Datapaths, Rows, Sizes, Top


def levels(way: str, sizes: Sizes) -> tuple[list[int], list[int]]:
    """The codebooks alpha (M+1,) and beta (N+1,): the codes themselves for ``planes``, else
    uneven steps up to the ends of the range (alpha two's complement, beta unsigned)."""
    half = sizes.m // 2
    if way == "planes":
        return list(range(-half, half + 1)), list(range(sizes.n + 1))
    positive = _uneven(half, (1 << (sizes.bits - 1)) - 1)
    alpha = [-v for v in reversed(positive)] + [0] + positive
    return alpha, [0, *_uneven(sizes.n, (1 << sizes.bits) - 1)]


def top(way: str, sizes: Sizes) -> Top:
    """One way to compute a dot product of level codes."""
    alpha, beta = levels(way, sizes)
    parameters: dict[str, int | str] = {
        "Pe": 1,
        "Simd": sizes.width,
        "InWidth": sizes.n.bit_length(),
        "WeightWidth": (sizes.m // 2).bit_length() + 1,
        # No sum wraps.
        "OutWidth": (sizes.width * alpha[-1] * beta[-1]).bit_length() + 1,
    }
    if way != "planes":
        parameters |= {
            "M": sizes.m,
            "N": sizes.n,
            "Zero": sizes.m // 2,
            "Alpha": _packed(alpha),
            "Beta": _packed(beta),
            "ProductWidth": (alpha[-1] * beta[-1]).bit_length() + 1,
        }
    return f"pa_dot_{way}", parameters


def _uneven(count: int, top: int) -> list[int]:
    """``count`` rising integers from 1 on, the last one ``top``, closer together near 0."""
    values: list[int] = []
    for i in range(1, count + 1):
        wanted = round(top * (i / count) ** 1.25)
        values.append(min(max(wanted, values[-1] + 1 if values else 1), top - (count - i)))
    return values


def _packed(levels: list[int]) -> str:
    """A codebook as the cores take it: 16 bits per level, level 0 lowest."""
    value = sum((v & 0xFFFF) << (16 * i) for i, v in enumerate(levels))
    return f"{16 * len(levels)}'h{value:x}"


ROWS = {
    "literal": (Rows("PA literal, 8-bit levels", 8, (64, 256)),),
    "coded": (
        Rows("PA coded, 8-bit levels", 8, (64, 256)),
        Rows("PA coded, 4-bit levels", 4, (64, 256)),
    ),
    "planes": (Rows("PA planes", 8, (64, 256)),),
}
DATAPATHS = tuple(
    Datapaths(f"pa-{way}", partial(top, way), rows, has_levels=True) for way, rows in ROWS.items()
)
