# SPDX-License-Identifier: Apache-2.0
"""What all networks share: raw pixels in, logits out, and the way from training to integers."""

from __future__ import annotations

from torch import Tensor, nn

from ..quant.blocks.block import fix_statistics, freeze, set_real
from ..quant.blocks.classifiers import Classifier, IntegerLogits, PixelClassifier
from ..quant.blocks.fixed_point import PIXEL_RANGE, FixedPointBlock
from ..quant.blocks.kbit_activation import HARDWARE_BITS
from .config import Config

PIXEL_VARIANCE = 1024.0
"""Nominal variance of a pixel, 32 grey levels squared."""


def stem(config: Config, channels: int, kernel: int) -> FixedPointBlock:
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

    def __init__(self, config: Config) -> None:
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
        set_real(self, on or self._real)

    @property
    def freezable(self) -> bool:
        """False for a network that never becomes integers, by its configuration: it is
        real-valued, or its codes are wider than hardware's."""
        return not self._real and getattr(self.config, "k", 1) in HARDWARE_BITS

    @property
    def _real(self) -> bool:
        return getattr(self.config, "kind", "") == "real"

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
