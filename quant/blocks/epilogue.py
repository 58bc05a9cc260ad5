# SPDX-License-Identifier: Apache-2.0
"""The epilogue: BN, + shortcut, RPReLU, 8-bit stream; trainable and as integers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..grid import EpilogueFormat, IntArray, limits, shift_round
from . import functions as fn
from .block import Bound, Shifted, shift_right
from .quantizers import Requant

EPS_FRACTION = 0.01
"""BN's eps as a fraction of the accumulator's nominal variance: a channel that hardly varies must
not claim the exponent of the whole layer."""


class Epilogue(nn.Module):
    """BN -> + shortcut -> RPReLU -> INT8 stream, with every constant snapped.

    Args:
        channels: output channels.
        nominal_variance: variance of the accumulator to be expected; sets eps.
        acc_limit: largest |accumulator| in integer units, from shapes.
        gamma: initial BN scale.
    """

    def __init__(
        self, channels: int, nominal_variance: float, acc_limit: int, gamma: float
    ) -> None:
        super().__init__()
        self.channels = channels
        self.eps = EPS_FRACTION * nominal_variance
        self.acc_limit = acc_limit
        self.real = False
        self.statistics_fixed = False
        self.gamma = nn.Parameter(torch.full((channels,), gamma))
        self.beta = nn.Parameter(torch.zeros(channels))
        self.zeta = nn.Parameter(torch.zeros(channels))
        self.slope = nn.Parameter(torch.full((channels,), 0.25))
        self.eta = nn.Parameter(torch.zeros(channels))
        self.running_mean: Tensor
        self.running_var: Tensor
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.full((channels,), float(nominal_variance)))

    @property
    def uses_batch(self) -> bool:
        """True while BN takes its statistics from the batch."""
        return self.training and not self.statistics_fixed

    def spec(self, acc_frac: int) -> fn.EpilogueSpec:
        """Return the constants for an accumulator on the grid 2**-acc_frac."""
        return fn.EpilogueSpec(self.eps, acc_frac, self.acc_limit)

    def forward(self, acc: Tensor, shortcut: Tensor | None, acc_frac: int) -> Tensor:
        """Return the INT8 stream (N, C, H, W) of an accumulator on the grid 2**-acc_frac."""
        from_batch = self.uses_batch
        if self.real:
            return self._real_forward(acc, shortcut)
        if from_batch:
            with torch.no_grad():
                mean, var = fn.batch_statistics(acc)
                self.running_mean.lerp_(mean, fn.BN_MOMENTUM)
                self.running_var.lerp_(var, fn.BN_MOMENTUM)
        else:
            mean, var = self.running_mean, self.running_var
        return fn.fused_epilogue(
            acc,
            shortcut,
            self.gamma,
            self.beta,
            self.zeta,
            self.slope,
            self.eta,
            mean,
            var,
            self.spec(acc_frac),
            from_batch,
        )

    def _real_forward(self, acc: Tensor, shortcut: Tensor | None) -> Tensor:
        t = F.batch_norm(
            acc,
            self.running_mean,
            self.running_var,
            self.gamma,
            self.beta,
            self.uses_batch,
            fn.BN_MOMENTUM,
            self.eps,
        )
        if shortcut is not None:
            t = t + shortcut
        u = t - self.zeta.view(-1, 1, 1)
        return F.prelu(u, self.slope) + self.eta.view(-1, 1, 1)

    def frozen_into(self, target: IntegerEpilogue, acc_frac: int, acc_shift: int) -> None:
        """Write the integers of running statistics and parameters into ``target``."""
        rstd = (self.running_var + self.eps).rsqrt()
        k = fn.snap_epilogue(
            self.gamma * rstd,
            self.beta,
            self.running_mean,
            self.zeta,
            self.slope,
            self.eta,
            self.spec(acc_frac),
        )
        product_frac = acc_frac + k.m_frac
        shifts = [acc_shift, product_frac - fn.STREAM_FRAC, product_frac - fn.PRE_FRAC]
        target.set_integers(shifts, m=k.m, b=k.b, zeta=k.zeta, slope=k.slope, eta=k.eta)


class IntegerEpilogue(Shifted):
    """``grid.epilogue`` in exportable operations.

    Buffers ``m, b, zeta, slope, eta`` (C, 1, 1) and ``shifts`` = accumulator, shortcut, pre.
    """

    m: Tensor
    b: Tensor
    zeta: Tensor
    slope: Tensor
    eta: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__(3)
        for name in ("m", "b", "zeta", "slope", "eta"):
            self.register_buffer(name, torch.zeros(channels, 1, 1))
        self.round_acc = Requant(0, fn.ACC_BITS)
        self.round_pre = Requant(0, fn.PRE_BITS)
        self.round_out = Requant(0, 8)
        self.format = EpilogueFormat(0, 0, 0)

    def refresh(self) -> None:
        acc, shortcut, pre = self.shifts.tolist()
        self.format = EpilogueFormat(
            acc_shift=acc,
            shortcut_shift=shortcut,
            pre_shift=pre,
            slope_shift=fn.SLOPE_FRAC,
            out_shift=fn.GUARD,
            acc_bits=fn.ACC_BITS,
            pre_bits=fn.PRE_BITS,
        )

    def params(self) -> Tensor:
        """Return the (5, C) rows m, b, zeta, slope, eta."""
        rows = (self.m, self.b, self.zeta, self.slope, self.eta)
        return torch.stack([row.flatten() for row in rows])

    def bounds_behind(self, ends: IntArray) -> Iterator[Bound]:
        """Yield the worst cases behind an accumulator of the worst cases ``ends`` (2, C)."""
        fmt = self.format
        if fmt.acc_shift:
            ends = np.clip(shift_round(ends, fmt.acc_shift), *limits(fmt.acc_bits))
        m, b = (row.astype(np.int64) for row in self.params().numpy()[:2])
        worst = np.abs(ends).max(axis=0) * np.abs(m) + np.abs(b)
        total = int(worst.max()) + (-fn.STREAM_MIN << fmt.shortcut_shift)
        yield Bound("BN with shortcut", total + (1 << fmt.pre_shift))

    def forward(self, acc: Tensor, shortcut: Tensor | None) -> Tensor:
        """Return INT8 codes (N, C, H, W) of integer accumulators and INT8 shortcut codes."""
        fmt = self.format
        if fmt.acc_shift:
            acc = self.round_acc(shift_right(acc, fmt.acc_shift))
        y = acc * self.m + self.b
        if shortcut is not None:
            y = y + shortcut * 2.0**fmt.shortcut_shift
        u = self.round_pre(shift_right(y, fmt.pre_shift)) - self.zeta
        negative = torch.floor(u * self.slope * 2.0**-fmt.slope_shift)
        v = torch.where(u >= 0, u, negative) + self.eta
        out: Tensor = self.round_out(shift_right(v, fmt.out_shift))
        return out
