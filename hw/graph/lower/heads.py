# SPDX-License-Identifier: Apache-2.0
"""The ends of a network: LabelSelect."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import onnx

from ..builder import Stream
from ..qonnx_graph import LoweringError
from .matrix_vector import matrix_vector
from .state import Lowering

SCALARS = ("Mul", "Add", "Sub", "Div")
"""Ops that scale and move logits."""


def label_select(state: Lowering) -> Stream:
    """Argmax of the logits, of every pixel if there are several; of one, its sign.

    Factors and offsets behind them are dropped: a positive factor and an offset choose no
    other of several logits; of one logit they move the border between its classes.
    """
    name = state.graph.outputs[0].name
    last = state.graph.producer[name]
    single = state.graph.shape(name)[1:2] == (1,)
    # The output is factor * (tensor called name) + offset.
    factor, offset = Fraction(1), Fraction(0)
    while name not in state.streams and last.op_type in (*SCALARS, "Flatten", "Squeeze"):
        if last.op_type in ("Flatten", "Squeeze") and state.graph.shape(last.input[0])[2:] == (
            1,
            1,
        ):
            state.claim(last)
            name = last.input[0]
            last = state.graph.producer.get(name, last)
            continue
        operands = state.graph.operands(last)
        if operands is None or operands[1].size != 1:
            break
        number = Fraction(float(operands[1].reshape(())))
        if last.op_type in ("Add", "Sub"):
            offset += factor * number * (1 if last.op_type == "Add" else -1)
        elif number > 0 or (number and single):
            factor = factor * number if last.op_type == "Mul" else factor / number
        else:
            break
        state.claim(last)
        name = operands[0]
        last = state.graph.producer.get(name, last)
    if name not in state.streams:
        raise state.passed.get(
            last.name,
            LoweringError(last, "ends the graph, expected the logits of a Gemm or Conv"),
        )
    x = state.streams[name]
    if x.channels == 1:
        offset += factor * x.scale * state.offsets.get(x.name, 0)
        x = _against_border(state, last, x, factor, offset)
    bits = 8 * -(-(x.channels - 1).bit_length() // 8)
    datatype = f"UINT{max(8, bits)}"
    (y,) = state.builder.add(
        "LabelSelect",
        "argmax",
        [x],
        [((*x.shape[:-1], 1), datatype)],
        {
            "Labels": x.channels,
            "PE": 1,
            "K": 1,
            "inputDataType": x.datatype,
            "outputDataType": datatype,
            "numInputVectors": x.vectors,
        },
    )
    return y


def _against_border(
    state: Lowering, node: onnx.NodeProto, x: Stream, factor: Fraction, offset: Fraction
) -> Stream:
    """One logit z, or a map of them, becomes two: (t, z), so that their argmax is 1 where
    ``factor * z + offset`` is 0 or more: t is the largest z of class 0, z negative if the
    factor is."""
    if x.levels:
        raise LoweringError(node, f"ends the graph with the level codes {x.name}, expected a logit")
    factor *= x.scale
    sign = 1 if factor > 0 else -1
    border = math.ceil(-offset / abs(factor))
    low, high = (-1, 1) if x.datatype == "BINARY" else (int(r[0]) for r in state.reach(x))
    if sign < 0:
        low, high = -high, -low
    if not low < border <= high:
        raise LoweringError(
            node,
            f"ends the graph with one channel that is {'never' if high < border else 'always'} "
            "0 or more, so its sign tells no two classes apart; expected a logit of both "
            "signs, or one channel per class",
        )
    if x.datatype == "BINARY":
        return matrix_vector(state, node, "sign", x, np.array([[-sign, sign]]), Fraction(1), None)
    bias = np.array([border - 1.0, 0.0])
    return matrix_vector(state, node, "sign", x, np.array([[0.0, sign]]), Fraction(1), bias)
