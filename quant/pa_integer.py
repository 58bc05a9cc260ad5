# SPDX-License-Identifier: Apache-2.0
"""Frozen PA blocks: codes, codebooks and thresholds, written so that they export to QONNX.

As in ``integer.py`` every tensor is an integer in a float32 container and the buffers are all a
block reads. Weight codes are signed, -M/2..M/2; ``alpha[code + M/2]`` is the weight's integer,
``beta[code]`` the activation's.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .functions import STREAM_FRAC
from .integer import IntegerEpilogue, Mirrored, Shifted, shift_right
from .pa_functions import (
    ACC_FRAC_MAX,
    M_RANGE,
    N_RANGE,
    THRESHOLD_MAX,
    THRESHOLD_MIN,
)
from .quantizers import Requant

ALPHA_MAX = 127
BETA_MAX = 255


class IntegerPaActivation(Mirrored):
    """Level codes of INT8 codes: ``#{i: sign * x >= thresholds_i}``.

    Buffers ``sign`` (C,) of -1, 0, +1 and ``thresholds`` (C, N), non-decreasing.
    """

    sign: Tensor
    thresholds: Tensor

    def __init__(self, channels: int, n: int) -> None:
        super().__init__()
        self.register_buffer("sign", torch.ones(channels))
        self.register_buffer("thresholds", torch.zeros(channels, n))
        self.signed = False

    def refresh(self) -> None:
        self.signed = bool((self.sign != 1).any())

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) INT8 codes -> (N, C, H, W) level codes 0..N."""
        if self.signed:
            x = x * self.sign.view(-1, 1, 1)
        channels, n = self.thresholds.shape
        reached = x.unsqueeze(2) >= self.thresholds.view(channels, n, 1, 1)
        return reached.to(x.dtype).sum(2)


class IntegerPaConv(Mirrored):
    """PA activation, then a convolution of codebook values.

    Buffers ``weight`` (C_out, C_in, k, k) of codes, ``alpha`` (M+1,), ``beta`` (N+1,).
    """

    weight: Tensor
    alpha: Tensor
    beta: Tensor
    values: Tensor

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, stride: int, m: int, n: int
    ) -> None:
        super().__init__()
        self.stride = stride
        self.border = kernel // 2
        self.activation = IntegerPaActivation(in_channels, n)
        shape = (out_channels, in_channels, kernel, kernel)
        self.register_buffer("weight", torch.zeros(shape))
        self.register_buffer("alpha", torch.zeros(m + 1))
        self.register_buffer("beta", torch.zeros(n + 1))
        self.register_buffer("values", torch.zeros(shape), persistent=False)

    def refresh(self) -> None:
        index = (self.weight + len(self.alpha) // 2).to(torch.int64)
        # A damaged checkpoint gets its message from ``check``, not from this lookup.
        self.values.copy_(self.alpha[index.clamp(0, len(self.alpha) - 1)])

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, H, W) INT8 codes -> (N, C_out, H', W') accumulators."""
        level = _look_up(self.beta, self.activation(x).to(torch.int64))
        return F.conv2d(level, self.values, stride=self.stride, padding=self.border)


def _look_up(table: Tensor, index: Tensor) -> Tensor:
    """Return ``table[index]``; exports as one Gather, where indexing would give GatherND."""
    if torch.compiler.is_exporting():
        return torch.onnx.ops.symbolic(
            "Gather", (table, index), {"axis": 0}, dtype=table.dtype, shape=index.shape
        )
    return table.index_select(0, index.flatten()).view(index.shape)


class IntegerPaBlock(Shifted):
    """``IntegerPaConv`` -> + shortcut -> INT8; ``shifts`` = fraction bits of the accumulator."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, stride: int, m: int, n: int
    ) -> None:
        super().__init__(1)
        self.conv = IntegerPaConv(in_channels, out_channels, kernel, stride, m, n)
        self.round_out = Requant(0, 8)
        self.shift = 0

    def refresh(self) -> None:
        self.shift = int(self.shifts[0]) - STREAM_FRAC

    def forward(self, x: Tensor, shortcut: Tensor | None = None) -> Tensor:
        """INT8 codes (N, C_in, H, W) -> INT8 codes (N, C_out, H', W')."""
        total = self.conv(x)
        if shortcut is not None:
            total = total + (shortcut * 2.0**self.shift if self.shift else shortcut)
        out: Tensor = self.round_out(shift_right(total, self.shift))
        return out


class IntegerPaEpilogueBlock(nn.Module):
    """``IntegerPaConv`` -> ``IntegerEpilogue`` with an optional shortcut."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, stride: int, m: int, n: int
    ) -> None:
        super().__init__()
        self.conv = IntegerPaConv(in_channels, out_channels, kernel, stride, m, n)
        self.epilogue = IntegerEpilogue(out_channels)

    def forward(self, x: Tensor, shortcut: Tensor | None = None) -> Tensor:
        """INT8 codes (N, C_in, H, W) -> INT8 codes (N, C_out, H', W')."""
        out: Tensor = self.epilogue(self.conv(x), shortcut)
        return out


def check_frozen(net: nn.Module) -> None:
    """Refuse frozen PA blocks whose integers are outside their formats.

    Raises:
        ValueError: one line naming tensor and value.
    """
    for name, module in net.named_modules():
        if isinstance(module, IntegerPaConv):
            check_codebooks(name, module.weight, module.alpha, module.beta)
        elif isinstance(module, IntegerPaActivation):
            check_thresholds(name, module.sign, module.thresholds)
        elif isinstance(module, IntegerPaBlock):
            _range(f"{name}.shifts", module.shifts, STREAM_FRAC, ACC_FRAC_MAX)


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
    _range(f"{name}.alpha", alpha, -ALPHA_MAX, ALPHA_MAX)
    _range(f"{name}.beta", beta, 0, BETA_MAX)
    _range(f"{name}.weight", weight, -(m // 2), m // 2)
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
    _range(f"{name}.sign", sign, -1, 1)
    _range(f"{name}.thresholds", thresholds, THRESHOLD_MIN, THRESHOLD_MAX)
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


def _range(name: str, values: Tensor, low: int, high: int) -> None:
    wrong = ~((values >= low) & (values <= high) & (values == torch.round(values)))
    if wrong.any():
        raise ValueError(
            f"{name}: found {float(values[wrong][0]):g}, expected whole numbers {low}..{high}"
        )
