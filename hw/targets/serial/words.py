# SPDX-License-Identifier: Apache-2.0
"""Pictures and results of an emitted network as the bytes that the link carries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ....quant.grid import IntArray, type_format
from ....sim.network import pack_words, unpack_words
from ...rtl.top_info import TopInfo
from .network import Link


@dataclass(frozen=True)
class Words:
    """How a network's streams lie in payloads: word after word, each padded to whole bytes.

    Attributes:
        info: top.json of the emitted network.
        link: the link around it.
    """

    info: TopInfo
    link: Link

    def picture(self, pixels: npt.NDArray[np.uint8]) -> bytes:
        """Return the payload of a picture (H, W, C)."""
        tap = self.info.input
        bits, _ = type_format(tap.datatype)
        return pack_words(pixels.reshape(1, -1).astype(np.int64), bits, tap.lanes).tobytes()

    def results(self, payload: bytes) -> dict[str, IntArray]:
        """Return the tensors of every head, (1, ...) by name, of a result without its verdict."""
        found, start = {}, 0
        for tap, output in zip(self.info.outputs, self.link.outputs, strict=True):
            size = output.words * output.bytes
            raw = np.frombuffer(payload, np.uint8, size, start).reshape(output.words, -1)
            bits, signed = type_format(tap.datatype)
            values = unpack_words(raw, bits, tap.lanes, signed)
            found[tap.tensor] = values.reshape(1, *tap.shape[1:])
            start += size
        return found
