# SPDX-License-Identifier: Apache-2.0
"""The outputs of a network become heads: a class by LabelSelect, or the integers as they are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import onnx

from ....quant.digits import DIGIT_TYPE, FACTOR_BITS, SCORE_BITS, digits
from ....quant.grid import IntArray
from ..builder import Stream
from ..heads import Kind, Software
from ..qonnx_graph import LoweringError, per_channel
from ..scores import Label, constant_bits, integer_scores, score_bits
from .matrix_vector import matrix_vector
from .state import Lowering

AFFINE = ("Mul", "Add", "Sub", "Div", "BatchNormalization")
"""Ops that scale and move logits, all alike or each for itself."""


@dataclass(frozen=True)
class End:
    """An output of the network and the stream that leaves the graph for it."""

    name: str
    kind: Kind
    stream: Stream
    software: Software | None = None


@dataclass(frozen=True)
class _Tail:
    """Channel c of an output is ``factors[c] * x + offsets[c]``, in integers x."""

    x: Stream
    factors: list[Fraction]
    offsets: list[Fraction]
    ordered: bool
    """Whether the integers of two channels are in the order of the output's."""
    node: onnx.NodeProto
    """Node of the network that makes x."""


def end(
    state: Lowering, output: str, kinds: Mapping[str, Kind], software: Software | None = None
) -> End:
    """Lower what is left of an output.

    Args:
        state: the lowering, behind its last node.
        output: name of the output.
        kinds: what outputs are to be; one that is left out is logits, which decide a class, or
            where they are a map, a class per pixel.
        software: what is left to software behind it.

    Raises:
        LoweringError: it is no stream, or of another kind.
    """
    kind = kinds.get(output)
    if kind in ("raw", "map"):
        return End(output, kind, _integers(state, output, kind))
    tail = _tail(state, output)
    vector = tail.x.plan or tail.x.vectors == [1, 1, 1]
    found: Kind = "class" if vector else "class_map"
    if kind not in (None, found):
        raise LoweringError(
            tail.node, f"gives a {found} at the output {output}, expected a {kind} as it is asked"
        )
    return End(output, found, _label_select(state, tail), _numbers(tail, software))


def _numbers(tail: _Tail, software: Software | None) -> Software | None:
    """What software makes of logits, with what their integers stand for; of one logit these are 0
    and the logit."""
    if software is None or tail.x.datatype == "BINARY":
        return None
    factors, offsets = list(map(float, tail.factors)), list(map(float, tail.offsets))
    if len(factors) == 1:
        factors, offsets = [0.0, abs(factors[0])], [0.0, *offsets]
    return replace(software, factors=tuple(factors), offsets=tuple(offsets))


def _integers(state: Lowering, output: str, kind: Kind) -> Stream:
    """The stream itself; a boundary says what its integers stand for."""
    tail = _tail(state, output)
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
        # The network sees a map that was flattened channel by channel.
        each = math.prod(x.plan[:2]) if x.plan else 1
        factors, offsets = ([float(v) for v in part for _ in range(each)]
                            for part in (tail.factors, tail.offsets))  # fmt: skip
        alike = len(set(tail.factors)) == 1
        state.builder.boundary(
            replace(x, scale=tail.factors[0]),
            output,
            offsets if any(offsets) else [],
            [] if alike else factors,
        )
    return x


def _tail(state: Lowering, output: str) -> _Tail:
    """Walk back from an output through factors, offsets and flattenings to a stream.

    Raises:
        LoweringError: there is no stream.
    """
    name = output
    if name not in state.graph.producer:
        raise LoweringError(
            state.graph.nodes[-1], f"the graph output {name} is no computed tensor, expected one"
        )
    last = state.graph.producer[name]
    shape = state.graph.shape(output)
    channels = shape[1] if len(shape) > 1 else 1
    # The output is factor * (tensor called name) + offset, of each channel.
    factors, offsets = [Fraction(1)] * channels, [Fraction(0)] * channels
    while name not in state.streams and last.op_type in (*AFFINE, "Flatten", "Squeeze"):
        if last.op_type in ("Flatten", "Squeeze") and state.graph.shape(last.input[0])[2:] == (
            1,
            1,
        ):
            state.claim(last)
            name = last.input[0]
            last = state.graph.producer.get(name, last)
            continue
        found = _affine(state, last, channels)
        if found is None:
            break
        name, scale, moved = found
        offsets = [o + f * m for o, f, m in zip(offsets, factors, moved, strict=True)]
        factors = [f * s for f, s in zip(factors, scale, strict=True)]
        state.claim(last)
        last = state.graph.producer.get(name, last)
    if name not in state.streams:
        raise state.passed.get(
            last.name,
            LoweringError(
                last,
                "ends the graph, expected the logits of a Gemm or Conv, or a quantiser; leave it "
                "away, or put one behind it",
            ),
        )
    x = state.streams[name]
    alike = len(set(factors)) == 1 and factors[0] > 0 and len(set(offsets)) == 1
    if x.plan or len(factors) != x.channels:
        if not alike:
            raise LoweringError(
                last, "scales a map that was flattened, expected one factor for all of it"
            )
        factors, offsets = factors[:1] * x.channels, offsets[:1] * x.channels
    meaning = state.meanings.get(x.name)
    steps = [x.scale] * x.channels if meaning is None else meaning.factors
    if meaning is not None:
        offsets = [o + f * m for o, f, m in zip(offsets, factors, meaning.offsets, strict=True)]
    factors = [f * s for f, s in zip(factors, steps, strict=True)]
    return _Tail(x, factors, offsets, alike and (meaning is None or meaning.ordered), last)


