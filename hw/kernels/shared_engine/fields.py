# SPDX-License-Identifier: Apache-2.0
"""Parameters of all layers of a shared engine: one scale for all, the bits that they take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ....quant.grid import IntArray, limits, signed_bits, signed_width
from ..serial_epilogue import require_fit

MUL_BITS = 10
"""Bits of the batch-norm multiplier m."""
SLOPE_BITS = 8
"""Bits of the RPReLU slope."""
FIELDS = ("m", "b", "zeta", "slope", "eta", "threshold")
"""What a parameter word holds, from bit 0 on."""


class Layer(NamedTuple):
    """A layer of a unit, as far as its parameters depend on it."""

    inputs: int
    """Inputs of a sum."""
    pre_shift: int
    shortcut_shift: int


class Fields(NamedTuple):
    """The parameter words of an engine whose layers have shifts of their own.

    All layers run with the largest shift: m, b and the shortcut of the others are multiplied by the
    power of two that is missing, and rounding stays the same, as nothing is below their half.
    """

    layers: tuple[Layer, ...]
    bits: int
    """Bits of the stream's words."""
    pre_bits: int

    @property
    def pre_shift(self) -> int:
        """The shift of all layers."""
        return max(layer.pre_shift for layer in self.layers)

    @property
    def shortcut_shift(self) -> int:
        """The shift of all layers' shortcuts."""
        return max(layer.shortcut_shift for layer in self.layers)

    @property
    def alike(self) -> bool:
        """Whether one scale serves the shortcuts of all layers as well."""
        return len({layer.shortcut_shift - layer.pre_shift for layer in self.layers}) == 1

    def widest(self) -> list[int]:
        """Bits of the fields for any parameters."""
        shift = self.pre_shift
        mul = max(MUL_BITS + shift - layer.pre_shift for layer in self.layers)
        bias = max(
            signed_bits(
                (self._limit(layer) + (layer.inputs << (MUL_BITS - 1))) << (shift - layer.pre_shift)
            )
            for layer in self.layers
        )
        return [mul, bias, self.pre_bits, SLOPE_BITS, self.pre_bits, self.bits + 1]

    def rows(self, thresholds: Sequence[IntArray], params: Sequence[IntArray]) -> IntArray:
        """Return the fields of all layers in the order in which they are read, (6, layers * C).

        A word holds the threshold of the layer behind: its bit goes there. The last layer of a unit
        has those of the next unit's first one, and the last unit's those of the first unit.

        Raises:
            ValueError: a parameter is outside its range; names parameter and channel.
        """
        low, high = limits(self.bits)
        reached = [np.clip(t[:, 0], low, high + 1) for t in thresholds]
        found = []
        for i, values in enumerate(params):
            layer = self.layers[i]
            m, b, zeta, slope, eta = values.astype(np.int64)
            widths = (MUL_BITS, 64, self.pre_bits, SLOPE_BITS, self.pre_bits)
            require_fit(np.stack([m, b, zeta, slope, eta]), widths)
            limit, shift = self._limit(layer), self.pre_shift - layer.pre_shift
            bias = np.clip(b, -limit, limit) - layer.inputs * m
            behind = reached[(i + 1) % len(reached)]
            found.append(np.stack([m << shift, bias << shift, zeta, slope, eta, behind]))
        return np.concatenate(found, axis=1)

    def _limit(self, layer: Layer) -> int:
        """Largest |b| that matters: beyond it the pre-activation saturates whatever comes in."""
        product = layer.inputs << (MUL_BITS - 1)
        shortcut = 1 << (self.bits - 1 + layer.shortcut_shift)
        half = 1 << layer.pre_shift
        return product + shortcut + (1 << (self.pre_bits - 1 + layer.pre_shift)) + half


def field_bits(rows: IntArray) -> list[int]:
    """Bits that each field needs for these parameters; two at least."""
    return [signed_width(int(row.min()), int(row.max())) for row in rows]


def packed(rows: IntArray, bits: Sequence[int]) -> list[int]:
    """Return the words of (6, N) fields of so many bits each."""
    words = [0] * rows.shape[1]
    place = 0
    for row, count in zip(rows.tolist(), bits, strict=True):
        mask = (1 << count) - 1
        words = [word | (value & mask) << place for word, value in zip(words, row, strict=True)]
        place += count
    return words
