# SPDX-License-Identifier: Apache-2.0
"""Which samples train, which validate, and in which order an epoch takes them.

Pure functions of a seed and an epoch: a run can be resumed at any epoch and repeats itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..data.layout import DatasetError


def split(
    labels: Sequence[int], fraction: float = 1 / 8, seed: int = 0
) -> tuple[list[int], list[int]]:
    """Divide samples into training and validation, class by class.

    Args:
        labels: label of every sample, in the order of the data set.
        fraction: share of each class for validation, rounded half up, at least one sample.
        seed: another seed, another split.

    Returns:
        Indices for training and for validation, ascending, without overlap.

    Raises:
        DatasetError: the fraction is not between 0 and 1, or a class is too small to divide.
    """
    if not 0 < fraction < 1:
        raise DatasetError(f"found validation fraction {fraction}, expected between 0 and 1")
    array = np.asarray(labels)
    validation: list[int] = []
    for label in np.unique(array):
        members = np.flatnonzero(array == label)
        if len(members) < 2:
            raise DatasetError(
                f"found {len(members)} picture of class {label}, expected at least 2 to divide"
            )
        count = min(max(int(fraction * len(members) + 0.5), 1), len(members) - 1)
        # A generator per class: a picture added to one class moves no picture of another.
        order = np.random.default_rng([seed, int(label)]).permutation(members)
        validation += order[:count].tolist()
    chosen = set(validation)
    return [i for i in range(len(array)) if i not in chosen], sorted(validation)


def balanced_order(labels: Sequence[int], seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """Return one epoch's order of samples, in which all classes are equally frequent.

    As many draws as samples; class frequencies differ by one at most. Within a class no sample is
    drawn a second time before all were drawn.
    """
    array = np.asarray(labels)
    rng = np.random.default_rng([seed, epoch])
    names = rng.permutation(np.unique(array))
    draws = []
    for i, name in enumerate(names):
        members = np.flatnonzero(array == name)
        count = (len(array) - i + len(names) - 1) // len(names)
        rounds = -(-count // len(members))
        draws.append(np.concatenate([rng.permutation(members) for _ in range(rounds)])[:count])
    return rng.permutation(np.concatenate(draws)).astype(np.int64)
