# SPDX-License-Identifier: Apache-2.0
"""Accepts a lowered graph only if it computes what the QONNX network computes, tensor by tensor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from qonnx.core.modelwrapper import ModelWrapper

from .builder import boundaries
from .executor import GoldenExecutor
from .nodewise import Nodewise
from .qonnx_graph import LoweringError, QonnxGraph

FloatTensor: TypeAlias = npt.NDArray[np.float32]


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


def reference(
    proto: onnx.ModelProto, wanted: Sequence[str]
) -> Callable[[FloatTensor], dict[str, FloatTensor]]:
    """Return a function from the network's input (1, C, H, W) to its ``wanted`` tensors.

    ONNX Runtime executes a network that carries bodies for its QONNX ops (a hundred times
    faster), qonnx any other.
    """
    picture = proto.graph.input[0].name
    bodies = {(f.domain, f.name) for f in proto.functions}
    custom = {(n.domain, n.op_type) for n in proto.graph.node if n.domain not in ("", "ai.onnx")}
    if not custom <= bodies:
        return Nodewise(proto)
    copy = onnx.ModelProto.FromString(proto.SerializeToString())
    names = [n for n in wanted if n != picture]
    known = {o.name for o in copy.graph.output}
    copy.graph.output.extend(
        onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, None)
        for n in names
        if n not in known
    )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # Shapes of inner outputs are declared anew: not worth a word.
    session = onnxruntime.InferenceSession(copy.SerializeToString(), options)

    def run(feed: FloatTensor) -> dict[str, FloatTensor]:
        return {picture: feed, **dict(zip(names, session.run(names, {picture: feed}), strict=True))}

    return run


def verify(network: onnx.ModelProto | ModelWrapper, graph: ModelWrapper, noise: int = 3) -> int:
    """Compare a dataflow graph with the execution of the network it was lowered from.

    Every layer boundary and the class (of every pixel) are compared on extreme and random pictures.

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
    pairs = boundaries(graph)
    picture = next(b for b in pairs if b.tensor == golden.input)
    logits, label = index.outputs[0].name, golden.outputs[0]
    execute = reference(proto, [*(b.reference for b in pairs), logits])
    compared = 0
    for pixels in extreme_pictures(height, width, channels, noise):
        theirs = execute(picture.feed(pixels[None]))
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
            found, wanted = ours[label].reshape(-1), np.argmax(theirs[logits], axis=1).reshape(-1)
            if not np.array_equal(found, wanted):
                first = int(np.flatnonzero(found != wanted)[0])
                raise LoweringError(
                    index.nodes[-1],
                    f"found class {found[first]} (pixel {first}), expected {wanted[first]} as the "
                    "logits say",
                )
            compared += found.size
    return compared
