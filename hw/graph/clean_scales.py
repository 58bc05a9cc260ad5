# SPDX-License-Identifier: Apache-2.0
"""One scale for a quantiser of channels: theirs wait behind the depthwise convolutions it feeds."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from .clean_state import Cleaning
from .qonnx_graph import per_channel


def scales_behind(state: Cleaning) -> None:
    """Where only convolutions in groups of one scale read a quantiser with a scale per channel, it
    divides first and has the scale 1; behind them the products are multiplied.

    What is divided, rounded and multiplied is what it was. The tensor between leaves under another
    name, as it holds codes now.
    """
    outputs = {value.name for value in state.proto.graph.output}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in state.nodes:
        for name in dict.fromkeys(node.input):
            readers.setdefault(name, []).append(node)
    codes: dict[str, tuple[str, npt.NDArray[np.float32]]] = {}
    nodes, state.nodes = state.nodes, []
    for node in nodes:
        (output, *_) = node.output
        scales = _scales(state, node)
        if (
            scales is not None
            and output not in outputs
            and all(
                _behind(state, reader, output, scales) is not None for reader in readers[output]
            )
        ):
            codes[output] = _quantise(state, node, scales), scales
        elif node.input[0] in codes:
            _multiply(state, node, *codes[node.input[0]])
        else:
            state.nodes.append(node)


def _scales(state: Cleaning, node: onnx.NodeProto) -> npt.NDArray[np.float32] | None:
    """The scales (C,) of a quantiser of a map that has one for each channel."""
    if node.op_type != "Quant" or node.input[0] in state.constants:
        return None
    scale, shape = state.value(node.input[1]), state.shape(node.input[0])
    if scale is None or scale.size == 1 or len(shape) != 4:
        return None
    rows = per_channel(scale.astype(np.float64), shape[1], 4)
    return None if rows is None else rows.astype(np.float32)


def _behind(
    state: Cleaning, node: onnx.NodeProto, name: str, scales: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32] | None:
    """The scales of a convolution's outputs, if its channels have one in each group."""
    if node.op_type != "Conv" or node.input[0] != name or name in node.input[1:]:
        return None
    if len(node.input) > 2 and node.input[2]:
        return None
    groups = next((a.i for a in node.attribute if a.name == "group"), 1)
    outputs = state.shape(node.output[0])[1]
    if groups < 1 or scales.size % groups or outputs % groups:
        return None
    of_groups = scales.reshape(groups, -1)
    if (of_groups != of_groups[:, :1]).any():
        return None
    return np.repeat(of_groups[:, 0], outputs // groups)


def _quantise(state: Cleaning, node: onnx.NodeProto, scales: npt.NDArray[np.float32]) -> str:
    """Keep a quantiser as a division and one of scale 1; returns its codes."""
    (output,) = node.output
    divided, name = f"{output}_divided", f"{output}_codes"
    kind = state.types[output]
    row = state.add_constant(f"{output}_scales", scales.reshape(1, -1, 1, 1))
    state.keep(
        helper.make_node("Div", [node.input[0], row], [divided], name=f"{node.name}_Div"), [kind]
    )
    node.input[0], node.output[0] = divided, name
    node.input[1] = state.add_constant(f"{output}_one", np.ones((), np.float32))
    state.types[name] = kind
    state.nodes.append(node)
    return name


def _multiply(
    state: Cleaning, node: onnx.NodeProto, codes: str, scales: npt.NDArray[np.float32]
) -> None:
    """Keep a convolution of codes, and behind it a product with the scales."""
    (output,) = node.output
    factors = _behind(state, node, node.input[0], scales)
    assert factors is not None
    sums, kind = f"{output}_sums", state.types[output]
    node.input[0], node.output[0] = codes, sums
    state.types[sums] = kind
    state.nodes.append(node)
    row = state.add_constant(f"{output}_factors", factors.reshape(1, -1, 1, 1))
    state.keep(helper.make_node("Mul", [sums, row], [output], name=f"{node.name}_Mul"), [kind])
