# SPDX-License-Identifier: Apache-2.0
"""One form for what exporters write in several: nodes that change nothing, borders that ONNX works
out, a bias added behind a product."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from ..kernels.base import node_attributes
from .qonnx_graph import per_channel

Value = Callable[[str], "npt.NDArray[Any] | None"]
Shape = Callable[[str], tuple[int, ...]]


def changes_nothing(node: onnx.NodeProto, element: int, value: Value) -> bool:
    """Whether a node gives back its first input, of ONNX's ``element`` type, as it is."""
    if node.op_type == "Dropout":
        training = value(node.input[2]) if len(node.input) > 2 and node.input[2] else np.False_
        return training is not None and not training.any()
    if node.op_type == "Cast":
        return element == TensorProto.FLOAT == node_attributes(node)["to"]
    return node.op_type == "Identity"


def global_window(node: onnx.NodeProto, shape: Sequence[int]) -> None:
    """Make a GlobalMaxPool of a map (1, C, H, W) the MaxPool that it is."""
    if node.op_type == "GlobalMaxPool" and len(shape) == 4:
        node.op_type = "MaxPool"
        node.attribute.append(helper.make_attribute("kernel_shape", list(shape[2:])))


def explicit_pads(node: onnx.NodeProto, shape: Shape, out: Sequence[int]) -> None:
    """Write the border that ``auto_pad`` stands for into a Conv or pool that gives ``out``."""
    attributes = node_attributes(node)
    mode = attributes.get("auto_pad", "NOTSET")
    if mode not in ("VALID", "SAME_UPPER", "SAME_LOWER") or any(attributes.get("pads", ())):
        return
    kernel = attributes.get("kernel_shape") or shape(node.input[1])[2:]
    begin, end = [0, 0], [0, 0]
    for axis in (0, 1) if mode != "VALID" else ():
        stride = attributes.get("strides", (1, 1))[axis]
        extent = (kernel[axis] - 1) * attributes.get("dilations", (1, 1))[axis] + 1
        size = shape(node.input[0])[2 + axis]
        border = max(0, (out[2 + axis] - 1) * stride + extent - size)
        more, less = border - border // 2, border // 2
        begin[axis], end[axis] = (less, more) if mode == "SAME_UPPER" else (more, less)
    kept = [a for a in node.attribute if a.name not in ("auto_pad", "pads")]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute("pads", [*begin, *end])])


def transposed_pads(node: onnx.NodeProto, shape: Shape, out: Sequence[int]) -> None:
    """Write the border that ``auto_pad`` or ``output_shape`` stand for into a ConvTranspose that
    gives ``out``."""
    attributes = node_attributes(node)
    mode = attributes.get("auto_pad", "NOTSET")
    if mode == "NOTSET" and "output_shape" not in attributes:
        return
    kernel = attributes.get("kernel_shape") or shape(node.input[1])[2:]
    begin, end = [], []
    for axis in (0, 1):
        stride = attributes.get("strides", (1, 1))[axis]
        extent = (kernel[axis] - 1) * attributes.get("dilations", (1, 1))[axis] + 1
        made = (shape(node.input[0])[2 + axis] - 1) * stride + extent
        border = made + attributes.get("output_padding", (0, 0))[axis] - out[2 + axis]
        if border < 0 or (mode == "VALID" and border):
            return
        less = border // 2
        begin.append(border - less if mode != "SAME_UPPER" else less)
        end.append(border - begin[-1])
    kept = [a for a in node.attribute if a.name not in ("auto_pad", "pads", "output_shape")]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute("pads", [*begin, *end])])


def explicit_modes(node: onnx.NodeProto, opset: int) -> None:
    """Write the conventions of a Resize into it; before opset 11 there was one."""
    found = node_attributes(node)
    for name, default in (
        ("coordinate_transformation_mode", "half_pixel"),
        ("nearest_mode", "round_prefer_floor"),
    ):
        if opset > 10 and name not in found:
            node.attribute.append(helper.make_attribute(name, default))


def scales_of_sizes(node: onnx.NodeProto, size: Sequence[int], out: Sequence[int]) -> list[float]:
    """Return the scales that the sizes of a Resize from ``size`` to ``out`` stand for, where it has
    such and all are whole. ONNX Runtime takes no scales that are there but empty.
    """
    sizes = len(node.input) > 3 and bool(node.input[3])
    if not sizes or any(o % s for s, o in zip(size, out, strict=True)):
        return []
    return [o / s for s, o in zip(size, out, strict=True)]


def bias_behind(
    node: onnx.NodeProto, product: onnx.NodeProto | None, value: Value, shape: Shape
) -> npt.NDArray[Any] | None:
    """Return the bias (outputs,) that an Add puts behind a ``product`` that has none; else None."""
    if product is None or node.op_type != "Add" or len(product.input) > 2:
        return None
    rank = len(shape(product.output[0]))
    if product.op_type not in ("Conv", "Gemm", "MatMul") or rank not in (2, 4):
        return None
    if product.op_type == "Gemm" and node_attributes(product).get("beta", 1.0) != 1.0:
        return None
    constants = [v for v in map(value, node.input) if v is not None]
    if len(constants) != 1 or constants[0].size == 1:
        return None
    return per_channel(constants[0], shape(product.output[0])[1], rank)


def with_bias(product: onnx.NodeProto, bias: str) -> None:
    """Give a Conv, Gemm or MatMul of two axes its bias."""
    product.op_type = "Gemm" if product.op_type == "MatMul" else product.op_type
    product.input.append(bias)


def ends_graph(
    name: str, readers: Mapping[str, Sequence[onnx.NodeProto]], outputs: Sequence[str]
) -> bool:
    """Whether a tensor is the output but for factors, offsets (both may be of each channel) and a
    flattening behind it."""
    while name not in outputs:
        behind = readers.get(name, ())
        if len(behind) != 1 or behind[0].op_type not in TAIL:
            return False
        name = behind[0].output[0]
    return not readers.get(name)


TAIL = (
    "Add", "Sub", "Mul", "Div", "BatchNormalization", "Flatten", "Reshape", "Squeeze", "Identity",
    "Dropout", "Cast",
)  # fmt: skip
"""Ops behind logits that leave them logits."""
