# SPDX-License-Identifier: Apache-2.0
"""Weights and biases of products, and what one step of them stands for."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import onnx

from ....quant.grid import ACCUMULATOR_BITS, IntArray
from ..qonnx_graph import FloatArray, LoweringError, Steps, outputs_axis, per_channel, whole
from ..tables import evaluate
from .construct import Construct
from .state import Handler, Lowering

WHOLE = 2.0**-20
"""How far float64 may take weights of up to 32 bits from whole steps."""


def constant(state: Lowering, node: onnx.NodeProto) -> bool:
    """A quantiser of weights: the product that reads it claims it."""
    return state.graph.constant(node.input[0]) is not None


def weights_of(state: Lowering, node: onnx.NodeProto) -> tuple[FloatArray, Steps]:
    """Return (integer weights, what one step stands for) of a convolution or product.

    The weights are an initializer of integers, or a quantiser of an initializer. A step is
    one number for all outputs, (1,), or one per output, (outputs,).
    """
    weight = state.graph.constant(node.input[1])
    if weight is not None:
        if np.isfinite(weight).all() and (weight != np.rint(weight)).any():
            raise LoweringError(
                node,
                "found weights that are not integers and that no quantiser makes, expected a "
                "Quant of 1 to 8 bits in front of them; quantise this layer's weights, too",
            )
        if not whole(np.rint(weight)):
            raise LoweringError(
                node, f"found weights of more than {ACCUMULATOR_BITS} bits or no numbers"
            )
        return weight, np.array([Fraction(1)], dtype=object)
    quantiser = state.graph.producer.get(node.input[1])
    if (
        quantiser is None
        or quantiser.op_type not in ("BipolarQuant", "Quant")
        or state.graph.constant(quantiser.input[0]) is None
    ):
        raise LoweringError(node, "found computed weights, expected constants; fold them")
    scale = state.graph.constant(quantiser.input[1])
    if scale is None or not (scale > 0).all():
        raise LoweringError(quantiser, "found a scale that is computed or not above 0")
    state.claim(quantiser)
    codes = evaluate(state.graph, [quantiser], {})[quantiser.output[0]].values / scale
    nearest = np.rint(codes)
    if not whole(nearest) or np.abs(codes - nearest).max(initial=0) > WHOLE:
        raise LoweringError(quantiser, "gives weights that are no integers times its scale")
    if (scale == scale.flat[0]).all():
        return nearest, np.array([Fraction(scale.flat[0])], dtype=object)
    axis = outputs_axis(node) % codes.ndim
    if scale.ndim != codes.ndim or scale.shape[axis] != scale.size:
        raise LoweringError(
            quantiser,
            f"found scales of shape {scale.shape}, expected one, or one per output along "
            f"axis {axis}",
        )
    return nearest, np.array([Fraction(s) for s in scale.flat], dtype=object)


def bias_of(state: Lowering, node: onnx.NodeProto, outputs: int) -> FloatArray | None:
    """Return the bias (outputs,) of a convolution or product; None without one, or if it is
    0."""
    if len(node.input) < 3 or not node.input[2]:
        return None
    value = state.graph.constant(node.input[2])
    quantiser = state.graph.producer.get(node.input[2])
    if (
        quantiser is not None
        and quantiser.op_type == "Quant"
        and state.graph.constant(quantiser.input[0]) is not None
    ):
        state.claim(quantiser)
        value = evaluate(state.graph, [quantiser], {})[node.input[2]].values
    bias = None if value is None else per_channel(value, outputs, 2)
    if bias is None or not np.isfinite(bias).all():
        raise LoweringError(node, "expected a constant bias, one finite value per output")
    return bias if bias.any() else None


def integers(node: onnx.NodeProto, what: str, value: FloatArray) -> IntArray:
    """Return constants as integers; ``what`` names them in the error."""
    if not whole(value):
        raise LoweringError(
            node,
            f"found {what} that are not integers of at most {ACCUMULATOR_BITS} bits, but up to "
            f"{np.abs(value).max(initial=0):g}, expected integer codes and a scale; quantise them "
            "to 8 bits or fewer",
        )
    return value.astype(np.int64)


BUILDS = (
    Construct(
        ("Quant", "BipolarQuant"),
        "quantised weights",
        "1 to 8 bits, more as far as accumulators hold them; any zero point",
        (),
        "one scale, or one per output where a quantiser or the class follows",
    ),
)
HANDLERS: dict[str, Handler] = {"BipolarQuant": constant, "Quant": constant}
