# SPDX-License-Identifier: Apache-2.0
"""Exact comparison of tensors, layer by layer: counts, and the first value that differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import CheckFailed

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Divergence:
    """The first differing value of a backend: where, and both bit patterns."""

    backend: str
    layer: str
    index: tuple[int, ...]
    expected: int
    got: int
    expected_bits: str
    got_bits: str
    picture: str
    picture_index: int
    """Number of the picture, from 0."""

    def as_json(self) -> dict[str, Any]:
        """Plain values for reports."""
        return {**self.__dict__, "index": list(self.index)}


@dataclass
class Tally:
    """Running comparison of one backend with the golden model.

    Tensors come in chunks of pictures: ``add`` takes two mappings name -> (pictures, ...) arrays.
    ``order`` lists the layers from input to output; it decides which divergence is first.
    """

    backend: str
    order: Sequence[str]
    bits: Mapping[str, int]
    pictures: int = 0
    seconds: float = 0.0
    compared: dict[str, int] = field(default_factory=dict)
    differing: dict[str, int] = field(default_factory=dict)
    _first: dict[str, Divergence] = field(default_factory=dict)

    def add(
        self,
        expected: Mapping[str, IntArray],
        got: Mapping[str, IntArray],
        pictures: Sequence[str],
        seconds: float = 0.0,
    ) -> None:
        """Compare one chunk.

        Raises:
            CheckFailed: no layer is common to both, or shapes differ.
        """
        common = [name for name in self.order if name in got and name in expected]
        if not common:
            raise CheckFailed(f"{self.backend}: no layer to compare with the golden model")
        for name in common:
            self._compare(name, expected[name], got[name], pictures)
        self.pictures += len(pictures)
        self.seconds += seconds

    def _compare(self, name: str, want: IntArray, have: IntArray, pictures: Sequence[str]) -> None:
        if want.shape != have.shape:
            raise CheckFailed(
                f"{self.backend}, layer {name}: found shape {have.shape}, expected {want.shape}"
            )
        wrong = want != have
        self.compared[name] = self.compared.get(name, 0) + want.size
        self.differing[name] = self.differing.get(name, 0) + int(wrong.sum())
        if name not in self._first and wrong.any():
            index = tuple(int(i) for i in np.argwhere(wrong)[0])
            width = self.bits.get(name, 32)
            self._first[name] = Divergence(
                self.backend,
                name,
                index[1:],
                int(want[index]),
                int(have[index]),
                bit_pattern(int(want[index]), width),
                bit_pattern(int(have[index]), width),
                pictures[index[0]],
                self.pictures + index[0],
            )

    @property
    def values_compared(self) -> int:
        """Values compared so far, over all layers."""
        return sum(self.compared.values())

    @property
    def values_differing(self) -> int:
        """Values that differ, over all layers."""
        return sum(self.differing.values())

    @property
    def first(self) -> Divergence | None:
        """The divergence nearest to the input."""
        return next((self._first[n] for n in self.order if n in self._first), None)

    def layers(self) -> list[dict[str, Any]]:
        """One row per layer, from input to output."""
        return [
            {
                "backend": self.backend,
                "layer": name,
                "values_compared": self.compared[name],
                "values_differing": self.differing[name],
            }
            for name in self.order
            if name in self.compared
        ]

    def summary(self) -> dict[str, Any]:
        """One row per backend."""
        return {
            "backend": self.backend,
            "pictures": self.pictures,
            "layers": len(self.compared),
            "values_compared": self.values_compared,
            "values_differing": self.values_differing,
            "seconds": self.seconds,
        }


def bit_pattern(value: int, width: int) -> str:
    """Two's complement bits of ``value``, most significant first."""
    return format(value & ((1 << width) - 1), f"0{width}b")


def combine(tallies: Sequence[Tally]) -> dict[str, Any]:
    """The stable JSON form of a comparison.

    Raises:
        CheckFailed: nothing at all was compared.
    """
    compared = sum(t.values_compared for t in tallies)
    if not compared:
        raise CheckFailed("nothing was compared: name at least one backend besides golden")
    first = next((t.first for t in tallies if t.first is not None), None)
    return {
        "values_compared": compared,
        "values_differing": sum(t.values_differing for t in tallies),
        "first_divergence": first.as_json() if first else None,
        "backends": [t.summary() for t in tallies],
        "layers": [row for t in tallies for row in t.layers()],
    }
