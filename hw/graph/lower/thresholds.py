# SPDX-License-Identifier: Apache-2.0
"""Quantisers of a few bits behind elementwise nodes: Thresholding."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import onnx

from ....quant.grid import IntArray, smallest_signed
from ..bisection import bisect
from ..builder import Stream
from ..multi_threshold import OP as MULTI_THRESHOLD
from ..qonnx_graph import LoweringError
from ..reference_value import Value
from ..signed_steps import signed_steps, within
from ..tables import MAX_VALUES, Table, check_values, falling_channels, tabulate
from ..threshold_pattern import MAX_BITS, alike, find_chain, find_join, has_few_codes
from .construct import Construct
from .counting import counts_from
from .flattening import in_pixels, one_vector
from .numbers import SIGNS, are_numbers
from .state import Handler, Lowering, layer_of, limits
from .stepping import stepped

MAX_TABULATED = 1 << 31
"""Most evaluations of elementwise nodes for all thresholds of a network: some minutes."""
MAX_FEATURES = 1 << 24
"""Most features times values of a flattened map whose features have constants of their own."""


def narrow(state: Lowering, node: onnx.NodeProto) -> bool:
    """A Quant of few bits becomes thresholds; others are left to the patterns they lie inside."""
    bits = state.graph.scalar(node.input[3])
    if has_few_codes(state.graph, node):
        if find_chain(state.graph, node, state.streams) is not None:
            _quantise(state, node)
        elif (why := find_join(state.graph, node, state.streams)) is not None:
            state.passed[node.name] = why
    elif bits is not None and state.graph.scalar(node.input[1]) != 1:
        state.passed[node.name] = LoweringError(
            node,
            f"quantises to {bits:g} bits, expected at most {MAX_BITS}; more are supported "
            "as integer codes of scale 1 behind a rounding shift or an epilogue only, or of the "
            "input where bytes stand for whole steps of it (--input-scale, --input-mean)",
        )
    return True


def bipolar(state: Lowering, node: onnx.NodeProto) -> bool:
    """A chain of elementwise nodes to a sign, or to whole steps of which bits are dropped."""
    _quantise(state, node)
    return True


def _quantise(state: Lowering, node: onnx.NodeProto) -> None:
    """A chain of elementwise nodes from a stream to this quantiser: thresholds."""
    found = find_chain(state.graph, node, state.streams)
    if found is None:
        state.stream(node)
        why = find_join(state.graph, node, state.streams)
        raise why or LoweringError(node, "quantises no known stream")
    source, nodes = found
    x = state.streams[source]
    least, most = limits(x.datatype)
    if not x.plan and x.datatype != "BINARY" and most - least >= MAX_VALUES:
        state.claim(*nodes)
        state.publish(_searched(state, nodes, x), node.output[0])
        return
    low, values = values_of(state, node, x)
    if x.plan:
        x, table = _of_features(state, nodes, x, low, values)
    else:
        table = tabulated(state, nodes, x.channels, low, values)
    state.claim(*nodes)
    state.publish(of_table(state, node, x, table), node.output[0])


def _searched(state: Lowering, nodes: list[onnx.NodeProto], x: Stream) -> Stream:
    """Thresholds of an integer of too many values to evaluate each, such as a sum of many pixels:
    they are searched."""
    least, most = limits(x.datatype)

    def tabulate(integers: IntArray) -> Table:
        return tabulated(state, nodes, x.channels, least, Value(integers, x.scale))

    found = bisect(state.graph, nodes, x.channels, max(-least, most), tabulate)
    if found.falls.any():
        # Of -x >= t is left what is no x >= 1 - t.
        falls = found.falls[:, None]
        at = np.where(falls, 1 - found.thresholds[:, ::-1], found.thresholds)
        steps = np.where(falls, -1, 1) + 0 * at
        base = found.first + np.where(found.falls, at.shape[1], 0)
        reach = state.reach(x)
        constants = within(*reach, least, at.astype(np.float64), steps, base)
        return stepped(state, nodes[-1], x, constants, found.datatype, found.scale)
    return thresholding(
        state, nodes[-1], x, found.thresholds, found.datatype, found.first, found.scale
    )


def _of_features(
    state: Lowering, nodes: list[onnx.NodeProto], x: Stream, low: int, values: Value
) -> tuple[Stream, Table]:
    """Tabulate a chain on a flattened map; returns what thresholds read, and their table.

    Where all pixels have the same thresholds, these are of channels and the map stays one. Else
    every feature has its own.
    """
    if alike(state.graph, nodes):
        return x, tabulated(state, nodes, x.channels, low, values)
    pixels = x.plan[0] * x.plan[1]
    features = pixels * x.channels if x.shape[1:] == x.plan else x.channels
    count = values.codes.shape[-1]
    if features * count > MAX_FEATURES:
        raise LoweringError(
            nodes[-1],
            f"quantises {features} features of {count} values each by constants of their own, "
            f"expected at most {MAX_FEATURES} pairs; use one scale and offset for all features",
        )
    if values.codes.ndim == 2:
        rows = np.repeat(values.codes, features // len(values.codes), axis=0)
        values = replace(values, codes=rows)
    found = tabulated(state, nodes, features, low, values)
    rows = in_pixels(found.codes, x.plan)
    if x.shape[1:] == x.plan:
        maps = rows.reshape(pixels, x.channels, count)
        if (maps == maps[:1]).all():
            return x, replace(found, codes=maps[0])
    return one_vector(state, layer_of(nodes[-1]), x), replace(found, codes=rows)


def values_of(state: Lowering, node: onnx.NodeProto, x: Stream) -> tuple[int, Value]:
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
        exact = state.pixels.codes(pixels)
        fed = Value(*exact) if exact else Value(state.pixels.feed(pixels))
        return low, replace(fed, codes=fed.codes[0, :, :, 0])
    return low, Value(codes, x.scale)


def of_table(state: Lowering, node: onnx.NodeProto, x: Stream, table: Table) -> Stream:
    """A function of all codes of a stream, see `of_codes`."""
    integers = np.arange(table.low, table.low + table.codes.shape[1])
    return of_codes(state, node, x, integers, table)


def of_codes(
    state: Lowering, node: onnx.NodeProto, x: Stream, integers: IntArray, table: Table
) -> Stream:
    """A function of a stream's codes: thresholds that count, or where it falls somewhere, steps up
    and down.

    Args:
        state: the lowering.
        node: the quantiser.
        x: the stream.
        integers: (V,) the codes that come, ascending.
        table: what the quantiser gives for them.
    """
    falls = falling_channels(table)
    codes, datatype = table.codes, table.datatype
    if falls is None or falls.any():
        if datatype == "BINARY" and are_numbers(state, node.output[0]):
            codes, datatype = 2 * codes - 1, SIGNS
        # Below the first code that comes it stays as it is, for every code of the stream's type.
        integers = np.append(limits(x.datatype)[0], integers)
        codes = np.hstack([codes[:, :1], codes])
        return stepped(state, node, x, signed_steps(integers, codes), datatype, table.scale)
    behind = np.append(integers, limits(x.datatype)[1] + 1)
    levels = np.arange(table.first + 1, table.last + 1)
    at = behind[np.stack([np.searchsorted(row, levels) for row in codes])]
    return thresholding(state, node, x, at, datatype, table.first, table.scale)


def thresholding(
    state: Lowering,
    node: onnx.NodeProto,
    x: Stream,
    table: IntArray,
    datatype: str,
    first: int,
    scale: Fraction,
) -> Stream:
    """Ordinary thresholds (C, n) of a stream: the code ``first`` and one more for each reached.
    Those beyond its datatype are always reached, or never."""
    if datatype == "BINARY" and are_numbers(state, node.output[0]):
        # From -1 to +1 it is two steps.
        table, datatype, first = np.repeat(table, 2, axis=1), SIGNS, -1
    # FINN compares saturated inputs where thresholds are narrower: never narrower.
    least, most = limits(x.datatype)
    table = table.clip(least, most + 1)
    weight_type = x.datatype
    if table.max() > most:
        bits = int(table.max()).bit_length()
        signed = smallest_signed(int(table.min()), int(table.max()))
        weight_type = signed if least < 0 else f"UINT{bits}"
    shift, last = 0, first + table.shape[1]
    if datatype != "BINARY":
        shift = counts_from(state, node.output[0], first, last, scale)
    if shift:
        first, last = first - shift, last - shift
        unsigned = f"UINT{max(2, last.bit_length())}"
        datatype = unsigned if first >= 0 else smallest_signed(first, last)
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


def tabulated(
    state: Lowering, chain: list[onnx.NodeProto], channels: int, low: int, values: Value
) -> Table:
    """Tabulate a chain; all tables together are bounded, as each is."""
    state.tabulated += len(chain) * channels * values.codes.shape[-1]
    if state.tabulated > MAX_TABULATED:
        raise LoweringError(
            chain[-1],
            f"the tables of quantisers up to here take {state.tabulated} evaluations, expected "
            f"at most {MAX_TABULATED}; use fewer bits or channels",
        )
    return tabulate(state.graph, chain, channels, low, values)


BUILDS = (
    Construct(
        ("Quant", "BipolarQuant", "Trunc", MULTI_THRESHOLD),
        "quantiser, with what is elementwise in front of it: normalisations, factors, summands, "
        "Relu, Clip, LeakyRelu, PRelu, Elu, Celu, Selu, Gelu, Mish, Sigmoid, HardSigmoid, "
        "HardSwish, Tanh, Softplus, Softsign, Erf, Exp, Log, Sqrt, Pow, Reciprocal, Abs, Sign, "
        "Round, Ceil, Floor, Min, Max, and x times a function of x",
        "to 1 to 8 bits with any whole zero point, from integers",
        ("thresholding", "signed_thresholding", "requant"),
        "one scale, or one per channel that depthwise convolutions read; constants per channel; "
        "over more than 2^17 values it only rises or only falls",
    ),
)
HANDLERS: dict[str, Handler] = {
    "BipolarQuant": bipolar,
    "Trunc": bipolar,
    "Quant": narrow,
    MULTI_THRESHOLD: bipolar,
}
