# SPDX-License-Identifier: Apache-2.0
"""Counts weights and operations of a network by the papers' conventions.

The layers are those of the module itself: it is built and run on torch's meta device, which holds
shapes and no values, and each block that runs leaves a row. The blocks say what they cost.

BOPs are the products of 1-bit operands: multiply-accumulates of 1-bit convolutions, M times N
times as many of PA convolutions, and k times as many where 1-bit weights meet k-bit codes. FLOPs
are the multiply-accumulates of real convolutions and of the classifier, plus the element-wise
operations. OPs = BOPs / 64 + FLOPs. Memory is one bit per binary weight, M per PA weight and 32 per
real weight, bias, BN gamma, BN beta, RSiLU zeta and eta. Pools, shuffles, shortcut additions and
the classifier's bias cost nothing. docs/03_reference/counting.md compares the figures with the
published ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ..quant.blocks.block import Cost, Countable, set_real
from .network import Network, NetworkConfig
from .registry import get, parse

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


@dataclass(frozen=True)
class Layer:
    """One convolution or classifier with the batch norm and activation behind it.

    ``macs`` is per picture; ``weights`` includes the classifier's bias, which ``macs`` does not.
    ``name`` is the module's; ``height`` and ``width`` are those of the output.
    """

    name: str
    precision: Precision
    kernel: int
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
        network: a name of ``registry.LINES``.
        height: input rows.
        width: input columns.
        config: fields of the network's configuration, as for ``models.build.build``.
        real_down: count the 1x1 down-sampling of a 1-bit residual network with real weights, as
            the published Bi-Real nets have them.

    Returns:
        Totals and layers, in the order in which they run.

    Raises:
        ValueError: unknown network, or a size or configuration that is not possible.
    """
    parsed = parse(network, config or {})
    for name, value in (("height", height), ("width", width)):
        if value < 1:
            raise ValueError(f"count: found {name} {value}, expected 1 or more")
    with torch.device("meta"):
        net = get(network).module(parsed)
    layers = _layers(net, height, width)
    if real_down:
        layers = _with_real_down(network, parsed, layers)
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
        layers=tuple(layers),
    )


def _layers(net: Network, height: int, width: int) -> list[Layer]:
    """Run a network on the meta device and return a row for each block, in the order they run.

    Raises:
        ValueError: it holds parameters outside the blocks that state their cost.
    """
    blocks = {name: m for name, m in net.named_modules() if isinstance(m, Countable)}
    for parameter, _ in net.named_parameters():
        if not any(parameter.startswith(f"{name}.") for name in blocks):
            raise ValueError(
                f"count: found {parameter} in no block whose cost is known, expected a block that "
                "states it in cost(); see quant/blocks/block.py"
            )
    layers: list[Layer] = []

    def add(name: str, cost: Cost, _: nn.Module, _inputs: tuple[Tensor, ...], out: Tensor) -> None:
        layers.append(_row(name, cost, net.config, out))

    for name, block in blocks.items():
        net.get_submodule(name).register_forward_hook(partial(add, name, block.cost()))
    # Values of scales decide the quantised network, and the meta device has none.
    set_real(net, True)
    multiple = net.config.multiple
    rows, columns = (side + -side % multiple for side in (height, width))
    with torch.no_grad():
        net.eval()(torch.zeros(1, net.config.channels, rows, columns, device="meta"))
    return layers


def _with_real_down(network: str, config: NetworkConfig, layers: list[Layer]) -> list[Layer]:
    """Return the rows with real weights in the down-sampling layers.

    Raises:
        ValueError: the network has none of one bit.
    """
    if not any(layer.name.endswith(".down") for layer in layers):
        raise ValueError(f"count: found real_down with {network}, expected a pa-resnet")
    kind = getattr(config, "kind", "")
    if kind != "1-bit":
        raise ValueError(f"count: found real_down with kind {kind}, expected 1-bit")
    real = replace(REAL, element_ops=config.element_ops)
    return [replace(x, precision=real) if x.name.endswith(".down") else x for x in layers]


def _row(name: str, cost: Cost, config: NetworkConfig, out: Tensor) -> Layer:
    """Return the row of a block with the output ``out``."""
    weight = cost.weight
    channels_out, channels_in = weight.shape[:2]
    height, width = out.shape[2:] or (1, 1)
    element_ops = config.element_ops if cost.element_ops is None else cost.element_ops
    return Layer(
        name=name,
        precision=Precision(cost.bits, cost.pairs, element_ops),
        kernel=weight.shape[-1] if weight.ndim == 4 else 1,
        channels_in=channels_in,
        channels_out=channels_out,
        height=height,
        width=width,
        weights=weight.numel() + cost.bias,
        macs=weight.numel() * height * width // cost.phases,
        bn_channels=cost.norms,
        rsilu_channels=cost.rsilu,
    )
