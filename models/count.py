# SPDX-License-Identifier: Apache-2.0
"""Counts weights and operations of a network from its layer table, by the papers' conventions.

Conventions: BOPs are the multiply-accumulates of 1-bit convolutions; FLOPs are those of real
convolutions and of the classifier, plus 2 per batch-norm element and 1 per activation element;
OPs = BOPs / 64 + FLOPs. Pools, signs, shuffles, shortcut additions and the classifier's bias cost
nothing. Memory is one bit per binary weight and 32 per real weight, bias, BN gamma and BN beta.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

UNITS = (4, 8, 4)
"""Units of Bi-ShuffleNet's stages 2, 3, 4; the first of each halves the map."""

BITS_PER_REAL = 32


@dataclass(frozen=True)
class Layer:
    """One convolution or classifier with the batch norm and activation behind it.

    ``macs``, ``bn_elements`` are per picture; ``weights`` includes the classifier's bias, which
    ``macs`` does not.
    """

    name: str
    binary: bool
    kernel: int
    stride: int
    channels_in: int
    channels_out: int
    height: int
    width: int
    weights: int
    macs: int
    bn_channels: int

    @property
    def bn_elements(self) -> int:
        """Elements that pass through batch norm, and through the activation behind it."""
        return self.bn_channels * self.height * self.width

    @property
    def bops(self) -> int:
        """1-bit multiply-accumulates."""
        return self.macs if self.binary else 0

    @property
    def flops(self) -> int:
        """Real multiply-accumulates, 2 per batch-norm element, 1 per activation element."""
        return (0 if self.binary else self.macs) + 3 * self.bn_elements


@dataclass(frozen=True)
class Counts:
    """Totals of a network at one input size, with the layers they come from."""

    binary_weights: int
    real_weights: int
    bn_channels: int
    bops: int
    flops: int
    ops: float
    memory_bits: int
    layers: tuple[Layer, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the seven totals by name, as ``andpop count --json`` prints them."""
        return {k: v for k, v in vars(self).items() if k != "layers"}


def count(
    network: str,
    height: int,
    width: int,
    channels: int = 1,
    classes: int = 6,
    *,
    conv1_kernel: int = 9,
    left: Sequence[int] = (5,),
    right: Sequence[int] = (3, 3),
    width_multiplier: float = 1.0,
) -> Counts:
    """Count a network at an input size.

    The shortcuts and the kind of shortcut pool change no figure, so they are not asked for.

    Args:
        network: "bi-shufflenet".
        height: input rows.
        width: input columns.
        channels: input channels, 1 or 3 as a rule.
        classes: outputs of the classifier.
        conv1_kernel: kernel of the first convolution.
        left: kernels of the down-sampling units' left branch, the last of stride 2.
        right: kernels between the two 1x1 convolutions of every right branch.
        width_multiplier: factor on the plan 24-48-96-192-1024, rounded to whole and even halves.

    Returns:
        Totals and layers.

    Raises:
        ValueError: unknown network, or a size, kernel or multiplier that is not possible.
    """
    if network != "bi-shufflenet":
        raise ValueError(f"count: found network '{network}', expected 'bi-shufflenet'")
    for name, value in (
        ("height", height),
        ("width", width),
        ("channels", channels),
        ("classes", classes),
    ):
        if value < 1:
            raise ValueError(f"count: found {name} {value}, expected 1 or more")
    for name, kernels in (("conv1_kernel", (conv1_kernel,)), ("left", left), ("right", right)):
        if not kernels or any(k < 1 or k % 2 == 0 for k in kernels):
            raise ValueError(f"count: found {name} {list(kernels)}, expected odd kernels")
    if not width_multiplier > 0:
        raise ValueError(
            f"count: found width multiplier {width_multiplier:g}, expected a number above 0"
        )
    layers = tuple(
        _bi_shufflenet(
            height,
            width,
            channels,
            classes,
            conv1_kernel,
            tuple(left),
            tuple(right),
            width_multiplier,
        )
    )
    binary = sum(layer.weights for layer in layers if layer.binary)
    real = sum(layer.weights for layer in layers if not layer.binary)
    bn = sum(layer.bn_channels for layer in layers)
    bops = sum(layer.bops for layer in layers)
    flops = sum(layer.flops for layer in layers)
    return Counts(
        binary_weights=binary,
        real_weights=real,
        bn_channels=bn,
        bops=bops,
        flops=flops,
        ops=bops / 64 + flops,
        memory_bits=binary + BITS_PER_REAL * (real + 2 * bn),
        layers=layers,
    )


def _conv(
    name: str,
    channels_in: int,
    channels_out: int,
    kernel: int,
    stride: int,
    size: tuple[int, int],
    binary: bool = True,
) -> Layer:
    # Padding is kernel // 2, so an odd kernel yields ceil(size / stride).
    rows, columns = (-(-n // stride) for n in size)
    weights = channels_in * channels_out * kernel * kernel
    return Layer(
        name=name,
        binary=binary,
        kernel=kernel,
        stride=stride,
        channels_in=channels_in,
        channels_out=channels_out,
        height=rows,
        width=columns,
        weights=weights,
        macs=weights * rows * columns,
        bn_channels=channels_out,
    )


def _branch(
    prefix: str, plan: Sequence[tuple[int, int, int, int]], size: tuple[int, int]
) -> Iterator[Layer]:
    """Yield a chain of 1-bit convolutions given as (in, out, kernel, stride)."""
    for i, (channels_in, channels_out, kernel, stride) in enumerate(plan, start=1):
        layer = _conv(f"{prefix}{i}", channels_in, channels_out, kernel, stride, size)
        size = (layer.height, layer.width)
        yield layer


def _bi_shufflenet(
    height: int,
    width: int,
    channels: int,
    classes: int,
    conv1_kernel: int,
    left: tuple[int, ...],
    right: tuple[int, ...],
    multiplier: float,
) -> Iterator[Layer]:
    stem = max(2, 2 * round(12 * multiplier))
    conv1 = _conv("conv1", channels, stem, conv1_kernel, 2, (height, width), binary=False)
    yield conv1
    # The 3x3 stride-2 max-pool with padding 1 halves the map like a convolution does.
    size = (-(-conv1.height // 2), -(-conv1.width // 2))
    inner = stem
    for stage, units in enumerate(UNITS, start=2):
        outer = 2 * inner
        half = outer // 2
        strides = [1] * (len(left) - 1) + [2]
        yield from _branch(
            f"stage{stage}.0.left",
            [(inner, inner, k, s) for k, s in zip(left, strides, strict=True)]
            + [(inner, half, 1, 1)],
            size,
        )
        strides = [1] * (len(right) - 1) + [2]
        yield from _branch(
            f"stage{stage}.0.right",
            [(inner, half, 1, 1)]
            + [(half, half, k, s) for k, s in zip(right, strides, strict=True)]
            + [(half, half, 1, 1)],
            size,
        )
        size = (-(-size[0] // 2), -(-size[1] // 2))
        for unit in range(1, units):
            yield from _branch(
                f"stage{stage}.{unit}.right", [(half, half, k, 1) for k in (1, *right, 1)], size
            )
        inner = outer
    last = max(8, round(1024 * multiplier))
    yield _conv("conv5", inner, last, 1, 1, size, binary=False)
    yield Layer(
        name="fc",
        binary=False,
        kernel=1,
        stride=1,
        channels_in=last,
        channels_out=classes,
        height=1,
        width=1,
        weights=last * classes + classes,
        macs=last * classes,
        bn_channels=0,
    )
