# SPDX-License-Identifier: Apache-2.0
"""Tables of what elementwise nodes up to a quantiser or a count make of one integer.

BN + Quant of somebody else's network is a function of one integer (an accumulator, a pixel) per
channel. It is evaluated on every value that integer can take, by qonnx's quantisers and ONNX's
reference implementation, in float64: the thresholds are those of exact arithmetic on the network's
constants, whatever the sign of gamma. Where a value lies within float32's noise of a rounding
border, an execution in float32 may find the code beyond it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import onnx
from qonnx.custom_op.general.bipolar_quant import binary_quant
from qonnx.custom_op.general.intquant import int_quant, max_int, min_int
from qonnx.custom_op.general.trunc import trunc_v1, trunc_v2

from ...quant.grid import IntArray, signed_width, smallest_signed
from .multi_threshold import OP as MULTI_THRESHOLD
from .multi_threshold import Counts
from .qonnx_graph import FloatArray, LoweringError, QonnxGraph, per_channel
from .reference import constant, execute
from .reference_value import Value, places
from .threshold_pattern import MAX_BITS, MAX_LEVEL, has_few_codes, most_code

MAX_VALUES = 1 << 17
"""Most values an integer may take to be tabulated."""
FEW_VALUES = 1 << 12
"""Values from which halving is quicker than a table, where it finds the same."""
MAX_CODE = 1 << 31
"""Largest code of a quantiser that others limit further."""
QUANT_DEFAULTS = {"signed": 1, "narrow": 1, "rounding_mode": "ROUND"}
"""Of qonnx, where a quantiser does not say it."""


@dataclass(frozen=True)
class Table:
    """A quantiser's output codes over all values ``low..high`` of an integer, per channel."""

    low: int
    codes: IntArray
    """(C, high - low + 1)."""
    datatype: str
    scale: Fraction
    first: int
    """Smallest code that the quantiser can give."""
    last: int
    """Largest code."""


def tabulate(
    graph: QonnxGraph,
    nodes: list[onnx.NodeProto],
    channels: int,
    low: int,
    values: Value,
) -> Table:
    """Evaluate a chain on all values of its source.

    Args:
        graph: the network.
        nodes: the chain, as `find_chain` or `find_quantiser` returns it.
        channels: channels of the source.
        low: the integer that the first of ``values`` stands for; the next ones follow.
        values: (V,) or, of each channel, (C, V): what the network sees for these integers.

    Raises:
        LoweringError: too many values, or the quantiser is not one of the supported kinds.
    """
    quantiser = nodes[-1]
    table = responses(graph, nodes, channels, values)
    if not np.isfinite(table).all():
        raise LoweringError(
            quantiser,
            "quantises what is no finite number for some input; divide by no 0, and take "
            "roots and logarithms of numbers above 0 alone",
        )
    if quantiser.op_type == MULTI_THRESHOLD:
        return _counted(graph, quantiser, low, table)
    step = graph.scalar(quantiser.input[1])
    if step is None or not step > 0:
        raise LoweringError(
            quantiser,
            "found no single scale above 0, expected a per-tensor scale, or one per channel that "
            "only depthwise convolutions without a bias read; export with one for all channels",
        )
    if quantiser.op_type == "BipolarQuant":
        return Table(low, (table > 0).astype(np.int64), "BINARY", Fraction(step), 0, 1)
    if quantiser.op_type == "Trunc":
        return _truncated(graph, quantiser, low, table)
    zero, bits = graph.scalar(quantiser.input[2]), graph.scalar(quantiser.input[3])
    few = has_few_codes(graph, quantiser)
    if zero is None or zero != np.rint(zero) or bits is None or not few:
        raise LoweringError(
            quantiser,
            f"found {bits} bits and zero point {zero}, expected 1 to {MAX_BITS} bits "
            "and one whole zero point",
        )
    # A code of the stream is that of the network less the zero point: a border of 0 is code 0.
    signed = graph.attributes(quantiser).get("signed", 1)
    narrow = graph.attributes(quantiser).get("narrow", QUANT_DEFAULTS["narrow"])
    first, last = (int(end(signed, narrow, bits)) - int(zero) for end in (min_int, max_int))
    codes = _codes(quantiser, table, step)
    if bits > MAX_BITS:
        first, last = int(codes.min()), int(codes.max())
    if codes.min() < first or codes.max() > last:
        raise LoweringError(
            quantiser, f"gives the codes {codes.min()}..{codes.max()}, expected {first}..{last}"
        )
    datatype = smallest_signed(first, last) if first < 0 else f"UINT{max(2, last.bit_length())}"
    return Table(low, codes, datatype, Fraction(step), first, last)


