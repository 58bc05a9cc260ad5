# SPDX-License-Identifier: Apache-2.0
"""The ends of random networks: logits, of which a class is picked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foreign_graphs import QONNX

if TYPE_CHECKING:
    from random_networks import Codes, Sampler


def logits(sampler: Sampler, x: Codes) -> int:
    """A convolution over the whole map, or fully connected layers behind a flattening; some with a
    scale per output, a bias or a normalisation behind. Returns the number of logits."""
    labels, net = sampler.pick(2, 5, 10), sampler.net
    if sampler.chance(0.5) or x.channels * x.height * x.width > 600:
        kernel = [x.height, x.width]
        inputs = [x.name, _weights(sampler, labels, x.channels, *kernel), *_bias(sampler, labels)]
        name = net.op("Conv", inputs, kernel_shape=kernel)
        sampler.said.append("Conv head")
        _normalised(sampler, net.op("Flatten", [name], axis=1), labels)
        return labels
    name, features = net.op("Flatten", [x.name], axis=1), x.channels * x.height * x.width
    if sampler.chance(0.5):
        hidden = sampler.pick(8, 16)
        name = net.op("Gemm", [name, sampler.weights(hidden, features)], transB=1)
        name = net.quant(net.norm(name, hidden), sampler.scale(), sampler.pick(2, 4))
        features = hidden
    inputs = [name, _weights(sampler, labels, features), *_bias(sampler, labels)]
    name = net.op("Gemm", inputs, transB=1)
    sampler.said.append("Gemm head")
    _normalised(sampler, name, labels)
    return labels


def _weights(sampler: Sampler, *shape: int) -> str:
    values = sampler.net.constant(sampler.net.weights(*shape))
    if sampler.chance(0.6):
        return sampler.net.quant(values, sampler.scale(), sampler.pick(2, 4, 8), narrow=1)
    sampler.said.append("scale per logit")
    scales = sampler.rng.uniform(0.05, 0.2, [shape[0], *(1,) * (len(shape) - 1)])
    bits = float(sampler.pick(2, 4, 8))
    inputs = [values, *map(sampler.net.constant, (scales, 0.0, bits))]
    return sampler.net.op("Quant", inputs, QONNX, signed=1, narrow=1, rounding_mode="ROUND")


def _bias(sampler: Sampler, labels: int) -> list[str]:
    if sampler.chance(0.7):
        return []
    sampler.said.append("bias")
    return [sampler.net.constant(sampler.rng.normal(size=labels))]


def _normalised(sampler: Sampler, name: str, labels: int) -> None:
    if sampler.chance(0.3):
        sampler.said.append("norm")
        sampler.net.norm(name, labels)
