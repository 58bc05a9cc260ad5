# SPDX-License-Identifier: Apache-2.0
"""Accumulators: as narrow as the weights allow, never beyond 31 bits, and never too narrow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from andpop.hw.kernels.binary_mvu import cases as binary_cases
from andpop.hw.kernels.epilogue import cases as epilogue_cases
from andpop.hw.kernels.int_mvu import cases as int_cases
from andpop.hw.kernels.mvu import Mvu
from andpop.hw.kernels.pa_mvu import cases as pa_cases
from andpop.hw.kernels.xnor_mvu import cases as xnor_cases
from andpop.quant.grid import signed_width
from andpop.sim.cases import Case
from finn.transformation.fpgadataflow.minimize_accumulator_width import MinimizeAccumulatorWidth
from kernel_cases import altered, build_op, cases_where, golden_of
from onnx import helper
from qonnx.core.datatype import DataType
from qonnx.custom_op.registry import getCustomOp

FREE = pa_cases.SMOKE[1]
ROOMY = ("int8_int8_mw192_mh6_simd1_pe1_bias",)
"""Cases that declare a wider accumulator than their weights and biases need."""


@pytest.mark.parametrize(("kernel", "case"), cases_where(lambda op: issubclass(op, Mvu)))
def test_accumulator_is_as_narrow_as_the_weights_allow(kernel: str, case: Case) -> None:
    built = build_op(case)
    constants = case.make_initializers()
    outputs = [golden_of(kernel, [x, *constants], **case.attrs)[0] for (x,) in case.worst_frames()]
    low, high = min(int(y.min()) for y in outputs), max(int(y.max()) for y in outputs)
    datatype = built.op.minimize_accumulator_width(built.model)
    bits = datatype.bitwidth()
    assert built.op.get_nodeattr("outputDataType") == datatype.name == f"INT{bits}"
    assert datatype.min() <= low and high <= datatype.max()
    narrower = 1 << (bits - 2)
    assert low < -narrower or high >= narrower or bits == 2, "a bit less would do"
    assert built.op.minimize_accumulator_width(built.model, datatype_only=True).bitwidth() >= bits
    declared = DataType[case.output_types[0]]
    assert bits < declared.bitwidth() if case.name in ROOMY else datatype == declared


def test_xnor_accumulator_holds_all_agreeing() -> None:
    built = build_op(xnor_cases.SMOKE[0])
    assert built.op.minimize_accumulator_width(built.model).name == "INT9"  # -216..216


def test_signed_width_is_the_smallest_that_holds_a_range() -> None:
    ends = (-256, -129, -128, -127, -2, -1, 0, 1, 2, 126, 127, 128, 255)
    for low, high in ((a, b) for a in ends for b in ends if a <= 0 <= b):
        fits = (n for n in range(2, 20) if -(2 ** (n - 1)) <= low and high <= 2 ** (n - 1) - 1)
        assert signed_width(low, high) == next(fits), (low, high)


def test_finns_minimising_pass_narrows_the_epilogue_too() -> None:
    mvu = int_cases.SMOKE[0]
    tail = next(c for c in epilogue_cases.FULL if c.attrs["accShift"] and "shortcut" not in c.name)
    mh, vectors = mvu.attrs["MH"], mvu.attrs["numInputVectors"]
    built = build_op(mvu)
    model = built.model
    attrs = {**tail.attrs, "NumChannels": mh, "PE": 1, "numInputVectors": vectors}
    attrs["accDataType"] = mvu.attrs["outputDataType"]
    model.graph.node.append(
        helper.make_node(
            "Epilogue_rtl",
            ["y0", "params"],
            ["z"],
            name="Epilogue_0",
            domain="finn.custom_op.fpgadataflow.rtl",
            backend="fpgadataflow",
            **attrs,
        )
    )
    model.graph.output[0].name = "z"
    model.set_initializer("w", np.floor(model.get_initializer("w") / 16))
    model.set_initializer("params", np.ones((5, mh), dtype=np.float32))
    model.set_tensor_shape("y0", [*vectors, mh])
    model = model.transform(MinimizeAccumulatorWidth())
    head, epilogue_op = (getCustomOp(n) for n in model.graph.node)
    narrow = head.get_nodeattr("outputDataType")
    assert DataType[narrow].bitwidth() < DataType[mvu.attrs["outputDataType"]].bitwidth()
    assert epilogue_op.get_nodeattr("accDataType") == narrow
    assert model.get_tensor_datatype("y0").name == narrow
    assert model.get_tensor_datatype("z").name == tail.output_types[0]


def test_an_accumulator_beyond_31_bits_is_refused(tmp_path: Path) -> None:
    wide = {"alphaDataType": "INT16", "betaDataType": "UINT16"}
    built = build_op(altered(FREE, **wide, outputDataType="INT32"))
    alpha = FREE.make_initializers()[1]
    built.model.set_initializer("alpha", (alpha * 250).astype(np.float32))
    built.model.set_initializer("beta", np.array([0, 1, 2, 3, 4, 5, 6, 32767], dtype=np.float32))
    with pytest.raises(ValueError, match=r"^PaMvu_0: the accumulator reaches .* at most 31;"):
        built.op.minimize_accumulator_width(built.model)
    with pytest.raises(ValueError, match="PaMvu_0: outputs reach"):
        built.generate(tmp_path)
    small = build_op(altered(FREE, outputDataType="INT32"))
    with pytest.raises(ValueError, match="found outputDataType INT32, expected at most 31 bits"):
        small.generate(tmp_path)


@pytest.mark.parametrize(
    ("case", "datatype", "message"),
    [
        pytest.param(
            binary_cases.SMOKE[0],
            "INT11",
            r"^BinaryMvu_0: outputs reach -1080\.\.1080, ",
            id="binary",
        ),
        pytest.param(
            int_cases.SMOKE[0], "INT12", "outputDataType INT12 holds -2048..2047", id="int"
        ),
    ],
)
def test_outputs_that_do_not_fit_are_refused(
    case: Case, datatype: str, message: str, tmp_path: Path
) -> None:
    narrow = replace(altered(case, outputDataType=datatype), output_types=(datatype,))
    with pytest.raises(ValueError, match=message):
        build_op(narrow).generate(tmp_path)
