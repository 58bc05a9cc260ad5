# SPDX-License-Identifier: Apache-2.0
"""Quantisers of a few bits behind elementwise nodes: Thresholding."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import onnx

from ...kernels.base import IntArray
from ..builder import Stream, smallest_signed
from ..qonnx_graph import FloatArray, LoweringError, multiples
from ..threshold_pattern import (
    MAX_BITS,
    Table,
    check_values,
    falling_channels,
    find_chain,
    tabulate,
    thresholds,
)
from .state import Handler, Lowering, layer_of, limits

MAX_TABULATED = 1 << 31
"""Most evaluations of elementwise nodes for all thresholds of a network: some minutes."""


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
    table = tabulated(state, nodes, x.channels, low, values)
    falls = falling_channels(table)
    if falls is None or falls.any():
        raise LoweringError(
            node,
            f"its output falls as {source} rises, expected a rising function; a negative "
            "factor is supported behind a convolution only",
        )
    state.claim(*nodes)
    state.publish(_from_table(state, node, x, table), node.output[0])


def values_of(state: Lowering, node: onnx.NodeProto, x: Stream) -> tuple[int, FloatArray]:
    """Return the smallest code of a stream and what the network sees for it and the next."""
    if x.datatype == "BINARY" or x.levels:
        raise LoweringError(
            node, f"quantises the {x.datatype} codes {x.name} again, expected an integer"
        )
    low, high = limits(x.datatype)
    check_values(node, high - low + 1)
    codes = np.arange(low, high + 1)
    if x == state.builder.picture:
        pixels = np.broadcast_to(codes[None, :, None, None], (1, codes.size, 1, x.channels))
        return low, state.pixels.feed(pixels)[0, :, :, 0]
    return low, multiples(codes, x.scale)


def _from_table(state: Lowering, node: onnx.NodeProto, x: Stream, table: Table) -> Stream:
    levels, first = thresholds(table)
    return thresholding(state, node, x, levels, table.datatype, first, table.scale)


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
    # FINN compares saturated inputs where thresholds are narrower: never narrower.
    least, most = limits(x.datatype)
    weight_type = x.datatype
    if table.min() < least or table.max() > most:
        bits = int(table.max()).bit_length()
        signed = smallest_signed(int(table.min()), int(table.max()))
        weight_type = signed if least < 0 else f"UINT{bits}"
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
    return y


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
