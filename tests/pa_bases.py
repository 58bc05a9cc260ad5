# SPDX-License-Identifier: Apache-2.0
"""The bases of PA codes, by their definition: what the popcounts of hardware count."""

from __future__ import annotations

import torch
from torch import Tensor


def bases(codes: Tensor, low: int, high: int, nested: bool = False) -> Tensor:
    """Return the {0, 1} bases of codes, one for each code of low..high but 0.

    Args:
        codes: integers low..high, any shape; weights have low = -M/2, activations low = 0.
        low: smallest code, at most 0.
        high: largest code.
        nested: thermometer bases (code reaches k, going away from 0) in place of disjoint ones
            (code equals k; the paper's T_i and V_j).

    Returns:
        (high - low, ...) int64 bits, in ascending order of k.
    """

    def basis(k: int) -> Tensor:
        if not nested:
            return codes == k
        return codes >= k if k > 0 else codes <= k

    return torch.stack([basis(k) for k in range(low, high + 1) if k]).to(torch.int64)


def base_coefficients(table: Tensor, zero: int, nested: bool = False) -> Tensor:
    """Return the coefficient of each of ``bases``, so that sum(coefficient * basis) = value.

    Args:
        table: (codes,) values, ``table[zero]`` = 0: alpha or beta.
        zero: index of code 0.
        nested: coefficients are then the differences to the next code towards 0.
    """
    inner = torch.cat((table[1 : zero + 1], table[zero:-1])) if nested else 0
    return torch.cat((table[:zero], table[zero + 1 :])) - inner
