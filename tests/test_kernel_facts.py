# SPDX-License-Identifier: Apache-2.0
"""What an op states of itself, lanes, pixels, moves, is what its streams and its golden show."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from andpop.hw.kernels.facts import Facts
from andpop.hw.kernels.ops import facts_of, find_golden, op_of
from andpop.hw.kernels.skin import Core, Port, skin
from andpop.quant.grid import IntArray
from andpop.sim.cases import Case
from kernel_cases import build_op, kernel_cases

CASES = [pytest.param(parameter.values[1], id=str(parameter.id)) for parameter in kernel_cases()]


def outputs(case: Case, streamed: list[IntArray]) -> list[Any]:
    """What the golden makes of streamed inputs."""
    golden = find_golden(case.op_type)
    assert golden is not None
    values, initializers = iter(streamed), iter(case.make_initializers())
    inputs = [next(values if o.streamed else initializers) for o in case.operands]
    return list(golden(inputs, case.attrs))


@pytest.mark.parametrize("case", CASES)
def test_lanes_divide_every_stream(case: Case) -> None:
    op = op_of(build_op(case).model.graph.node[0])
    lanes = op.folding_rule().lanes
    if op.on_edge:
        assert lanes == {}
        return
    streamed = [i for i, operand in enumerate(case.operands) if operand.streamed]
    ins = [int(op.get_normal_input_shape(i)[-1]) for i in streamed]
    outs = [int(op.get_normal_output_shape(i)[-1]) for i in range(len(case.output_types))]
    if case.op_type == "SharedEngine":  # its layers work on half the channels
        ins, outs = [ins[0] // 2], [outs[0] // 2]
    if set(lanes) == {"SIMD", "PE"}:
        assert lanes["PE"] == outs[0]
        # What makes windows itself takes elements of several pixels at once.
        assert lanes["SIMD"] % ins[0] == 0 if op.geometry() else lanes["SIMD"] == ins[0]
    else:
        ((attribute, total),) = lanes.items()
        assert attribute in ("SIMD", "PE")
        assert math.gcd(total, *ins) == total or set(outs) == {1}
        assert case.attrs[attribute] <= total and total % case.attrs[attribute] == 0


def moved(case: Case) -> bool:
    """Whether an op states which pixels it needs, and has no weights to mix them with."""
    mixes = not all(operand.streamed for operand in case.operands)
    return facts_of(case.op_type).geometry is not Facts.geometry and not mixes


@pytest.mark.parametrize("case", [p for p in CASES if moved(p.values[0])])
def test_the_pixel_needed_last_is_the_last_one_that_golden_uses(case: Case) -> None:
    """Pixels that grow with their place: the largest of an output pixel came last."""
    op = op_of(build_op(case).model.graph.node[0])
    (operand,) = (o for o in case.operands if o.streamed)
    _, height, width, channels = operand.shape
    pixels = height * width
    if case.op_type == "StreamSumPool":  # a sum shows its last pixel where that alone is not 0
        ones = np.eye(pixels, dtype=np.int64).reshape(pixels, height, width, 1)
        (out,) = outputs(case, [np.repeat(ones, channels, axis=3)])
        used = (out[..., 0].reshape(pixels, -1) * np.arange(1, pixels + 1)[:, None]).max(axis=0) - 1
    else:
        numbers = np.arange(1, pixels + 1).reshape(1, height, width, 1)
        (out,) = outputs(case, [np.repeat(numbers, channels, axis=3)])
        used = out.reshape(-1, out.shape[-1]).max(axis=1) - 1
    np.testing.assert_array_equal(op.last_needed(pixels, used.size), used)


@pytest.mark.parametrize("case", [p for p in CASES if facts_of(p.values[0].op_type).moves])
def test_an_op_that_moves_values_computes_none(case: Case) -> None:
    sizes = [math.prod(o.shape) for o in case.operands if o.streamed]
    starts = np.cumsum([1, *sizes])
    numbers = [
        np.arange(start, start + size).reshape(operand.shape)
        for start, size, operand in zip(starts, sizes, case.operands, strict=False)
    ]
    for out in outputs(case, numbers):
        assert out.min() >= 0 and out.max() < starts[-1]
        assert out.any(), "nothing but borders"


def test_a_core_with_streams_inside_gets_the_number_of_its_first() -> None:
    port = Port("in0_V", 8, 8), Port("out0_V", 8, 8)
    text = skin(
        "block", Core("core", {"Width": 8}, ("in",), ("out",), False, True), [port[0]], [port[1]]
    )
    assert "module block #(parameter TapId = 0) (" in text
    assert "    .TapId(TapId)\n" in text
