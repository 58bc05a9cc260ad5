# SPDX-License-Identifier: Apache-2.0
"""GroupedMvu on the CPU: every channel alone, or a dense product with weights 0 between groups."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ....quant.grid import IntArray, accumulator_bounds
from ...cpu.ops import products
from ...cpu.packer import Lowering, Node, Packer
from ...cpu.plan import STORAGE, ModelError
from ...cpu.windows import product_source

LOWEST, HIGHEST = STORAGE["i32"]
MOST_DENSE = 1 << 26
"""Most weights of a dense product."""


@dataclass(frozen=True)
class Constants:
    """What a node multiplies with, its inputs being codes."""

    weights: IntArray
    """(taps * inputs of a group, outputs)."""
    bias: IntArray
    taps: int
    groups: int

    @property
    def depthwise(self) -> bool:
        """Whether a group is one channel."""
        return self.weights.shape[0] == self.taps

    def within(self, bits: int) -> bool:
        """Whether weights are of so many bits."""
        reach = 1 << (bits - 1)
        return bool((self.weights >= -reach).all() and (self.weights < reach).all())

    def dense(self, where: str) -> IntArray:
        """The weights (taps * C, outputs) of all channels."""
        inputs, outputs = self.weights.shape[0] // self.taps, self.weights.shape[1] // self.groups
        if self.weights.size * self.groups > MOST_DENSE:
            raise ModelError(
                f"{where}: found {self.weights.size * self.groups} weights of a dense product, "
                f"expected {MOST_DENSE} at most"
            )
        full = np.zeros((self.taps, self.groups, inputs, self.groups, outputs), dtype=np.int64)
        for group in range(self.groups):
            own = self.weights[:, group * outputs : (group + 1) * outputs]
            full[:, group, :, group] = own.reshape(self.taps, inputs, outputs)
        return full.reshape(-1, self.groups * outputs)


def constants_of(p: Packer, node: Node) -> Constants:
    """Read the constants. Bits that stand for -1 and +1 are codes 0 and 1 times weights twice as
    large, and a bias; so is a border of bits 0."""
    taps, groups = int(node.get("Taps")), int(node.get("Groups"))
    weights = p.initializer(node, 1)
    mw, mh = int(node.get("MW")), int(node.get("MH"))
    if (
        min(taps, groups, mw, mh) < 1
        or mw % (groups * taps)
        or mh % groups
        or weights.shape != (mw // groups, mh)
    ):
        raise ModelError(
            f"{node.where}: found weights {weights.shape}, expected (MW / Groups, MH) of "
            f"MW={mw} MH={mh} Groups={groups} Taps={taps}"
        )
    bias = np.zeros(mh, dtype=np.int64)
    if len(node.inputs) > 2:
        bias = p.initializer(node, 2).reshape(-1)
        if bias.shape != (mh,):
            raise ModelError(f"{node.where}: found {bias.size} biases, expected {mh}")
    weights = 2 * weights - 1 if node.get("weightDataType") == "BINARY" else weights
    if int(node.get("inputSigns")):
        weights, bias = 2 * weights, bias - weights.sum(axis=0)
    return Constants(weights, bias, taps, groups)


def fits_bytes(p: Packer, node: Node) -> bool:
    """Whether a step takes windows in: inputs of 8 bits, and weights of 16 or of 8 bits."""
    found = constants_of(p, node)
    of_bytes = node.datatype("inputDataType").storage in ("bits", "u8", "i8")
    return of_bytes and found.within(16 if found.depthwise else 8)


def lower(p: Packer, node: Node) -> None:
    """Add the steps of a node."""
    found, fast = constants_of(p, node), fits_bytes(p, node)
    source = product_source(p, node, fast)
    inputs, channels = p.types[source.index], p.at(source.index).channels
    if source.geometry.taps * channels != int(node.get("MW")):
        raise ModelError(
            f"{node.where}: found {source.geometry.taps * channels} inputs, "
            f"expected MW={node.get('MW')}"
        )
    low, high = accumulator_bounds(found.weights, inputs.low, inputs.high, found.bias)
    if low.min() < LOWEST or high.max() > HIGHEST:
        raise ModelError(f"{node.where}: its worst-case sums do not fit 32 bits")
    outputs = found.weights.shape[1]
    shape = [*source.leading, outputs]
    out = p.sums(node, shape, node.datatype("outputDataType"), (low, high))
    alone = found.depthwise and source.geometry.taps == found.taps
    if not fast or not (alone or found.within(8)):
        index = p.stored(source.index, "i32")
        products.wide_product(p, node, index, out, found.dense(node.where), found.bias)
        return
    if inputs.storage == "i32":
        raise ModelError(
            f"{node.where}: found {inputs.name} input, "
            f"expected inputDataType {node.get('inputDataType')}"
        )
    index = p.stored(source.index, "u8" if inputs.storage == "bits" else inputs.storage)
    if alone:
        ends = products.depthwise_sums(found.weights.T, found.bias)
        if ends[0] < LOWEST or ends[1] > HIGHEST:
            raise ModelError(f"{node.where}: its partial sums do not fit 32 bits")
        products.depthwise_convolution(
            p, node, index, out, source.geometry, found.weights, found.bias
        )
        return
    weights = found.dense(node.where)
    least, most = products.kernel_sums(
        p.at(index).storage, *products.sums_of(weights.T), found.bias
    )
    if least.min() < LOWEST or most.max() > HIGHEST:
        raise ModelError(f"{node.where}: its partial sums do not fit 32 bits")
    products.int_convolution(p, node, index, out, source.geometry, weights, found.bias)


CPU = {"GroupedMvu": Lowering(lower, reads_windows=fits_bytes)}
