# SPDX-License-Identifier: Apache-2.0
"""Turns a chain of elementwise nodes that ends in a quantiser or a count into integer thresholds.

BN + Quant of somebody else's network is a function of one integer (an accumulator, a pixel) per
channel. It is evaluated on every value that integer can take, by qonnx's quantisers and ONNX's
reference implementation, in float64: the thresholds are those of exact arithmetic on the network's
constants, whatever the sign of gamma. Where a value lies within float32's noise of a rounding
border, an execution in float32 may find the code beyond it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from qonnx.core.datatype import DataType
from qonnx.custom_op.general.bipolar_quant import binary_quant
from qonnx.custom_op.general.intquant import int_quant

from ..kernels.base import IntArray
from .qonnx_graph import FloatArray, LoweringError, QonnxGraph, per_channel
from .reference import onnx_reference

ELEMENTWISE = ("Add", "Sub", "Mul", "Div", "BatchNormalization", "Relu", "Clip", "Neg")
"""Ops allowed between the integer and its quantiser."""
COMPARISONS = (*ELEMENTWISE, "Unsqueeze", "GreaterOrEqual", "Cast")
"""Ops allowed between the integer and the sum that counts the thresholds it reaches."""
MAX_VALUES = 1 << 17
"""Most values an integer may take to be tabulated."""
QUANT_DEFAULTS = {"signed": 1, "narrow": 1, "rounding_mode": "ROUND"}
"""Of qonnx, where a quantiser does not say it."""
MAX_CHAIN = 64
"""Most nodes between an integer and its quantiser."""
MAX_BITS = 8
"""Widest output that thresholds serve."""
MAX_LEVEL = (1 << MAX_BITS) - 1
"""Largest level code of an activation."""


@dataclass(frozen=True)
class Table:
    """A quantiser's output codes over all values ``low..high`` of an integer, per channel."""

    low: int
    codes: IntArray
    """(C, high - low + 1)."""
    datatype: str
    scale: Fraction


@dataclass(frozen=True)
class Comparisons:
    """base + the sum of steps where x >= thresholds, in the network's own constants."""

    source: str
    """x."""
    thresholds: FloatArray
    """(C, n)."""
    steps: FloatArray
    """(C, n)."""
    base: FloatArray
    """(C,)."""
    counts: bool
    """A plain count: no steps, no base."""
    nodes: tuple[onnx.NodeProto, ...]


def match_comparisons(graph: QonnxGraph, total: onnx.NodeProto) -> Comparisons | None:
    """Read x -> Unsqueeze(2) -> GreaterOrEqual -> Cast [-> Mul] -> ReduceSum(2) [-> Add].

    Args:
        graph: the network.
        total: the ReduceSum.

    Returns:
        None where x is reached in another way.

    Raises:
        LoweringError: a constant has another shape than (C, n, 1, 1), or (C, 1, 1) for the base.
    """
    nodes = [total]
    steps: FloatArray | None = None
    node = graph.producer.get(total.input[0])
    if node is not None and node.op_type == "Mul" and (product := graph.operands(node)) is not None:
        nodes.insert(0, node)
        node, steps = graph.producer.get(product[0]), product[1]
    for op in ("Cast", "GreaterOrEqual", "Unsqueeze"):
        if node is None or node.op_type != op:
            return None
        nodes.insert(0, node)
        node = graph.producer.get(node.input[0])
    unsqueeze, compare = nodes[:2]
    limits = graph.constant(compare.input[1])
    axes = graph.parameter(unsqueeze, 1, "axes")
    if limits is None or axes is None or axes.tolist() != [2]:
        return None
    channels = graph.shape(unsqueeze.input[0])[1]
    if limits.ndim != 4 or limits.shape[0] != channels or limits.shape[2:] != (1, 1):
        raise LoweringError(
            compare,
            f"found thresholds of shape {limits.shape}, expected ({channels}, n, 1, 1)",
        )
    if steps is not None and steps.shape not in (limits.shape, ()):
        raise LoweringError(
            nodes[-2], f"found steps of shape {steps.shape}, expected {limits.shape}"
        )
    base: FloatArray | None = None
    readers = graph.consumers[total.output[0]]
    if len(readers) == 1 and readers[0].op_type == "Add":
        offset = graph.operands(readers[0])
        if offset is not None:
            nodes.append(readers[0])
            base = per_channel(offset[1], channels, 4)
            if base is None:
                raise LoweringError(
                    readers[0],
                    f"found a base of shape {offset[1].shape}, expected ({channels}, 1, 1)",
                )
    shape = limits.shape[:2]
    return Comparisons(
        unsqueeze.input[0],
        limits.reshape(shape),
        np.ones(shape) if steps is None else np.broadcast_to(steps.reshape(steps.shape[:2]), shape),
        np.zeros(channels) if base is None else base,
        steps is None and base is None,
        tuple(nodes),
    )


