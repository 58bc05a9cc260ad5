# SPDX-License-Identifier: Apache-2.0
"""The end of a 1-bit block (BN, shortcut, RPReLU, requantisation): Epilogue."""

from __future__ import annotations

import onnx

from ....quant.grid import smallest_signed
from ..epilogue_pattern import EpiloguePattern, match_epilogue, rounded
from ..qonnx_graph import LoweringError
from .construct import Construct
from .state import Handler, Lowering, layer_of


def epilogue(state: Lowering, node: onnx.NodeProto) -> bool:
    """The Quant an epilogue ends in lowers all of it; the others inside of it are done with."""
    if node.name in state.once(inside_epilogue):
        return True
    epilogues = state.once(_find)
    if node.name in epilogues:
        _lower(state, node, epilogues[node.name])
    return node.name in epilogues


def _find(state: Lowering) -> dict[str, EpiloguePattern]:
    """Match every epilogue by its last node, before anything inside one is taken for more."""
    found = {}
    for node in state.graph.nodes:
        if node.op_type != "Quant":
            continue
        producer = state.graph.producer.get(rounded(state.graph, node))
        if producer is None or not (
            producer.op_type == "Where"
            or (producer.op_type == "Add" and state.graph.operands(producer) is not None)
        ):
            continue
        channels = state.graph.shape(node.output[0])[1]
        try:
            found[node.name] = match_epilogue(state.graph, node, channels)
        except LoweringError as error:
            state.passed[node.name] = error
    return found


def _lower(state: Lowering, node: onnx.NodeProto, found: EpiloguePattern) -> None:
    conv = state.graph.producer[found.acc]
    acc = state.streams.get(found.acc)
    if acc is None:
        state.passed[node.name] = LoweringError(conv, "was not lowered, so neither its epilogue")
        return
    inputs = [acc]
    if found.shortcut is not None:
        if found.shortcut not in state.streams:
            raise LoweringError(
                node, f"the shortcut {found.shortcut} is no stream, expected a quantised tensor"
            )
        inputs.append(state.streams[found.shortcut])
    out_type = f"INT{found.out_bits}"
    for x in inputs:
        if x.scale != 1.0:
            raise LoweringError(
                node,
                f"its input {x.name} has the scale {float(x.scale):g}, expected integer codes",
            )
    for x in inputs[1:]:
        if x.datatype != out_type or x.shape != acc.shape or x.plan:
            raise LoweringError(
                node,
                f"the shortcut {found.shortcut} is {x.datatype} {x.shape}, expected "
                f"{out_type} {acc.shape}",
            )
    state.claim(*found.nodes)
    params = smallest_signed(int(found.params.min()), int(found.params.max()))
    (y,) = state.builder.add(
        "Epilogue",
        layer_of(conv),
        inputs,
        [(acc.shape, out_type)],
        {
            "NumChannels": acc.channels,
            "PE": 1,
            "numInputVectors": acc.vectors,
            "accDataType": acc.datatype,
            "hasShortcut": len(inputs) - 1,
            "accShift": found.acc_shift,
            "shortcutShift": found.shortcut_shift,
            "preShift": found.pre_shift,
            "slopeShift": found.slope_shift,
            "outShift": found.out_shift,
            "accBits": found.acc_bits,
            "preBits": found.pre_bits,
            "outputDataType": out_type,
        },
        {"params": (found.params, params)},
    )
    state.publish(y, node.output[0])


def inside_epilogue(state: Lowering) -> set[str]:
    """Names of the nodes in front of the last one of every epilogue."""
    found = state.once(_find)
    return {n.name for last, pattern in found.items() for n in pattern.nodes if n.name != last}


BUILDS = (
    Construct(
        ("Quant",),
        "normalisation, shortcut, RPReLU and requantisation in integers, as andpop's own 1-bit "
        "blocks have them",
        "8 bits behind accumulators of at most 31",
        ("epilogue",),
        "multipliers and shifts as andpop exports them",
    ),
)
HANDLERS: dict[str, Handler] = {"Quant": epilogue}
