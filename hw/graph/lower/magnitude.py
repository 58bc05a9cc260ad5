# SPDX-License-Identifier: Apache-2.0
"""Magnitudes of integers: StreamAbs."""

from __future__ import annotations

import onnx

from ....quant.grid import type_format
from ..qonnx_graph import LoweringError
from .state import Handler, Lowering, layer_of


def magnitude(state: Lowering, node: onnx.NodeProto) -> bool:
    """Abs of a stream."""
    x = state.stream(node)
    state.claim(node)
    if not type_format(x.datatype)[1]:
        raise LoweringError(node, f"takes {x.datatype}, expected a signed type")
    datatype = f"U{x.datatype}"
    (y,) = state.builder.add(
        "StreamAbs",
        layer_of(node),
        [x],
        [(x.shape, datatype)],
        {
            "NumChannels": x.channels,
            "PE": 1,
            "numInputVectors": list(x.shape[:-1]),
            "inputDataType": x.datatype,
            "outputDataType": datatype,
        },
        scale=x.scale,
    )
    state.publish(y, node.output[0])
    return True


HANDLERS: dict[str, Handler] = {"Abs": magnitude}
