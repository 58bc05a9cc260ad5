# SPDX-License-Identifier: Apache-2.0
"""The outputs of a network become heads: a class by LabelSelect, or the integers as they are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import onnx

from ..builder import Stream
from ..heads import Kind
from ..qonnx_graph import LoweringError
from .matrix_vector import matrix_vector
from .state import Lowering

SCALARS = ("Mul", "Add", "Sub", "Div")
"""Ops that scale and move logits."""


@dataclass(frozen=True)
class End:
    """An output of the network and the stream that leaves the graph for it."""

    name: str
    kind: Kind
    stream: Stream


@dataclass(frozen=True)
class _Tail:
    """An output is ``factor * (what x stands for) + offset``."""

    x: Stream
    factor: Fraction
    offset: Fraction
    node: onnx.NodeProto
    """Node of the network that makes x."""


def end(state: Lowering, output: str, kinds: Mapping[str, Kind]) -> End:
    """Lower what is left of an output.

    Args:
        state: the lowering, behind its last node.
        output: name of the output.
        kinds: what outputs are to be; one that is left out is logits, which decide a class, or
            where they are a map, a class per pixel.

    Raises:
        LoweringError: it is no stream, or of another kind.
    """
    kind = kinds.get(output)
    if kind in ("raw", "map"):
        return End(output, kind, _integers(state, output, kind))
    tail = _tail(state, output, state.graph.shape(output)[1:2] == (1,))
    vector = tail.x.plan or tail.x.vectors == [1, 1, 1]
    found: Kind = "class" if vector else "class_map"
    if kind not in (None, found):
        raise LoweringError(
            tail.node, f"gives a {found} at the output {output}, expected a {kind} as it is asked"
        )
    return End(output, found, _label_select(state, tail))


def _integers(state: Lowering, output: str, kind: Kind) -> Stream:
    """The stream itself; a boundary says what its integers stand for."""
    tail = _tail(state, output, True)
    x = tail.x
    if x.levels or x.name == state.builder.picture.name:
        found = f"the level codes {x.name}" if x.levels else "the picture as it is"
        raise LoweringError(tail.node, f"ends the graph with {found}, expected integers")
    if kind == "map" and len(state.graph.shape(output)) != 4:
        raise LoweringError(
            tail.node,
            f"gives the output {output} of shape {state.graph.shape(output)}, expected a map "
            "(1, C, H, W); ask for raw",
        )
    if not state.builder.has_boundary(output):
        values = math.prod(x.plan) if x.plan else x.channels
        offset = [float(tail.offset)] * values if tail.offset else []
        state.builder.boundary(replace(x, scale=x.scale * tail.factor), output, offset)
    return x


def _tail(state: Lowering, output: str, signed: bool) -> _Tail:
    """Walk back from an output through factors, offsets and flattenings to a stream.

    Args:
        state: the lowering.
        output: name of the output.
        signed: factors below 0 are taken too.

    Raises:
        LoweringError: there is no stream.
    """
    name = output
    if name not in state.graph.producer:
        raise LoweringError(
            state.graph.nodes[-1], f"the graph output {name} is no computed tensor, expected one"
        )
    last = state.graph.producer[name]
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
        elif number > 0 or (number and signed):
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
    return _Tail(x, factor, offset + factor * x.scale * state.offsets.get(x.name, 0), last)


def _label_select(state: Lowering, tail: _Tail) -> Stream:
    """Argmax of the logits, of every pixel if there are several; of one, its sign.

    Factors and offsets behind them are dropped: a positive factor and an offset choose no
    other of several logits; of one logit they move the border between its classes.
    """
    x = tail.x
    if x.plan:
        raise LoweringError(
            tail.node,
            f"ends the graph with a map {x.plan} (HWC) that was flattened, expected one logit per "
            "class; leave the flattening away for a class per pixel, or ask for raw",
        )
    if x.channels == 1:
        x = _against_border(state, tail.node, x, tail.factor, tail.offset)
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
