# SPDX-License-Identifier: Apache-2.0
"""BinaryMvu: golden against both ways to compute it, choice of implementation, refusals."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from andpop.hw.kernels.binary_mvu import cases, golden
from andpop.hw.kernels.binary_mvu.op import IMPLEMENTATIONS
from andpop.hw.kernels.memory import LUTS_PER_BRAM18
from andpop.sim.cases import Case
from kernel_cases import build_op
from qonnx.core.datatype import DataType

ALL = cases.SMOKE + cases.FULL


def altered(case: Case, attrs: Mapping[str, Any]) -> Case:
    """The case with other attributes."""
    return replace(case, attrs={**case.attrs, **attrs})


@pytest.mark.parametrize("case", ALL, ids=lambda c: c.name)
def test_golden_adds_and_subtracts_codes(case: Case) -> None:
    (w,) = case.make_initializers()
    mw, mh = w.shape
    compared = 0
    for (x,) in [case.random_frame(np.random.default_rng(7)), *case.worst_frames()]:
        (y,) = golden.run([x, w], case.attrs)
        assert y.dtype == np.int64
        for vector, sums in zip(x.reshape(-1, mw).tolist(), y.reshape(-1, mh), strict=True):
            for column, got in zip(w.T.tolist(), sums, strict=True):
                expected = sum(v if b else -v for v, b in zip(vector, column, strict=True))
                assert got == expected
                compared += 1
    assert compared == 6 * mh * int(np.prod(case.attrs["numInputVectors"]))


@pytest.mark.parametrize("k", range(1, 9))
def test_bit_planes_and_inverted_codes_give_the_golden(k: int) -> None:
    """What `serial` and `addsub` compute, in unbounded integers."""
    rng = np.random.default_rng(k)
    most = (1 << k) - 1
    x = rng.integers(0, most, (20, 33), endpoint=True)
    w = rng.integers(0, 1, (33, 9), endpoint=True)
    compared = 0
    for vector, sums in zip(x.tolist(), golden.binary_mvu(x, w), strict=True):
        for column, got in zip(w.T.tolist(), sums, strict=True):
            ones = sum(bit << i for i, bit in enumerate(column))
            planes = [sum((v >> b & 1) << i for i, v in enumerate(vector)) for b in range(k)]
            serial = sum(
                (2 * (p & ones).bit_count() - p.bit_count()) << b for b, p in enumerate(planes)
            )
            inverted = sum(v if b else v ^ most for v, b in zip(vector, column, strict=True))
            assert got == serial == inverted - most * column.count(0)
            compared += 1
    assert compared == 20 * 9


@pytest.mark.parametrize("case", ALL, ids=lambda c: c.name)
def test_accumulator_is_as_narrow_as_the_weights_allow(case: Case) -> None:
    built = build_op(case)
    (w,) = case.make_initializers()
    outputs = [golden.run([x, w], case.attrs)[0] for (x,) in case.worst_frames()]
    low, high = min(int(y.min()) for y in outputs), max(int(y.max()) for y in outputs)
    bits = built.op.minimize_accumulator_width(built.model).bitwidth()
    assert built.op.get_nodeattr("outputDataType") == f"INT{bits}" == case.output_types[0]
    assert low < -(1 << (bits - 2)) or high >= 1 << (bits - 2) or bits == 2, "a bit less would do"
    assert built.op.minimize_accumulator_width(built.model, datatype_only=True).bitwidth() >= bits


@pytest.mark.parametrize("case", ALL, ids=lambda c: c.name)
def test_auto_takes_the_cheapest(case: Case) -> None:
    op = build_op(altered(case, {"implementation": "auto"})).op
    usage, costs = op.usage(), op.costs()
    assert set(usage) == set(costs) == set(IMPLEMENTATIONS)
    assert costs[op.resolved()] == min(costs.values())
    for name in (op.resolved(), *IMPLEMENTATIONS):
        op.set_nodeattr("implementation", name)
        luts, blocks = usage[name]
        assert op.resolved() == name and costs[name] == luts + LUTS_PER_BRAM18 * blocks
        assert (op.lut_estimation(""), op.bram_estimation("")) == (luts, blocks)


def test_both_implementations_are_chosen_somewhere() -> None:
    """A single lane shares what `serial` subtracts with none; with many outputs, what the sums of
    `addsub` start from takes a block RAM."""
    base = {"implementation": "auto", "PE": 1}
    one = build_op(altered(cases.SMOKE[0], {**base, "MW": 64, "MH": 64, "SIMD": 64})).op
    many = build_op(altered(cases.SMOKE[0], {**base, "MW": 8, "MH": 128, "SIMD": 8})).op
    assert one.usage()["addsub"][1] == one.usage()["serial"][1] == 0
    assert one.resolved() == "addsub"
    assert many.usage()["addsub"][1] == many.usage()["serial"][1] + 1
    assert many.resolved() == "serial"


def test_implementations_take_the_same_memory_of_weights(tmp_path: Path) -> None:
    images = {}
    for name in IMPLEMENTATIONS:
        built = build_op(altered(cases.SMOKE[0], {"implementation": name}))
        built.generate(tmp_path / name)
        images[name] = {f.name: f.read_text() for f in (tmp_path / name).glob("*.mem")}
    weights = "BinaryMvu_0_weights.mem"
    assert images["serial"].keys() == {weights}
    assert images["addsub"].keys() == {weights, "BinaryMvu_0_init.mem"}
    assert images["serial"][weights] == images["addsub"][weights]


@pytest.mark.parametrize("datatype", ["UINT9", "INT4", "BIPOLAR", ""])
def test_other_inputs_are_refused(datatype: str) -> None:
    op = build_op(cases.SMOKE[0]).op
    op.set_nodeattr("inputDataType", datatype)
    message = (
        f"BinaryMvu_0: found inputDataType '{datatype}', expected UINT1 to UINT8; quantise the "
        "activations to codes of at most 8 bits"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        op.input_streams()


def test_memories_refuse_what_does_not_fit(tmp_path: Path) -> None:
    narrow = replace(altered(cases.SMOKE[0], {"outputDataType": "INT11"}), output_types=("INT11",))
    with pytest.raises(ValueError, match=r"^BinaryMvu_0: outputs reach -1080\.\.1080, "):
        build_op(narrow).generate(tmp_path)
    built = build_op(cases.SMOKE[0])
    built.model.set_initializer("w", np.full((72, 6), -1, dtype=np.float32))
    message = r"^BinaryMvu_0: found weights -1\.\.-1, expected 0 \(for -1\) and 1 \(for \+1\)$"
    with pytest.raises(ValueError, match=message):
        built.generate(tmp_path)
    with pytest.raises(ValueError, match=message):
        built.op.minimize_accumulator_width(built.model)


def test_the_input_is_followed() -> None:
    built = build_op(cases.SMOKE[0])
    built.model.set_tensor_datatype(built.op.onnx_node.input[0], DataType["UINT3"])
    built.op.infer_node_datatype(built.model)
    assert built.op.get_nodeattr("inputDataType") == "UINT3"
