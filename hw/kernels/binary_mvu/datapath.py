# SPDX-License-Identifier: Apache-2.0
"""The dot products of binary_mvu, to be synthesised by themselves."""

from __future__ import annotations

from functools import partial

from ..datapaths import Datapaths, Rows, Sizes, Top

LANES = 4
"""Outputs computed together: they share the sum of the codes, or its negation."""


def top(way: str, sizes: Sizes) -> Top:
    """One way to compute sums of +-code, for codes of ``bits`` bits."""
    return f"binary_dot_{way}", {
        "Pe": LANES,
        "Simd": sizes.width,
        "InWidth": sizes.bits,
        # No sum wraps.
        "OutWidth": (sizes.width * ((1 << sizes.bits) - 1)).bit_length() + 1,
    }


DATAPATHS = tuple(
    Datapaths(
        f"binary-{way}",
        partial(top, way),
        tuple(Rows(f"binary x {k}-bit, {way}", k, (64, 256)) for k in (2, 4, 8)),
        lanes=LANES,
    )
    for way in ("serial", "addsub")
)
