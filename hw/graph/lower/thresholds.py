# SPDX-License-Identifier: Apache-2.0
"""Quantisers of a few bits behind elementwise nodes: Thresholding."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import onnx

from ....quant.grid import IntArray, smallest_signed
from ..builder import Stream
from ..qonnx_graph import FloatArray, LoweringError, multiples
from ..signed_steps import signed_steps
from ..tables import Table, check_values, falling_channels, tabulate, thresholds
from ..threshold_pattern import MAX_BITS, find_chain
from .flattening import in_pixels, one_vector
from .numbers import SIGNS, are_numbers
from .state import Handler, Lowering, layer_of, limits

MAX_TABULATED = 1 << 31
"""Most evaluations of elementwise nodes for all thresholds of a network: some minutes."""
COUNTED_BITS = 4
"""Most bits of signed codes that become counts from 0 where weights are -1 and +1. Wider ones are
factors of the first layer, in DSP blocks."""
MAX_FEATURES = 1 << 24
"""Most features times values of a flattened map whose features have constants of their own."""


def narrow(state: Lowering, node: onnx.NodeProto) -> bool:
    """A Quant of few bits becomes thresholds; others are left to the patterns they lie inside."""
    bits = state.graph.scalar(node.input[3])
    if bits is not None and bits <= MAX_BITS:
        if find_chain(state.graph, node, state.streams) is not None:
            _quantise(state, node)
    elif bits is not None and state.graph.scalar(node.input[1]) != 1:
        state.passed[node.name] = LoweringError(
            node,
            f"quantises to {bits:g} bits, expected at most {MAX_BITS}; more are supported "
            "as integer codes of scale 1 behind a rounding shift or an epilogue only",
        )
    return True


def bipolar(state: Lowering, node: onnx.NodeProto) -> bool:
    """A chain of elementwise nodes to a sign."""
    _quantise(state, node)
    return True


def _quantise(state: Lowering, node: onnx.NodeProto) -> None:
    """A chain of elementwise nodes from a stream to this quantiser: thresholds."""
    found = find_chain(state.graph, node, state.streams)
    if found is None:
        state.stream(node)
        raise LoweringError(node, "quantises no known stream")
    source, nodes = found
    x = state.streams[source]
    low, values = values_of(state, node, x)
    if x.plan:
        x, table = _of_features(state, nodes, x, low, values)
    else:
        table = tabulated(state, nodes, x.channels, low, values)
    state.claim(*nodes)
    state.publish(of_table(state, node, x, table), node.output[0])


def _of_features(
    state: Lowering, nodes: list[onnx.NodeProto], x: Stream, low: int, values: FloatArray
) -> tuple[Stream, Table]:
    """Tabulate a chain on a flattened map; returns what thresholds read, and their table.

    Where all pixels have the same thresholds, these are of channels and the map stays one. Else
    every feature has its own.
    """
    if all(c.size == 1 for n in nodes for c in map(state.graph.constant, n.input) if c is not None):
        return x, tabulated(state, nodes, x.channels, low, values)
    pixels = x.plan[0] * x.plan[1]
    features, count = pixels * x.channels if x.shape[1:] == x.plan else x.channels, values.shape[-1]
    if features * count > MAX_FEATURES:
        raise LoweringError(
            nodes[-1],
            f"quantises {features} features of {count} values each by constants of their own, "
            f"expected at most {MAX_FEATURES} pairs; use one scale and offset for all features",
        )
    if values.ndim == 2:
        values = np.repeat(values, features // len(values), axis=0)
    found = tabulated(state, nodes, features, low, values)
    rows = in_pixels(found.codes, x.plan)
    if x.shape[1:] == x.plan:
        maps = rows.reshape(pixels, x.channels, count)
        if (maps == maps[:1]).all():
            return x, replace(found, codes=maps[0])
    return one_vector(state, layer_of(nodes[-1]), x), replace(found, codes=rows)


def values_of(state: Lowering, node: onnx.NodeProto, x: Stream) -> tuple[int, FloatArray]:
    """Return the smallest code of a stream and what the network sees for it and the next."""
    if x.datatype == "BINARY" or x.levels:
        raise LoweringError(
            node, f"quantises the {x.datatype} codes {x.name} again, expected an integer"
        )
    low, high = limits(x.datatype)
    check_values(node, high - low + 1)
    codes = np.arange(low, high + 1)
    if state.is_picture(x):
        pixels = np.broadcast_to(codes[None, :, None, None], (1, codes.size, 1, x.channels))
        return low, state.pixels.feed(pixels)[0, :, :, 0]
    return low, multiples(codes, x.scale)


def of_table(state: Lowering, node: onnx.NodeProto, x: Stream, table: Table) -> Stream:
    """A function of a stream's codes: thresholds that count, or where it falls somewhere, steps up
    and down."""
    falls = falling_channels(table)
    if falls is not None and not falls.any():
        levels, first = thresholds(table)
        return thresholding(state, node, x, levels, table.datatype, first, table.scale)
    codes, datatype = table.codes, table.datatype
    if datatype == "BINARY" and are_numbers(state, node.output[0]):
        codes, datatype = 2 * codes - 1, SIGNS
    y = signed_thresholding(state, node, x, signed_steps(table.low, codes), datatype)
    return replace(y, scale=table.scale, plan=x.plan)


def signed_thresholding(
    state: Lowering,
    node: onnx.NodeProto,
    x: Stream,
    constants: tuple[IntArray, IntArray, IntArray],
    datatype: str,
) -> Stream:
    """Steps up and down at thresholds: thresholds (C, n), steps (C, n) and base (C,)."""
    thresholds, steps, base = constants
    base_type = smallest_signed(int(base.min()), int(base.max()))
    (y,) = state.builder.add(
        "SignedThresholding",
        layer_of(node),
        [x],
        [(x.shape, datatype)],
        {
            "NumChannels": x.channels,
            "PE": 1,
            "numSteps": thresholds.shape[1],
            "numInputVectors": x.vectors,
            "inputDataType": x.datatype,
            "weightDataType": x.datatype,
            "baseDataType": base_type,
            "outputDataType": datatype,
            "encoding": "code",
            "implementation": "auto",
        },
        {
            "thresholds": (thresholds, x.datatype),
            "steps": (steps, "BIPOLAR"),
            "base": (base, base_type),
        },
    )
    return y


def thresholding(
    state: Lowering,
    node: onnx.NodeProto,
    x: Stream,
    table: IntArray,
    datatype: str,
    first: int,
    scale: Fraction,
) -> Stream:
    """Ordinary thresholds (C, n) of a stream: the code ``first`` and one more for each reached."""
    if datatype == "BINARY" and are_numbers(state, node.output[0]):
        # From -1 to +1 it is two steps.
        table, datatype, first = np.repeat(table, 2, axis=1), SIGNS, -1
    # FINN compares saturated inputs where thresholds are narrower: never narrower.
    least, most = limits(x.datatype)
    weight_type = x.datatype
    if table.min() < least or table.max() > most:
        bits = int(table.max()).bit_length()
        signed = smallest_signed(int(table.min()), int(table.max()))
        weight_type = signed if least < 0 else f"UINT{bits}"
    few = datatype.startswith("INT") and int(datatype.removeprefix("INT")) <= COUNTED_BITS
    shift = first if few and _may_count(state, node.output[0]) else 0
    if shift:
        datatype, first = f"U{datatype}", 0
    (y,) = state.builder.add(
        "Thresholding",
        layer_of(node),
        [x],
        [(x.shape, datatype)],
        {
            "NumChannels": x.channels,
            "PE": 1,
            "numSteps": table.shape[1],
            "inputDataType": x.datatype,
            "weightDataType": weight_type,
            "outputDataType": datatype,
            "ActVal": first,
            "numInputVectors": x.vectors,
        },
        {"thresholds": (table, weight_type)},
        scale,
    )
    return replace(y, plan=x.plan, first=shift)


def _may_count(state: Lowering, name: str) -> bool:
    """Whether only products of weights -1 and +1 read a tensor, of codes as they are: of counts
    from 0 these weights take one bit, and the rest is a bias."""
    readers = state.graph.consumers[name]
    return (
        bool(readers)
        and not state.graph.is_output(name)
        and all(_counts(state, reader, name) for reader in readers)
    )


def _counts(state: Lowering, node: onnx.NodeProto, name: str) -> bool:
    attributes = state.graph.attributes(node)
    if attributes.get("mode") == "linear":
        return False
    if node.op_type in ("Flatten", "Reshape", "MaxPool", "Resize", "Upsample"):
        return _may_count(state, node.output[0])
    if node.op_type not in ("Conv", "Gemm", "MatMul") or any(attributes.get("pads", ())):
        return False
    quantiser = state.graph.producer.get(node.input[1])
    return node.input[0] == name and quantiser is not None and quantiser.op_type == "BipolarQuant"


def tabulated(
    state: Lowering, chain: list[onnx.NodeProto], channels: int, low: int, values: FloatArray
) -> Table:
    """Tabulate a chain; all tables together are bounded, as each is."""
    state.tabulated += len(chain) * channels * values.shape[-1]
    if state.tabulated > MAX_TABULATED:
        raise LoweringError(
            chain[-1],
            f"the tables of quantisers up to here take {state.tabulated} evaluations, expected "
            f"at most {MAX_TABULATED}; use fewer bits or channels",
        )
    return tabulate(state.graph, chain, channels, low, values)


HANDLERS: dict[str, Handler] = {"BipolarQuant": bipolar, "Quant": narrow}
