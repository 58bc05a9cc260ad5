# SPDX-License-Identifier: Apache-2.0
"""Names from outside as text that one line of a terminal, a table or a page can hold."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Control characters (terminal escapes among them), marks that reorder text, lone surrogates (bytes
of a name that are not UTF-8), and separators of lines."""


def printable(name: object) -> str:
    r"""Return a name as it is, but for characters that would not stay in their place.

    These become ``\xNN``, ``\uNNNN`` or ``\UNNNNNNNN``; a byte that is not UTF-8 becomes ``\xNN``.
    """
    return "".join(_escaped(c) if unicodedata.category(c) in _UNPRINTABLE else c for c in str(name))


def brief(value: object, most: int = 60) -> str:
    """Return ``repr`` of a value somebody gave, its end cut off where it is long."""
    try:
        text = printable(repr(value))
    except ValueError:  # Python writes integers of so many digits alone
        return "a number of thousands of digits"
    return text if len(text) <= most else f"{text[:most]}... ({len(text):,} characters)"


def some(names: Sequence[str], most: int = 10) -> str:
    """Return names divided by commas; of many the first ones and how many are left."""
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {len(names) - most:,} more"


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # how Python carries a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape", "backslashreplace").decode("ascii")
