# SPDX-License-Identifier: Apache-2.0
"""Channels behind the pixels (1, H, W, C), as qonnx's channels_last, FINN and Keras write them:
here every map is (1, C, H, W), and a Transpose between the two is another name of it.

A tensor keeps its name. Where a node needs the order of the file, as a flattening does, a Transpose
is put in front of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from ..kernels.base import node_attributes
from .clean_lines import change_numbers
from .clean_quantisers import is_weight
from .clean_rows import ELEMENTWISE, PAIR, of_rows
from .clean_state import Cleaning
from .loader import CHANNELS_LAST_DOMAIN
from .multi_threshold import OP as MULTI_THRESHOLD
from .qonnx_graph import LoweringError

TO_FIRST, TO_LAST = [0, 3, 1, 2], [0, 2, 3, 1]
AXES = {0: 0, 1: 2, 2: 3, 3: 1, -1: 1, -2: 3, -3: 2, -4: 0}
"""An axis of (1, H, W, C) -> of (1, C, H, W)."""
LAST = ("Im2Col", "MaxPoolNHWC")
"""Ops of qonnx that know channels behind the pixels alone."""


def channels_first(state: Cleaning, node: onnx.NodeProto) -> bool:
    """Rewrite a node that reads channels behind the pixels; returns whether it is done with.

    Raises:
        LoweringError: it wants them there, and they are not known to be.
    """
    turn = _as_transpose(state, node) if node.op_type == "Reshape" else node
    if turn is not None and turn.op_type == "Transpose" and _turned(state, turn):
        return True
    if windows := state.windows.get(node.input[0] if node.input else ""):
        _product(state, node, windows)
        return False
    last = state.last.intersection(node.input)
    if state.rows.intersection(node.input):
        of_rows(state, node)
    if not last:
        if _wants_last(node):
            raise LoweringError(
                node,
                f"reads channels behind the pixels, and {node.input[0]} is not known to have them "
                "there, expected a Transpose [0, 2, 3, 1] in front, or an input (1, H, W, C)",
            )
        return False
    handler = _handler(node)
    if handler is not None:
        state.last.update(node.output)
        handler(state, node)
    else:
        for i, name in enumerate(node.input):
            if name in last:
                node.input[i] = _in_file_order(state, name)
    return node.op_type == "Im2Col"


def reads_last(graph: onnx.GraphProto, name: str) -> bool:
    """Whether a graph input has channels behind the pixels, as the first nodes that are not
    elementwise tell."""
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for read in node.input[:2]:
            readers.setdefault(read, []).append(node)
    (dims,) = (v.type.tensor_type.shape.dim for v in graph.input if v.name == name)
    shape = [1, *(d.dim_value for d in dims[1:])]
    stored = {t.name: t for t in graph.initializer}
    ways, reached, found = [name], {name}, False
    while ways:
        for node in readers.get(ways.pop(), ()):
            turns = node.op_type == "Transpose" and _perm(node) == TO_FIRST
            if node.op_type == "Reshape" and node.input[1] in stored:
                wanted = numpy_helper.to_array(stored[node.input[1]]).reshape(-1).tolist()
                turns = _same_turned(shape, wanted, TO_FIRST)
            multiplies = node.op_type == "MatMul" and node.input[0] in reached
            if turns or multiplies or _wants_last(node):
                found = True
            elif node.op_type in (*ELEMENTWISE, *PAIR, MULTI_THRESHOLD):
                ways += [output for output in node.output if output not in reached]
                reached.update(node.output)
            else:
                return False
    return found


def _wants_last(node: onnx.NodeProto) -> bool:
    layout = next((a.s for a in node.attribute if a.name == "data_layout"), b"")
    return node.domain == CHANNELS_LAST_DOMAIN or node.op_type in LAST or layout == b"NHWC"


def _perm(node: onnx.NodeProto) -> list[int]:
    return list(node_attributes(node).get("perm", ()))


def _turned(state: Cleaning, node: onnx.NodeProto) -> bool:
    """A Transpose from one order to the other gives its tensor another name."""
    (name,), (output,) = node.input, node.output
    source = state.alias.get(name, name)
    if source in state.constants or is_weight(state, source):
        return False
    if len(state.shape(source)) != 4 or source in state.lines:
        return False
    to_first = name in state.last
    if _perm(node) != (TO_FIRST if to_first else TO_LAST):
        return False
    outputs = {value.name for value in state.proto.graph.output}
    if output in outputs:
        made = state.producer.get(source)
        alone = len(state.readers.get(name, ())) == 1 and source == name and name not in outputs
        if made is None or not alone:
            return False
        made.output[0] = output
        state.producer[output] = made
    else:
        state.alias[output] = source
    state.types[output] = state.types[source]
    if not to_first:
        state.last.add(output)
    return True


def _as_transpose(state: Cleaning, node: onnx.NodeProto) -> onnx.NodeProto | None:
    """A Reshape that moves an axis of one channel or pixel, as tf2onnx writes such a Transpose."""
    name, to_first = node.input[0], node.input[0] in state.last
    shape = list(state.shape(state.alias.get(name, name)))
    wanted = state.value(state.alias.get(node.input[1], node.input[1]))
    if len(shape) != 4 or wanted is None or name in state.lines:
        return None
    perm = TO_FIRST if to_first else TO_LAST
    if not _same_turned(
        [shape[i] for i in TO_LAST] if to_first else shape, wanted.reshape(-1).tolist(), perm
    ):
        return None
    return helper.make_node("Transpose", [name], node.output, name=node.name, perm=perm)


def _same_turned(shape: list[int], wanted: list[int], perm: list[int]) -> bool:
    """Whether a Reshape of a map to ``wanted`` is a Transpose: one channel or one pixel moves."""
    turned = [shape[i] for i in perm]
    moved = shape[3 if perm == TO_FIRST else 1]
    still = math.prod(shape[1:]) // max(1, moved)
    if len(wanted) != 4 or turned == shape or (moved != 1 and still != 1):
        return False
    sizes = [size if size else shape[i] for i, size in enumerate(wanted)]
    return sizes.count(-1) <= 1 and all(
        size in (-1, own) for size, own in zip(sizes, turned, strict=True)
    )


def _in_file_order(state: Cleaning, name: str) -> str:
    """The tensor as the file has it, by a Transpose."""
    source = state.alias.get(name, name)
    made = f"{name}_pixels"
    if made not in state.types:
        n, c, h, w = state.shape(source)
        kind = helper.make_tensor_type_proto(TensorProto.FLOAT, [n, h, w, c])
        turn = helper.make_node("Transpose", [source], [made], name=f"{made}_T", perm=TO_LAST)
        state.keep(turn, [kind])
    return made


def _handler(node: onnx.NodeProto) -> Callable[[Cleaning, onnx.NodeProto], None] | None:
    if node.domain == CHANNELS_LAST_DOMAIN:
        return _wrapped
    if node.op_type in (MULTI_THRESHOLD, "QuantAvgPool2d"):
        return _layout if _wants_last(node) else None
    if node.op_type in ELEMENTWISE:
        return _elementwise
    return HANDLERS.get(node.op_type)


def _elementwise(state: Cleaning, node: onnx.NodeProto) -> None:
    for i, name in enumerate(node.input):
        source = state.alias.get(name, name)
        value = state.value(source) if name else None
        if value is not None and value.size > 1:
            value = value.reshape((1,) * (4 - value.ndim) + value.shape).transpose(TO_FIRST)
            node.input[i] = state.add_constant(f"{name}_first", value)
        elif value is None and name and name not in state.last:
            raise LoweringError(
                node,
                f"joins channels behind the pixels with {name}, which has them in front, expected "
                "one order",
            )


def _wrapped(state: Cleaning, node: onnx.NodeProto) -> None:
    """A node of qonnx's channels_last: the standard op, and the weights of a convolution."""
    node.domain = ""
    if node.op_type == "Conv":
        name = state.alias.get(node.input[1], node.input[1])
        node.input[1] = _weights(state, node, name, lambda w: w.transpose(TO_FIRST))


