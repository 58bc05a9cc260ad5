# SPDX-License-Identifier: Apache-2.0
"""Accepts a lowered graph only if it computes what the QONNX network computes, tensor by tensor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from qonnx.core.modelwrapper import ModelWrapper

from ..kernels.base import IntArray
from .builder import Boundary, boundaries
from .executor import GoldenExecutor
from .heads import Head, heads_of
from .qonnx_graph import LoweringError, QonnxGraph
from .reference import Reference, classes

Tensors = Mapping[str, npt.NDArray[Any]]


def extreme_pictures(
    height: int, width: int, channels: int, noise: int, seed: int = 0
) -> npt.NDArray[np.uint8]:
    """Return all-0, all-255, a checkerboard and ``noise`` random pictures, (N, H, W, C)."""
    shape = (height, width, channels)
    board = np.indices((height, width)).sum(axis=0)[:, :, None] % 2 * 255
    fixed = [np.zeros(shape), np.full(shape, 255), np.broadcast_to(board, shape)]
    rng = np.random.default_rng(seed)
    random = rng.integers(0, 256, (noise, *shape), dtype=np.uint8)
    return np.concatenate([np.stack(fixed).astype(np.uint8), random])


def verify(network: onnx.ModelProto | ModelWrapper, graph: ModelWrapper, noise: int = 3) -> int:
    """Compare a dataflow graph with the exact execution of the network it was lowered from.

    Every layer boundary, the logits and maps among them, and every head are compared on extreme and
    random pictures. The network reads them as `pixels.pixels_of` says, whatever
    scale the dataflow graph gives its input.

    Args:
        network: the QONNX network `lowering.lower` was given.
        graph: what it returned.
        noise: number of random pictures.

    Returns:
        Number of values compared, none of them differing.

    Raises:
        LoweringError: names the first node of the network whose result differs, with the index,
            the expected and the found code.
    """
    proto = network.model if isinstance(network, ModelWrapper) else network
    index = QonnxGraph(proto)
    golden = GoldenExecutor(graph)
    _, height, width, channels = golden.shapes[golden.input]
    heads = heads_of(graph.model)
    pairs = [(b.tensor, b) for b in boundaries(graph) if b.tensor != golden.input]
    # A head that is read inside too leaves the graph as a copy.
    copies = {h.name: h.tensor for h in heads if not h.logits}
    pairs += [
        (copies[b.reference], b)
        for _, b in pairs
        if b.reference in copies and b.tensor != copies[b.reference]
    ]
    judge = Reference(proto)
    wanted_names = {*(h.name for h in heads), *(b.reference for _, b in pairs)}
    compared = 0
    for pixels in extreme_pictures(height, width, channels, noise):
        theirs = judge.run(pixels[None], wanted_names)
        for _, ours in golden.chunks(pixels[None], "all"):
            compared += sum(
                _same_codes(index, p, theirs, ours[tensor], tensor) for tensor, p in pairs
            )
            compared += sum(_same_classes(index, h, theirs, ours) for h in heads if h.logits)
    return compared


def _same_codes(
    index: QonnxGraph, pair: Boundary, theirs: Tensors, ours: IntArray, tensor: str
) -> int:
    node = index.producer.get(pair.reference, index.nodes[0])
    try:
        expected = pair.codes(theirs[pair.reference])
    except ValueError as error:
        raise LoweringError(node, str(error)) from error
    wrong = expected != ours
    if wrong.any():
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise LoweringError(
            node,
            f"lowered to {tensor}, {int(wrong.sum())} of {wrong.size} values "
            f"differ, the first at {at[1:]}: expected {expected[at]}, found {ours[at]}",
        )
    return expected.size


def _same_classes(index: QonnxGraph, head: Head, theirs: Tensors, ours: Tensors) -> int:
    found = ours[head.tensor].reshape(-1)
    wanted = classes(theirs[head.name]).reshape(-1)
    if not np.array_equal(found, wanted):
        first = int(np.flatnonzero(found != wanted)[0])
        raise LoweringError(
            index.producer[head.name],
            f"found class {found[first]} (pixel {first}), expected {wanted[first]} as the "
            "logits say",
        )
    return found.size
