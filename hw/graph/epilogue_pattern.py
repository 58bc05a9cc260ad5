# SPDX-License-Identifier: Apache-2.0
"""Recognises the ends of blocks in QONNX, written in integer codes: epilogue and residual sum.

BN + shortcut + RPReLU + requantisation, backwards from its last node (quant/export_qonnx.py)::

    acc [-> rounding Quant] -> Mul(m) -> Add(b) [-> Add(Mul(shortcut, 2**k))] -> rounding Quant = t
    t -> Sub(zeta) = u;  Where(u >= 0, u, Floor(u * slope * 2**-s)) -> Add(eta) -> rounding Quant

where a rounding Quant is ``[Mul(2**-r) ->] Add(1/2) -> Quant(FLOOR, scale 1)``. A residual sum is
``acc [-> Add(Mul(shortcut, 2**k))] -> rounding Quant``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import onnx

from ...quant.grid import ACCUMULATOR_BITS
from ..kernels.base import IntArray
from .qonnx_graph import FloatArray, LoweringError, QonnxGraph, per_channel, whole

MAX_CHAIN = 64
"""Most nodes of a pattern: a sum of a tensor with itself, again and again, would never end."""
QUANT_ATTRIBUTES = {"signed": 1, "narrow": 0, "rounding_mode": "FLOOR"}


@dataclass(frozen=True)
class Rounding:
    """``saturate((x + half) >> shift)``: what a rounding Quant does to integers."""

    x: str
    shift: int
    bits: int
    nodes: tuple[onnx.NodeProto, ...]


@dataclass(frozen=True)
class ResidualPattern:
    """``saturate((x + (shortcut << shortcut_shift) + half) >> rounding.shift)``."""

    x: str
    shortcut: str | None
    shortcut_shift: int
    rounding: Rounding
    nodes: tuple[onnx.NodeProto, ...]
    """Every node the residual sum replaces."""


@dataclass
class EpiloguePattern:
    """A recognised epilogue: tensors of the QONNX graph, integers, shifts."""

    acc: str
    shortcut: str | None
    params: IntArray
    """(5, C) rows m, b, zeta, slope, eta."""
    acc_shift: int
    acc_bits: int
    shortcut_shift: int
    pre_shift: int
    pre_bits: int
    slope_shift: int
    out_shift: int
    out_bits: int
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    """Every node the epilogue replaces."""


def match_rounding(graph: QonnxGraph, node: onnx.NodeProto) -> Rounding:
    """Read a rounding Quant.

    Raises:
        LoweringError: the Quant does anything else; the message says what.
    """
    if node.op_type != "Quant":
        raise LoweringError(node, "found this op, expected a Quant that rounds integers")
    scale, zero, bits = (graph.scalar(name) for name in node.input[1:4])
    known = bits is not None and bits in range(2, ACCUMULATOR_BITS + 1)
    if scale != 1.0 or zero != 0.0 or bits is None or not known:
        raise LoweringError(
            node,
            f"found scale {scale}, zero point {zero}, bits {bits}, expected scale 1 "
            f"(integer codes), zero point 0 and a constant width of 2 to {ACCUMULATOR_BITS}",
        )
    attributes = {k: graph.attributes(node).get(k) for k in QUANT_ATTRIBUTES}
    if attributes != QUANT_ATTRIBUTES:
        raise LoweringError(
            node,
            f"found {attributes}, expected {QUANT_ATTRIBUTES}: the only exact rounding is "
            "floor after adding a half",
        )
    half = graph.producer.get(node.input[0])
    found = graph.operands(half) if half is not None and half.op_type == "Add" else None
    if half is None or found is None or found[1].size != 1 or found[1].reshape(()) != 0.5:
        raise LoweringError(node, "found no Add(0.5) in front, expected floor(x + 1/2) rounding")
    x, nodes = found[0], [node, half]
    shift = 0
    mul = graph.producer.get(x)
    if mul is not None and mul.op_type == "Mul":
        operands = graph.operands(mul)
        if operands is not None and operands[1].size == 1:
            shift = -_log2(mul, float(operands[1].reshape(())))
            if shift < 0:
                raise LoweringError(mul, f"found a factor of 2**{-shift}, expected 2**-shift")
            x = operands[0]
            nodes.append(mul)
    return Rounding(x, shift, int(bits), tuple(nodes))


def match_residual(graph: QonnxGraph, rounding: Rounding) -> ResidualPattern:
    """Read what a rounding Quant rounds: one tensor, or a tensor and a scaled shortcut.

    Raises:
        LoweringError: both addends are scaled, or by no power of two.
    """
    add = graph.producer.get(rounding.x)
    if add is None or add.op_type != "Add" or graph.operands(add) is not None:
        return ResidualPattern(rounding.x, None, 0, rounding, rounding.nodes)
    nodes = [*rounding.nodes, add]
    terms = []
    for name in add.input:
        node = graph.producer.get(name)
        operands = graph.operands(node) if node is not None and node.op_type == "Mul" else None
        if node is not None and operands is not None and operands[1].size == 1:
            nodes.append(node)
            terms.append((operands[0], _log2(node, float(operands[1].reshape(())))))
        else:
            terms.append((name, 0))
    # Where nothing is scaled, the accumulator of a convolution comes first.
    terms.sort(key=lambda term: (term[1], not _is_product(graph.producer.get(term[0]))))
    (x, none), (shortcut, shift) = terms
    if none != 0:
        raise LoweringError(
            add,
            f"found addends scaled by 2**{none} and 2**{shift}, expected one as it is and one by "
            "2**0 or more",
        )
    return ResidualPattern(x, shortcut, shift, rounding, tuple(nodes))


def match_epilogue(graph: QonnxGraph, node: onnx.NodeProto, channels: int) -> EpiloguePattern:
    """Read the epilogue that ends in the Quant ``node``; ``channels`` = C.

    Raises:
        LoweringError: a node of the chain is not what it should be.
    """
    out = match_rounding(graph, node)
    nodes = list(out.nodes)

    tail, eta = _peel(graph, out.x, "Add", channels, nodes)
    where = _producer(graph, tail, "Where", node)
    nodes.append(where)
    condition, positive, negative = where.input

    t_name, minus_zeta = _peel(graph, positive, "Add", channels, nodes)
    compare = _producer(graph, condition, "GreaterOrEqual", where)
    nodes.append(compare)
    if compare.input[0] != positive or graph.scalar(compare.input[1]) != 0.0:
        raise LoweringError(compare, "found another comparison, expected u >= 0 of the same u")

    floor = _producer(graph, negative, "Floor", where)
    nodes.append(floor)
    shift_node = _producer(graph, floor.input[0], "Mul", floor)
    scaled = graph.operands(shift_node)
    if scaled is None or scaled[1].size != 1:
        raise LoweringError(shift_node, "found no constant factor, expected 2**-slopeShift")
    slope_shift = -_log2(shift_node, float(scaled[1].reshape(())))
    nodes.append(shift_node)
    u, slope = _peel(graph, scaled[0], "Mul", channels, nodes)
    if u != positive:
        raise LoweringError(floor, "found another input, expected floor(u * slope * 2**-s)")

    pre = match_rounding(graph, _producer(graph, t_name, "Quant", where))
    nodes.extend(pre.nodes)
    sums, b = _addends(graph, pre.x, channels, nodes)
    acc, m, acc_round, shortcut, k = _terms(graph, node, sums, channels, nodes)

    rows = {"m": m, "b": b, "zeta": -minus_zeta, "slope": slope, "eta": eta}
    for label, row in rows.items():
        if not whole(row):
            channel = next(i for i, value in enumerate(row) if not whole(value))
            raise LoweringError(
                node, f"{label} of channel {channel} is {row[channel]}, expected an integer"
            )
    return EpiloguePattern(
        acc=acc,
        shortcut=shortcut,
        params=np.stack([row.astype(np.int64) for row in rows.values()]),
        acc_shift=acc_round.shift if acc_round else 0,
        acc_bits=acc_round.bits if acc_round else 16,
        shortcut_shift=k,
        pre_shift=pre.shift,
        pre_bits=pre.bits,
        slope_shift=slope_shift,
        out_shift=out.shift,
        out_bits=out.bits,
        nodes=nodes,
    )


def _terms(
    graph: QonnxGraph,
    node: onnx.NodeProto,
    sums: list[str],
    channels: int,
    nodes: list[onnx.NodeProto],
) -> tuple[str, FloatArray, Rounding | None, str | None, int]:
    """Tell the accumulator's term from the shortcut's: (acc, m, its rounding, shortcut, k)."""
    accs: list[tuple[str, FloatArray, Rounding | None]] = []
    shortcuts: list[tuple[str, int]] = []
    for name in sums:
        used: list[onnx.NodeProto] = []
        base, factor = _peel(graph, name, "Mul", channels, used)
        producer = graph.producer.get(base)
        rounding = None
        if producer is not None and producer.op_type == "Quant":
            source = graph.producer.get(rounded(graph, producer))
            if _is_product(source):
                rounding = match_rounding(graph, producer)
                used.extend(rounding.nodes)
                base, producer = rounding.x, source
        if _is_product(producer):
            accs.append((base, factor, rounding))
        elif np.all(factor == factor[0]):
            shortcuts.append((base, _log2(node, float(factor[0]))))
        else:
            raise LoweringError(
                node, f"the shortcut {base} is scaled per channel, expected one power of two"
            )
        nodes.extend(used)
    if len(accs) != 1 or len(shortcuts) > 1:
        raise LoweringError(
            node,
            f"found a sum of {len(accs)} convolutions and {len(shortcuts)} shortcuts, expected "
            "one convolution and at most one shortcut",
        )
    shortcut, k = shortcuts[0] if shortcuts else (None, 0)
    if k < 0:
        raise LoweringError(node, f"the shortcut is scaled by 2**{k}, expected 2**0 or more")
    return (*accs[0], shortcut, k)


def _is_product(node: onnx.NodeProto | None) -> bool:
    return node is not None and node.op_type in ("Conv", "Gemm", "MatMul")


def rounded(graph: QonnxGraph, node: onnx.NodeProto) -> str:
    """Return the tensor a rounding Quant rounds, or "" if it is another kind of Quant."""
    try:
        return match_rounding(graph, node).x
    except LoweringError:
        return ""


def _addends(
    graph: QonnxGraph, name: str, channels: int, nodes: list[onnx.NodeProto]
) -> tuple[list[str], FloatArray]:
    """Flatten a tree of Adds: (computed terms, sum of the constants per channel)."""
    node = graph.producer.get(name)
    if node is None or node.op_type != "Add":
        return [name], np.zeros(channels)
    nodes.append(node)
    if len(nodes) > MAX_CHAIN:
        raise LoweringError(node, f"belongs to a sum of more than {MAX_CHAIN} nodes")
    terms: list[str] = []
    total = np.zeros(channels)
    for part in node.input:
        value = graph.constant(part)
        if value is None:
            inner, offset = _addends(graph, part, channels, nodes)
            terms += inner
            total = total + offset
        else:
            total = total + _channelwise(graph, node, value, channels)
    return terms, total


def _peel(
    graph: QonnxGraph, name: str, op: str, channels: int, nodes: list[onnx.NodeProto]
) -> tuple[str, FloatArray]:
    """Strip one ``op`` (Add, with Sub counting as Add of the negative, or Mul) by a constant.

    Returns:
        The tensor underneath and the constant (C,); the neutral element where there is no such
        node: exporters drop a multiplication by 1 and an addition of 0.
    """
    node = graph.producer.get(name)
    kinds = ("Add", "Sub") if op == "Add" else ("Mul",)
    operands = graph.operands(node) if node is not None and node.op_type in kinds else None
    if node is None or operands is None:
        return name, np.full(channels, 0.0 if op == "Add" else 1.0)
    nodes.append(node)
    value = _channelwise(graph, node, operands[1], channels)
    return operands[0], -value if node.op_type == "Sub" else value


def _channelwise(
    graph: QonnxGraph, node: onnx.NodeProto, value: FloatArray, channels: int
) -> FloatArray:
    row = per_channel(value, channels, len(graph.shape(node.output[0])) or 4)
    if row is None:
        raise LoweringError(
            node,
            f"found a constant of shape {value.shape}, expected one value per channel "
            f"({channels}, 1, 1)",
        )
    return row


def _producer(graph: QonnxGraph, name: str, op: str, reader: onnx.NodeProto) -> onnx.NodeProto:
    node = graph.producer.get(name)
    if node is None or node.op_type != op:
        found = "a constant or graph input" if node is None else f"{node.op_type} {node.name}"
        raise LoweringError(reader, f"input {name} comes from {found}, expected {op}")
    return node


def _log2(node: onnx.NodeProto, factor: float) -> int:
    mantissa, exponent = math.frexp(factor)
    if mantissa != 0.5 or abs(exponent - 1) > ACCUMULATOR_BITS:
        raise LoweringError(
            node, f"found the factor {factor}, expected a power of two of {ACCUMULATOR_BITS} bits"
        )
    return exponent - 1
