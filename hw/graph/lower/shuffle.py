# SPDX-License-Identifier: Apache-2.0
"""Two halves with a channel shuffle of two groups behind: ShuffleConcat."""

from __future__ import annotations

import onnx

from ..qonnx_graph import LoweringError
from .concat import WHY, joined
from .construct import Construct
from .state import Handler, Lowering, layer_of


def shuffle(state: Lowering, node: onnx.NodeProto) -> bool:
    """Concat -> Reshape(n,2,c,h,w) -> Transpose(0,2,1,3,4) -> Reshape(n,2c,h,w)."""
    behind = state.graph.consumers[node.output[0]]
    axes = [len(state.graph.shape(n.output[0])) for n in behind if n.op_type == "Reshape"]
    if len(behind) != 1 or axes != [5]:
        return False
    left, right = joined(state, node, equal=True)
    _, h, w, c = left.shape
    chain = [node]
    shapes = [(1, 2, c, h, w), (1, c, 2, h, w), (1, 2 * c, h, w)]
    for op, shape in zip(("Reshape", "Transpose", "Reshape"), shapes, strict=True):
        readers = state.graph.consumers[chain[-1].output[0]]
        if len(readers) != 1 or readers[0].op_type != op:
            raise LoweringError(node, WHY)
        (reader,) = readers
        if state.graph.shape(reader.output[0]) != shape:
            raise LoweringError(node, WHY)
        chain.append(reader)
    if state.graph.attributes(chain[2])["perm"] != [0, 2, 1, 3, 4]:
        raise LoweringError(node, WHY)
    (y,) = state.builder.add(
        "ShuffleConcat",
        layer_of(node),
        [left, right],
        [((1, h, w, 2 * c), left.datatype)],
        {
            "NumChannels": c,
            "PE": 1,
            "inputDataType": left.datatype,
            "numInputVectors": left.vectors,
        },
        scale=left.scale,
    )
    state.claim(*chain)
    state.publish(y, chain[-1].output[0])
    return True


BUILDS = (
    Construct(
        ("Concat",),
        "two halves and a channel shuffle of two groups behind",
        "any",
        ("shuffle_concat",),
        "equal halves; Reshape, Transpose, Reshape",
    ),
)
HANDLERS: dict[str, Handler] = {"Concat": shuffle}
