# SPDX-License-Identifier: Apache-2.0
"""Rounding shifts and residual sums: ShiftRequant."""

from __future__ import annotations

import onnx

from ..epilogue_pattern import match_residual, match_rounding
from ..qonnx_graph import LoweringError
from .construct import Construct
from .state import Handler, Lowering, layer_of


def residual(state: Lowering, node: onnx.NodeProto) -> bool:
    """A stream, or the sum of two, shifted to fewer bits and rounded."""
    try:
        found = match_residual(state.graph, match_rounding(state.graph, node))
    except LoweringError as error:
        state.passed[node.name] = error
        return False
    if found.x not in state.streams:
        state.passed.setdefault(
            node.name,
            LoweringError(
                node, "rounds a tensor outside of every supported pattern (epilogue, sum pool)"
            ),
        )
        return True
    inputs = [state.streams[found.x]]
    if found.shortcut is not None:
        if found.shortcut not in state.streams:
            raise LoweringError(
                node, f"the shortcut {found.shortcut} is no stream, expected a quantised tensor"
            )
        inputs.append(state.streams[found.shortcut])
    for x in inputs:
        if x.plan:
            raise LoweringError(
                node,
                f"rounds {x.name}, a map {x.plan} (HWC) that was flattened, expected it in front "
                "of the flattening",
            )
        if x.scale != 1.0 or x.levels or x.datatype == "BINARY" or x.shape != inputs[0].shape:
            raise LoweringError(
                node,
                f"its input {x.name} is {x.datatype} {x.shape} of scale {float(x.scale):g}, "
                f"expected integer codes of shape {inputs[0].shape}",
            )
    state.claim(*found.nodes)
    datatype = f"INT{found.rounding.bits}"
    (y,) = state.builder.add(
        "ShiftRequant",
        layer_of(node),
        inputs,
        [(inputs[0].shape, datatype)],
        {
            "NumChannels": inputs[0].channels,
            "PE": 1,
            "numInputVectors": inputs[0].vectors,
            "inputDataType": inputs[0].datatype,
            "outputDataType": datatype,
            "shift": found.rounding.shift,
            "hasShortcut": len(inputs) - 1,
            "shortcutShift": found.shortcut_shift,
            "shortcutDataType": "".join(x.datatype for x in inputs[1:]),
        },
    )
    state.publish(y, node.output[0])
    return True


BUILDS = (
    Construct(
        ("Quant",),
        "rounding shift of integers, with a shortcut or without",
        "codes of scale 1",
        ("shift_requant",),
        "a power of two",
    ),
)
HANDLERS: dict[str, Handler] = {"Quant": residual}