def find_chain(
    graph: QonnxGraph,
    last: onnx.NodeProto,
    known: Collection[str],
    ops: Collection[str] = ELEMENTWISE,
) -> tuple[str, list[onnx.NodeProto]] | None:
    """Walk back from a quantiser or a count to a known tensor through nodes of ``ops``.

    Returns:
        (that tensor, nodes in order, ``last`` last), or None if there is no such chain.
    """
    nodes = [last]
    while True:
        computed = [n for n in nodes[0].input if n and graph.constant(n) is None]
        if len(computed) != 1:
            return None
        if computed[0] in known:
            return computed[0], nodes
        producer = graph.producer.get(computed[0])
        if producer is None or producer.op_type not in ops:
            return None
        nodes.insert(0, producer)
        _check_length(nodes)


def _check_length(nodes: list[onnx.NodeProto]) -> None:
    if len(nodes) > MAX_CHAIN:
        raise LoweringError(
            nodes[-1],
            f"ends a chain of more than {MAX_CHAIN} elementwise nodes, expected fewer; fold them",
        )


def find_quantiser(graph: QonnxGraph, tensor: str) -> list[onnx.NodeProto] | None:
    """Walk forward from an accumulator through elementwise nodes to a quantiser.

    Returns:
        The nodes in order, the quantiser (BipolarQuant, or Quant of at most 8 bits) last; None if
        the tensor goes elsewhere too, or to another kind of pattern.
    """
    nodes: list[onnx.NodeProto] = []
    while True:
        readers = graph.consumers[tensor]
        if len(readers) != 1 or graph.is_output(tensor):
            return None
        (reader,) = readers
        if sum(graph.constant(n) is None for n in reader.input if n) != 1:
            return None
        nodes.append(reader)
        _check_length(nodes)
        if reader.op_type == "BipolarQuant":
            return nodes
        if reader.op_type == "Quant":
            bits = graph.scalar(reader.input[3])
            return nodes if bits is not None and bits <= MAX_BITS else None
        if reader.op_type not in ELEMENTWISE:
            return None
        tensor = reader.output[0]


def tabulate(
    graph: QonnxGraph,
    nodes: list[onnx.NodeProto],
    channels: int,
    low: int,
    values: FloatArray,
) -> Table:
    """Evaluate a chain on all values of its source.

    Args:
        graph: the network.
        nodes: the chain, as `find_chain` or `find_quantiser` returns it.
        channels: channels of the source.
        low: the integer that ``values[0]`` stands for; the next ones follow.
        values: (V,) or, of each channel, (C, V): what the network sees for these integers.

    Raises:
        LoweringError: too many values, or the quantiser is not one of the supported kinds.
    """
    quantiser = nodes[-1]
    table = responses(graph, nodes, channels, values)
    if not np.isfinite(table).all():
        raise LoweringError(
            quantiser, "quantises what is no finite number for some input; divide by no 0"
        )
    step = graph.scalar(quantiser.input[1])
    if step is None or not step > 0:
        raise LoweringError(quantiser, "found no single scale above 0, expected a per-tensor scale")
    if quantiser.op_type == "BipolarQuant":
        return Table(low, (table > 0).astype(np.int64), "BINARY", Fraction(step))
    zero, bits = graph.scalar(quantiser.input[2]), graph.scalar(quantiser.input[3])
    if zero != 0.0 or bits is None or not 2 <= bits <= MAX_BITS:
        raise LoweringError(
            quantiser,
            f"found {bits} bits and zero point {zero}, expected 2 to {MAX_BITS} bits "
            "and zero point 0",
        )
    signed = graph.attributes(quantiser).get("signed", 1)
    datatype = f"{'INT' if signed else 'UINT'}{int(bits)}"
    codes = np.rint(table / step).astype(np.int64)
    limits = DataType[datatype]
    if codes.min() < limits.min() or codes.max() > limits.max():
        raise LoweringError(
            quantiser, f"gives the codes {codes.min()}..{codes.max()}, expected {datatype}"
        )
    return Table(low, codes, datatype, Fraction(step))


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
    values: FloatArray,
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
    ndim, count = len(graph.shape(source)), values.shape[-1]
    for node in nodes:
        if node.op_type == "Unsqueeze":
            break  # Behind it the thresholds of a channel lie along an axis of their own.
        _check_constants(graph, node, channels, ndim)
    rows = np.broadcast_to(values, (channels, count))
    feed = rows[None, :, :, None] if ndim == 4 else rows.T
    out = evaluate(graph, nodes, {source: feed})[nodes[-1].output[0]]
    if out.size != channels * count:
        raise LoweringError(
            nodes[-1], f"gives {out.shape} for {feed.shape}, expected one value for each"
        )
    return out.reshape(channels, count) if ndim == 4 else out.reshape(count, channels).T


