# SPDX-License-Identifier: Apache-2.0
"""Golden model of PaMvu: a matrix product of piecewise levels, written as AND-popcounts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ....quant.grid import IntArray


def pa_mvu(x: IntArray, w: IntArray, alpha: IntArray, beta: IntArray, zero: int) -> IntArray:
    """Return the dot products of eq 19 by the bit counts of eq 20.

    W = sum_i alpha_i T_i and A = sum_j beta_j V_j (eq 19) with disjoint 0/1 bases T_i, V_j, so
    W . A = sum_i sum_j alpha_i beta_j bitcount(T_i & V_j) (eq 20).

    Args:
        x: (.., MW) input codes 0..N; V_j is the bit "code = j".
        w: (MW, MH) weight codes; T_i is the bit "code = i - zero".
        alpha: (M+1,) integer levels of the weights.
        beta: (N+1,) integer levels of the inputs.
        zero: index of the weight level 0.

    Returns:
        (.., MH) exact sums.
    """
    acc = np.zeros((*x.shape[:-1], w.shape[1]), dtype=np.int64)
    bases = [(w == i - zero).astype(np.float32) for i in range(len(alpha))]
    for j, beta_j in enumerate(beta):
        v_j = (x == j).astype(np.float32)
        for alpha_i, t_i in zip(alpha, bases, strict=True):
            if alpha_i * beta_j != 0:
                # Counts of at most MW < 2**24 bits are exact in float32 in any order of summation.
                acc += alpha_i * beta_j * (v_j @ t_i).astype(np.int64)
    return acc


def run(inputs: Sequence[IntArray], attrs: Mapping[str, Any]) -> list[IntArray]:
    """Golden of the op: inputs x, W, alpha, beta; attribute ``zero``."""
    x, w, alpha, beta = inputs
    return [pa_mvu(x, w, alpha, beta, int(attrs["zero"]))]
