# SPDX-License-Identifier: Apache-2.0
"""Nodes that are others by another name: maxima of a map, pixels left out, parts of channels, whole
steps between codes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import helper

from ..kernels.base import node_attributes
from .clean_state import Cleaning
from .qonnx_graph import LoweringError

IMAGE = [2, 3]
"""Image axes."""


def max_of_map(state: Cleaning, node: onnx.NodeProto) -> None:
    """A maximum over the image axes is a MaxPool of the whole map.

    Raises:
        LoweringError: it is taken over other axes.
    """
    attributes, shape = node_attributes(node), state.shape(node.input[0])
    axes = _numbers(state, node, 1, "axes") if node.op_type == "ReduceMax" else IMAGE
    if len(shape) != 4 or axes is None or sorted(axis % 4 for axis in axes) != IMAGE:
        raise LoweringError(
            node, f"takes the maximum over axes {axes} of {shape}, expected the image axes {IMAGE}"
        )
    keeps = node.op_type != "ReduceMax" or attributes.get("keepdims", 1)
    (output,) = node.output
    made = helper.make_node(
        "MaxPool",
        [node.input[0]],
        [output if keeps else f"{output}_map"],
        name=node.name if keeps else f"{node.name}_MaxPool",
        kernel_shape=shape[2:],
    )
    kind = state.types[node.input[0]].tensor_type.elem_type
    state.keep(made, [helper.make_tensor_type_proto(kind, [*shape[:2], 1, 1])])
    if not keeps:
        flat = helper.make_node("Flatten", [made.output[0]], [output], name=node.name, axis=1)
        state.keep(flat, [helper.make_tensor_type_proto(kind, shape[:2])])


def other_names(state: Cleaning) -> None:
    """Slices by steps of more than 1 leave out what a MaxPool of single pixels does; slices of
    channels that make up a tensor are a Split; what is interpolated and rounded is quantised."""
    found, nodes = _splits(state), []
    for node in state.nodes:
        if node.op_type == "Mul":
            nodes.append(_rounded(state, node) or node)
        elif node.op_type == "Slice" and node.name in found:
            nodes += found[node.name]
        elif node.op_type == "Slice":
            nodes += _strided(state, node)
        else:
            nodes.append(node)
    state.nodes = nodes


def _rounded(state: Cleaning, node: onnx.NodeProto) -> onnx.NodeProto | None:
    """Interpolated codes as whole steps, ``round(x / scale) * scale`` of Brevitas' QuantUpsample,
    are codes of the quantiser in front: interpolation leaves its range to no side."""
    rounding, scale = state.producer.get(node.input[0]), state.value(node.input[1])
    if rounding is None or rounding.op_type != "Round" or scale is None or scale.size != 1:
        return None
    division = state.producer.get(rounding.input[0])
    divisor = None if division is None else state.value(division.input[-1])
    if division is None or division.op_type != "Div" or divisor is None or divisor.size != 1:
        return None
    resize = state.producer.get(division.input[0])
    before = None if resize is None else state.producer.get(resize.input[0])
    if resize is None or resize.op_type not in ("Resize", "Upsample") or before is None:
        return None
    if before.op_type != "Quant" or node_attributes(resize).get("mode", b"nearest") == "cubic":
        return None
    step, zero = state.value(before.input[1]), state.value(before.input[2])
    if step is None or zero is None or zero.any() or step.size != 1:
        return None
    if not scale.item() == step.item() == divisor.item():
        return None
    made = onnx.NodeProto()
    made.CopyFrom(before)
    made.name, made.input[0], made.output[:] = node.name, resize.output[0], node.output
    state.producer[node.output[0]] = made
    return made


def _strided(state: Cleaning, node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """Steps of more than 1 along image axes: a crop, and a pool of single pixels."""
    starts, ends, axes, steps = _slice(state, node)
    shape = state.shape(node.input[0])
    image = len(shape) == 4 and all(axis in IMAGE for axis in axes)
    if not image or min(steps, default=1) < 1 or max(steps, default=1) == 1:
        return [node]
    strides = dict(zip(axes, steps, strict=True))
    name = f"{node.output[0]}_crop"
    inputs = [state.add_constant(f"{name}_numbers", np.array(v, dtype=np.int64))
              for v in (starts, ends, axes)]  # fmt: skip
    crop = helper.make_node("Slice", [node.input[0], *inputs], [name], name=f"{node.name}_crop")
    sizes = list(shape)
    for axis, start, end in zip(axes, starts, ends, strict=True):
        sizes[axis] = len(range(*slice(start, end).indices(shape[axis])))
    kind = state.types[node.input[0]].tensor_type.elem_type
    state.types[name] = helper.make_tensor_type_proto(kind, sizes)
    pool = helper.make_node(
        "MaxPool", [name], node.output, name=node.name, kernel_shape=[1, 1],
        strides=[strides.get(axis, 1) for axis in IMAGE],
    )  # fmt: skip
    return [crop, pool]


def _splits(state: Cleaning) -> dict[str, list[onnx.NodeProto]]:
    """Return what stands in the place of slices of channels: a Split for the first of those that
    make up a tensor, nothing for the others."""
    parts: dict[str, list[tuple[int, int, onnx.NodeProto]]] = {}
    for node in state.nodes:
        if node.op_type != "Slice" or len(state.shape(node.input[0])) not in (2, 4):
            continue
        starts, ends, axes, steps = _slice(state, node)
        if axes == [1] and steps == [1]:
            size = state.shape(node.input[0])[1]
            begin, end, _ = slice(starts[0], ends[0]).indices(size)
            parts.setdefault(node.input[0], []).append((begin, end, node))
    found: dict[str, list[onnx.NodeProto]] = {}
    for source, row in parts.items():
        inside = sorted(row, key=lambda part: part[:2])
        borders = [0, *(end for _, end, _ in inside)]
        whole = borders[-1] == state.shape(source)[1]
        if not whole or any(part[0] != b for part, b in zip(inside, borders[:-1], strict=True)):
            continue
        first = row[0][2]
        split = helper.make_node(
            "Split", [source], [n.output[0] for _, _, n in inside], name=first.name, axis=1
        )
        sizes = [end - begin for begin, end, _ in inside]
        if state.opset < 13:
            split.attribute.append(helper.make_attribute("split", sizes))
        else:
            split.input.append(state.add_constant(f"{source}_split", np.array(sizes, np.int64)))
        found.update({node.name: [] for _, _, node in inside})
        found[first.name] = [split]
    return found


def _slice(
    state: Cleaning, node: onnx.NodeProto
) -> tuple[Sequence[int], Sequence[int], Sequence[int], Sequence[int]]:
    """Return starts, ends, axes counted from the front, and steps; empty where any is computed."""
    starts, ends, axes, steps = (
        _numbers(state, node, i, name)
        for i, name in enumerate(("starts", "ends", "axes", "steps"), start=1)
    )
    if (
        starts is None
        or ends is None
        or any(n and n not in state.constants for n in node.input[1:])
    ):
        return [], [], [], []
    rank = len(state.shape(node.input[0]))
    axes = list(range(len(starts))) if axes is None else [axis % rank for axis in axes]
    return starts, ends, axes, steps or [1] * len(starts)


def _numbers(state: Cleaning, node: onnx.NodeProto, index: int, name: str) -> list[int] | None:
    """Return whole numbers: constant input ``index``, or in older opsets attribute ``name``."""
    if len(node.input) > index and node.input[index]:
        value = state.value(node.input[index])
        return None if value is None else [int(v) for v in value.reshape(-1)]
    given = node_attributes(node).get(name)
    return None if given is None else [int(v) for v in given]