def _truncated(graph: QonnxGraph, node: onnx.NodeProto, low: int, table: FloatArray) -> Table:
    """The codes of a Trunc. The old form clips nothing: its codes may have a bit more than it
    says."""
    newer = len(node.input) == 6
    step, bits = graph.scalar(node.input[4 if newer else 1]), graph.scalar(node.input[-1])
    if step is None or bits is None:
        raise LoweringError(node, "found no single scale and width, expected constants")
    codes = _codes(node, table, step)
    ends = int(codes.min()), int(codes.max())
    signed = bool(graph.attributes(node).get("signed", 1)) if newer else ends[0] < 0
    needed = signed_width(*ends) if signed else ends[1].bit_length()
    width = max(int(bits), 2, needed)
    if width > MAX_BITS or (ends[0] < 0 and not signed):
        raise LoweringError(
            node, f"gives the codes {ends[0]}..{ends[1]}, expected at most {MAX_BITS} bits"
        )
    first = -(1 << width - 1) if signed else 0
    last = first + (1 << width) - 1
    return Table(low, codes, f"{'INT' if signed else 'UINT'}{width}", Fraction(step), first, last)


def _counted(graph: QonnxGraph, node: onnx.NodeProto, low: int, table: FloatArray) -> Table:
    """The codes of a MultiThreshold."""
    found = Counts.of(graph.attributes(node))
    ends = sorted((found.first, found.first + most_code(graph, node) * (found.factor > 0 or -1)))
    first, last = ends
    if not has_few_codes(graph, node) or first < -(1 << MAX_BITS) or last > MAX_LEVEL:
        raise LoweringError(
            node,
            f"gives the codes {first}..{last} of the step {float(found.step):g}, expected at most "
            f"{MAX_BITS} bits",
        )
    datatype = smallest_signed(first, last) if first < 0 else f"UINT{max(2, last.bit_length())}"
    codes = _codes(node, table, float(found.step))
    return Table(low, codes, datatype, found.step, first, last)


def _codes(node: onnx.NodeProto, table: FloatArray, step: float) -> IntArray:
    """How many steps a table holds.

    Raises:
        LoweringError: more than integers hold.
    """
    codes = np.rint(table / step)
    if np.abs(codes).max(initial=0.0) > MAX_CODE:
        raise LoweringError(
            node,
            f"gives codes up to {np.abs(codes).max():g}, expected at most {MAX_CODE}; quantise to "
            f"{MAX_BITS} bits or fewer",
        )
    whole: IntArray = codes.astype(np.int64)
    return whole


def check_values(node: onnx.NodeProto, count: int) -> None:
    """Check how many values an integer takes before they are written down.

    Raises:
        LoweringError: too many.
    """
    if count > MAX_VALUES:
        raise LoweringError(
            node, f"is a function of an integer of {count} values, expected at most {MAX_VALUES}"
        )


def responses(
    graph: QonnxGraph,
    nodes: list[onnx.NodeProto],
    channels: int,
    values: Value,
) -> FloatArray:
    """Return (C, V): a chain's output for each of V ``values`` of its source, per channel.

    Args:
        graph: the network.
        nodes: the chain.
        channels: C.
        values: (V,), or (C, V) where channels see different ones.

    Raises:
        LoweringError: a constant in the chain is not one value per channel, or the chain cannot
            be executed.
    """
    source = next(n for n in nodes[0].input if n and graph.constant(n) is None)
    ndim, count = len(graph.shape(source)), values.codes.shape[-1]
    for node in nodes:
        if node.op_type == "Unsqueeze":
            break  # Behind it the thresholds of a channel lie along an axis of their own.
        _check_constants(graph, node, channels, ndim)
    rows = np.broadcast_to(values.codes, (channels, count))
    feed = replace(values, codes=rows[None, :, :, None] if ndim == 4 else rows.T)
    out = evaluate(graph, nodes, {source: feed})[nodes[-1].output[0]].values
    if out.size != channels * count:
        raise LoweringError(
            nodes[-1], f"gives {out.shape} for {feed.codes.shape}, expected one value for each"
        )
    return out.reshape(channels, count) if ndim == 4 else out.reshape(count, channels).T


