# SPDX-License-Identifier: Apache-2.0
"""The table of a LUT as an expression, which simulates faster than looking a bit up."""

from __future__ import annotations

import functools
from collections.abc import Sequence

ALL = 0xFFFF
ONES = (0xAAAA, 0xCCCC, 0xF0F0, 0xFF00)
"""Entries of the table where input A, B, C, D is one."""


def expression(table: str, inputs: Sequence[str]) -> str:
    """Return what a LUT of four inputs computes.

    Args:
        table: 16 binary digits, that of input DCBA = 1111 first.
        inputs: A to D, each a name, its inverse or a constant bit.
    """
    names = [f"({text})" if text.startswith("~") else text for text in inputs]
    return _shape(int(table, 2), (0, 1, 2, 3)).format(*names)


@functools.cache
def _shape(table: int, free: tuple[int, ...]) -> str:
    """The expression with places for its inputs; nothing depends on those not in ``free``."""
    if table in (0, ALL):
        return f"1'b{table & 1}"
    found = []
    for this in free:
        rest = tuple(other for other in free if other != this)
        zero, one = _where(table, this, 0), _where(table, this, 1)
        if zero == one:
            return _shape(table, rest)
        found.append(_choice(f"{{{this}}}", zero, one, rest))
    return min(found, key=lambda text: sum(text.count(sign) for sign in "&|^~"))


def _where(table: int, which: int, value: int) -> int:
    """The half of a table where an input has a value, in the place of both halves."""
    step = 1 << which
    if value:
        return table & ONES[which] | (table & ONES[which]) >> step
    return table & ~ONES[which] | (table & ~ONES[which]) << step


def _choice(name: str, zero: int, one: int, rest: tuple[int, ...]) -> str:
    """A function of an input and of ``rest``, by what it is where that input is 0 and 1."""
    if (zero, one) == (0, ALL):
        return name
    if (zero, one) == (ALL, 0):
        return f"~{name}"
    if zero == 0:
        return f"({name} & {_shape(one, rest)})"
    if one == 0:
        return f"(~{name} & {_shape(zero, rest)})"
    if zero == ALL:
        return f"(~{name} | {_shape(one, rest)})"
    if one == ALL:
        return f"({name} | {_shape(zero, rest)})"
    if one == zero ^ ALL:
        return f"({name} ^ {_shape(zero, rest)})"
    return f"(({name} & {_shape(one, rest)}) | (~{name} & {_shape(zero, rest)}))"
