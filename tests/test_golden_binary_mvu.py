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
from andpop.hw.kernels.binary_mvu.op import BRAM18_LUTS, IMPLEMENTATIONS
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
    costs, (_, init_brams) = op.costs(), op.init_cost()
    assert set(costs) == set(IMPLEMENTATIONS)
    chosen, brams = op.resolved(), op.bram_estimation("")
    assert op.lut_estimation("") == costs[chosen]
    traded = {"serial": costs["serial"], "addsub": costs["addsub"] + BRAM18_LUTS * init_brams}
    assert traded[chosen] == min(traded.values())
    for name in costs:
        op.set_nodeattr("implementation", name)
        assert op.resolved() == name and op.lut_estimation("") == costs[name]
        if name == "serial":
            without = op.bram_estimation("")
    assert brams == without + (init_brams if chosen == "addsub" else 0)


def test_both_implementations_are_chosen_somewhere() -> None:
    """Few lanes share too little for `serial`; many starts of sums are too dear for `addsub`."""
    base = {"implementation": "auto", "MW": 64, "SIMD": 64}
    few = build_op(altered(cases.SMOKE[0], {**base, "MH": 64, "PE": 1}))
    many = build_op(altered(cases.SMOKE[0], {**base, "MW": 8, "SIMD": 8, "MH": 1024, "PE": 2}))
    assert few.op.resolved() == "addsub"
    assert many.op.init_cost() == (0, 1) and many.op.resolved() == "serial"


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
