# SPDX-License-Identifier: Apache-2.0
"""PA-ResNet: residual networks of PA blocks in the Bi-Real layout, the small one and 18/34/50."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F

from ..quant.blocks.binary import BinaryBlock
from ..quant.blocks.classifiers import Classifier
from ..quant.blocks.pa import PaBlock
from .config import BOTTLENECK, PaResNetConfig, resnet_plan
from .network import Network, stem

MakeBlock = Callable[..., nn.Module]
"""(in_channels, out_channels, kernel, stride) -> a block with forward(x, shortcut=None)."""


def block_maker(config: PaResNetConfig) -> MakeBlock:
    """Return what makes the blocks of a configuration; the real twin's are PA blocks too."""
    if config.kind == "1-bit":
        return BinaryBlock
    return partial(
        PaBlock,
        m=config.m,
        n=config.n,
        levels=config.levels,
        coefficient_bits=config.coefficient_bits,
    )


class ShortcutConv(nn.Module):
    """A 3x3 block with a shortcut around it: identity, or 1x1 where the shape changes."""

    def __init__(self, make: MakeBlock, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv = make(channels_in, channels_out, 3, stride)
        self.down: nn.Module | None = None
        if stride != 1 or channels_in != channels_out:
            self.down = make(channels_in, channels_out, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, H, W) -> (N, C_out, ceil(H/stride), ceil(W/stride))."""
        out: Tensor = self.conv(x, x if self.down is None else self.down(x))
        return out


class Bottleneck(nn.Module):
    """1x1 (strided), 3x3 with its own shortcut, 1x1, and the unit's shortcut around all three."""

    def __init__(self, make: MakeBlock, channels_in: int, inner: int, stride: int) -> None:
        super().__init__()
        channels_out = BOTTLENECK * inner
        self.reduce = make(channels_in, inner, 1, stride)
        self.conv = make(inner, inner, 3, 1)
        self.expand = make(inner, channels_out, 1, 1)
        self.down: nn.Module | None = None
        if stride != 1 or channels_in != channels_out:
            self.down = make(channels_in, channels_out, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, H, W) -> (N, 4 inner, ceil(H/stride), ceil(W/stride))."""
        y = self.reduce(x)
        y = self.conv(y, y)
        out: Tensor = self.expand(y, x if self.down is None else self.down(x))
        return out


class PaResNet(Network):
    """Stem of 8-bit weights, max pool 3x3/2, stages of PA blocks, classifier of 8-bit weights.

    Args:
        network: ``"pa-resnet-small"``, ``"pa-resnet18"``, ``"pa-resnet34"`` or ``"pa-resnet50"``.
        config: its configuration.
    """

    def __init__(self, network: str, config: PaResNetConfig) -> None:
        super().__init__(config)
        make = block_maker(config)
        shape = resnet_plan(network, config)
        channels = shape.widths[0]
        self.conv1 = stem(config, channels, shape.stem_kernel)
        stages = []
        for i, (width, number) in enumerate(zip(shape.widths, shape.units, strict=True)):
            units: list[nn.Module] = []
            for j in range(number):
                unit = Bottleneck if shape.bottleneck else ShortcutConv
                units.append(unit(make, channels, width, 2 if i and not j else 1))
                channels = BOTTLENECK * width if shape.bottleneck else width
            stages.append(nn.Sequential(*units))
        self.stages = nn.Sequential(*stages)
        self.classifier = Classifier(channels, config.classes, config.weight_bits)
        self.set_real(False)

    def features(self, x: Tensor) -> Tensor:
        """(N, C, H, W) pixels -> (N, C', H', W') stream; the map shrinks 16 or 32 times."""
        out: Tensor = self.stages(F.max_pool2d(self.conv1(x), 3, 2, 1))
        return out
