# SPDX-License-Identifier: Apache-2.0
"""Sums of quantised tensors, as residual networks have them: AddStreams.

Where the scales have a small common step, the sum is a stream of integers, which anything may read.
Else a quantiser behind it decides: integers near the scales serve where they give its codes for
all codes of the addends.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import onnx

from ....quant.grid import ACCUMULATOR_BITS, SUM_LIMIT, IntArray, smallest_signed, smallest_unsigned
from ..builder import Stream
from ..epilogue_pattern import match_residual, match_rounding, rounded
from ..factors import MAX_TUPLES, common_step, near_factors
from ..multi_threshold import OP as MULTI_THRESHOLD
from ..qonnx_graph import LoweringError
from ..reference_value import Value
from ..tables import falling_channels
from ..threshold_pattern import MAX_BITS, alike, find_chain, has_few_codes, most_code
from .construct import Construct
from .epilogue import inside_epilogue
from .state import Handler, Lowering, Sum, layer_of, limits
from .thresholds import of_codes, tabulated

EXACT_BITS = 8
"""Most bits of factors where a sum becomes a stream as it is."""
MAX_TABLE = 1 << 24
"""Most codes of a quantiser behind a sum, of all channels."""
ADVICE = "use one scale for all quantisers in front of the add"


def add(state: Lowering, node: onnx.NodeProto) -> bool:
    """The sum or difference of two computed tensors; a sum of sums is one of all their terms."""
    computed = [name for name in node.input if state.graph.constant(name) is None]
    if len(computed) != 2 or node.name in state.once(_others):
        return False
    terms: dict[str, Stream] = {}
    nodes = [node]
    for index, operand in enumerate(node.input):
        name, turned = _without_signs(state, operand)
        nodes += turned
        falls = len(turned) % 2 != (node.op_type == "Sub" and index == 1)
        state.scaled(name)
        found = state.sums.get(name)
        if found is None and name not in state.streams:
            # Another pattern may take the sum in.
            _pass_over(state, node, name)
            return False
        parts = (_stream(state, node, name),) if found is None else found.terms
        nodes += () if found is None else found.nodes
        for x in parts:
            _check(state, node, x, parts[0] if not terms else next(iter(terms.values())))
            same = terms.get(x.name)
            scale = -x.scale if falls else x.scale
            terms[x.name] = replace(x, scale=scale + (0 if same is None else same.scale))
    if not all(x.scale for x in terms.values()):
        raise LoweringError(
            node, "takes a tensor from itself, expected a difference of two; leave it out"
        )
    total = Sum(tuple(terms.values()), tuple(nodes))
    factors, step = common_step([x.scale for x in total.terms])
    readers = state.graph.consumers[node.output[0]]
    joined = (
        len(readers) == 1 and not state.graph.is_output(node.output[0]) and _adds(state, readers[0])
    )
    if joined or max(map(abs, factors)) >= 1 << EXACT_BITS or not _held(total.terms, factors):
        state.sums[node.output[0]] = total
        scales = ", ".join(f"{x.name} of scale {abs(float(x.scale)):g}" for x in total.terms)
        state.passed[node.name] = LoweringError(
            node,
            f"adds {scales}, and not only quantisers of at most {MAX_BITS} bits read the sum, "
            f"expected scales with a common step of which all are less than {1 << EXACT_BITS} "
            f"times; {ADVICE}",
        )
        return True
    state.publish(_summed(state, node, total, factors, step), node.output[0])
    return True


def _without_signs(state: Lowering, name: str) -> tuple[str, list[onnx.NodeProto]]:
    """Return what lies in front of changes of sign, and these."""
    turned: list[onnx.NodeProto] = []
    while name not in state.streams and name not in state.sums:
        producer = state.graph.producer.get(name)
        if producer is None or producer.op_type != "Neg":
            break
        turned.append(producer)
        name = producer.input[0]
    return name, turned


def _stream(state: Lowering, node: onnx.NodeProto, name: str) -> Stream:
    reader = onnx.NodeProto(name=node.name, op_type=node.op_type, input=[name])
    return state.stream(reader)


def _pass_over(state: Lowering, node: onnx.NodeProto, name: str) -> None:
    producer = state.graph.producer.get(name)
    made = "a constant" if producer is None else f"the result of {producer.name}"
    error = LoweringError(
        node,
        f"adds {name}, {made}, expected a quantised tensor: codes times one scale; quantise every "
        f"addend, and {ADVICE}",
    )
    if producer is not None:
        error = state.passed.get(producer.name, error)
    state.passed[node.name] = state.no_sums[node.output[0]] = error


def _adds(state: Lowering, node: onnx.NodeProto) -> bool:
    return (
        node.op_type in ("Add", "Sub")
        and not any(state.graph.constant(name) is not None for name in node.input)
        and node.name not in state.once(_others)
    )


def _check(state: Lowering, node: onnx.NodeProto, x: Stream, first: Stream) -> None:
    if x.shape != first.shape:
        raise LoweringError(
            node,
            f"adds {first.name} {first.shape} and {x.name} {x.shape}, expected equal shapes (NHWC)",
        )
    if x.datatype == "BINARY" or x.first or x.name in state.meanings:
        raise LoweringError(
            node,
            f"adds {x.name}, {x.datatype} codes that stand for values with an offset, expected "
            "integer codes times a scale; quantise to 2 bits or more in front of the add",
        )


def _summed(
    state: Lowering, node: onnx.NodeProto, total: Sum, factors: Sequence[int], step: Fraction
) -> Stream:
    """Add the node of a sum; its nodes in the network are done with."""
    state.claim(*total.nodes)
    terms = total.terms
    if len(terms) == 1 and terms[0].scale > 0:
        return terms[0]
    ends = [
        sorted(f * end for end in limits(x.datatype)) for f, x in zip(factors, terms, strict=True)
    ]
    low, high = (sum(pair[end] for pair in ends) for end in (0, 1))
    datatype = smallest_signed(low, high) if low < 0 else smallest_unsigned(high)
    (y,) = state.builder.add(
        "AddStreams",
        layer_of(node),
        terms,
        [(terms[0].shape, datatype)],
        {
            "NumChannels": terms[0].channels,
            "PE": 1,
            "numInputVectors": terms[0].vectors,
            "inputDataTypes": [x.datatype for x in terms],
            "factors": list(factors),
            "outputDataType": datatype,
        },
        scale=step,
    )
    return y


def quantised_sum(state: Lowering, node: onnx.NodeProto) -> bool:
    """A quantiser of a sum whose scales have no small common step."""
    if not has_few_codes(state.graph, node):
        return False
    found = find_chain(state.graph, node, state.sums)
    if found is None:
        _explain(state, node)
        return False
    source, chain = found
    last = state.sums[source].nodes[0]
    # The largest term last: what is held of a border is of the others.
    terms = sorted(state.sums[source].terms, key=_codes)
    total, channels = replace(state.sums[source], terms=tuple(terms)), terms[0].channels
    # What is taken away counts as a term of its codes with their sign changed.
    signs = [1 if x.scale > 0 else -1 for x in terms]
    ranges = [
        sorted(s * end for end in limits(x.datatype)) for s, x in zip(signs, terms, strict=True)
    ]
    sizes, scales = [_codes(x) for x in terms], [abs(x.scale) for x in terms]
    rows, tuples = 1 if alike(state.graph, chain) else channels, math.prod(sizes)
    borders = rows * most_code(state.graph, node) * tuples // sizes[-1]
    if tuples > MAX_TUPLES or max(borders, rows * tuples) > MAX_TABLE:
        raise _reason(state, node) or LoweringError(
            last,
            f"adds {len(terms)} tensors of {' x '.join(map(str, sizes))} codes whose scales have "
            f"no common step, expected at most {MAX_TUPLES} tuples of codes, and {MAX_TABLE} of "
            f"all channels; {ADVICE}",
        )
    exact, step = common_step(scales)
    ends = [np.arange(low, high + 1) for low, high in ranges]
    table = tabulated(state, chain, rows, 0, Value(_sums(ends, exact).reshape(-1), step))
    falls = falling_channels(replace(table, codes=_along(table.codes, exact, ends)))
    if falls is None:
        raise LoweringError(
            node,
            f"rises and falls with {source}, whose scales differ, expected one direction; {ADVICE}",
        )
    rising = np.where(falls[:, None], -table.codes, table.codes)
    factors = near_factors(rising.reshape(-1, *sizes), scales)
    if factors is None or not _held(terms, factors):
        found_scales = " and ".join(f"{abs(float(x.scale)):g} ({x.name})" for x in terms)
        raise _reason(state, node) or LoweringError(
            last,
            f"adds codes of the scales {found_scales}: no factors of at most 16 bits, and sums "
            f"of {ACCUMULATOR_BITS}, give the codes of {node.name} for all codes of these; "
            f"{ADVICE}",
        )
    signed = [s * f for s, f in zip(signs, factors, strict=True)]
    y = _summed(state, last, total, signed, Fraction(1))
    sums = _sums(ends, factors).reshape(-1)
    reached, first = np.unique(sums, return_index=True)
    codes = np.broadcast_to(table.codes[:, first], (channels, reached.size))
    state.claim(*chain)
    out = of_codes(state, node, y, reached, replace(table, codes=codes))
    state.publish(out, node.output[0])
    return True


def _held(terms: Sequence[Stream], factors: Sequence[int]) -> bool:
    """Whether a sum of every backend holds them."""
    ends = [max(map(abs, limits(x.datatype))) for x in terms]
    return sum(abs(f) * end for f, end in zip(factors, ends, strict=True)) < SUM_LIMIT


def _reason(state: Lowering, node: onnx.NodeProto) -> LoweringError | None:
    """Why a rounding shift of integers was passed over."""
    return state.passed.get(node.name) if rounded(state.graph, node) else None


def _codes(x: Stream) -> int:
    low, high = limits(x.datatype)
    return high - low + 1


def _explain(state: Lowering, node: onnx.NodeProto) -> None:
    """A quantiser of a sum that was passed over has its reason; integer codes have others."""
    if node.op_type == MULTI_THRESHOLD or state.graph.scalar(node.input[1]) != 1:
        behind = find_chain(state.graph, node, state.no_sums)
        if behind is not None:
            state.passed[node.name] = state.no_sums[behind[0]]


def _sums(ends: Sequence[IntArray], factors: Sequence[int]) -> IntArray:
    """Return the sum of factors times codes for all tuples of codes, an axis for each term."""
    count = len(ends)
    parts = [
        (codes * factor).reshape(*(-1 if axis == i else 1 for axis in range(count)))
        for i, (codes, factor) in enumerate(zip(ends, factors, strict=True))
    ]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def _along(codes: IntArray, factors: Sequence[int], ends: Sequence[IntArray]) -> IntArray:
    """Return the codes (C, tuples) in the order of the sums."""
    return codes[:, np.argsort(_sums(ends, factors).reshape(-1), kind="stable")]


def _others(state: Lowering) -> set[str]:
    """Sums inside an epilogue, or in front of a rounding shift: their patterns take them in."""
    found = set(inside_epilogue(state))
    for node in state.graph.nodes:
        if node.op_type == "Quant":
            try:
                pattern = match_residual(state.graph, match_rounding(state.graph, node))
            except LoweringError:
                continue
            found |= {part.name for part in pattern.nodes}
    return found


BUILDS = (
    Construct(
        ("Add", "Sub", "Sum", "Mean"),
        "sum or difference of two or more computed tensors, residual or pre-activated",
        "integers of any width",
        ("add_streams",),
        "scales with a common step, of which all are less than 256 times; else, where only "
        "quantisers read the sum, integers of at most 16 bits that give the same codes",
    ),
)
HANDLERS: dict[str, Handler] = {
    "Add": add,
    "Sub": add,
    "Quant": quantised_sum,
    "BipolarQuant": quantised_sum,
    MULTI_THRESHOLD: quantised_sum,
}
