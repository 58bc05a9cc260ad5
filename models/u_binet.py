# SPDX-License-Identifier: Apache-2.0
"""U-BiNet: a half-width U-Net of 1-bit weights and k-bit activations, or of PA bases, for masks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from ..quant.blocks.classifiers import PixelClassifier
from ..quant.blocks.fixed_point import PIXEL_RANGE, FixedPointBlock
from ..quant.blocks.functions import STREAM_FRAC, STREAM_MAX, STREAM_MIN
from ..quant.blocks.kbit import BinaryKbitBlock, BinaryUpBlock, FixedPointKbitBlock
from ..quant.blocks.kbit_functions import WIDEST_CODE, top_level
from ..quant.blocks.pa import PaEpilogueBlock
from .network import PIXEL_VARIANCE, Network, NetworkConfig, PaConfig
from .registry import NetworkSpec


class UBiNetConfig(NetworkConfig):
    """Everything that decides the shape of U-BiNet."""

    classes: int = Field(default=2, ge=2, le=1000, description="Number of logits of each pixel.")
    base: int = Field(
        default=32,
        ge=1,
        le=128,
        description="Channels of the first level; every level below doubles them.",
    )
    depth: Literal[3, 4] = Field(default=4, description="Number of max pools.")
    k: int = Field(
        default=4,
        description="Bits of the activations, 1 to 8; 16 and 32 run in PyTorch only.",
    )
    kind: Literal["binary", "real"] = Field(
        default="binary",
        description="Kind of the blocks: binary, or real for the real-valued twin, which never "
        "becomes integers.",
    )
    monotone: bool = Field(
        default=False,
        description="Activations that never step down: the output shift of RSiLU is held.",
    )
    pa: PaConfig | None = Field(
        default=None,
        description="PA bases in place of 1-bit weights and k-bit activations.",
    )

    @field_validator("k")
    @classmethod
    def _bits(cls, value: int) -> int:
        if value not in (*range(1, 9), 16, 32):
            raise ValueError(f"found k {value}, expected 1 to 8 bits, or 16 or 32 in PyTorch only")
        return value

    @model_validator(mode="after")
    def _pa_has_its_own_activations(self) -> UBiNetConfig:
        fields = UBiNetConfig.model_fields
        given = [n for n in ("k", "monotone") if getattr(self, n) != fields[n].default]
        if self.pa is not None and given:
            raise ValueError(f"found {', '.join(given)} with pa, expected one of them only")
        return self

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of every level, the middle one last."""
        return tuple(self.base << i for i in range(self.depth + 1))

    @property
    def real(self) -> bool:
        """True for the real-valued twin."""
        return self.kind == "real"

    @property
    def code_bits(self) -> int:
        """Bits of the activations."""
        return self.k

    @property
    def multiple(self) -> int:
        """Every max pool halves the sides."""
        return 1 << self.depth


def padding(size: int, multiple: int) -> tuple[int, int]:
    """Return the rows to add before and after ``size`` rows to reach a multiple."""
    missing = -size % multiple
    return missing // 2, missing - missing // 2


@dataclass(frozen=True)
class Blocks:
    """What a U-BiNet is made of.

    Attributes:
        first: 3x3 convolution of pixels.
        conv: (in_channels, out_channels) -> 3x3 block.
        up: (in_channels, out_channels) -> block that doubles the sides.
        classifier: logits of every pixel.
    """

    first: nn.Module
    conv: Callable[[int, int], nn.Module]
    up: Callable[[int, int], nn.Module]
    classifier: PixelClassifier


def _kbit_blocks(config: UBiNetConfig) -> Blocks:
    """Return blocks of +-1 weights on streams of k-bit codes."""
    k, monotone, bits = config.k, config.monotone, config.weight_bits
    value_frac = k if k <= WIDEST_CODE else 0
    return Blocks(
        first=FixedPointKbitBlock(
            config.channels, config.base, 3, bits, PIXEL_RANGE, PIXEL_VARIANCE, k,
            monotone=monotone,
        ),
        conv=lambda c_in, c_out: BinaryKbitBlock(c_in, c_out, 3, k, monotone=monotone),
        up=lambda c_in, c_out: BinaryUpBlock(c_in, c_out, k),
        classifier=PixelClassifier(
            config.base, config.classes, bits, (0, top_level(k)), 0, value_frac
        ),
    )  # fmt: skip


