# SPDX-License-Identifier: Apache-2.0
"""Counts weights and operations of a network from its layer table, by the papers' conventions.

BOPs are the products of 1-bit operands: multiply-accumulates of 1-bit convolutions, M times N
times as many of PA convolutions, and k times as many where 1-bit weights meet k-bit codes. FLOPs
are the multiply-accumulates of real convolutions and of the classifier, plus the element-wise
operations. OPs = BOPs / 64 + FLOPs. Memory is one bit per binary weight, M per PA weight and 32 per
real weight, bias, BN gamma, BN beta, RSiLU zeta and eta. Pools, shuffles, shortcut additions and
the classifier's bias cost nothing. docs/03_reference/counting.md compares the figures with the
published ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .config import (
    BOTTLENECK,
    BiShuffleNetConfig,
    PaConfig,
    PaResNetConfig,
    UBiNetConfig,
    parse,
    resnet_plan,
)

UNITS = (4, 8, 4)
"""Units of Bi-ShuffleNet's stages 2, 3, 4; the first of each halves the map."""

BITS_PER_REAL = 32


@dataclass(frozen=True)
class Precision:
    """What one weight, one multiply-accumulate and one output of a convolution cost.

    Attributes:
        bases: bits per weight, M of a PA convolution; 0 for real weights.
        pairs: 1-bit products per multiply-accumulate, M*N of a PA convolution.
        element_ops: element-wise operations per output.
    """

    bases: int
    pairs: int
    element_ops: int


REAL = Precision(0, 0, 0)
BI_SHUFFLENET_ELEMENT_OPS = 3
"""2 per batch-norm element and 1 per activation element."""


def _pa(config: PaConfig, behind: int = 0) -> Precision:
    """N comparisons, N multiplications, N-1 additions and one BN per output (Table 8 of PA-Net)."""
    return Precision(config.m, config.m * config.n, 3 * config.n + behind)


@dataclass(frozen=True)
class Layer:
    """One convolution or classifier with the batch norm and activation behind it.

    ``macs`` is per picture; ``weights`` includes the classifier's bias, which ``macs`` does not.
    """

    name: str
    precision: Precision
    kernel: int
    stride: int
    channels_in: int
    channels_out: int
    height: int
    width: int
    weights: int
    macs: int
    bn_channels: int
    rsilu_channels: int = 0

    @property
    def binary(self) -> bool:
        """True where weights are held as bits."""
        return self.precision.bases > 0

    @property
    def memory_bits(self) -> int:
        """Bits of weights, biases, BN gammas and betas, RSiLU zetas and etas."""
        weight = self.precision.bases or BITS_PER_REAL
        channels = self.bn_channels + self.rsilu_channels
        return weight * self.weights + 2 * BITS_PER_REAL * channels

    @property
    def bops(self) -> int:
        """1-bit products."""
        return self.macs * self.precision.pairs

    @property
    def flops(self) -> int:
        """Real multiply-accumulates and element-wise operations."""
        outputs = self.channels_out * self.height * self.width
        return (0 if self.binary else self.macs) + self.precision.element_ops * outputs


