# SPDX-License-Identifier: Apache-2.0
"""Plans and constants of packed models that contradict themselves or overflow: one line each."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from andpop.hw.cpu import _engine, container
from andpop.hw.cpu.check import check
from andpop.hw.cpu.engine import Engine, instruction_sets
from andpop.hw.cpu.ops import CHECKS
from andpop.hw.cpu.plan import MAX_AXIS, DataType
from packed_files import (
    ZOO,
    Arrays,
    Header,
    catalogue,
    geometry,
    plan_change,
    refusal,
    resealed,
    sealed,
    tensor_change,
)
from packed_files import single as single_step

STEPS = catalogue()


def test_every_step_has_a_case_here() -> None:
    assert STEPS.keys() == CHECKS.keys()


def pictures(plan: Any, rng: np.random.Generator, extreme: bool) -> dict[str, Any]:
    """Return inputs of a plan: random ones, or the ends of their datatypes."""
    inputs = {}
    for i in plan.inputs:
        tensor = plan.tensors[i]
        kind = DataType.of(tensor.datatype, "")
        shape = (8, *tensor.shape)
        ends = rng.choice([kind.low, kind.high], shape)
        inputs[tensor.names[0]] = ends if extreme else rng.integers(kind.low, kind.high + 1, shape)
    return inputs


@pytest.mark.parametrize("isa", instruction_sets())
@pytest.mark.parametrize("op", STEPS)
def test_values_stay_in_the_ranges_that_the_check_states(
    op: str, isa: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANDPOP_ISA", isa)
    path = sealed(tmp_path, *STEPS[op])
    plan, constants = container.read(path)
    ranges = check(plan, constants)
    for extreme in (False, True):
        inputs = pictures(plan, np.random.default_rng(3), extreme)
        found = Engine(plan, constants).intermediates(inputs)
        for tensor, (low, high) in zip(plan.tensors, ranges, strict=True):
            values = found[tensor.names[0]]
            assert low <= values.min() and values.max() <= high


@pytest.mark.parametrize(
    ("op", "words"),
    [
        ("bit_convolution", "(-45, 45)"),
        ("int_convolution", None),
        ("sum_pool", "(-2048, 2032)"),
        ("levels", "(0, 3)"),
        ("acc_levels", "(-3, 0)"),
        ("argmax", "(0, 4)"),
        ("argmax_scores", "(0, 4)"),
        ("thresholds", "(-1, 1)"),
    ],
)
def test_ranges_are_those_of_the_definition(op: str, words: str | None, tmp_path: Path) -> None:
    plan, constants = container.read(sealed(tmp_path, *STEPS[op]))
    *_, found = check(plan, constants)
    if words is None:
        weights, bias = (constants[f"0.{k}"].astype(np.int64) for k in ("weights", "bias"))
        above, below = np.maximum(weights, 0).sum(1), np.minimum(weights, 0).sum(1)
        low = (bias - 128 * above + 127 * below).min()
        high = (bias + 127 * above - 128 * below).max()
        words = f"({low}, {high})"
    assert str(tuple(map(int, found))) == words


def ghost(header: Header, arrays: Arrays) -> None:
    """Add a named tensor that nobody writes."""
    tensor = {"names": ["ghost"], "shape": [16384, 1024], "datatype": "INT32", "storage": "i32"}
    header["plan"]["tensors"].append(tensor)


def output_change(**values: Any) -> Callable[[Header, Arrays], None]:
    """A change of the first output."""
    return lambda header, arrays: header["plan"]["outputs"][0].update(values)


def step_change(**values: Any) -> Callable[[Header, Arrays], None]:
    """A change of the step."""

    def change(header: Header, arrays: Arrays) -> None:
        (step,) = header["plan"]["steps"]
        for key, value in values.items():
            (step if key in step else step["attributes"])[key] = value

    return change


@pytest.mark.parametrize(
    ("op", "change", "words"),
    [
        ("cast", ghost, "tensor 2 (ghost) is written by no step"),
        ("cast", plan_change(steps=[]), "tensor 1 (out0) is written by no step"),
        ("cast", plan_change(inputs=[]), "header is damaged: plan.inputs"),
        ("cast", plan_change(inputs=[0, 1]), "found an input of INT32 in i8"),
        ("lookup", plan_change(inputs=[0, 1]), "tensor 1 is written twice"),
        ("cast", plan_change(inputs=[9]), "found tensor 9, expected 0..1"),
        ("cast", plan_change(inputs=[-1]), "header is damaged: plan.inputs.0"),
        ("cast", plan_change(outputs=[]), "header is damaged: plan.outputs"),
        ("cast", output_change(tensor=7), "found output 7, expected 0..1"),
        ("cast", plan_change(name=["a"]), "header is damaged: plan.name"),
        ("cast", plan_change(surprise=1), "header is damaged: plan.surprise"),
        ("cast", step_change(inputs=[1]), "reads tensor 1, which no earlier step writes"),
        ("cast", step_change(outputs=[0]), "tensor 0 is written twice"),
        ("cast", step_change(node=["a"]), "header is damaged: plan.steps.0.node"),
        ("cast", step_change(node="x" * 2000), "header is damaged: plan.steps.0.node"),
        ("cast", step_change(attributes={"x" * 5000: 1}), "header is damaged"),
        ("cast", tensor_change(1, names=["in0"]), "the name 'in0' is another tensor's too"),
        ("cast", tensor_change(0, names=[]), "found an input of BINARY in bits with 0 names"),
        ("cast", tensor_change(0, names="in0"), "header is damaged: plan.tensors.0.names"),
        ("argmax", tensor_change(0, storage="u8"), "found an input of INT20 in u8"),
        ("argmax", tensor_change(0, shape=[4] * 9), "header is damaged: plan.tensors.0.shape"),
        ("argmax", tensor_change(0, shape=[MAX_AXIS] * 8), "expected at most"),
        ("argmax", tensor_change(0, shape=[MAX_AXIS] * 700), "header is damaged"),
        ("argmax", tensor_change(0, shape=[10**4000]), "header is damaged"),
        ("argmax", tensor_change(0, shape=[4.0, 4, 5]), "header is damaged"),
        ("argmax", tensor_change(0, shape=[True, 4, 5]), "header is damaged"),
        ("argmax", tensor_change(0, datatype="INT99"), "found datatype 'INT99'"),
        ("lookup", step_change(constants={}), "found constants [], expected ['table']"),
        (
            "lookup",
            step_change(constants={"table": "0.table", "more": "0.table"}),
            "found constants ['more', 'table'], expected ['table']",
        ),
        ("lookup", step_change(constants={"table": "more"}), "constant 'more' is not in the file"),
        ("lookup", step_change(constants={"x" * 2000: "0.table"}), "header is damaged: plan.steps"),
        ("lookup", step_change(constants={"table": "x" * 2000}), "header is damaged: plan.steps"),
        (
            "lookup",
            step_change(constants={"table": 1}),
            "header is damaged: plan.steps.0.constants",
        ),
        (
            "lookup",
            step_change(constants={str(i): "0.table" for i in range(33)}),
            "header is damaged: plan.steps.0.constants",
        ),
        ("lookup", step_change(constants=["0.table"]), "header is damaged: plan.steps.0.constants"),
        ("pad", step_change(pad_top=1 << 63), "header is damaged"),
        ("requantise", step_change(shift=1 << 40), "found shift"),
    ],
    ids=lambda value: value if isinstance(value, str) and " " not in value else "",
)
def test_plans_that_contradict_themselves_are_refused(
    tmp_path: Path, op: str, change: Callable[[Header, Arrays], None], words: str
) -> None:
    good = sealed(tmp_path, *STEPS[op])
    assert words in refusal(resealed(good, tmp_path / "bad.andpop", change))


@pytest.mark.parametrize("tensor", ["read", "written"])
@pytest.mark.parametrize("op", sorted(STEPS.keys() - {"sum_pool"}))
def test_shapes_of_as_many_pixels_are_no_substitute(tmp_path: Path, op: str, tensor: str) -> None:
    """Rows read as columns give other answers, and tensors of another shape than the graph's."""
    header, arrays = STEPS[op]
    step, tensors = header["plan"]["steps"][0], header["plan"]["tensors"]
    index = step["inputs" if tensor == "read" else "outputs"][-1]
    *axes, channels = tensors[index]["shape"]
    good = sealed(tmp_path, header, arrays)
    change = tensor_change(index, shape=[math.prod(axes), 1, channels])
    bad = resealed(good, tmp_path / "bad.andpop", change)
    assert "found a tensor of shape" in refusal(bad)


