# SPDX-License-Identifier: Apache-2.0
"""What the integers and endpoints of PA blocks may be."""

from __future__ import annotations

import torch
from torch import Tensor

from .pa_functions import M_RANGE, N_RANGE
from .pa_stream import THRESHOLD_MAX, THRESHOLD_MIN

ALPHA_MAX = 127
BETA_MAX = 255


def check_codebooks(name: str, weight: Tensor, alpha: Tensor, beta: Tensor) -> None:
    """Refuse weight codes or codebooks outside their formats.

    Args:
        name: module, for the message.
        weight: weight codes, any shape.
        alpha: (M+1,) integers.
        beta: (N+1,) integers.

    Raises:
        ValueError: one line naming tensor and value.
    """
    m, n = len(alpha) - 1, len(beta) - 1
    if m not in M_RANGE:
        raise ValueError(f"{name}.alpha: found M = {m}, expected an even number from 2 to 14")
    if n not in N_RANGE:
        raise ValueError(f"{name}.beta: found N = {n}, expected a number from 1 to 15")
    whole_numbers(f"{name}.alpha", alpha, -ALPHA_MAX, ALPHA_MAX)
    whole_numbers(f"{name}.beta", beta, 0, BETA_MAX)
    whole_numbers(f"{name}.weight", weight, -(m // 2), m // 2)
    for tensor, table, zero in (("alpha", alpha, m // 2), ("beta", beta, 0)):
        if table[zero] != 0:
            raise ValueError(
                f"{name}.{tensor}: found {float(table[zero]):g} at index {zero}, expected 0"
            )


def check_thresholds(name: str, sign: Tensor, thresholds: Tensor) -> None:
    """Refuse signs or thresholds outside their formats, or thresholds out of order.

    Args:
        name: module, for the message.
        sign: (C,) -1, 0 or +1.
        thresholds: (C, N) integers.

    Raises:
        ValueError: one line naming tensor and value.
    """
    if thresholds.shape[1] not in N_RANGE:
        raise ValueError(
            f"{name}.thresholds: found N = {thresholds.shape[1]}, expected a number from 1 to 15"
        )
    whole_numbers(f"{name}.sign", sign, -1, 1)
    whole_numbers(f"{name}.thresholds", thresholds, THRESHOLD_MIN, THRESHOLD_MAX)
    ordered(f"{name}.thresholds", thresholds, strictly=False)


def ordered(name: str, rows: Tensor, strictly: bool) -> None:
    """Refuse rows (C, N) that hold NaN or do not increase.

    Raises:
        ValueError: one line naming tensor, channel and values.
    """
    if torch.isnan(rows).any():
        raise ValueError(f"{name}: found NaN, expected numbers; train or copy it again")
    step = rows.diff(dim=1)
    wrong = torch.nonzero(step <= 0 if strictly else step < 0)
    if len(wrong):
        c, i = wrong[0].tolist()
        raise ValueError(
            f"{name}: channel {c}: found {float(rows[c, i]):g} before {float(rows[c, i + 1]):g}, "
            f"expected {'increasing' if strictly else 'non-decreasing'} values"
        )


def whole_numbers(name: str, values: Tensor, low: int, high: int) -> None:
    """Refuse values that are no whole numbers ``low..high``.

    Raises:
        ValueError: one line naming tensor and value.
    """
    wrong = ~((values >= low) & (values <= high) & (values == torch.round(values)))
    if wrong.any():
        raise ValueError(
            f"{name}: found {float(values[wrong][0]):g}, expected whole numbers {low}..{high}"
        )
