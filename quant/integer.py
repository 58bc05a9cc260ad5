# SPDX-License-Identifier: Apache-2.0
"""Frozen building blocks: integers only, written so that they export to QONNX node by node.

Every tensor is an integer code in a float32 container: pixels, INT8 stream codes, accumulators.
The blocks hold their constants as buffers and read nothing else. The shifts live in buffers too, so
that a checkpoint is complete; ``load_state_dict`` refreshes their Python copies, which the
exporter needs as constants.
"""

from __future__ import annotations

import torch
from brevitas.nn import QuantIdentity
from torch import Tensor, nn
from torch.nn import functional as F

from .functions import ACC_BITS, GUARD, PRE_BITS, SLOPE_FRAC
from .grid import EpilogueFormat
from .quantizers import BinaryAct, Requant


def shift_right(v: Tensor, shift: int) -> Tensor:
    """Multiply by 2**-shift; no operation at all for 0."""
    return v * 2.0**-shift if shift else v


class Mirrored(nn.Module):
    """A module some of whose buffers are mirrored in Python values or derived tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.register_load_state_dict_post_hook(lambda module, _: module.refresh())

    def refresh(self) -> None:
        """Derive what ``forward`` reads after the buffers changed."""
        raise NotImplementedError

    def fill(self, **buffers: Tensor) -> None:
        """Fill the buffers, same names and shapes as at construction."""
        for name, value in buffers.items():
            buffer = self.get_buffer(name)
            buffer.copy_(value.detach().view(buffer.shape))
        self.refresh()


class Shifted(Mirrored):
    """A module whose ``shifts`` buffer is mirrored in Python integers."""

    shifts: Tensor

    def __init__(self, count: int) -> None:
        super().__init__()
        self.register_buffer("shifts", torch.zeros(count, dtype=torch.int64))

    def set_integers(self, shifts: list[int], **buffers: Tensor) -> None:
        """Fill the buffers, same names and shapes as at construction."""
        self.fill(shifts=torch.tensor(shifts), **buffers)


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
        self.round_acc = Requant(0, ACC_BITS)
        self.round_pre = Requant(0, PRE_BITS)
        self.round_out = Requant(0, 8)
        self.format = EpilogueFormat(0, 0, 0)

    def refresh(self) -> None:
        acc, shortcut, pre = self.shifts.tolist()
        self.format = EpilogueFormat(
            acc_shift=acc,
            shortcut_shift=shortcut,
            pre_shift=pre,
            slope_shift=SLOPE_FRAC,
            out_shift=GUARD,
            acc_bits=ACC_BITS,
            pre_bits=PRE_BITS,
        )

    def params(self) -> Tensor:
        """Return the (5, C) rows m, b, zeta, slope, eta."""
        rows = (self.m, self.b, self.zeta, self.slope, self.eta)
        return torch.stack([row.flatten() for row in rows])

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


class IntegerBinaryBlock(nn.Module):
    """RSign by comparison, border of -1, +-1 convolution, epilogue.

    Buffers ``threshold`` (C_in, 1, 1) INT8 codes and ``weight`` (C_out, C_in, k, k) of +-1.
    """

    threshold: Tensor
    weight: Tensor

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.border = kernel // 2
        self.register_buffer("threshold", torch.zeros(in_channels, 1, 1))
        self.register_buffer("weight", torch.ones(out_channels, in_channels, kernel, kernel))
        self.sign = QuantIdentity(act_quant=BinaryAct, return_quant_tensor=False)
        self.epilogue = IntegerEpilogue(out_channels)

    def forward(self, x: Tensor, shortcut: Tensor | None = None) -> Tensor:
        """INT8 codes (N, C_in, H, W) -> INT8 codes (N, C_out, H', W')."""
        s = self.sign(x - self.threshold)
        if self.border:
            s = F.pad(s, (self.border,) * 4, value=-1.0)
        acc = F.conv2d(s, self.weight, stride=self.stride)
        out: Tensor = self.epilogue(acc, shortcut)
        return out


class IntegerFixedPointBlock(nn.Module):
    """Convolution with integer weights, accumulator rounding, epilogue.

    Buffer ``weight`` (C_out, C_in, k, k) of signed integers; ``in_range`` = smallest and
    largest input code.
    """

    weight: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        stride: int,
        in_range: tuple[int, int],
    ) -> None:
        super().__init__()
        self.in_range = in_range
        self.stride = stride
        self.border = kernel // 2
        self.register_buffer("weight", torch.ones(out_channels, in_channels, kernel, kernel))
        self.epilogue = IntegerEpilogue(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Integer codes (N, C_in, H, W) -> INT8 codes (N, C_out, H', W')."""
        acc = F.conv2d(x, self.weight, stride=self.stride, padding=self.border)
        out: Tensor = self.epilogue(acc, None)
        return out


class IntegerLogits(Shifted):
    """What ends a frozen network: integer weights and bias.

    Buffers ``weight``, ``bias`` (classes,), ``shifts`` = fraction bits of a logit.

    Args:
        shape: shape of the weights, classes first.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__(1)
        self.register_buffer("weight", torch.ones(shape))
        self.register_buffer("bias", torch.zeros(shape[0]))
        self.logit_frac = 0

    def refresh(self) -> None:
        self.logit_frac = int(self.shifts[0])


class IntegerClassifier(IntegerLogits):
    """Sum over the map, rounding shift to INT8, integer linear layer of (classes, C) weights."""

    def __init__(self, in_channels: int, classes: int) -> None:
        super().__init__((classes, in_channels))
        self.round_pool = Requant(0, 8)

    def forward(self, x: Tensor) -> Tensor:
        """INT8 codes (N, C, H, W) -> integer logits (N, classes)."""
        total = x.sum((2, 3))
        shift = pool_shift(x.shape[2], x.shape[3])
        if shift:
            total = self.round_pool(total * 2.0**-shift)
        return F.linear(total, self.weight, self.bias)


def pool_shift(height: int, width: int) -> int:
    """Return the rounding shift that follows the sum over a map: ceil(log2(height * width))."""
    return (height * width - 1).bit_length()
