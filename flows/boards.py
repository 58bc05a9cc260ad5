# SPDX-License-Identifier: Apache-2.0
"""The boards a build may name, and their parts: FINN's table of PYNQ boards."""

from __future__ import annotations

from ..quant.names import brief

BOARDS = {
    "ultra96": "xczu3eg-sbva484-1-e",
    "ultra96-v2": "xczu3eg-sbva484-1-i",
    "pynq-z1": "xc7z020clg400-1",
    "pynq-z2": "xc7z020clg400-1",
    "zcu102": "xczu9eg-ffvb1156-2-e",
    "zcu104": "xczu7ev-ffvc1156-2-e",
    "zcu111": "xczu28dr-ffvg1517-2-e",
    "rfsoc2x2": "xczu28dr-ffvg1517-2-e",
    "rfsoc4x2": "xczu48dr-ffvg1517-2-e",
    "kv260_som": "xck26-sfvc784-2LV-c",
    "aup-zu3_8gb": "xczu3eg-sfvc784-2-e",
}
"""Board, in lower case -> part."""


def known_board(name: str) -> str:
    """Return the name of a board as ``BOARDS`` has it; any case is taken.

    Raises:
        ValueError: the board is unknown.
    """
    board = name.lower()
    if board not in BOARDS:
        raise ValueError(f"found {brief(name)}, expected one of {', '.join(sorted(BOARDS))}")
    return board