def _check_constants(graph: QonnxGraph, node: onnx.NodeProto, channels: int, ndim: int) -> None:
    for name in node.input:
        value = graph.constant(name) if name else None
        if value is None:
            continue
        if node.op_type == MULTI_THRESHOLD and len(value) in (1, channels):
            continue
        normalises = node.op_type == "BatchNormalization" and value.shape == (channels,)
        if not normalises and per_channel(value, channels, ndim) is None:
            raise LoweringError(
                node,
                f"its constant {name} has the shape {value.shape}, expected one value, or one per "
                f"channel ({channels}) that is the same for all pixels",
            )


def falling_channels(table: Table) -> npt.NDArray[np.bool_] | None:
    """Return which channels fall (and never rise); None if one does both."""
    steps = np.diff(table.codes, axis=1)
    falls: npt.NDArray[np.bool_] = np.any(steps < 0, axis=1)
    rises: npt.NDArray[np.bool_] = np.any(steps > 0, axis=1)
    return None if (falls & rises).any() else falls


def thresholds(table: Table) -> tuple[IntArray, int]:
    """Return (thresholds (C, 2**bits - 1), first code) of a table without falling channels.

    A code that is always reached has the smallest value as its threshold, one that is never
    reached the value behind the largest.
    """
    levels = np.arange(table.first + 1, table.last + 1)
    # Codes rise along the values: the first value that reaches a level is found by bisection.
    reached = [np.searchsorted(row, levels, side="left") for row in table.codes]
    return table.low + np.stack(reached).astype(np.int64), table.first


def evaluate(
    graph: QonnxGraph, nodes: list[onnx.NodeProto], feeds: dict[str, Value]
) -> dict[str, Value]:
    """Execute some nodes of the network, whole steps as integers, and return every tensor.

    Raises:
        LoweringError: a node cannot be executed.
    """
    context = dict(feeds)
    for node in nodes:
        inputs = [context[n] if n in context else _constant(graph, n) for n in node.input]
        try:
            # What overflows, or divides by 0, is no finite number: `tabulate` says so.
            with np.errstate(all="ignore"):
                results = _execute(graph, node, inputs)
        except Exception as error:  # qonnx raises bare Exception, ONNX's kernels what they meet.
            why = " ".join(str(error).split())[:200]
            raise LoweringError(node, f"cannot be evaluated: {why}") from error
        context.update(zip(node.output, results, strict=False))
    return context


def _execute(graph: QonnxGraph, node: onnx.NodeProto, inputs: list[Value | None]) -> list[Value]:
    attributes = graph.attributes(node)
    if node.op_type not in ("Quant", "BipolarQuant", "Trunc"):
        return execute(node, inputs, graph.opsets)
    given = [v for v in inputs if v is not None]
    x, *behind = (v.values for v in given)
    if node.op_type == "Quant":
        scale, *behind = behind
        said = (attributes.get(k, d) for k, d in QUANT_DEFAULTS.items())
        return [Value(int_quant(places(given[0], scale), np.ones(()), *behind, *said) * scale)]
    if node.op_type == "BipolarQuant":
        return [Value(binary_quant(x, *behind))]
    mode = attributes.get("rounding_mode", "FLOOR")
    if len(inputs) == 5:
        return [Value(trunc_v1(x, *behind, mode))]
    narrow, signed = attributes.get("narrow", 0), attributes.get("signed", 1)
    return [Value(trunc_v2(x, *behind[:3], narrow, signed, *behind[3:], mode))]


def _constant(graph: QonnxGraph, name: str) -> Value | None:
    """A constant; None for an input that is left out."""
    value = graph.constants.get(name)
    return None if value is None else constant(value)
