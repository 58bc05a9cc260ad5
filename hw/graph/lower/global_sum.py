# SPDX-License-Identifier: Apache-2.0
"""The sum over a map, per channel: GlobalAccPool."""

from __future__ import annotations

import onnx

from ..builder import smallest_signed, smallest_unsigned
from ..qonnx_graph import LoweringError
from .state import Handler, Lowering, layer_of, limits


def global_sum(state: Lowering, node: onnx.NodeProto) -> bool:
    axes = state.graph.parameter(node, 1, "axes")
    x = state.stream(node)
    if axes is None or sorted(int(a) % 4 for a in axes.reshape(-1)) != [2, 3]:
        raise LoweringError(node, "sums over other axes, expected the constant axes 2 and 3")
    if x.datatype == "BINARY":
        raise LoweringError(node, f"sums the 1-bit tensor {x.name}, expected integers")
    _, h, w, c = x.shape
    low, high = limits(x.datatype)
    # FINN's op sums unsigned codes to an unsigned number.
    least, most = low * h * w, high * h * w
    datatype = smallest_signed(least, most) if low < 0 else smallest_unsigned(most)
    (y,) = state.builder.add(
        "GlobalAccPool",
        layer_of(node),
        [x],
        [((1, 1, 1, c), datatype)],
        {
            "NumChannels": c,
            "PE": 1,
            "inputDataType": x.datatype,
            "numInputVectors": x.vectors,
        },
        scale=x.scale,
    )
    state.claim(node)
    state.publish(y, node.output[0])
    return True


HANDLERS: dict[str, Handler] = {"ReduceSum": global_sum}
