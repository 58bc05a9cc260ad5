# SPDX-License-Identifier: Apache-2.0
"""Exact comparison of tensors, layer by layer: counts, and the first value that differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..quant.grid import IntArray
from .errors import CheckFailed

if TYPE_CHECKING:
    from .coverage import Coverage


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
    The order of the layers in ``coverage``, from input to output, decides which divergence is
    first.
    """

    coverage: Coverage
    bits: Mapping[str, int]
    pictures: int = 0
    seconds: float = 0.0
    compared: dict[str, int] = field(default_factory=dict)
    """Elements looked at, by layer; copies count like everything else."""
    differing: dict[str, int] = field(default_factory=dict)
    _first: dict[str, Divergence] = field(default_factory=dict)

    @property
    def backend(self) -> str:
        """Name of the backend."""
        return self.coverage.backend

    def add(
        self,
        expected: Mapping[str, IntArray],
        got: Mapping[str, IntArray],
        pictures: Sequence[str],
        seconds: float = 0.0,
    ) -> None:
        """Compare one chunk.

        Raises:
            CheckFailed: a layer is missing, one more than stated is there, or one holds no
                integers or has another number of pictures or shape than the graph says.
        """
        layers = self.coverage.layers
        self._check_names(got)
        for name in layers:
            shape = (len(pictures), *self.coverage.shapes[name][1:])
            _check_shape("golden", name, expected[name].shape, shape)
            _check_shape(self.backend, name, got[name].shape, shape)
            if not np.issubdtype(got[name].dtype, np.integer):
                raise CheckFailed(
                    f"{self.backend}, layer {name}: found values of {got[name].dtype}, expected "
                    "integers; the backend is at fault"
                )
        for name in layers:
            self._compare(name, expected[name], got[name], pictures)
        self.pictures += len(pictures)
        self.seconds += seconds

    def _check_names(self, got: Mapping[str, IntArray]) -> None:
        layers = self.coverage.layers
        missing = [name for name in layers if name not in got]
        if missing:
            raise CheckFailed(
                f"{self.backend}, layer {missing[0]}: found no capture ({len(missing)} of "
                f"{len(layers)} missing), expected every layer that {self.backend} states to "
                "deliver; build again, and if it stays the backend is at fault"
            )
        surplus = [name for name in got if name not in set(layers)]
        if surplus:
            known = surplus[0] in self.coverage.order
            raise CheckFailed(
                f"{self.backend}, layer {surplus[0]}: found a capture, expected none as "
                + (f"{self.backend} states not to deliver it" if known else "it is no layer")
                + "; build again, and if it stays the backend is at fault"
            )

    def _compare(self, name: str, want: IntArray, have: IntArray, pictures: Sequence[str]) -> None:
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
        """Distinct values compared so far, over all layers: see ``distinct_values``."""
        return self.pictures * sum(self.coverage.distinct.values())

    @property
    def values_differing(self) -> int:
        """Elements that differ, over all layers, in copies too: a copy can go wrong by itself."""
        return sum(self.differing.values())

    @property
    def first(self) -> Divergence | None:
        """The divergence nearest to the input."""
        return next((self._first[n] for n in self.coverage.layers if n in self._first), None)

    def layers(self) -> list[dict[str, Any]]:
        """One row per layer, from input to output.

        ``values_compared`` are those that no earlier layer holds, ``elements`` the whole tensor.
        """
        return [
            {
                "backend": self.backend,
                "layer": name,
                "elements": self.compared[name],
                "values_compared": self.pictures * self.coverage.distinct[name],
                "values_differing": self.differing[name],
            }
            for name in self.coverage.layers
            if name in self.compared
        ]

    def summary(self) -> dict[str, Any]:
        """One row per backend."""
        return {
            "backend": self.backend,
            "pictures": self.pictures,
            "layers": len(self.compared),
            "layers_total": len(self.coverage.order),
            "not_covered": [gap.as_json() for gap in self.coverage.gaps],
            "values_compared": self.values_compared,
            "values_differing": self.values_differing,
            "seconds": self.seconds,
        }


def _check_shape(backend: str, name: str, found: tuple[int, ...], shape: tuple[int, ...]) -> None:
    if found[:1] != shape[:1]:
        raise CheckFailed(
            f"{backend}, layer {name}: found {found[0] if found else 0} pictures, "
            f"expected {shape[0]}"
        )
    if found != shape:
        raise CheckFailed(f"{backend}, layer {name}: found shape {found}, expected {shape}")


def gap_lines(gaps: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Sum up ``not_covered`` of a backend for people.

    Returns:
        (reason, such as "windows (36), picture (1)"), one per reason.
    """
    lines: dict[str, list[str]] = {}
    for gap in gaps:
        lines.setdefault(gap["reason"], []).append(f"{gap['kind']} ({len(gap['layers'])})")
    return [(reason, ", ".join(parts)) for reason, parts in lines.items()]


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
