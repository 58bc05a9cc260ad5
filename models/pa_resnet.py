# SPDX-License-Identifier: Apache-2.0
"""PA-ResNet: residual networks of PA blocks in the Bi-Real layout, the small one and 18/34/50."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from pydantic import Field, field_validator, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from ..quant.blocks.binary import BinaryBlock
from ..quant.blocks.classifiers import Classifier
from ..quant.blocks.pa import PaBlock
from .network import Network, NetworkConfig, PaConfig, stem
from .registry import NetworkSpec

BOTTLENECK = 4
"""Output channels of a bottleneck unit over its inner channels."""


class PaResNetConfig(PaConfig, NetworkConfig):
    """What all networks of this file share."""

    kind: Literal["pa", "real", "1-bit"] = Field(
        default="pa",
        description="Kind of the blocks: pa, 1-bit, or real for the real-valued twin, which never "
        "becomes integers.",
    )

    @model_validator(mode="after")
    def _bases_belong_to_pa(self) -> PaResNetConfig:
        fields = PaConfig.model_fields.items()
        given = [name for name, field in fields if getattr(self, name) != field.default]
        if self.kind != "pa" and given:
            raise ValueError(f"found {', '.join(given)} with kind {self.kind}, expected kind pa")
        return self

    @property
    def real(self) -> bool:
        """True for the real-valued twin."""
        return self.kind == "real"

    @property
    def element_ops(self) -> int:
        """Table 7 agrees with one per batch-norm element in the 1-bit rows only."""
        return int(self.kind == "1-bit")


class LargePaResNetConfig(PaResNetConfig):
    """``pa-resnet18/34/50``, for colour pictures of 1000 classes as published."""

    channels: Literal[1, 3] = Field(
        default=3, description="Channels of the pictures: 1 for grey, 3 for colour."
    )
    classes: int = Field(
        default=1000, ge=2, le=1000, description="Number of classes that are told apart."
    )


class SmallPaResNetConfig(PaResNetConfig):
    """``pa-resnet-small``: three stages of 16, 32 and 64 channels for pictures from 32x32."""

    depth: int = Field(
        default=14,
        ge=5,
        le=62,
        description="Number of layers, 2 + 3 k: the stem, three stages of k 3x3 convolutions, and "
        "the classifier.",
    )

    @field_validator("depth")
    @classmethod
    def _three_stages(cls, value: int) -> int:
        if value % 3 != 2:
            raise ValueError(f"found depth {value}, expected 2 + 3 k such as 8, 14 or 20")
        return value


@dataclass(frozen=True)
class Plan:
    """Shape of a residual network; every stage but the first halves the map.

    Attributes:
        stem_kernel: kernel size of the first convolution.
        widths: channels of each stage.
        units: units of each stage: single 3x3 convolutions with a shortcut, or bottlenecks.
        bottleneck: True for bottlenecks of three convolutions.
    """

    stem_kernel: int
    widths: tuple[int, ...]
    units: tuple[int, ...]
    bottleneck: bool = False


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
        config: the network's configuration.
        plan: its shape.
    """

    config: PaResNetConfig

    def __init__(self, config: PaResNetConfig, plan: Plan) -> None:
        super().__init__(config)
        make = block_maker(config)
        channels = plan.widths[0]
        self.conv1 = stem(config, channels, plan.stem_kernel)
        stages = []
        for i, (width, number) in enumerate(zip(plan.widths, plan.units, strict=True)):
            units: list[nn.Module] = []
            for j in range(number):
                unit = Bottleneck if plan.bottleneck else ShortcutConv
                units.append(unit(make, channels, width, 2 if i and not j else 1))
                channels = BOTTLENECK * width if plan.bottleneck else width
            stages.append(nn.Sequential(*units))
        self.stages = nn.Sequential(*stages)
        self.classifier = Classifier(channels, config.classes, config.weight_bits)
        self.set_real(False)

    def features(self, x: Tensor) -> Tensor:
        """(N, C, H, W) pixels -> (N, C', H', W') stream; the map shrinks 16 or 32 times."""
        out: Tensor = self.stages(F.max_pool2d(self.conv1(x), 3, 2, 1))
        return out


def _small(config: SmallPaResNetConfig) -> PaResNet:
    return PaResNet(config, Plan(5, (16, 32, 64), ((config.depth - 2) // 3,) * 3))


def _large(*units: int, bottleneck: bool = False) -> NetworkSpec:
    plan = Plan(7, (64, 128, 256, 512), units, bottleneck)
    return NetworkSpec(LargePaResNetConfig, partial(PaResNet, plan=plan))


NETWORKS = {
    "pa-resnet-small": NetworkSpec(SmallPaResNetConfig, _small),
    "pa-resnet18": _large(4, 4, 4, 4),
    "pa-resnet34": _large(6, 8, 12, 6),
    "pa-resnet50": _large(3, 4, 6, 3, bottleneck=True),
}
