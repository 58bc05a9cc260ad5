# SPDX-License-Identifier: Apache-2.0
"""A network that undoes the normalisation of its input by its first nodes reads plain steps."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import onnx

from .pixels import SCALING, Pixels, first_reader, written
from .qonnx_graph import QonnxGraph
from .reference_kernels import code_ends

MOVES = ("Reshape", "Flatten")
"""Ops that may stand between: they move values only."""


def absorb(network: onnx.ModelProto, pixels: Pixels) -> Pixels:
    """Take the first nodes of a network into what it reads of a pixel, if that then has a step.

    Bits that stand for -1 and +1, of which the network makes 0 and 1 again, are the bits.

    Args:
        network: cleaned; the nodes that are taken in are removed.
        pixels: what it reads so far.

    Returns:
        What it reads then; ``pixels`` itself where nothing is gained.
    """
    if pixels.step is not None or {len(pixels.mean), len(pixels.std)} != {1}:
        return pixels
    graph = QonnxGraph(network)
    std = written(pixels.std[0])
    factor, offset = pixels.factor / std, -written(pixels.mean[0]) / std
    name = graph.inputs[0].name
    nodes: list[onnx.NodeProto] = []
    while offset:
        readers = graph.consumers[name]
        if len(readers) != 1 or graph.is_output(name):
            return pixels
        (node,) = readers
        operands = graph.operands(node) if node.op_type in SCALING else None
        if node.op_type in MOVES:
            name = node.output[0]
            continue
        if operands is None or operands[1].size != 1:
            return pixels
        number = Fraction(float(operands[1].flat[0]))
        if node.op_type in ("Add", "Sub"):
            offset += number if node.op_type == "Add" else -number
        elif number > 0:
            number = number if node.op_type == "Mul" else 1 / number
            factor, offset = factor * number, offset * number
        else:
            return pixels
        nodes.append(node)
        name = node.output[0]
    found = Pixels(float(factor), why=f"{pixels.why}, as {nodes[-1].name} leaves it")
    if found.step != factor or graph.is_output(name):
        return pixels
    _remove(network, nodes)
    return found


def drop_wide_quantiser(network: onnx.ModelProto, pixels: Pixels) -> str:
    """Take a quantiser of more than 8 bits away from the input, such as fixed-point numbers of 16
    bits, where every byte stands for a number that it leaves as it is.

    Returns:
        What was taken away, in words; empty for nothing.
    """
    graph = QonnxGraph(network)
    node = first_reader(graph)
    shape = graph.shape(graph.inputs[0].name)
    if node is None or node.op_type != "Quant" or graph.is_output(node.output[0]):
        return ""
    scale, zero, bits = (graph.scalar(name) for name in node.input[1:])
    if scale is None or zero is None or bits is None or bits <= 8 or zero % 1:
        return ""
    if not {len(pixels.mean), len(pixels.std)} <= {1, shape[1]}:
        return ""
    exact = pixels.codes(np.arange(256).reshape(256, 1, 1, 1).repeat(shape[1], axis=3))
    if exact is None:
        return ""
    codes, step = exact
    steps = step / Fraction(scale)
    low, high = code_ends(
        bits, **{n: graph.attributes(node).get(n, 1) for n in ("signed", "narrow")}
    )
    places = codes * float(steps.numerator) / float(steps.denominator)
    whole = (codes * steps.numerator % steps.denominator == 0).all()
    if not whole or places.min() + zero < low or places.max() + zero > high:
        return ""
    _remove(network, [node])
    return (
        f"{node.name} ({node.op_type}) of {bits:g} bits leaves all numbers as they are that bytes "
        "stand for: gone"
    )


def _remove(network: onnx.ModelProto, nodes: list[onnx.NodeProto]) -> None:
    """Remove nodes of one computed input each: who reads them reads that."""
    constants = {t.name for t in network.graph.initializer}
    gone = {n.name for n in nodes}
    source: dict[str, str] = {}
    kept = []
    for node in network.graph.node:
        node.input[:] = [source.get(name, name) for name in node.input]
        if node.name in gone:
            (source[node.output[0]],) = (n for n in node.input if n not in constants)
        else:
            kept.append(onnx.NodeProto.FromString(node.SerializeToString()))
    del network.graph.node[:]
    network.graph.node.extend(kept)
    info = [v for v in network.graph.value_info if v.name not in source]
    del network.graph.value_info[:]
    network.graph.value_info.extend(info)
