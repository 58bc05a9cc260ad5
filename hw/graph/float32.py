# SPDX-License-Identifier: Apache-2.0
"""How far one node's result in float32 may lie from the exact one: rounding apart from faults.

A node is executed on the exact inputs, rounded to float32. Whatever order it sums in, its result
then lies within a bound that follows from the sizes of what it adds (Higham, "Accuracy and
Stability of Numerical Algorithms", section 3.1): for n products (n + 3) * u * sum|w||x| to first
order, u = 2**-24. At a quantiser that bound tells whether float32 may have crossed a rounding
border.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx

from ..kernels.base import node_attributes
from .multi_threshold import OP as MULTI_THRESHOLD
from .qonnx_graph import FLOAT32_UNIT as UNIT
from .reference import execute
from .reference_kernels import quantised
from .reference_value import Array, Floats, Value

TINY = 2.0**-120
"""Numbers below float32's normal ones, whose relative error is no longer bounded."""
LINEAR = (
    "Conv", "ConvTranspose", "Gemm", "MatMul", "ReduceSum", "ReduceMean", "AveragePool",
    "GlobalAveragePool", "Resize",
)  # fmt: skip
BORDERS = ("GreaterOrEqual", "Greater", "LessOrEqual", "Less", "Equal")
CURVES = (
    "Celu", "Elu", "Erf", "Gelu", "HardSigmoid", "HardSwish", "Mish", "Selu", "Sigmoid", "Softplus",
    "Softsign", "Tanh",
)  # fmt: skip
STEEP = ("Exp", "Log", "Pow", "Reciprocal", "Sqrt")
"""Functions of any slope."""
STEPS = ("Floor", "Ceil", "Round", "Cast", "Sign")


def settle(
    node: onnx.NodeProto,
    tensors: Mapping[str, Value],
    name: str,
    found: Array,
    opsets: Sequence[onnx.OperatorSetIdProto],
) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Judge a node's result in float32.

    Args:
        node: the node.
        tensors: its exact inputs and outputs.
        name: the output that is judged.
        found: what float32 gives on the exact inputs.
        opsets: the network's.

    Returns:
        The exact values where ``found`` is theirs but for rounding, else ``found``; and where that
        is.
    """
    exact = tensors[name].values
    if found.shape != exact.shape:
        return found, np.ones(found.shape, dtype=bool)
    if exact.dtype.kind == "f" and np.array_equal(exact.astype(np.float32), found):
        return exact, np.zeros(exact.shape, dtype=bool)
    low, high = limits(node, tensors, exact, opsets)
    wrong = ~((low <= found) & (found <= high))
    return np.where(wrong, found, exact), wrong


def limits(
    node: onnx.NodeProto,
    tensors: Mapping[str, Value],
    exact: Array,
    opsets: Sequence[onnx.OperatorSetIdProto],
) -> tuple[Array, Array]:
    """Return the least and largest result float32 may give for the exact one."""
    inputs = [tensors[n] if n else None for n in node.input]
    arrays = [v.values for v in inputs if v is not None]
    if node.op_type in BORDERS:
        gap = np.abs(arrays[0] - arrays[1])
        near = gap <= UNIT * (np.abs(arrays[0]) + np.abs(arrays[1]))
        return exact & ~near, exact | near
    if exact.dtype.kind != "f" and node.op_type != "Cast":
        return exact, exact
    if node.op_type in ("Quant", "IntQuant"):
        low, high = _quant_limits(node, arrays)
        return low - _around(low, 4), high + _around(high, 4)
    if node.op_type == MULTI_THRESHOLD:
        low, high = np.sort(
            [
                execute(node, [Value(arrays[0] + noise), *inputs[1:]], opsets)[0].values
                for noise in (-_around(arrays[0], 1), _around(arrays[0], 1))
            ],
            axis=0,
        )
        # Counts times a factor, plus a summand: rounded twice.
        size = np.abs(low) + np.abs(high) + abs(node_attributes(node).get("out_bias", 0.0))
        return low - _around(size, 3), high + _around(size, 3)
    if (node.op_type in STEPS and arrays[0].dtype.kind == "f") or node.op_type == "Trunc":
        ends = [
            execute(node, [Value(arrays[0] + sign * noise), *inputs[1:]], opsets)[0].values
            for noise in (_around(arrays[0], 4 if node.op_type == "Trunc" else 1),)
            for sign in (-1, 1)
        ]
        return ends[0], ends[1]
    if exact.dtype.kind != "f":
        return exact, exact
    error = _around(exact, 16)
    if node.op_type in LINEAR:
        sizes = [None if v is None else Value(np.abs(v.values)) for v in inputs]
        if node.op_type.startswith("Re"):
            sizes[1:] = inputs[1:]
        terms = _terms(node, arrays, exact)
        error = _around(execute(node, sizes, opsets)[0].values, terms + 3)
    elif node.op_type in ("Add", "Sub"):
        error = _around(np.abs(arrays[0]) + np.abs(arrays[1]), 3)
    elif node.op_type in CURVES:
        # Their slopes are below 2; fast forms of them are good to parts of 1, not of the result.
        error = _around(np.abs(arrays[0]) + np.abs(exact) + 1, 16)
    elif node.op_type in STEEP:
        error = _around(np.abs(exact) + 1, 16)
        for i, rounded in enumerate(arrays):
            least, most = (
                execute(node, [*inputs[:i], Value(rounded + noise), *inputs[i + 1 :]], opsets)
                for noise in (-_around(rounded, 1), _around(rounded, 1))
            )
            # Whole exponents of numbers below 0 are not rounded.
            error = error + np.nan_to_num(np.abs(most[0].values - least[0].values))
    elif node.op_type == "BatchNormalization":
        x, gamma, beta, mean, var = arrays
        shape = (-1, *(1,) * (x.ndim - 2))
        gamma, beta, mean, var = (np.abs(part.reshape(shape)) for part in (gamma, beta, mean, var))
        epsilon = node_attributes(node).get("epsilon", 1e-5)
        error = _around((np.abs(x) + mean) * gamma / np.sqrt(var + epsilon) + beta, 16)
    return exact - error, exact + error


def _around(size: Array, roundings: int) -> Floats:
    """The error of so many roundings of numbers of a size."""
    share = roundings * UNIT
    return np.abs(size) * (share / (1 - share)) + TINY


def _terms(node: onnx.NodeProto, arrays: Sequence[Array], exact: Array) -> int:
    """Products, and a bias, in one sum."""
    if node.op_type == "AveragePool":
        return math.prod(node_attributes(node)["kernel_shape"])
    if node.op_type == "Resize":
        return 16  # Weights of two neighbours per axis are rounded themselves.
    if node.op_type.startswith(("Reduce", "Global")):
        return -(-arrays[0].size // max(1, exact.size))
    if node.op_type in ("Conv", "ConvTranspose"):
        # Every output of a transposed convolution adds less than all of these.
        return arrays[1].size // (1 if node.op_type == "ConvTranspose" else len(arrays[1])) + 1
    return arrays[1].size // exact.shape[-1] + 1


def _quant_limits(node: onnx.NodeProto, arrays: Sequence[Array]) -> tuple[Floats, Floats]:
    x, scale, zero, bits = arrays
    attributes = node_attributes(node)
    place = x / scale
    noise = _around(np.abs(place) + np.abs(zero), 4)
    ends = [
        (quantised(place + zero + sign * noise, float(bits.reshape(())), attributes) - zero) * scale
        for sign in (-1, 1)
    ]
    return ends[0], ends[1]
