# SPDX-License-Identifier: Apache-2.0
"""Values of a stream as they lie in memory: word after word, each padded to whole bytes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
WHOLE = (8, 16, 32, 64)
"""Bits of a value that is a number of NumPy's in memory."""


@dataclass(frozen=True)
class Stream:
    """A stream between a DMA and the network.

    Attributes:
        dma: name of the DMA.
        bits: of a value.
        signed: values are in two's complement.
        shape: of a frame of values.
        lanes: values of a word.
        packed: (words, bytes) of a frame in memory.
    """

    dma: str
    bits: int
    signed: bool
    shape: tuple[int, ...]
    lanes: int
    packed: tuple[int, int]

    @staticmethod
    def all_of(shapes: dict[str, Any], side: str) -> list[Stream]:
        """Read the streams of a side, ``i`` or ``o``, in ``io_shape_dict`` of settings.json."""
        rows = zip(
            shapes[f"{side}dma_names"],
            shapes[f"{side}dt"],
            shapes[f"{side}shape_normal"],
            shapes[f"{side}shape_folded"],
            shapes[f"{side}shape_packed"],
            strict=True,
        )
        streams = []
        for dma, datatype, normal, folded, packed in rows:
            bits, signed = _format(datatype)
            shape = tuple(normal[1:])
            streams.append(Stream(dma, bits, signed, shape, folded[2], (packed[1], packed[2])))
        return streams

    def pack(self, values: npt.NDArray[Any]) -> Bytes:
        """Return (N, words, bytes) of values (N, ...), the first value in the low bits."""
        words, size = self.packed
        if self.bits == 8 and self.lanes == size:
            return values.astype(np.uint8).reshape(-1, words, size)
        flat = values.reshape(len(values), words, self.lanes, 1).astype(np.int64)
        spread = ((flat >> np.arange(self.bits)) & 1).astype(np.uint8)
        return np.packbits(spread.reshape(len(values), words, -1), axis=-1, bitorder="little")

    def unpack(self, data: Bytes) -> npt.NDArray[np.int64]:
        """Return the values (N, ...) of (N, words, bytes); the inverse of `pack`."""
        words, size = self.packed
        if self.bits in WHOLE and self.lanes * self.bits == 8 * size:
            kind = f"<{'i' if self.signed else 'u'}{self.bits // 8}"
            whole = np.ascontiguousarray(data).view(kind)
            return whole.astype(np.int64).reshape(-1, *self.shape)
        spread = np.unpackbits(data, axis=-1, bitorder="little")[..., : self.bits * self.lanes]
        spread = spread.reshape(len(data), words, self.lanes, self.bits)
        values = np.zeros(spread.shape[:-1], np.int64)
        for bit in range(self.bits):
            weight = -1 if self.signed and bit == self.bits - 1 else 1
            values += spread[..., bit].astype(np.int64) * (weight << bit)
        return values.reshape(-1, *self.shape)


def _format(datatype: str) -> tuple[int, bool]:
    """Return (bits, signed) of ``DataType['INT5']`` and the like."""
    match = re.fullmatch(r"DataType\['(?:(BINARY)|(U?)INT(\d+))'\]", datatype)
    if match is None:
        raise ValueError(
            f"settings.json: found {datatype}, expected INTn, UINTn or BINARY; build again"
        )
    return (1, False) if match[1] else (int(match[3]), not match[2])
