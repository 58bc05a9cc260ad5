# SPDX-License-Identifier: Apache-2.0
"""Frozen k-bit blocks: signed thresholds behind integer convolutions, exportable to QONNX.

As in ``integer.py`` every tensor is an integer in a float32 container and the buffers are all a
block reads. Streams are level codes 0..2^k - 1, borders are code 0.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .integer import IntegerLogits, Mirrored
from .kbit_functions import look_up_levels, top_level
from .signed_thresholds import SignedThresholds, threshold_count

HARDWARE_BITS = range(1, 9)
"""Bits of the codes that become integers."""


class IntegerKbitActivation(Mirrored):
    """Level codes of accumulators: ``base + sum of steps where x >= thresholds``.

    Buffers ``thresholds`` (C, n), ascending, ``steps`` (C, n) of -1 and +1, ``base`` (C,).

    Args:
        channels: channels of the accumulator.
        k: bits of the codes.
        falling: False where the activation cannot step down.

    Raises:
        ValueError: ``k`` is more than hardware has.
    """

    thresholds: Tensor
    steps: Tensor
    base: Tensor
    sums: Tensor
    compared: Tensor
    taken: Tensor
    lowest: Tensor

    def __init__(self, channels: int, k: int, falling: bool) -> None:
        super().__init__()
        if k not in HARDWARE_BITS:
            raise ValueError(
                f"freeze: found k = {k}, expected 1..{HARDWARE_BITS[-1]}; "
                "train a network of narrower activations"
            )
        self.k = k
        count = threshold_count(top_level(k), falling)
        self.register_buffer("thresholds", torch.zeros(channels, count))
        self.register_buffer("steps", torch.ones(channels, count))
        self.register_buffer("base", torch.zeros(channels))
        self.register_buffer("sums", torch.zeros(channels, count + 1), persistent=False)
        # In the shapes of the exported operations: the exporter folds no large constants.
        self.register_buffer("compared", torch.zeros(channels, count, 1, 1), persistent=False)
        self.register_buffer("taken", torch.ones(channels, count, 1, 1), persistent=False)
        self.register_buffer("lowest", torch.zeros(channels, 1, 1), persistent=False)

    def refresh(self) -> None:
        self.sums.copy_(F.pad(self.steps.cumsum(1), (1, 0)) + self.base.view(-1, 1))
        self.compared.copy_(self.thresholds[..., None, None])
        self.taken.copy_(self.steps[..., None, None])
        self.lowest.copy_(self.base[..., None, None])

    def fill_thresholds(self, derived: SignedThresholds) -> None:
        """Fill the buffers with what ``signed_thresholds.derive`` found."""
        self.fill(**{name: torch.from_numpy(value) for name, value in vars(derived).items()})

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) accumulators -> (N, C, H, W) codes."""
        if not torch.compiler.is_exporting():
            return look_up_levels(x, self.thresholds, self.sums)
        reached = x.unsqueeze(2) >= self.compared
        return (reached.to(x.dtype) * self.taken).sum(2) + self.lowest


class IntegerKbitConv(nn.Module):
    """Convolution with integer weights on pixels or codes, then the activation.

    Buffer ``weight`` (C_out, C_in, k, k), +-1 (``binary``) or 8-bit; ``in_range`` = smallest and
    largest input code.
    """

    weight: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        in_range: tuple[int, int],
        k: int,
        falling: bool,
        *,
        binary: bool,
    ) -> None:
        super().__init__()
        self.in_range = in_range
        self.binary = binary
        self.border = kernel // 2
        self.register_buffer("weight", torch.ones(out_channels, in_channels, kernel, kernel))
        self.activation = IntegerKbitActivation(out_channels, k, falling)

    def forward(self, x: Tensor) -> Tensor:
        """Codes (N, C_in, H, W) -> codes (N, C_out, H, W)."""
        out: Tensor = self.activation(F.conv2d(x, self.weight, padding=self.border))
        return out


class IntegerKbitUp(nn.Module):
    """Transposed 2x2 convolution of stride 2 with +-1 weights, then the activation.

    Buffer ``weight`` (C_in, C_out, 2, 2).
    """

    weight: Tensor
    binary = True

    def __init__(self, in_channels: int, out_channels: int, k: int) -> None:
        super().__init__()
        self.in_range = (0, top_level(k))
        self.register_buffer("weight", torch.ones(in_channels, out_channels, 2, 2))
        self.activation = IntegerKbitActivation(out_channels, k, falling=False)

    def forward(self, x: Tensor) -> Tensor:
        """Codes (N, C_in, H, W) -> codes (N, C_out, 2H, 2W)."""
        out: Tensor = self.activation(F.conv_transpose2d(x, self.weight, stride=2))
        return out


class IntegerPixelClassifier(IntegerLogits):
    """Integer 1x1 convolution with bias: logits of every pixel.

    Buffers ``weight`` (classes, C, 1, 1), ``bias`` (classes,), ``shifts`` = fraction bits of a
    logit.
    """

    def __init__(self, in_channels: int, classes: int, in_range: tuple[int, int]) -> None:
        super().__init__((classes, in_channels, 1, 1))
        self.in_range = in_range

    def forward(self, x: Tensor) -> Tensor:
        """Codes (N, C, H, W) -> integer logits (N, classes, H, W)."""
        return F.conv2d(x, self.weight, self.bias)


def check_frozen(net: nn.Module) -> None:
    """Refuse frozen k-bit blocks whose integers are outside their formats.

    Raises:
        ValueError: one line naming tensor and value.
    """
    for name, module in net.named_modules():
        if not isinstance(module, IntegerKbitActivation):
            continue
        wrong = module.steps[module.steps.abs() != 1]
        if len(wrong):
            raise ValueError(f"{name}.steps: found {float(wrong[0]):g}, expected -1 or +1")
        fall = (module.thresholds.diff(dim=1) < 0).any(dim=1)
        if fall.any():
            c = int(fall.nonzero()[0])
            raise ValueError(
                f"{name}.thresholds: found {module.thresholds[c].tolist()} in channel {c}, "
                "expected non-decreasing values"
            )
        # Where neighbours are equal, the sum between them is never a level.
        ends = F.pad(module.thresholds.diff(dim=1) > 0, (0, 1), value=True)
        levels = module.sums[:, 1:][ends]
        low, high = float(levels.min()), float(levels.max())
        if low < 0 or high > top_level(module.k):
            raise ValueError(
                f"{name}: found levels {low:g}..{high:g} by its thresholds, steps and base, "
                f"expected 0..{top_level(module.k)}"
            )
