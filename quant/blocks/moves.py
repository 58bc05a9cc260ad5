# SPDX-License-Identifier: Apache-2.0
"""What moves or averages streams and multiplies nothing."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from . import functions as fn
from .block import IntegerBlock


class AveragePool(nn.Module):
    """Average 2x2 with stride 2 (odd borders over what is there), rounded back on the stream."""

    def __init__(self) -> None:
        super().__init__()
        self.real = False

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, ceil(H/2), ceil(W/2))."""
        return _average(x) if self.real else _rounded_average(x, fn.STREAM_FRAC)

    def to_integer(self) -> IntegerAveragePool:
        """Return the same pooling on integer codes."""
        return IntegerAveragePool()


class IntegerAveragePool(IntegerBlock):
    """``AveragePool`` of INT8 codes; evaluated in PyTorch only."""

    refusal = (
        "found an average pool, supported is pool='max' only (it has no exact "
        "hardware counterpart); train and export the network with pool='max'"
    )

    def forward(self, x: Tensor) -> Tensor:
        """INT8 codes (N, C, H, W) -> INT8 codes (N, C, ceil(H/2), ceil(W/2))."""
        return _rounded_average(x, 0)


def _average(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 2, 2, ceil_mode=True, count_include_pad=False)


def _rounded_average(x: Tensor, frac: int) -> Tensor:
    return fn.round_to_grid(_average(x), frac, fn.STREAM_MIN, fn.STREAM_MAX)


def shuffle_concat(left: Tensor, right: Tensor) -> Tensor:
    """Interleave two streams: out channel 2j = left j, 2j+1 = right j (concat, then shuffle)."""
    if torch.compiler.is_exporting():
        n, c, h, w = left.shape
        both = torch.cat((left, right), dim=1).reshape(n, 2, c, h, w)
        return both.transpose(1, 2).reshape(n, 2 * c, h, w)
    # Channels last throughout: the interleaving is then one copy in memory order.
    pair = torch.stack((left.permute(0, 2, 3, 1), right.permute(0, 2, 3, 1)), dim=-1)
    return pair.flatten(3).permute(0, 3, 1, 2)