def _layout(state: Cleaning, node: onnx.NodeProto) -> None:
    kept = [a for a in node.attribute if a.name != "data_layout"]
    del node.attribute[:]
    node.attribute.extend(kept)


def _max_pool(state: Cleaning, node: onnx.NodeProto) -> None:
    node.domain, node.op_type = "", "MaxPool"


def _axis(state: Cleaning, node: onnx.NodeProto) -> None:
    for attribute in node.attribute:
        if attribute.name == "axis":
            attribute.i = AXES.get(attribute.i, attribute.i)


def _mapped(axes: list[int]) -> list[int]:
    return [AXES.get(axis, axis) for axis in axes]


def _reduce(state: Cleaning, node: onnx.NodeProto) -> None:
    change_numbers(state, node, 1, "axes", _mapped)
    if not node_attributes(node).get("keepdims", 1):
        state.last.difference_update(node.output)


def _pad(state: Cleaning, node: onnx.NodeProto) -> None:
    def moved(pads: list[int]) -> list[int]:
        return [pads[i + end] for end in (0, 4) for i in TO_FIRST] if len(pads) == 8 else pads

    change_numbers(state, node, 1, "pads", moved)


def _resize(state: Cleaning, node: onnx.NodeProto) -> None:
    for i, name in enumerate(node.input[1:], start=1):
        value = state.value(state.alias.get(name, name))
        if value is not None and value.shape == (4,):
            node.input[i] = state.add_constant(f"{name}_first", value[TO_FIRST])


