# SPDX-License-Identifier: Apache-2.0
"""U-BiNet: a half-width U-Net of 1-bit weights and k-bit activations, for masks."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..quant.kbit_layers import (
    BinaryKbitBlock,
    BinaryUpBlock,
    FixedPointKbitBlock,
    PixelClassifier,
)
from ..quant.layers import PIXEL_RANGE
from .config import UBiNetConfig
from .network import PIXEL_VARIANCE, Network


def padding(size: int, multiple: int) -> tuple[int, int]:
    """Return the rows to add before and after ``size`` rows to reach a multiple."""
    missing = -size % multiple
    return missing // 2, missing - missing // 2


class UBiNet(Network):
    """Encoder of two 3x3 blocks and a max pool per level, decoder of up-convolution, concat of the
    skip (skip first) and two 3x3 blocks per level, 1x1 classifier of pixels.

    A picture whose sides are no multiples of 2**depth is reflected at its borders up to the next
    one, and the logits are cropped back.
    """

    def __init__(self, config: UBiNetConfig) -> None:
        super().__init__(config)
        self.multiple = 1 << config.depth
        k, monotone, widths = config.k, config.monotone, config.widths
        first = FixedPointKbitBlock(
            config.channels, widths[0], 3, config.weight_bits, PIXEL_RANGE, PIXEL_VARIANCE, k,
            monotone=monotone,
        )  # fmt: skip

        def block(channels_in: int, channels_out: int) -> BinaryKbitBlock:
            return BinaryKbitBlock(channels_in, channels_out, 3, k, monotone=monotone)

        def levels() -> Iterator[nn.Module]:
            yield nn.Sequential(first, block(widths[0], widths[0]))
            for above, width in pairwise(widths):
                yield nn.Sequential(block(above, width), block(width, width))

        *encoder, middle = levels()
        self.encoder = nn.ModuleList(encoder)
        self.middle = middle
        self.up = nn.ModuleList(
            BinaryUpBlock(2 * width, width, k) for width in reversed(widths[:-1])
        )
        self.decoder = nn.ModuleList(
            nn.Sequential(block(2 * width, width), block(width, width))
            for width in reversed(widths[:-1])
        )
        self.classifier = PixelClassifier(widths[0], config.classes, config.weight_bits, k)
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
        """(N, C, H, W) pixels -> (N, base, H, W) codes."""
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