def test_a_picture_turned_on_its_side_is_refused(tmp_path: Path) -> None:
    bad = resealed(ZOO, tmp_path / "bad.andpop", tensor_change(0, shape=[64, 256, 1]))
    assert "found a tensor of shape [64, 256, 1], expected [128, 128, 1]" in refusal(bad)


def unused(header: Header, arrays: Arrays) -> None:
    """Add a constant that no step reads."""
    arrays["z"] = np.zeros(3, np.int8)
    header["constants"].append({"name": "z", "dtype": "int8", "shape": [3]})


def test_a_constant_that_nobody_reads_is_refused(tmp_path: Path) -> None:
    good = sealed(tmp_path, *STEPS["cast"])
    bad = resealed(good, tmp_path / "bad.andpop", unused)
    assert "constant 'z' is read by no step" in refusal(bad)


def test_the_engine_itself_reads_no_tensor_before_it_is_written() -> None:
    """The C++ side looks again, for a tensor without a place would be read anywhere."""
    tensors = [("u8", 1, 1)] * 3
    cast: tuple[Any, ...] = ("cast", [0], [1], {}, {})
    for steps, inputs, words in (
        ([cast], [0], "tensor 2 is never written"),
        ([("cast", [2], [1], {}, {}), ("cast", [1], [2], {}, {})], [0], "tensor 2 is read before"),
        ([cast, ("cast", [0], [1], {}, {})], [0], "tensor 1 is written twice"),
        ([cast], [0, 1], "tensor 1 is written twice"),
    ):
        with pytest.raises(ValueError, match=words):
            _engine.Network(tensors, steps, inputs, "scalar")


