# SPDX-License-Identifier: Apache-2.0
"""A toy: a stem, a pool, a few 1-bit blocks, a 1x1 convolution, a classifier."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from ..quant.blocks.binary import BinaryBlock
from ..quant.blocks.classifiers import Classifier
from ..quant.blocks.fixed_point import FixedPointBlock
from ..quant.blocks.functions import STREAM_FRAC, STREAM_MAX, STREAM_MIN
from .network import Network, NetworkConfig, stem
from .registry import NetworkSpec


class ToyConfig(NetworkConfig):
    """Everything that decides the shape of the toy."""

    width: int = Field(default=16, ge=4, le=64, description="Channels of every block.")
    depth: int = Field(default=2, ge=1, le=8, description="Number of 1-bit blocks.")


class Toy(Network):
    """1-bit blocks with shortcuts."""

    def __init__(self, config: ToyConfig) -> None:
        super().__init__(config)
        width = config.width
        self.conv1 = stem(config, width, 5)
        self.blocks = nn.ModuleList(BinaryBlock(width, width, 3) for _ in range(config.depth))
        self.conv5 = FixedPointBlock(
            width,
            32,
            1,
            stride=1,
            weight_bits=config.weight_bits,
            in_range=(STREAM_MIN, STREAM_MAX),
            in_frac=STREAM_FRAC,
            in_variance=1.0,
        )
        self.classifier = Classifier(32, config.classes, config.weight_bits)

    def features(self, x: Tensor) -> Tensor:
        """(N, C, H, W) pixels -> (N, 32, H/4, W/4) stream."""
        x = F.max_pool2d(self.conv1(x), 3, 2, 1)
        for block in self.blocks:
            x = block(x, x)
        out: Tensor = self.conv5(x)
        return out


NETWORKS = {"toy-net": NetworkSpec(ToyConfig, Toy, {"epochs": 2, "finetune_epochs": 1})}