@dataclass(frozen=True)
class Counts:
    """Totals of a network at one input size, with the layers they come from."""

    binary_weights: int
    real_weights: int
    bn_channels: int
    rsilu_channels: int
    macs: int
    bops: int
    flops: int
    ops: float
    memory_bits: int
    layers: tuple[Layer, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the totals by name, as ``andpop count --json`` prints them."""
        parameters = {
            "weights": self.binary_weights + self.real_weights,
            "bn_parameters": 2 * self.bn_channels,
            "rsilu_parameters": 2 * self.rsilu_channels,
        }
        return {**{k: v for k, v in vars(self).items() if k != "layers"}, **parameters}


def count(
    network: str,
    height: int,
    width: int,
    config: Mapping[str, Any] | None = None,
    *,
    real_down: bool = False,
) -> Counts:
    """Count a network at an input size.

    Args:
        network: a name of ``config.CONFIGS``.
        height: input rows.
        width: input columns.
        config: fields of the network's configuration, as for ``models.build.build``.
        real_down: count the 1x1 down-sampling of a 1-bit residual network with real weights, as
            the published Bi-Real nets have them.

    Returns:
        Totals and layers.

    Raises:
        ValueError: unknown network, or a size or configuration that is not possible.
    """
    parsed = parse(network, config or {})
    for name, value in (("height", height), ("width", width)):
        if value < 1:
            raise ValueError(f"count: found {name} {value}, expected 1 or more")
    if isinstance(parsed, PaResNetConfig):
        if real_down and parsed.kind != "1-bit":
            raise ValueError(f"count: found real_down with kind {parsed.kind}, expected 1-bit")
        layers = tuple(_pa_resnet(network, parsed, (height, width), real_down))
    elif real_down:
        raise ValueError(f"count: found real_down with {network}, expected a pa-resnet")
    elif isinstance(parsed, UBiNetConfig):
        layers = tuple(_u_binet(parsed, (height, width)))
    else:
        layers = tuple(_bi_shufflenet(parsed, (height, width)))
    bops = sum(layer.bops for layer in layers)
    flops = sum(layer.flops for layer in layers)
    return Counts(
        binary_weights=sum(layer.weights for layer in layers if layer.binary),
        real_weights=sum(layer.weights for layer in layers if not layer.binary),
        bn_channels=sum(layer.bn_channels for layer in layers),
        rsilu_channels=sum(layer.rsilu_channels for layer in layers),
        macs=sum(layer.macs for layer in layers),
        bops=bops,
        flops=flops,
        ops=bops / 64 + flops,
        memory_bits=sum(layer.memory_bits for layer in layers),
        layers=layers,
    )


def _halved(size: tuple[int, int]) -> tuple[int, int]:
    """Size behind anything of stride 2: ceil(n / 2)."""
    return -(-size[0] // 2), -(-size[1] // 2)


def _conv(
    name: str,
    channels_in: int,
    channels_out: int,
    kernel: int,
    stride: int,
    size: tuple[int, int],
    precision: Precision,
) -> Layer:
    # Padding is kernel // 2, so an odd kernel yields ceil(size / stride).
    rows, columns = (-(-n // stride) for n in size)
    weights = channels_in * channels_out * kernel * kernel
    return Layer(
        name=name,
        precision=precision,
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


def _classifier(channels: int, classes: int) -> Layer:
    return Layer(
        name="fc",
        precision=REAL,
        kernel=1,
        stride=1,
        channels_in=channels,
        channels_out=classes,
        height=1,
        width=1,
        weights=channels * classes + classes,
        macs=channels * classes,
        bn_channels=0,
    )


def _branch(
    prefix: str,
    plan: Sequence[tuple[int, int, int, int]],
    size: tuple[int, int],
    config: BiShuffleNetConfig,
) -> Iterator[Layer]:
    """Yield a chain of 1-bit or PA convolutions given as (in, out, kernel, stride)."""
    precision = Precision(1, 1, BI_SHUFFLENET_ELEMENT_OPS)
    if config.pa is not None:
        precision = _pa(config.pa, BI_SHUFFLENET_ELEMENT_OPS)
    for i, (channels_in, channels_out, kernel, stride) in enumerate(plan, start=1):
        layer = _conv(f"{prefix}{i}", channels_in, channels_out, kernel, stride, size, precision)
        if config.pa is not None:
            # A PA convolution brings a batch norm in front of its own.
            layer = replace(layer, bn_channels=channels_in + channels_out)
        size = (layer.height, layer.width)
        yield layer


def _bi_shufflenet(config: BiShuffleNetConfig, size: tuple[int, int]) -> Iterator[Layer]:
    stem, *_, last = config.plan
    left, right = config.left, config.right
    real = Precision(0, 0, BI_SHUFFLENET_ELEMENT_OPS)
    conv1 = _conv("conv1", config.channels, stem, config.conv1_kernel, 2, size, real)
    yield conv1
    # The 3x3 stride-2 max-pool with padding 1 halves the map like a convolution does.
    size = _halved((conv1.height, conv1.width))
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
            config,
        )
        strides = [1] * (len(right) - 1) + [2]
        yield from _branch(
            f"stage{stage}.0.right",
            [(inner, half, 1, 1)]
            + [(half, half, k, s) for k, s in zip(right, strides, strict=True)]
            + [(half, half, 1, 1)],
            size,
            config,
        )
        size = _halved(size)
        for unit in range(1, units):
            plan = [(half, half, k, 1) for k in (1, *right, 1)]
            yield from _branch(f"stage{stage}.{unit}.right", plan, size, config)
        inner = outer
    yield _conv("conv5", inner, last, 1, 1, size, real)
    yield _classifier(last, config.classes)


def _pa_resnet(
    network: str, config: PaResNetConfig, size: tuple[int, int], real_down: bool
) -> Iterator[Layer]:
    inner = {"pa": _pa(config), "1-bit": Precision(1, 1, 1), "real": REAL}[config.kind]
    # Table 7 agrees with one operation per batch-norm element in the 1-bit rows only.
    real = Precision(0, 0, 1) if config.kind == "1-bit" else REAL
    down = real if real_down else inner
    shape = resnet_plan(network, config)
    channels = shape.widths[0]
    conv1 = _conv("conv1", config.channels, channels, shape.stem_kernel, 2, size, real)
    yield conv1
    size = _halved((conv1.height, conv1.width))
    for stage, (width, number) in enumerate(zip(shape.widths, shape.units, strict=True)):
        for unit in range(number):
            stride = 2 if stage and not unit else 1
            outer = width
            plan = [(channels, width, 3, stride)]
            if shape.bottleneck:
                outer = BOTTLENECK * width
                plan = [(channels, width, 1, stride), (width, width, 3, 1), (width, outer, 1, 1)]
            name = f"stages.{stage}.{unit}"
            if stride != 1 or channels != outer:
                yield _conv(f"{name}.down", channels, outer, 1, stride, size, down)
            for i, (channels_in, channels_out, kernel, step) in enumerate(plan):
                layer = _conv(f"{name}.{i}", channels_in, channels_out, kernel, step, size, inner)
                size = (layer.height, layer.width)
                yield layer
            channels = outer
    yield _classifier(channels, config.classes)


def _u_binet(config: UBiNetConfig, size: tuple[int, int]) -> Iterator[Layer]:
    """Yield the layers on maps padded to a multiple of 2**depth, named as their modules."""
    multiple = 1 << config.depth
    rows, columns = (-(-n // multiple) * multiple for n in size)
    pa = config.pa
    inner = REAL
    if config.kind == "binary":
        inner = Precision(1, config.k, 0) if pa is None else _pa(pa, BI_SHUFFLENET_ELEMENT_OPS)

    def block(name: str, channels_in: int, channels_out: int, level: int, kernel: int = 3) -> Layer:
        at = rows >> level, columns >> level
        first = name == "encoder.0.0"
        layer = _conv(name, channels_in, channels_out, kernel, 1, at, REAL if first else inner)
        if pa is None:
            rsilu = kernel == 3 and config.kind == "binary"
            return replace(layer, rsilu_channels=channels_out if rsilu else 0)
        # A PA convolution brings a batch norm in front of its own, which an up-convolution has
        # for each of its four pixels.
        behind = channels_out if kernel == 3 else 4 * channels_out
        return replace(layer, bn_channels=behind if first else channels_in + behind)

    channels: int = config.channels
    for level, width in enumerate(config.widths):
        name = "middle" if level == config.depth else f"encoder.{level}"
        yield block(f"{name}.0", channels, width, level)
        yield block(f"{name}.1", width, width, level)
        channels = width
    for i, width in enumerate(reversed(config.widths[:-1])):
        level = config.depth - 1 - i
        # Four 1x1 convolutions of the smaller map fill the larger one.
        up = block(f"up.{i}", 2 * width, width, level, kernel=1)
        yield replace(up, kernel=2, weights=4 * up.weights)
        yield block(f"decoder.{i}.0", 2 * width, width, level)
        yield block(f"decoder.{i}.1", width, width, level)
    head = _conv("classifier", config.base, config.classes, 1, 1, (rows, columns), REAL)
    yield replace(head, weights=head.weights + config.classes, bn_channels=0)