def _check_constants(graph: QonnxGraph, node: onnx.NodeProto, channels: int, ndim: int) -> None:
    for name in node.input:
        value = graph.constant(name) if name else None
        if value is None:
            continue
        normalises = node.op_type == "BatchNormalization" and value.shape == (channels,)
        if not normalises and per_channel(value, channels, ndim) is None:
            raise LoweringError(
                node,
                f"its constant {name} has the shape {value.shape}, expected one value, or one per "
                f"channel ({channels}) that is the same for all pixels",
            )


def signed_steps(low: int, codes: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """Write any function of one integer as signed steps at thresholds, per channel.

    Args:
        low: the integer that ``codes[:, 0]`` belongs to; the next ones follow.
        codes: (C, V) the function's values.

    Returns:
        thresholds (C, n) and steps (C, n) of -1 and +1 with
        ``codes = base + sum of steps where x >= threshold``, and base (C,). A channel with fewer
        than n steps has the others at ``low``, always reached and taken back in its base.
    """
    jumps = np.diff(codes, axis=1)
    units = []
    for jump in jumps:
        (at,) = np.nonzero(jump)
        unit = np.repeat(at, np.abs(jump[at]))
        units.append((low + 1 + unit, np.sign(jump[unit])))
    return _aligned(low, units, codes[:, 0])


def within(
    low: IntArray,
    high: IntArray,
    unused: int,
    thresholds: FloatArray,
    steps: IntArray,
    base: IntArray,
) -> tuple[IntArray, IntArray, IntArray]:
    """Write signed steps for the integers that come alone, in the form of `signed_steps`.

    Args:
        low: (C,) smallest value of the integer x.
        high: (C,) its largest value.
        unused: where thresholds stand that are not used: at most ``low``.
        thresholds: (C, n), in any order; x reaches one that is no integer where it reaches the
            next integer.
        steps: (C, n) of -1 and +1.
        base: (C,).

    Returns:
        thresholds, ascending, steps and base. What x never reaches is gone, what it always
        reaches is in the base, and so are columns that no channel uses.
    """
    always, never = thresholds <= low[:, None], thresholds > high[:, None]
    first = base + (steps * always).sum(axis=1)
    units = []
    for row, step, used in zip(np.ceil(thresholds), steps, ~(always | never), strict=True):
        order = np.argsort(row[used], kind="stable")
        units.append((row[used][order].astype(np.int64), step[used][order]))
    return _aligned(unused, units, first)


def _aligned(
    low: int, units: list[tuple[IntArray, IntArray]], first: IntArray
) -> tuple[IntArray, IntArray, IntArray]:
    """Bring the channels' thresholds and steps to equal counts; ``first`` = values below them,
    ``low`` = where the thresholds stand that only fill up."""
    count = np.array([at.size for at, _ in units])
    n = max(1, int(count.max()))
    thresholds = np.full((len(units), n), low, dtype=np.int64)
    steps = np.ones((len(units), n), dtype=np.int64)
    for row, (at, step) in enumerate(units):
        thresholds[row, n - at.size :] = at
        steps[row, n - at.size :] = step
    return thresholds, steps, first - (n - count)


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
    dt = DataType[table.datatype]
    first = int(dt.min())
    levels = np.arange(first + 1, int(dt.max()) + 1)
    # Codes rise along the values: the first value that reaches a level is found by bisection.
    reached = [np.searchsorted(row, levels, side="left") for row in table.codes]
    return table.low + np.stack(reached).astype(np.int64), first


def evaluate(
    graph: QonnxGraph, nodes: list[onnx.NodeProto], feeds: dict[str, FloatArray]
) -> dict[str, npt.NDArray[Any]]:
    """Execute some nodes of the network in float64 and return every tensor.

    Raises:
        LoweringError: a node cannot be executed.
    """
    context: dict[str, npt.NDArray[Any]] = dict(feeds)
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


def _execute(
    graph: QonnxGraph, node: onnx.NodeProto, inputs: list[npt.NDArray[Any] | None]
) -> list[npt.NDArray[Any]]:
    attributes = graph.attributes(node)
    if node.op_type == "Quant":
        return [int_quant(*inputs, *(attributes.get(k, d) for k, d in QUANT_DEFAULTS.items()))]
    if node.op_type == "BipolarQuant":
        return [binary_quant(*inputs)]
    return onnx_reference(node, inputs, graph.opsets)


def _constant(graph: QonnxGraph, name: str) -> npt.NDArray[Any] | None:
    """A constant with floats in float64; None for an input that is left out."""
    value = graph.constants.get(name)
    return value.astype(np.float64) if value is not None and value.dtype.kind == "f" else value
