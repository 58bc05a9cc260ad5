# SPDX-License-Identifier: Apache-2.0
"""Ops with several implementations: each states its cost; `auto` is the cheapest of the fastest."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from andpop.hw.kernels.binary_mvu import cases as binary_cases
from andpop.hw.kernels.binary_mvu.op import IMPLEMENTATIONS
from andpop.hw.kernels.choice import IMPLEMENTATION, ChosenKernel
from andpop.hw.kernels.memory import LUTS_PER_BRAM18
from andpop.hw.kernels.pa_levels import signed_digits
from andpop.hw.kernels.pa_mvu import cases as pa_cases
from andpop.hw.kernels.signed_thresholding import cases as threshold_cases
from andpop.sim.cases import Case
from kernel_cases import Built, altered, build_op, cases_of, cases_where
from qonnx.core.datatype import DataType

FREE = pa_cases.SMOKE[1]
LINEAR = pa_cases.SMOKE[2]
CODED = [c for c in threshold_cases.SMOKE + threshold_cases.FULL if c.attrs["encoding"] == "code"]
CHOSEN = cases_where(lambda op: issubclass(op, ChosenKernel))


def chosen(case: Case, implementation: str = "auto", **attrs: Any) -> Built:
    """The case with another implementation, and what its op must know of the constants."""
    built = build_op(altered(case, **{**attrs, IMPLEMENTATION: implementation}))
    built.op.read_constants(built.model)
    return built


def allowed(op: Any) -> set[str]:
    """The implementations that an op has, whatever its node."""
    return set(op.folding_rule().options[IMPLEMENTATION]) - {"auto"}


def stated(op: Any, implementation: str) -> int:
    """The cost of an implementation from its estimates. An op that states costs itself leaves
    out the block RAM, which is the same for all."""
    found = op.usage()[implementation]
    if type(op).costs is ChosenKernel.costs:
        return int(found.lut + LUTS_PER_BRAM18 * found.bram18)
    assert {other.bram18 for other in op.usage().values()} == {found.bram18}
    return int(found.lut)


@pytest.mark.parametrize(("kernel", "case"), CHOSEN)
def test_auto_takes_the_cheapest_that_can_compute_it(kernel: str, case: Case) -> None:
    op = chosen(case).op
    usage, costs = op.usage(), op.costs()
    assert set(usage) == set(costs) <= allowed(op)
    best = op.resolved()
    paces = {name: op.cycles_per_word(name) for name in costs}
    fastest = [name for name in costs if paces[name] == min(paces.values())]
    assert best in fastest
    assert costs[best] == min(costs[name] for name in fastest) == stated(op, best)
    for name in (best, *costs):
        op.set_nodeattr(IMPLEMENTATION, name)
        assert op.resolved() == name and costs[name] == stated(op, name)
        assert op.stated() == usage[name]
        assert (op.lut_estimation(""), op.bram_estimation(""), op.dsp_estimation("")) == (
            usage[name].lut, usage[name].bram18, usage[name].dsp,
        )  # fmt: skip
    for name in allowed(op) - set(costs):
        op.set_nodeattr(IMPLEMENTATION, name)
        message = f"^{case.op_type}_0: found implementation {name} with .*; use .* or auto$"
        with pytest.raises(ValueError, match=message) as error:
            op.resolved()
        assert "\n" not in str(error.value)


# Which implementations can compute which node.


@pytest.mark.parametrize("case", cases_of("binary_mvu"))
def test_both_ways_compute_every_binary_product(case: Case) -> None:
    assert set(chosen(case).op.costs()) == set(IMPLEMENTATIONS)


@pytest.mark.parametrize("case", cases_of("pa_mvu"))
def test_planes_compute_linear_levels(case: Case) -> None:
    op = chosen(case).op
    assert set(op.costs()) == {"literal", "coded"} | (
        {"planes"} if op.levels().is_linear() else set()
    )


@pytest.mark.parametrize("case", cases_of("signed_thresholding"))
def test_a_search_finds_codes(case: Case) -> None:
    assert ("search" in chosen(case).op.costs()) == (case.attrs["encoding"] == "code")


def test_planes_are_refused_where_codes_are_not_levels() -> None:
    built = chosen(FREE, "planes")
    with pytest.raises(ValueError, match=r"^PaMvu_0: found implementation planes with levels \["):
        built.op.resolved()


def test_a_search_streams_codes_alone() -> None:
    case = next(c for c in threshold_cases.SMOKE if c.attrs["encoding"] == "onehot")
    message = "^SignedThresholding_0: found implementation search with encoding onehot, expected"
    with pytest.raises(ValueError, match=message):
        chosen(case, "search").op.resolved()


def test_a_node_that_does_not_say_is_auto() -> None:
    case = CODED[0]
    attrs = {key: value for key, value in case.attrs.items() if key != IMPLEMENTATION}
    assert build_op(replace(case, attrs=attrs)).op.get_nodeattr(IMPLEMENTATION) == "auto"


# Where each is the cheapest.


def test_both_implementations_are_chosen_somewhere() -> None:
    """A single lane shares what `serial` subtracts with none; with many outputs, what the sums of
    `addsub` start from takes a memory that little logic would replace."""
    one = chosen(binary_cases.SMOKE[0], PE=1, MW=64, MH=64, SIMD=64).op
    many = chosen(binary_cases.SMOKE[0], PE=1, MW=8, MH=2048, SIMD=8).op
    assert one.usage()["addsub"].bram18 == one.usage()["serial"].bram18 == 0
    assert one.resolved() == "addsub"
    assert many.costs()["addsub"] > many.costs()["serial"]
    assert many.resolved() == "serial"


def test_few_thresholds_are_compared_and_many_are_searched() -> None:
    auto = {"NumChannels": 64, "PE": 1, "inputDataType": "INT16", "weightDataType": "INT16"}
    found = [chosen(CODED[0], **auto, numSteps=n).op for n in (1, 327)]
    assert [op.resolved() for op in found] == ["parallel", "search"]


# What the estimates know of the constants.


def test_estimates_need_the_codebooks() -> None:
    with pytest.raises(ValueError, match="PaMvu_0: found no codebooks in its attributes"):
        build_op(FREE).op.lut_estimation("")


def test_specialised_codebooks_follow_the_initializers() -> None:
    built = build_op(LINEAR)
    built.op.infer_node_datatype(built.model)
    assert built.op.levels().is_linear()
    built.model.set_initializer("beta", np.array([0, 1, 2, 3, 4, 7], dtype=np.float32))
    built.op.infer_node_datatype(built.model)
    assert not built.op.levels().is_linear()


@pytest.mark.parametrize(
    ("value", "digits"), [(0, 0), (1, 1), (-1, 1), (7, 2), (-7, 2), (85, 4), (32385, 4)]
)
def test_signed_digits_of_a_constant(value: int, digits: int) -> None:
    assert signed_digits(value) == digits


def test_datatypes_of_the_smallest_codebook() -> None:
    case = next(c for c in pa_cases.FULL if "_m2_n1_" in c.name)
    assert DataType[case.attrs["inputDataType"]].bitwidth() == 1
    assert DataType[case.attrs["weightDataType"]].bitwidth() == 2