def _pa_blocks(config: UBiNetConfig) -> Blocks:
    """Return blocks of PA bases on INT8 streams; an up-convolution is a 1x1 block of four times the
    channels, whose pixels are then moved apart."""
    options = {} if config.pa is None else config.pa.model_dump()
    bits, codes = config.weight_bits, (STREAM_MIN, STREAM_MAX)
    return Blocks(
        first=FixedPointBlock(
            config.channels, config.base, 3, 1, bits, PIXEL_RANGE, 0, PIXEL_VARIANCE
        ),
        conv=lambda c_in, c_out: PaEpilogueBlock(c_in, c_out, 3, **options),
        up=lambda c_in, c_out: nn.Sequential(
            PaEpilogueBlock(c_in, 4 * c_out, 1, **options), PixelInterleave()
        ),
        classifier=PixelClassifier(
            config.base, config.classes, bits, codes, STREAM_FRAC, STREAM_FRAC
        ),
    )


class PixelInterleave(nn.Module):
    """Four pixels, each of all its channels, beside each other in the channels of one pixel are
    put in their places: y[c, 2i + dy, 2j + dx] = x[(2 dy + dx) C + c, i, j]."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, 4C, H, W) -> (N, C, 2H, 2W)."""
        n, channels, height, width = x.shape
        pixels = x.reshape(n, 2, 2, channels // 4, height, width).permute(0, 3, 4, 1, 5, 2)
        return pixels.reshape(n, channels // 4, 2 * height, 2 * width)


class UBiNet(Network):
    """Encoder of two 3x3 blocks and a max pool per level, decoder of up-convolution, concat of the
    skip (skip first) and two 3x3 blocks per level, 1x1 classifier of pixels.

    A picture whose sides are no multiples of 2**depth is reflected at its borders up to the next
    one, and the logits are cropped back.
    """

    config: UBiNetConfig

    def __init__(self, config: UBiNetConfig) -> None:
        super().__init__(config)
        self.multiple = config.multiple
        blocks = (_kbit_blocks if config.pa is None else _pa_blocks)(config)
        block, widths = blocks.conv, config.widths

        def levels() -> Iterator[nn.Module]:
            yield nn.Sequential(blocks.first, block(widths[0], widths[0]))
            for above, width in pairwise(widths):
                yield nn.Sequential(block(above, width), block(width, width))

        *encoder, middle = levels()
        self.encoder = nn.ModuleList(encoder)
        self.middle = middle
        self.up = nn.ModuleList(blocks.up(2 * width, width) for width in reversed(widths[:-1]))
        self.decoder = nn.ModuleList(
            nn.Sequential(block(2 * width, width), block(width, width))
            for width in reversed(widths[:-1])
        )
        self.classifier = blocks.classifier
        self.set_real(False)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits.

        Args:
            x: (N, C, H, W) float, raw pixel values 0..255.

        Returns:
            (N, classes, H, W) logits; frozen, they are ``integer_logits`` times ``logit_step``.

        Raises:
            ValueError: the picture is too small to be reflected.
        """
        return super().forward(x)

    def features(self, x: Tensor) -> Tensor:
        """(N, C, H, W) pixels -> (N, base, H, W) stream."""
        height, width = x.shape[2:]
        top, bottom = padding(height, self.multiple)
        left, right = padding(width, self.multiple)
        if bottom >= height or right >= width:
            raise ValueError(
                f"u-binet: found a picture of {height}x{width}, expected sides that can be "
                f"reflected up to a multiple of {self.multiple}; enlarge it"
            )
        padded = any((top, bottom, left, right))
        if padded:
            x = F.pad(x, (left, right, top, bottom), mode="reflect")
        skips = []
        for level in self.encoder:
            x = level(x)
            skips.append(x)
            x = F.max_pool2d(x, 2)
        x = self.middle(x)
        for up, level, skip in zip(self.up, self.decoder, reversed(skips), strict=True):
            x = level(torch.cat((skip, up(x)), dim=1))
        return x[:, :, top : top + height, left : left + width] if padded else x


RECIPE = {
    "real_epochs": 40,
    "epochs": 40,
    "finetune_epochs": 4,
    "real_learning_rate": 1e-3,
    "learning_rate": 1e-3,
    "batch": 8,
    "label_smoothing": 0.0,
}

NETWORKS = {"u-binet": NetworkSpec(UBiNetConfig, UBiNet, RECIPE)}