def _affine(
    state: Lowering, node: onnx.NodeProto, channels: int
) -> tuple[str, list[Fraction], list[Fraction]] | None:
    """Return (what a node reads, factors, offsets) of one whose result is
    ``factor * input + offset``, of each channel; else None."""
    rank = len(state.graph.shape(node.output[0]))
    if node.op_type == "BatchNormalization":
        parts = [state.graph.constant(name) for name in node.input[1:]]
        if any(part is None or part.size != channels for part in parts):
            return None
        gamma, beta, mean, var = (part for part in parts if part is not None)
        epsilon = state.graph.attributes(node).get("epsilon", 1e-5)
        factor = gamma / np.sqrt(var + epsilon)
        exact = [Fraction(f) for f in factor.tolist()]
        moved = [
            Fraction(b) - f * Fraction(m)
            for b, f, m in zip(beta.tolist(), exact, mean.tolist(), strict=True)
        ]
        return node.input[0], exact, moved
    operands = state.graph.operands(node)
    row = None if operands is None else per_channel(operands[1], channels, rank)
    if operands is None or row is None or not np.isfinite(row).all():
        return None
    numbers = [Fraction(value) for value in row.tolist()]
    if node.op_type in ("Add", "Sub"):
        sign = 1 if node.op_type == "Add" else -1
        return operands[0], [Fraction(1)] * channels, [sign * n for n in numbers]
    if not all(numbers):
        return None
    factors = numbers if node.op_type == "Mul" else [1 / n for n in numbers]
    return operands[0], factors, [Fraction(0)] * channels


def _label_select(state: Lowering, tail: _Tail) -> Stream:
    """Argmax of the logits, of every pixel if there are several; of one, its sign.

    One positive factor and one offset choose no other of several logits and are dropped; where
    each has its own, LabelSelect takes integers in place of them. Of one logit they move the border
    between its classes.
    """
    x = tail.x
    if x.plan:
        raise LoweringError(
            tail.node,
            f"ends the graph with a map {x.plan} (HWC) that was flattened, expected one logit per "
            "class; leave the flattening away for a class per pixel, or ask for raw",
        )
    if x.channels == 1:
        x = _against_border(state, tail.node, x, tail.factors[0], tail.offsets[0])
        scores, constants = dict[str, int](), dict[str, tuple[IntArray, str]]()
    elif tail.ordered:
        scores, constants = {}, {}
    else:
        scores, constants = _scores(state, tail)
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
            **scores,
        },
        constants,
    )
    return y


def _scores(state: Lowering, tail: _Tail) -> tuple[dict[str, int], dict[str, tuple[IntArray, str]]]:
    """Attributes and constants of a LabelSelect of logits with factors and offsets of their own."""
    low, high = state.reach(tail.x)
    labels = [
        Label(factor, offset, int(least), int(most))
        for factor, offset, least, most in zip(tail.factors, tail.offsets, low, high, strict=True)
    ]
    if tail.x.levels or tail.x.datatype == "BINARY":
        raise LoweringError(
            tail.node, f"ends the graph with the codes {tail.x.name}, expected logits of a product"
        )
    found = integer_scores(labels)
    if found is None:
        raise LoweringError(
            tail.node,
            f"ends the graph with {len(labels)} logits whose factors and offsets take more than "
            f"{FACTOR_BITS} and {SCORE_BITS} bits as integers, expected fewer; use one weight "
            "scale for all classes",
        )
    attributes = {
        "scoreBits": score_bits(found, labels),
        "factorBits": constant_bits(found.factors),
        "offsetBits": constant_bits(found.offsets),
    }
    constants = {
        "factors": (digits(found.factors), DIGIT_TYPE),
        "offsets": (digits(found.offsets), DIGIT_TYPE),
    }
    return attributes, constants


def _against_border(
    state: Lowering, node: onnx.NodeProto, x: Stream, factor: Fraction, offset: Fraction
) -> Stream:
    """One logit z, or a map of them, becomes two: (t, z), so that their argmax is 1 where
    ``factor * z + offset`` is 0 or more: t is the largest z of class 0, z negative if the
    factor is."""
    if x.levels:
        raise LoweringError(node, f"ends the graph with the level codes {x.name}, expected a logit")
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
