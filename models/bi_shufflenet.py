# SPDX-License-Identifier: Apache-2.0
"""Bi-ShuffleNet: 1-bit ShuffleNetV2 0.5x plan with dense kernels and shortcuts around its convs."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator
from torch import Tensor, nn
from torch.nn import functional as F

from ..quant.functions import STREAM_FRAC, STREAM_MAX, STREAM_MIN
from ..quant.integer import IntegerClassifier
from ..quant.layers import (
    PIXEL_RANGE,
    AveragePool,
    BinaryBlock,
    Classifier,
    Epilogue,
    FixedPointBlock,
    freeze,
    shuffle_concat,
)

UNITS = {"stage2": 4, "stage3": 8, "stage4": 4}
"""Units per stage, the first of each down-samples."""
PIXEL_VARIANCE = 1024.0
"""Nominal variance of a pixel, 32 grey levels squared."""


class BiShuffleNetConfig(BaseModel):
    """Everything that decides the network's shape.

    Attributes:
        channels: picture channels, 1 or 3.
        classes: number of classes.
        width: multiplies the plan 24-48-96-192-1024.
        conv1_kernel: odd kernel size of the first convolution.
        left: kernels of the left branch of down-sampling units, the last one strided.
        right: kernels of the right branch of all units, the last one strided when down-sampling.
        shortcut_down: the pooled shortcut of down-sampling units (S_down).
        shortcut_basic: the identity shortcuts of basic units (S_basic).
        pool: kind of pooling in the down-sampling shortcut.
        weight_bits: weights of conv1, conv5 and the classifier.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    channels: Literal[1, 3] = 1
    classes: int = Field(default=6, ge=2, le=1000)
    width: float = Field(default=1.0, gt=0.0, le=4.0)
    conv1_kernel: int = Field(default=9, ge=1, le=15)
    left: tuple[int, ...] = (5,)
    right: tuple[int, ...] = (3, 3)
    shortcut_down: bool = True
    shortcut_basic: bool = True
    pool: Literal["max", "average"] = "max"
    weight_bits: int = Field(default=8, ge=2, le=8)

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
            BinaryBlock(channels_in, channels_in, k, 2 if last else 1)
            for k, last in _mark_last(config.left)
        )
        self.left.append(BinaryBlock(channels_in, half, 1))
        self.right = nn.ModuleList([BinaryBlock(channels_in, half, 1)])
        self.right.extend(
            BinaryBlock(half, half, k, 2 if last else 1) for k, last in _mark_last(config.right)
        )
        self.right.append(BinaryBlock(half, half, 1))

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
        self.right = nn.ModuleList(BinaryBlock(half, half, k) for k in (1, *config.right, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        left, right = x.chunk(2, dim=1)
        for block in self.right:
            right = block(right, right if self.shortcut else None)
        return shuffle_concat(left, right)


class BiShuffleNet(nn.Module):
    """The published network; raw pixels in, logits out."""

    def __init__(self, config: BiShuffleNetConfig) -> None:
        super().__init__()
        self.config = config
        stem, *stages, last = config.plan
        self.conv1 = FixedPointBlock(
            config.channels,
            stem,
            config.conv1_kernel,
            stride=2,
            weight_bits=config.weight_bits,
            in_range=PIXEL_RANGE,
            in_frac=0,
            in_variance=PIXEL_VARIANCE,
        )
        channels = stem
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
            weight_bits=config.weight_bits,
            in_range=(STREAM_MIN, STREAM_MAX),
            in_frac=STREAM_FRAC,
            in_variance=1.0,
        )
        self.classifier = Classifier(last, config.classes, config.weight_bits)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits.

        Args:
            x: (N, C, H, W) float, raw pixel values 0..255.

        Returns:
            (N, classes) logits; frozen, they are ``integer_logits`` times ``logit_step``.
        """
        logits = self._classify(x)
        return logits * self.logit_step if self.frozen else logits

    def _classify(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        x = F.max_pool2d(x, 3, 2, 1)
        for name in UNITS:
            x = self.get_submodule(name)(x)
        out: Tensor = self.classifier(self.conv5(x))
        return out

    def binary_weights(self, on: bool) -> None:
        """Use +-1 weights in the binary blocks, or (stage 1 of the two-stage recipe) real ones."""
        for module in self.modules():
            if isinstance(module, BinaryBlock):
                module.real = not on

    @property
    def frozen(self) -> bool:
        """True once ``freeze`` has left nothing but integers."""
        return isinstance(self.classifier, IntegerClassifier)

    @property
    def logit_step(self) -> float:
        """Power of two that turns integer logits into logits."""
        if not isinstance(self.classifier, IntegerClassifier):
            raise ValueError("logit_step: found a network that is not frozen; call freeze() first")
        return 2.0**-self.classifier.logit_frac

    def integer_logits(self, x: Tensor) -> Tensor:
        """Return the integer logits (N, classes) of a frozen network, in a float container."""
        if not self.frozen:
            raise ValueError("integer_logits: the network is not frozen; call freeze() first")
        return self._classify(x)

    def freeze(self) -> None:
        """Turn every constant into integers; the network reads nothing else from then on."""
        if not self.frozen:
            freeze(self)
            self.eval()

    def freeze_bn(self) -> None:
        """From now on BN uses its running statistics, in training mode too."""
        for module in self.modules():
            if isinstance(module, Epilogue):
                module.statistics_fixed = True


def _mark_last(kernels: tuple[int, ...]) -> list[tuple[int, bool]]:
    return [(k, i == len(kernels) - 1) for i, k in enumerate(kernels)]
