# SPDX-License-Identifier: Apache-2.0
"""Lines (1, C, L), as 1-D convolutions read them, become maps of height 1: (1, C, 1, L).

The new axis stands in front of the last one, in every tensor and constant. A tensor keeps its name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx
from onnx import helper

from ..kernels.base import node_attributes
from .clean_quantisers import is_weight
from .clean_state import Cleaning
from .multi_threshold import OP as MULTI_THRESHOLD
from .qonnx_graph import LoweringError
from .schema import IMAGE_OPS, QUANTISERS
from .threshold_pattern import ELEMENTWISE

NEUTRAL = {"kernel_shape": 1, "strides": 1, "dilations": 1, "output_padding": 0, "output_shape": 1}
"""What attributes of IMAGE_OPS say of an axis of one row."""
AXES = {0: 0, 1: 1, 2: 3, -1: -1, -2: 1, -3: 0}
"""An axis of a line -> of the map."""
DECIDE = (
    "Squeeze", "Flatten", "Reshape", "Transpose", "ReduceSum", "ReduceMean", "ReduceMax", "Shape",
    "Size",
)  # fmt: skip
"""Ops whose result is a line only if they say so."""
SAME = (
    *ELEMENTWISE, "Identity", "Dropout", "Cast", "Where", "GlobalAveragePool", "GlobalMaxPool",
    "IntQuant", MULTI_THRESHOLD, *QUANTISERS,
)  # fmt: skip
"""Ops that are the same on both, but for constants of two axes and more."""


def map_shape(sizes: Sequence[int]) -> list[int]:
    """The shape of a line with an axis of one row in front of the last."""
    return [*sizes[:-1], 1, sizes[-1]]


def line_to_map(state: Cleaning, node: onnx.NodeProto) -> None:
    """Rewrite a node that reads a line, so that it reads the map of height 1 in its place.

    Raises:
        LoweringError: its op is not known on lines.
    """
    if node.op_type == "Reshape":
        _reshape(state, node)
    if not state.lines.intersection(node.input):
        return
    handler = HANDLERS.get(node.op_type)
    if handler is None and node.op_type not in SAME:
        raise LoweringError(
            node,
            "reads a line (1, C, L), expected convolutions, pools, sums, elementwise nodes or a "
            "flattening there; write it with two axes, as a map of height 1",
        )
    if handler is not None:
        handler(state, node)
    else:
        for i, name in enumerate(node.input):
            node.input[i] = _constant(state, name)
    if node.op_type not in DECIDE:
        state.lines.update(node.output)


def _constant(state: Cleaning, name: str) -> str:
    """A constant of two axes or more, with the new one."""
    value = state.value(name)
    if value is None or value.ndim < 2:
        return name
    return state.add_constant(f"{name}_map", np.expand_dims(value, -2))


def _window(state: Cleaning, node: onnx.NodeProto) -> None:
    """A 1-D convolution or pool: kernels of one row."""
    for attribute in node.attribute:
        if attribute.name == "pads" and len(attribute.ints) == 2:
            begin, end = attribute.ints
            attribute.ints[:] = [0, begin, 0, end]
        elif attribute.name in NEUTRAL and len(attribute.ints) == 1:
            attribute.ints[:] = [NEUTRAL[attribute.name], *attribute.ints]
    if node.op_type not in ("Conv", "ConvTranspose"):
        return
    weight = node.input[1]
    if weight in state.constants:
        node.input[1] = _constant(state, weight) if len(state.shape(weight)) == 3 else weight
    elif is_weight(state, weight) and len(state.shape(weight)) == 3:
        quantiser = state.producer[weight]
        quantiser.input[:] = [_constant(state, name) for name in quantiser.input]
        state.types[weight] = state.types[quantiser.input[0]]


def _resize(state: Cleaning, node: onnx.NodeProto) -> None:
    """Scales and sizes of a Resize or Upsample: the one row stays one."""
    for attribute in node.attribute:
        if attribute.name == "scales" and len(attribute.floats) == 3:
            attribute.floats[:] = [*attribute.floats[:2], 1.0, attribute.floats[2]]
    for i, name in enumerate(node.input[1:], start=1):
        value = state.value(name)
        if value is not None and value.size == 3:
            node.input[i] = state.add_constant(f"{name}_map", np.insert(value.reshape(-1), 2, 1))


def _axis(state: Cleaning, node: onnx.NodeProto) -> None:
    for attribute in node.attribute:
        if attribute.name == "axis":
            attribute.i = AXES.get(attribute.i, attribute.i)


def _flatten(state: Cleaning, node: onnx.NodeProto) -> None:
    if node_attributes(node).get("axis", 1) not in (0, 1, 2):
        raise LoweringError(node, "flattens a line from its end, expected axis 1")


def change_numbers(
    state: Cleaning, node: onnx.NodeProto, index: int, name: str, change: Callable[..., list[int]]
) -> None:
    """Change whole numbers: constant input ``index``, or in older opsets attribute ``name``."""
    if len(node.input) > index and node.input[index]:
        value = state.value(node.input[index])
        if value is None:
            raise LoweringError(node, f"computes its {name}, expected constants")
        changed = np.array(change([int(v) for v in value.reshape(-1)]), dtype=value.dtype)
        node.input[index] = state.add_constant(f"{node.input[index]}_map", changed)
        return
    for attribute in node.attribute:
        if attribute.name == name:
            attribute.ints[:] = change(list(attribute.ints))


def _reduce(state: Cleaning, node: onnx.NodeProto) -> None:
    change_numbers(state, node, 1, "axes", _both)
    if node_attributes(node).get("keepdims", 1):
        state.lines.update(node.output)


def _both(axes: list[int]) -> list[int]:
    """The pixels of a line are those of both image axes."""
    return [new for axis in axes for new in ([2, 3] if axis in (2, -1) else [AXES.get(axis, axis)])]


def _mapped(axes: list[int]) -> list[int]:
    return [AXES.get(axis, axis) for axis in axes]


def _slice(state: Cleaning, node: onnx.NodeProto) -> None:
    given = len(node.input) > 3 or any(a.name == "axes" for a in node.attribute)
    change_numbers(state, node, 3, "axes", _mapped)
    if given:
        return
    if len(node.input) > 1:
        count = state.shape(node.input[1])[0]
        axes = np.array(_mapped(list(range(count))), dtype=np.int64)
        node.input.append(state.add_constant(f"{node.name}_axes", axes))
    else:
        count = len(node_attributes(node)["starts"])
        node.attribute.append(helper.make_attribute("axes", _mapped(list(range(count)))))


def _pad(state: Cleaning, node: onnx.NodeProto) -> None:
    def wider(pads: list[int]) -> list[int]:
        return [*pads[:2], 0, *pads[2:5], 0, *pads[5:]] if len(pads) == 6 else pads

    if len(node.input) > 3 and node.input[3]:
        raise LoweringError(node, "names the axes it pads, expected pads of all axes")
    change_numbers(state, node, 1, "pads", wider)


def _squeeze(state: Cleaning, node: onnx.NodeProto) -> None:
    change_numbers(state, node, 1, "axes", _both)


def _transpose(state: Cleaning, node: onnx.NodeProto) -> None:
    """Channels behind the pixels, for a flattening: there (1, L, C) is (1, 1, L, C)."""
    perm = list(node_attributes(node).get("perm", ()))
    behind = {reader.op_type for reader in state.readers.get(node.output[0], ())}
    if perm != [0, 2, 1] or not behind or not behind <= {"Flatten", "Reshape"}:
        raise LoweringError(
            node,
            f"permutes the axes of a line by {perm}, expected [0, 2, 1] in front of a flattening "
            "alone; export the network with channels in front (NCL)",
        )
    node.attribute[0].ints[:] = [0, 2, 3, 1]


def _reshape(state: Cleaning, node: onnx.NodeProto) -> None:
    """A shape of three axes that is computed for every picture is a line's."""
    target = state.value(node.input[1]) if len(node.input) > 1 else None
    data = node.input[0]
    if target is None or data in state.constants or is_weight(state, data):
        return
    sizes = state.shape(data)
    line = data in state.lines
    before = [*sizes[:-2], sizes[-1]] if line else list(sizes)
    keeps = not node_attributes(node).get("allowzero", 0)
    shape = [
        before[i] if v == 0 and keeps and i < len(before) else int(v)
        for i, v in enumerate(target.reshape(-1))
    ]
    becomes_line = len(shape) == 3 and (line or len(sizes) == 2)
    if becomes_line:
        shape = map_shape(shape)
        state.lines.update(node.output)
    if line or becomes_line:
        made = np.array(shape, dtype=np.int64)
        node.input[1] = state.add_constant(f"{node.input[1]}_map", made)


HANDLERS: dict[str, Callable[[Cleaning, onnx.NodeProto], None]] = {
    **dict.fromkeys(IMAGE_OPS, _window),
    **dict.fromkeys(("Concat", "Split", "QuantizeLinear", "DequantizeLinear"), _axis),
    **dict.fromkeys(("Resize", "Upsample"), _resize),
    **dict.fromkeys(("ReduceSum", "ReduceMean", "ReduceMax"), _reduce),
    "Flatten": _flatten,
    "Slice": _slice,
    "Pad": _pad,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    **dict.fromkeys(("Reshape", "Shape", "Size"), lambda state, node: None),
}
