# SPDX-License-Identifier: Apache-2.0
"""Bi-ShuffleNet: 1-bit ShuffleNetV2 0.5x plan with dense kernels and shortcuts around its convs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator
from torch import Tensor, nn
from torch.nn import functional as F

from ..quant.blocks.binary import BinaryBlock
from ..quant.blocks.classifiers import Classifier
from ..quant.blocks.fixed_point import FixedPointBlock
from ..quant.blocks.functions import STREAM_FRAC, STREAM_MAX, STREAM_MIN
from ..quant.blocks.moves import AveragePool, shuffle_concat
from ..quant.blocks.pa import PaEpilogueBlock
from .network import Network, NetworkConfig, PaConfig, stem
from .registry import NetworkSpec

UNITS = {"stage2": 4, "stage3": 8, "stage4": 4}
"""Units per stage, the first of each down-samples."""


class BiShuffleNetConfig(NetworkConfig):
    """Everything that decides the shape of Bi-ShuffleNet."""

    width: float = Field(
        default=1.0,
        gt=0.0,
        le=4.0,
        description="Multiplier of the channels 24-48-96-192-1024.",
    )
    conv1_kernel: int = Field(
        default=9, ge=1, le=15, description="Kernel size of the first convolution, odd."
    )
    left: tuple[int, ...] = Field(
        default=(5,),
        description="Kernel sizes of the left branch of down-sampling units, odd; the last one is "
        "strided.",
    )
    right: tuple[int, ...] = Field(
        default=(3, 3),
        description="Kernel sizes of the right branch of every unit, odd; the last one is strided "
        "in down-sampling units.",
    )
    shortcut_down: bool = Field(
        default=True, description="The pooled shortcut of down-sampling units."
    )
    shortcut_basic: bool = Field(default=True, description="The identity shortcuts of basic units.")
    pool: Literal["max", "average"] = Field(
        default="max", description="Kind of pooling in the shortcut of down-sampling units."
    )
    head_bits: int | None = Field(
        default=None,
        ge=2,
        le=8,
        description="Bits of the weights of conv5 and the classifier; those of the first "
        "convolution where left out. At 4, conv5 takes half the block RAM.",
    )
    pa: PaConfig | None = Field(
        default=None, description="PA bases in place of 1-bit weights and activations."
    )

    @field_validator("conv1_kernel")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError(f"found conv1_kernel {value}, expected an odd kernel size")
        return value

    @field_validator("left", "right")
    @classmethod
    def _kernels(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value or any(k % 2 == 0 or not 1 <= k <= 9 for k in value):
            raise ValueError(f"found kernels {value}, expected one or more odd sizes from 1 to 9")
        return value

    @property
    def plan(self) -> tuple[int, int, int, int, int]:
        """Channels after conv1, the three stages and conv5; halves are whole and even."""
        stem = max(2, 2 * round(12 * self.width))
        return stem, 2 * stem, 4 * stem, 8 * stem, max(8, round(1024 * self.width))

    @property
    def last_bits(self) -> int:
        """Bits of the weights of conv5 and the classifier."""
        return self.weight_bits if self.head_bits is None else self.head_bits

    @property
    def element_ops(self) -> int:
        """2 per batch-norm element and 1 per activation element."""
        return 3


def _block(
    config: BiShuffleNetConfig, in_channels: int, out_channels: int, kernel: int, stride: int = 1
) -> nn.Module:
    """Return a block of one bit, or of PA bases where the configuration asks for them."""
    if config.pa is None:
        return BinaryBlock(in_channels, out_channels, kernel, stride)
    return PaEpilogueBlock(in_channels, out_channels, kernel, stride, **config.pa.model_dump())


class DownUnit(nn.Module):
    """Down-sampling unit: both branches see all channels, each gives half of the output."""

    def __init__(self, channels_in: int, channels_out: int, config: BiShuffleNetConfig) -> None:
        super().__init__()
        half = channels_out // 2
        self.pool: nn.Module | None = None
        if config.shortcut_down:
            # An odd map gives ceil(H/2), as the strided convolutions do.
            max_pool = nn.MaxPool2d(2, 2, ceil_mode=True)
            self.pool = max_pool if config.pool == "max" else AveragePool()
        self.left = nn.ModuleList(
            _block(config, channels_in, channels_in, k, 2 if last else 1)
            for k, last in _mark_last(config.left)
        )
        self.left.append(_block(config, channels_in, half, 1))
        self.right = nn.ModuleList([_block(config, channels_in, half, 1)])
        self.right.extend(
            _block(config, half, half, k, 2 if last else 1) for k, last in _mark_last(config.right)
        )
        self.right.append(_block(config, half, half, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, H, W) -> (N, C_out, ceil(H/2), ceil(W/2))."""
        shortcut = None if self.pool is None else self.pool(x)
        left = x
        for block in list(self.left)[:-1]:
            left = block(left)
        left = self.left[-1](left, shortcut)
        right = x
        for block in self.right:
            right = block(right)
        return shuffle_concat(left, right)


class BasicUnit(nn.Module):
    """Basic unit: the first half of the channels passes, the second goes through the branch."""

    def __init__(self, channels: int, config: BiShuffleNetConfig) -> None:
        super().__init__()
        half = channels // 2
        self.shortcut = config.shortcut_basic
        self.right = nn.ModuleList(_block(config, half, half, k) for k in (1, *config.right, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        left, right = x.chunk(2, dim=1)
        for block in self.right:
            right = block(right, right if self.shortcut else None)
        return shuffle_concat(left, right)


class BiShuffleNet(Network):
    """The published network, of 1-bit blocks or of PA blocks."""

    config: BiShuffleNetConfig

    def __init__(self, config: BiShuffleNetConfig) -> None:
        super().__init__(config)
        channels, *stages, last = config.plan
        self.conv1 = stem(config, channels, config.conv1_kernel)
        for (name, units), width in zip(UNITS.items(), stages, strict=True):
            first = DownUnit(channels, width, config)
            rest = [BasicUnit(width, config) for _ in range(units - 1)]
            self.add_module(name, nn.Sequential(first, *rest))
            channels = width
        self.conv5 = FixedPointBlock(
            channels,
            last,
            1,
            stride=1,
            weight_bits=config.last_bits,
            in_range=(STREAM_MIN, STREAM_MAX),
            in_frac=STREAM_FRAC,
            in_variance=1.0,
        )
        self.classifier = Classifier(last, config.classes, config.last_bits)

    def features(self, x: Tensor) -> Tensor:
        """(N, C, H, W) pixels -> (N, C', H/32, W/32) stream, odd maps rounded up."""
        x = self.conv1(x)
        x = F.max_pool2d(x, 3, 2, 1)
        for name in UNITS:
            x = self.get_submodule(name)(x)
        out: Tensor = self.conv5(x)
        return out


def _mark_last(kernels: tuple[int, ...]) -> list[tuple[int, bool]]:
    return [(k, i == len(kernels) - 1) for i, k in enumerate(kernels)]


NETWORKS = {"bi-shufflenet": NetworkSpec(BiShuffleNetConfig, BiShuffleNet)}
