# SPDX-License-Identifier: Apache-2.0
"""Activations by comparisons with thresholds, and their codebooks: SignedThresholding."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx

from ....quant.grid import smallest_unsigned
from ...kernels.signed_thresholding.golden import signed_thresholding
from ..builder import Stream
from ..qonnx_graph import LoweringError, whole
from ..signed_steps import signed_steps, within
from ..tables import responses
from ..threshold_pattern import (
    COMPARISONS,
    MAX_BITS,
    MAX_LEVEL,
    Comparisons,
    find_chain,
    match_comparisons,
)
from .construct import Construct
from .state import Handler, Lowering, limits
from .stepping import stepped
from .thresholds import values_of
from .weights import integers


def level_codes(state: Lowering, node: onnx.NodeProto) -> bool:
    """The sum over a channel's comparisons: signed thresholds give the level code."""
    axes = state.graph.parameter(node, 1, "axes")
    if axes is None or axes.tolist() != [2] or len(state.graph.shape(node.input[0])) != 5:
        return False
    exact = match_comparisons(state.graph, node)
    keeps = state.graph.attributes(node).get("keepdims", 1) != 0
    x = None if exact is None else state.streams.get(exact.source)
    if exact is not None and x is not None and x.scale == 1.0 and not keeps:
        _compare(state, node, exact, x)
        return True
    found = find_chain(state.graph, node, state.streams, COMPARISONS)
    if found is None or keeps:
        first = node
        while (before := state.graph.producer.get(first.input[0])) is not None:
            if before.op_type not in COMPARISONS:
                break
            first = before
        state.stream(first)
        raise LoweringError(
            node,
            "sums over axis 2, expected x -> Unsqueeze(2) -> GreaterOrEqual(thresholds "
            "(C, N, 1, 1)) -> Cast [-> Mul(steps)] -> ReduceSum(axis 2, keepdims 0) [-> "
            "Add(base)] on a known stream",
        )
    source, nodes = found
    x = state.streams[source]
    low, values = values_of(state, node, x)
    sums = responses(state.graph, nodes, x.channels, values)
    if not ((sums >= 0) & (sums <= MAX_LEVEL)).all():
        raise LoweringError(
            node,
            f"counts {sums.min()}..{sums.max()}, expected 0..{MAX_LEVEL}: activations of 1 to "
            f"{MAX_BITS} bits become hardware",
        )
    codes = np.rint(sums).astype(np.int64)
    datatype = smallest_unsigned(state.graph.shape(node.input[0])[2])
    integers = np.arange(low, low + codes.shape[1])
    y = stepped(state, node, x, signed_steps(integers, codes), datatype)
    state.claim(*nodes)
    state.publish(y, node.output[0])
    return True


def _compare(state: Lowering, node: onnx.NodeProto, found: Comparisons, x: Stream) -> None:
    """Comparisons with constants are signed thresholds as they are: nothing is evaluated."""
    if x.datatype == "BINARY" or x.levels:
        raise LoweringError(
            node, f"compares the {x.datatype} codes {x.name} again, expected an integer"
        )
    if np.isnan(found.thresholds).any() or not np.all(np.abs(found.steps) == 1):
        raise LoweringError(
            node,
            "found a threshold that is no number, or a step other than -1 and +1; freeze the "
            "network again",
        )
    steps, base = found.steps.astype(np.int64), integers(node, "base", found.base)
    least, _ = limits(x.datatype)
    low, high = state.reach(x)
    constants = within(low, high, least, found.thresholds, steps, base)
    last = found.nodes[-1]
    name = last.output[0]
    seen = np.vstack([low, constants[0].T])
    levels = signed_thresholding(seen, *constants)
    datatype = state.graph.datatype(name)
    if found.counts:
        datatype = smallest_unsigned(steps.shape[1])
    elif datatype is None or not datatype.startswith("UINT"):
        datatype = smallest_unsigned(max(0, int(levels.max())))
    top = (1 << int(datatype.removeprefix("UINT"))) - 1
    if levels.min() < 0 or levels.max() > min(top, MAX_LEVEL):
        channel = int(np.argwhere((levels < 0) | (levels > min(top, MAX_LEVEL)))[0][1])
        raise LoweringError(
            last,
            f"channel {channel} has the levels {levels[:, channel].min()}.."
            f"{levels[:, channel].max()}, expected 0..{min(top, MAX_LEVEL)}: activations of 1 "
            f"to {MAX_BITS} bits become hardware",
        )
    state.claim(*found.nodes)
    state.publish(stepped(state, last, x, constants, datatype), name)


def codebook(state: Lowering, node: onnx.NodeProto) -> bool:
    """Level codes become values: the same stream, which now knows its codebook."""
    levels = state.graph.constant(node.input[0])
    cast = state.graph.producer.get(node.input[1])
    if levels is None or levels.ndim != 1 or cast is None or cast.op_type != "Cast":
        raise LoweringError(
            node, "expected Gather(constant levels (N+1,), Cast(level codes)) on axis 0"
        )
    if levels.size < 2 or state.graph.attributes(node).get("axis", 0) not in (0, -1):
        raise LoweringError(node, "expected two levels or more, on axis 0")
    x = state.stream(cast)
    fits = x.datatype == smallest_unsigned(levels.size - 1)
    if (
        not fits
        or not whole(levels)
        or levels[0] != 0
        or not 0 <= levels.min() <= levels.max() <= 255
    ):
        raise LoweringError(
            node,
            f"found the levels {levels.tolist()} for codes of {x.datatype}, expected integers "
            "0..255 that begin with 0, one per code",
        )
    state.claim(cast, node)
    state.streams[node.output[0]] = replace(x, levels=tuple(int(v) for v in levels))
    return True


BUILDS = (
    Construct(
        ("ReduceSum", "Gather"),
        "comparisons with thresholds, counted, and a codebook of levels (PA-Net)",
        "1 to 8 bits",
        ("signed_thresholding",),
        "Unsqueeze(2), GreaterOrEqual, Cast, ReduceSum(2)",
    ),
)
HANDLERS: dict[str, Handler] = {"ReduceSum": level_codes, "Gather": codebook}
