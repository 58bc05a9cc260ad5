# SPDX-License-Identifier: Apache-2.0
"""The configurations of the networks: every switch that decides a shape, checked, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

RESNETS = {"pa-resnet18": (4, 4, 4, 4), "pa-resnet34": (6, 8, 12, 6), "pa-resnet50": (3, 4, 6, 3)}
"""Units per stage: single 3x3 convolutions with a shortcut, or bottlenecks of three."""
BOTTLENECK = 4
"""Output channels of a bottleneck unit over its inner channels."""


class PaConfig(BaseModel):
    """How a PA layer approximates: M weight bases, N activation bases.

    Attributes:
        m: endpoints of the weights, even.
        n: endpoints of the activations.
        levels: ``"free"``, or ``"linear"`` for levels that are whole multiples of a power of two.
        coefficient_bits: width of the snapped levels; None lets each layer choose by its taps.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    m: int = Field(default=4, ge=2, le=14)
    n: int = Field(default=5, ge=1, le=15)
    levels: Literal["free", "linear"] = "free"
    coefficient_bits: int | None = Field(default=None, ge=4, le=8)

    @field_validator("m")
    @classmethod
    def _even(cls, value: int) -> int:
        if value % 2:
            raise ValueError(f"found M {value}, expected an even number of weight endpoints")
        return value


class BiShuffleNetConfig(BaseModel):
    """Everything that decides the shape of Bi-ShuffleNet.

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
        pa: PA bases in place of 1-bit weights and activations; None leaves one bit.
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
    pa: PaConfig | None = None

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


class PaResNetConfig(PaConfig):
    """Everything that decides the shape of ``pa-resnet18/34/50``.

    Attributes:
        channels: picture channels, 1 or 3.
        classes: number of classes.
        kind: ``"pa"``; ``"1-bit"`` puts 1-bit blocks into the same topology; ``"real"`` is the
            real-valued twin, which never becomes integers.
        weight_bits: weights of the first convolution and the classifier.
    """

    channels: Literal[1, 3] = 3
    classes: int = Field(default=1000, ge=2, le=1000)
    kind: Literal["pa", "real", "1-bit"] = "pa"
    weight_bits: int = Field(default=8, ge=2, le=8)

    @model_validator(mode="after")
    def _bases_belong_to_pa(self) -> PaResNetConfig:
        fields = PaConfig.model_fields.items()
        given = [name for name, field in fields if getattr(self, name) != field.default]
        if self.kind != "pa" and given:
            raise ValueError(f"found {', '.join(given)} with kind {self.kind}, expected kind pa")
        return self


class SmallPaResNetConfig(PaResNetConfig):
    """``pa-resnet-small``: three stages of 16, 32 and 64 channels for pictures from 32x32.

    Attributes:
        depth: layers: the stem, three stages of equally many 3x3 convolutions, the classifier.
    """

    channels: Literal[1, 3] = 1
    classes: int = Field(default=6, ge=2, le=1000)
    depth: int = Field(default=14, ge=5, le=62)

    @field_validator("depth")
    @classmethod
    def _three_stages(cls, value: int) -> int:
        if value % 3 != 2:
            raise ValueError(f"found depth {value}, expected 2 + 3 k such as 8, 14 or 20")
        return value


@dataclass(frozen=True)
class ResNetPlan:
    """Shape of a residual network: stem, channels and number of units of each stage."""

    stem_kernel: int
    widths: tuple[int, ...]
    units: tuple[int, ...]
    bottleneck: bool


def resnet_plan(network: str, config: PaResNetConfig) -> ResNetPlan:
    """Return the shape of a ``pa-resnet`` network; every stage but the first halves the map."""
    if isinstance(config, SmallPaResNetConfig):
        return ResNetPlan(5, (16, 32, 64), ((config.depth - 2) // 3,) * 3, False)
    return ResNetPlan(7, (64, 128, 256, 512), RESNETS[network], network == "pa-resnet50")


class UBiNetConfig(BaseModel):
    """Everything that decides the shape of U-BiNet.

    Attributes:
        channels: picture channels, 1 or 3.
        classes: logits of each pixel.
        base: channels of the first level; every level below doubles them.
        depth: number of max pools.
        k: bits of the activations; 16 and 32 run in PyTorch only.
        kind: ``"binary"``; ``"real"`` is the real-valued twin, which never becomes integers.
        monotone: hold the output shift of RSiLU where no activation steps down.
        weight_bits: weights of the first convolution and the classifier.
        pa: PA bases in place of 1-bit weights and k-bit activations, on INT8 streams.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    channels: Literal[1, 3] = 1
    classes: int = Field(default=2, ge=2, le=1000)
    base: int = Field(default=32, ge=1, le=128)
    depth: Literal[3, 4] = 4
    k: int = 4
    kind: Literal["binary", "real"] = "binary"
    monotone: bool = False
    weight_bits: int = Field(default=8, ge=2, le=8)
    pa: PaConfig | None = None

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


Config: TypeAlias = BiShuffleNetConfig | PaResNetConfig | UBiNetConfig
CONFIGS: dict[str, type[BiShuffleNetConfig] | type[PaResNetConfig] | type[UBiNetConfig]] = {
    "bi-shufflenet": BiShuffleNetConfig,
    "pa-resnet-small": SmallPaResNetConfig,
    **dict.fromkeys(RESNETS, PaResNetConfig),
    "u-binet": UBiNetConfig,
}
"""Every network by name."""


def parse(network: str, config: Mapping[str, Any]) -> Config:
    """Return the checked configuration of a network; missing fields take their defaults.

    Raises:
        ValueError: unknown network or an invalid configuration.
    """
    if network not in CONFIGS:
        raise ValueError(f"found network {network!r}, expected one of: {', '.join(CONFIGS)}")
    try:
        return CONFIGS[network](**config)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in ("config", *first["loc"]))
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] != "value_error":
            message = f"found {first['input']!r}: {message}"
        raise ValueError(f"{network}: {where}: {message}") from error


def place_pa(network: str, pa: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields of ``PaConfig`` as fields of a network's configuration."""
    if not pa or issubclass(CONFIGS.get(network, PaConfig), PaConfig):
        return dict(pa)
    return {"pa": dict(pa)}


def predicts_masks(network: str) -> bool:
    """True for a network of logits per pixel, background and defect."""
    return CONFIGS.get(network) is UBiNetConfig
