# SPDX-License-Identifier: Apache-2.0
"""Read access to a cleaned QONNX graph: producers, consumers, constants, attributes."""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from ...quant.grid import ACCUMULATOR_BITS
from ..kernels.base import node_attributes

FloatArray = npt.NDArray[np.float64]
Steps = npt.NDArray[np.object_]
"""Fractions."""
FLOAT32_UNIT = 2.0**-24
"""Half the distance of float32 numbers next to each other, relative to them."""
FLOAT32_HAIR = 2.0**-22
"""How far, relatively, a stored bias may lie from what it stands for: two roundings to float32, of
its scale and of itself, and as much again."""


class LoweringError(ValueError):
    """A node that cannot be lowered: its name, its op, why, and what is supported."""

    def __init__(self, node: onnx.NodeProto, why: str) -> None:
        super().__init__(f"{node.name} ({node.op_type}): {why}")
        self.node, self.why = node, why


class QonnxGraph:
    """An index over a QONNX graph whose shapes are inferred and whose constants are folded."""

    def __init__(self, proto: onnx.ModelProto) -> None:
        graph = proto.graph
        self.nodes = list(graph.node)
        seen: set[str] = set()
        for node in self.nodes:
            if not node.name or node.name in seen:
                raise LoweringError(
                    node,
                    "found no name or one used twice, expected unique node names; read the "
                    "file with hw.graph.loader",
                )
            seen.add(node.name)
        self.place = {node.name: i for i, node in enumerate(self.nodes)}
        self.initializers = list(graph.initializer)
        self.opsets = list(proto.opset_import)
        self.constants: dict[str, npt.NDArray[Any]] = {
            t.name: onnx.numpy_helper.to_array(t) for t in self.initializers
        }
        self.inputs = [i for i in graph.input if i.name not in self.constants]
        self.outputs = list(graph.output)
        self.producer = {name: node for node in self.nodes for name in node.output}
        self.consumers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
        for node in self.nodes:
            for name in node.input:
                self.consumers[name].append(node)
        self._datatypes = {
            annotation.tensor_name: entry.value
            for annotation in graph.quantization_annotation
            for entry in annotation.quant_parameter_tensor_names
            if entry.key == "finn_datatype"
        }
        self._shapes = {
            v.name: tuple(d.dim_value for d in v.type.tensor_type.shape.dim)
            for v in (*graph.input, *graph.value_info, *graph.output)
        }

    @property
    def opset(self) -> int:
        """Version of ONNX's own operators."""
        return next((o.version for o in self.opsets if o.domain == ""), 0)

    def is_output(self, name: str) -> bool:
        """Whether a tensor leaves the graph."""
        return any(o.name == name for o in self.outputs)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return a tensor's shape; empty if the file does not tell it."""
        return self._shapes.get(name, ())

    def datatype(self, name: str) -> str | None:
        """Return a tensor's declared QONNX datatype, or None."""
        return self._datatypes.get(name)

    def attributes(self, node: onnx.NodeProto) -> dict[str, Any]:
        """Return a node's attributes as plain values."""
        return node_attributes(node)

    def constant(self, name: str) -> FloatArray | None:
        """Return a constant in float64, or None if the tensor is computed."""
        value = self.constants.get(name)
        return None if value is None else value.astype(np.float64)

    def scalar(self, name: str) -> float | None:
        """Return a constant of one element, or None."""
        value = self.constants.get(name)
        return float(value.reshape(())) if value is not None and value.size == 1 else None

    def parameter(self, node: onnx.NodeProto, index: int, name: str) -> FloatArray | None:
        """Return a constant parameter: input ``index``, or in older opsets attribute ``name``.

        None if it is computed or not there.
        """
        if len(node.input) > index and node.input[index]:
            return self.constant(node.input[index])
        value = self.attributes(node).get(name)
        return None if value is None else np.asarray(value, dtype=np.float64)

    def operands(self, node: onnx.NodeProto) -> tuple[str, FloatArray] | None:
        """Return (tensor, constant) of a binary node with one constant; None otherwise.

        For Sub and Div the constant must come second.
        """
        if len(node.input) != 2:
            return None
        first, second = node.input
        value = self.constant(second)
        if value is not None:
            return first, value
        value = self.constant(first)
        if value is not None and node.op_type in ("Add", "Mul"):
            return second, value
        return None


def multiples(codes: npt.NDArray[Any], step: Fraction | float | Steps) -> FloatArray:
    """Return ``codes * step`` in float64; an array of steps broadcasts.

    The numerator multiplies and the denominator divides: 49 steps of 1/49 are 1, which they are
    not of the float next to 1/49, and a quantiser may round at just that value.
    """
    if isinstance(step, np.ndarray):
        exact_steps: list[Fraction] = step.reshape(-1).tolist()
        above, below = (
            np.array([float(part) for part in row]).reshape(step.shape)
            for row in zip(*(f.as_integer_ratio() for f in exact_steps), strict=True)
        )
        return codes * above / below
    exact = Fraction(step)
    return codes * float(exact.numerator) / float(exact.denominator)


def whole_steps(bias: FloatArray, step: Fraction) -> FloatArray | None:
    """Return a bias (outputs,) in steps of the sum it is added to; None if it lies between them.

    Files store float32(steps * scale), which is a hair from whole steps where the scale is no
    power of two: the steps are what it stands for.
    """
    codes: FloatArray = np.rint(bias / float(step))
    off = np.abs(multiples(codes, step) - bias)
    return codes if whole(codes) and (off <= FLOAT32_HAIR * np.abs(bias)).all() else None


def per_channel(value: FloatArray, channels: int, ndim: int) -> FloatArray | None:
    """Return a constant that broadcasts along the channels of (N, C, ..) as (C,), or None.

    Args:
        value: the constant.
        channels: C.
        ndim: axes of the tensor it meets, 4 (NCHW) or 2 (NC).
    """
    if value.size == 1:
        return np.full(channels, value.reshape(()))
    if [n for n in value.shape if n != 1] != [channels]:
        return None
    axes_behind = value.ndim - 1 - value.shape.index(channels)
    return value.reshape(-1) if axes_behind == ndim - 2 else None


def whole(value: FloatArray) -> bool:
    """Whether all numbers are integers of at most ACCUMULATOR_BITS bits, sign included."""
    small = np.abs(value) < 1 << (ACCUMULATOR_BITS - 1)  # False for what is no number.
    return bool(small.all() and np.array_equal(value, np.rint(value)))


def outputs_axis(node: onnx.NodeProto) -> int:
    """Return the axis of a product's weights that its outputs lie along."""
    if node.op_type == "Gemm":
        return 0 if node_attributes(node).get("transB", 0) else 1
    return {"Conv": 0, "ConvTranspose": 1, "MatMul": -1}[node.op_type]