# Hostile constants: no signed integer overflows


def constant_change(field: str, value: int, part: Any = ...) -> Callable[[Header, Arrays], None]:
    """A change of the values of a constant of the step."""

    def change(header: Header, arrays: Arrays) -> None:
        arrays[f"0.{field}"][part] = value

    return change


LARGE = (1 << 31) - 1


@pytest.mark.parametrize(
    ("op", "change", "words"),
    [
        ("int_convolution", constant_change("bias", LARGE, 3), "sums reach"),
        ("int_convolution", constant_change("bias", -LARGE, 3), "sums reach"),
        ("bit_convolution", constant_change("weights", 1 << 63, 0), "behind the last channel"),
        ("bit_convolution", constant_change("weights", 0b100000, (5, 0)), "behind the last"),
        ("wide_product", constant_change("weights", LARGE), "values of tensor 1 reach"),
        ("wide_product", constant_change("bias", LARGE), "values of tensor 1 reach"),
        ("epilogue", constant_change("params", LARGE, (0, 2)), "products reach"),
        ("epilogue", constant_change("params", LARGE, (1, 2)), "sums reach"),
        ("epilogue", constant_change("params", -LARGE, (2, 2)), "differences reach"),
        ("epilogue", constant_change("params", LARGE, (3, 2)), "products reach"),
        ("epilogue", constant_change("params", LARGE, (4, 2)), "sums reach"),
        ("epilogue", step_change(shortcut_shift=30), "shortcut reach"),
        ("epilogue", step_change(acc_low=5, acc_high=4), "acc_low lies above acc_high"),
        ("epilogue", step_change(pre_low=5, pre_high=4), "pre_low lies above pre_high"),
        ("wide_epilogue", constant_change("params", 1 << 62, (0, 2)), "products reach"),
        ("wide_epilogue", constant_change("params", (1 << 63) - 1, (1, 2)), "sums reach"),
        ("wide_epilogue", constant_change("params", -(1 << 63), (2, 2)), "differences reach"),
        ("wide_epilogue", constant_change("params", 1 << 62, (3, 2)), "products reach"),
        ("wide_epilogue", constant_change("params", (1 << 63) - 1, (4, 2)), "sums reach"),
        ("wide_epilogue", step_change(shortcut_shift=62), "shortcut reach"),
        ("wide_epilogue", step_change(out_low=0, out_high=1 << 40), "found out_high"),
        ("wide_epilogue", step_change(out_low=2, out_high=1), "found out_high"),
        ("border", constant_change("rows", 3, (0,)), "chooses bias 4, expected 0..3"),
        ("border", constant_change("columns", -1, (0,)), "chooses bias "),
        ("border", constant_change("bias", (1 << 31) - 1, (0, 0)), "sums reach"),
        ("border", step_change(shift=30), "shifted sums reach"),
        ("border", step_change(high=-100_000), "found high"),
        ("sign", constant_change("always", 0b100000, 0), "behind the last channel"),
        ("search_levels", constant_change("thresholds", 1000, (4, 0)), "do not ascend"),
        ("acc_levels", constant_change("steps", LARGE), "sums of steps reach"),
        ("acc_levels", constant_change("base", -LARGE - 1), "sums of steps reach"),
        ("acc_levels", constant_change("base", 1000), "values of tensor 1 reach"),
        ("wide_levels", constant_change("steps", LARGE), "values of tensor 1 reach"),
        ("lookup", step_change(levels=16), "codes reach 0..255, expected 0..15"),
        ("requantise", step_change(shortcut_shift=30), "shortcut reach"),
        ("requantise", tensor_change(0, datatype="INT32"), "sums reach"),
        ("argmax_scores", constant_change("high", (1 << 63) - 1, (1,)), "scores reach"),
        ("affine", constant_change("factors", 1 << 47, 2), "factors reach"),
        ("affine", constant_change("summands", (1 << 63) - 1, 2), "sums reach"),
        ("affine", step_change(last=256), "found last"),
        ("affine", step_change(first=201), "found last"),
        ("affine", step_change(shift=53), "found shift"),
        ("sum_pool", tensor_change(0, datatype="INT4"), None),
        ("cast", tensor_change(1, storage="bits"), None),
        ("cast", lambda h, a: (h["plan"]["tensors"][0].update(datatype="UINT8", storage="u8"),
                               h["plan"]["tensors"][1].update(storage="i8")),
         "values of tensor 1 reach 0..255, expected -128..127"),
    ],
)  # fmt: skip
def test_constants_whose_arithmetic_overflows_are_refused(
    tmp_path: Path, op: str, change: Callable[[Header, Arrays], Any], words: str | None
) -> None:
    good = sealed(tmp_path, *STEPS[op])
    bad = resealed(good, tmp_path / "bad.andpop", change)
    if words is None:
        Engine.load(bad)
    else:
        assert words in refusal(bad)


