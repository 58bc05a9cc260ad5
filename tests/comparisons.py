# SPDX-License-Identifier: Apache-2.0
"""What a bench compared and how much of it differed, counted where it is compared."""

from __future__ import annotations

from typing import Any

import numpy as np


class Comparisons:
    """Counts of one test, kept among the properties that its report carries."""

    def __init__(self, properties: list[tuple[str, object]]) -> None:
        self._properties = properties
        self.values = 0
        self.differing = 0
        self.count(0, 0)

    def count(self, values: int, differing: int) -> None:
        """Add what was compared elsewhere.

        Raises:
            AssertionError: something differed.
        """
        self.values += values
        self.differing += differing
        names = ("values", "differing")
        self._properties[:] = [p for p in self._properties if p[0] not in names]
        self._properties += [(name, getattr(self, name)) for name in names]
        assert not differing, f"{differing} of {values} values differ"

    def arrays(self, expected: Any, got: Any, what: object = "") -> None:
        """Compare two arrays value by value.

        Raises:
            AssertionError: they differ in shape or in a value; says where first.
        """
        expected, got = np.asarray(expected), np.asarray(got)
        assert expected.shape == got.shape, f"{what}: {got.shape}, expected {expected.shape}"
        wrong = np.argwhere(expected != got)
        try:
            self.count(expected.size, len(wrong))
        except AssertionError as error:
            at = tuple(int(i) for i in wrong[0])
            raise AssertionError(
                f"{what}: {error}, first at {at}: expected {expected[at]}, got {got[at]}"
            ) from None

    def words(self, expected: object, got: object, values: int) -> None:
        """Compare two words of ``values`` values.

        Raises:
            AssertionError: they differ.
        """
        self.count(values, values if expected != got else 0)
