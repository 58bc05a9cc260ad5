# SPDX-License-Identifier: Apache-2.0
"""Accepts a lowered graph only if it computes what the QONNX network computes, tensor by tensor."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
from qonnx.core.modelwrapper import ModelWrapper

from .builder import boundaries
from .executor import GoldenExecutor
from .qonnx_graph import LoweringError, QonnxGraph
from .reference import Reference, classes


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

    Every layer boundary, the logits or map among them, and the class (of every pixel) are compared
    on extreme and random pictures. The network reads them as `pixels.pixels_of` says, whatever
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
    pairs = [b for b in boundaries(graph) if b.tensor != golden.input]
    label = golden.outputs[0]
    judge = Reference(proto)
    wanted_names = {judge.output, *(b.reference for b in pairs)}
    compared = 0
    for pixels in extreme_pictures(height, width, channels, noise):
        theirs = judge.run(pixels[None], wanted_names)
        for _, ours in golden.chunks(pixels[None], "all"):
            for pair in pairs:
                node = index.producer.get(pair.reference, index.nodes[0])
                try:
                    expected = pair.codes(theirs[pair.reference])
                except ValueError as error:
                    raise LoweringError(node, str(error)) from error
                wrong = expected != ours[pair.tensor]
                if wrong.any():
                    at = tuple(int(i) for i in np.argwhere(wrong)[0])
                    raise LoweringError(
                        node,
                        f"lowered to {pair.tensor}, {int(wrong.sum())} of {wrong.size} values "
                        f"differ, the first at {at[1:]}: expected {expected[at]}, found "
                        f"{ours[pair.tensor][at]}",
                    )
                compared += expected.size
            found, wanted = ours[label].reshape(-1), classes(theirs[judge.output]).reshape(-1)
            if not np.array_equal(found, wanted):
                first = int(np.flatnonzero(found != wanted)[0])
                raise LoweringError(
                    index.nodes[-1],
                    f"found class {found[first]} (pixel {first}), expected {wanted[first]} as the "
                    "logits say",
                )
            compared += found.size
    return compared