def _im2col(state: Cleaning, node: onnx.NodeProto) -> None:
    """Windows side by side: what multiplies them is a convolution."""
    (output,) = node.output
    state.last.discard(output)
    state.windows[output] = node


def _mat_mul(state: Cleaning, node: onnx.NodeProto) -> None:
    """Weights times every pixel's channels."""
    source = state.alias.get(node.input[0], node.input[0])
    _convolution(state, node, (1, 1), state.shape(source)[1], {})


def _product(state: Cleaning, node: onnx.NodeProto, windows: onnx.NodeProto) -> None:
    """A product of windows side by side is a convolution."""
    given = node_attributes(windows)
    kernel = given.get("kernel_size", ())
    if node.op_type != "MatMul" or len(kernel) != 2 or given.get("pad_value", 0) != 0:
        raise LoweringError(
            windows,
            f"found kernel_size {kernel}, pad_value {given.get('pad_value', 0)} and read by "
            f"{node.op_type}, expected windows of two axes, a border of 0, and a MatMul behind",
        )
    source = state.alias.get(windows.input[0], windows.input[0])
    attributes = {
        "strides": given.get("stride", [1, 1]),
        "pads": given.get("pad_amount", [0, 0, 0, 0]),
        "dilations": given.get("dilations", [1, 1]),
    }
    state.last.update(node.output)
    node.input[0] = windows.input[0]
    channels = state.shape(source)[1]
    _convolution(state, node, (kernel[0], kernel[1]), channels, attributes)
    if given.get("depthwise", 0):
        _depthwise(state, node)


def _convolution(
    state: Cleaning,
    node: onnx.NodeProto,
    kernel: tuple[int, int],
    channels: int,
    attributes: dict[str, Any],
) -> None:
    """A MatMul with weights (rows * columns * channels, outputs) becomes a Conv."""
    name = state.alias.get(node.input[1], node.input[1])
    inputs = kernel[0] * kernel[1] * channels
    shape = state.shape(name) if name in state.types else ()
    if len(shape) != 2 or shape[0] != inputs:
        raise LoweringError(
            node, f"multiplies {inputs} channels by weights of shape {shape}, expected as many rows"
        )

    def turned(weight: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if len(weight) == 1 < inputs:
            return weight.T.reshape(-1, 1, 1, 1)
        return weight.T.reshape(-1, *kernel, channels).transpose(TO_FIRST)

    node.op_type, node.domain = "Conv", ""
    node.input[1] = _weights(state, node, name, turned)
    del node.attribute[:]
    given = {"kernel_shape": list(kernel), **attributes}
    node.attribute.extend(helper.make_attribute(k, v) for k, v in given.items())


def _depthwise(state: Cleaning, node: onnx.NodeProto) -> None:
    """Weights of a depthwise convolution that were filled up with 0."""
    weight = state.value(node.input[1])
    if weight is None or weight.shape[0] != weight.shape[1]:
        return
    own = np.eye(len(weight), dtype=bool)
    if not weight[~own].any():
        node.input[1] = state.add_constant(f"{node.input[1]}_own", weight[own][:, None])
        node.attribute.append(helper.make_attribute("group", len(weight)))


def _weights(
    state: Cleaning,
    node: onnx.NodeProto,
    name: str,
    turned: Callable[[npt.NDArray[Any]], npt.NDArray[Any]],
) -> str:
    """Weights in another order: constants, or what is quantised."""
    value = state.value(name)
    if value is not None:
        state.spend(node, [value.shape])
        return state.add_constant(f"{name}_first", turned(value))
    if not is_weight(state, name):
        raise LoweringError(node, f"found computed weights {name}, expected constants; fold them")
    before = state.producer[name]
    rank = len(state.shape(name))
    inputs = []
    for i, part in enumerate(before.input):
        constant = state.value(part)
        if constant is not None and (i == 0 or constant.size > 1):
            if constant.ndim != rank:
                raise LoweringError(before, f"its parameter {part} has fewer axes than its weights")
            state.spend(node, [constant.shape])
            part = state.add_constant(f"{part}_first", turned(constant))
        inputs.append(part)
    made = onnx.NodeProto()
    made.CopyFrom(before)
    made.name, made.input[:], made.output[:] = f"{node.name}_weights", inputs, [f"{name}_first"]
    state.keep(made, [state.types[inputs[0]]])
    return made.output[0]


HANDLERS: dict[str, Callable[[Cleaning, onnx.NodeProto], None]] = {
    **dict.fromkeys(("Concat", "Split", "QuantizeLinear", "DequantizeLinear"), _axis),
    **dict.fromkeys(("ReduceSum", "ReduceMean", "ReduceMax"), _reduce),
    "Pad": _pad,
    "Resize": _resize,
    "Upsample": _resize,
    "Im2Col": _im2col,
    "MaxPoolNHWC": _max_pool,
    "MatMul": _mat_mul,
}