def test_a_sum_over_too_many_pixels_is_refused(tmp_path: Path) -> None:
    side = 1 << 12
    header, arrays = single_step(
        "sum_pool", [([side, side, 1], "UINT8", "u8")], [([1, 1, 1], "i32")]
    )
    assert "sums reach 0..4278190080" in refusal(sealed(tmp_path, header, arrays))
    header["plan"]["tensors"][0]["datatype"] = "UINT7"
    Engine.load(sealed(tmp_path, header, arrays))


@pytest.mark.parametrize("isa", instruction_sets())
def test_sums_at_the_edge_of_32_bits_are_exact(
    tmp_path: Path, isa: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANDPOP_ISA", isa)
    weights = np.array([[127] * 4, [-128] * 4], np.int8)
    bias = np.array([LARGE - 4 * 127 * 255, -LARGE - 1 + 4 * 128 * 255], np.int32)
    header, arrays = single_step(
        "int_convolution", [([1, 1, 4], "UINT8", "u8")], [([1, 1, 2], "i32")],
        geometry(1, 1), {"weights": weights, "bias": bias},
    )  # fmt: skip
    path = sealed(tmp_path, header, arrays)
    found = Engine.load(path).intermediates(np.full((1, 1, 1, 4), 255, np.uint8))["out0"]
    assert found.tolist() == [[[[LARGE, -LARGE - 1]]]]
    for channel, more in ((0, 1), (1, -1)):
        arrays["0.bias"] = bias.copy()
        arrays["0.bias"][channel] += more
        assert "sums reach" in refusal(sealed(tmp_path, header, arrays))
