# SPDX-License-Identifier: Apache-2.0
"""What all networks share: raw pixels in, logits out, and the way from training to integers."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator
from torch import Tensor, nn

from ..quant.blocks.block import fix_statistics, freeze, set_real
from ..quant.blocks.classifiers import Classifier, IntegerLogits, PixelClassifier
from ..quant.blocks.fixed_point import PIXEL_RANGE, FixedPointBlock
from ..quant.blocks.kbit_activation import HARDWARE_BITS

PIXEL_VARIANCE = 1024.0
"""Nominal variance of a pixel, 32 grey levels squared."""


class NetworkConfig(BaseModel):
    """Base of all configurations: fields are switches, properties are facts that follow from them.

    A description of a field is the help text of its option.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    channels: Literal[1, 3] = Field(
        default=1, description="Channels of the pictures: 1 for grey, 3 for colour."
    )
    classes: int = Field(
        default=6, ge=2, le=1000, description="Number of classes that are told apart."
    )
    weight_bits: int = Field(
        default=8, ge=2, le=8, description="Bits of the weights of the first and last layers."
    )

    @property
    def real(self) -> bool:
        """True for a real-valued twin, which never becomes integers."""
        return False

    @property
    def code_bits(self) -> int:
        """Bits of the widest activations that are codes; outside ``HARDWARE_BITS`` they run in
        PyTorch only."""
        return HARDWARE_BITS[0]

    @property
    def multiple(self) -> int:
        """Sides of pictures that are no multiples of it are reflected up to the next one."""
        return 1

    @property
    def element_ops(self) -> int:
        """Element-wise operations that the network's paper counts per output of a convolution."""
        return 0


class PaConfig(BaseModel):
    """How a PA layer approximates: M weight bases, N activation bases."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    m: int = Field(
        default=4,
        ge=2,
        le=14,
        description="Number M of weight bases of a PA layer, even.",
        json_schema_extra={"flag": "--pa"},
    )
    n: int = Field(
        default=5,
        ge=1,
        le=15,
        description="Number N of activation bases of a PA layer.",
        json_schema_extra={"flag": "--pa"},
    )
    levels: Literal["free", "linear"] = Field(
        default="free",
        description="Levels of PA layers: free, or linear for whole multiples of a power of two.",
    )
    coefficient_bits: int | None = Field(
        default=None,
        ge=4,
        le=8,
        description="Bits of the snapped levels of PA layers; without it each layer chooses by "
        "its number of taps.",
    )

    @field_validator("m")
    @classmethod
    def _even(cls, value: int) -> int:
        if value % 2:
            raise ValueError(f"found M {value}, expected an even number of weight endpoints")
        return value


def stem(config: NetworkConfig, channels: int, kernel: int) -> FixedPointBlock:
    """Return the first convolution, of stride 2 on raw pixels."""
    return FixedPointBlock(
        config.channels,
        channels,
        kernel,
        stride=2,
        weight_bits=config.weight_bits,
        in_range=PIXEL_RANGE,
        in_frac=0,
        in_variance=PIXEL_VARIANCE,
    )


class Network(nn.Module):
    """A classifier of raw pixels, or of each of them; ``features`` is what each network adds.

    Args:
        config: the network's configuration.
    """

    classifier: Classifier | PixelClassifier | IntegerLogits

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config

    def features(self, x: Tensor) -> Tensor:
        """Return the (N, C', H', W') stream that the classifier pools, of (N, C, H, W) pixels."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Return logits.

        Args:
            x: (N, C, H, W) float, raw pixel values 0..255.

        Returns:
            (N, classes) logits; frozen, they are ``integer_logits`` times ``logit_step``.
        """
        logits: Tensor = self.classifier(self.features(x))
        return logits * self.logit_step if self.frozen else logits

    def set_real(self, on: bool) -> None:
        """Run on real values (the first stage of a two-stage recipe), or on the quantised ones."""
        set_real(self, on or self.config.real)

    @property
    def freezable(self) -> bool:
        """False for a network that never becomes integers, by its configuration: it is
        real-valued, or its codes are wider than hardware's."""
        return not self.config.real and self.config.code_bits in HARDWARE_BITS

    @property
    def frozen(self) -> bool:
        """True once ``freeze`` has left nothing but integers."""
        return isinstance(self.classifier, IntegerLogits)

    @property
    def logit_step(self) -> float:
        """Power of two that turns integer logits into logits."""
        if not isinstance(self.classifier, IntegerLogits):
            raise ValueError("logit_step: found a network that is not frozen; call freeze() first")
        return 2.0**-self.classifier.logit_frac

    def integer_logits(self, x: Tensor) -> Tensor:
        """Return the integer logits (N, classes) of a frozen network, in a float container."""
        if not self.frozen:
            raise ValueError("integer_logits: the network is not frozen; call freeze() first")
        logits: Tensor = self.classifier(self.features(x))
        return logits

    def freeze(self) -> None:
        """Turn every constant into integers; the network reads nothing else from then on.

        Raises:
            ValueError: the network runs on real values, or holds NaN.
        """
        if not self.frozen:
            freeze(self)
            self.eval()

    def freeze_bn(self) -> None:
        """From now on BN uses its running statistics, in training mode too."""
        fix_statistics(self)
