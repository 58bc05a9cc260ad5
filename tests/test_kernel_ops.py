# SPDX-License-Identifier: Apache-2.0
"""What the ops state: shapes, datatypes, sources, cycles; which attributes they refuse."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from andpop.hw.kernels.base import Kernel, Stream
from andpop.hw.kernels.binary_mvu import cases as binary_cases
from andpop.hw.kernels.epilogue import cases as epilogue_cases
from andpop.hw.kernels.int_mvu import cases as int_cases
from andpop.hw.kernels.memory import LineMemory
from andpop.hw.kernels.xnor_mvu import cases as xnor_cases
from andpop.quant.grid import limits, type_format
from andpop.sim.cases import Case
from finn.custom_op.fpgadataflow.hwcustomop import HWCustomOp
from kernel_cases import (
    FPGA_PART,
    Built,
    build_op,
    cases_where,
    first_cases,
    golden_of,
    pool_attrs,
    rtl_op,
)
from qonnx.core.datatype import DataType


def read(case: Case) -> Built:
    """The case's op, with what it must know of its constants."""
    built = build_op(case)
    if isinstance(built.op, Kernel):
        built.op.read_constants(built.model)
    return built


# Every kernel, every case.


@pytest.mark.parametrize(("kernel", "case"), cases_where())
def test_case_declares_what_golden_gives(kernel: str, case: Case) -> None:
    """Shapes and datatypes of the op are those of the golden's outputs, for extremes too."""
    op = read(case).op
    op.verify_node()
    constants = case.make_initializers()
    frames = [case.random_frame(np.random.default_rng(5)), *case.worst_frames()]
    for frame in frames:
        outputs = golden_of(kernel, [*frame, *constants], **case.attrs)
        assert len(outputs) == len(case.output_types)
        for i, (value, datatype) in enumerate(zip(outputs, case.output_types, strict=True)):
            low, high = limits(*type_format(datatype))
            assert value.dtype == np.int64
            assert value.min() >= low and value.max() <= high
            assert op.get_output_datatype(i) == DataType[datatype]
            assert tuple(op.get_normal_output_shape(i)) == value.shape
            folded = op.get_folded_output_shape(i)
            assert math.prod(folded) == value.size
            assert folded[-1] * op.get_output_datatype(i).bitwidth() == op.get_outstream_width(i)
    for i, operand in enumerate(o for o in case.operands if o.streamed):
        assert tuple(op.get_normal_input_shape(i)) == operand.shape
        assert math.prod(op.get_folded_input_shape(i)) == math.prod(operand.shape)


@pytest.mark.parametrize(("kernel", "case"), cases_where())
def test_sources_exist_and_top_is_named(kernel: str, case: Case, tmp_path: Path) -> None:
    built = read(case)
    op, top = built.op, built.op.onnx_node.name
    op.set_nodeattr("code_gen_dir_ipgen", str(tmp_path))
    op.code_generation_ipgen(built.model, FPGA_PART, 10.0)
    files = [Path(f) for f in op.get_rtl_file_list(abspath=True)]
    assert all(f.is_file() for f in files)
    assert [f.name for f in files] == op.get_rtl_file_list()
    assert f"module {top} (" in files[-1].read_text(encoding="ascii")
    estimate = op.node_res_estimation(FPGA_PART)
    multiplies = type(op).dsp_estimation is not HWCustomOp.dsp_estimation
    # One label to choose from takes a single LUT, which rounds to none.
    assert estimate["LUT"] > 0 or "_l1_" in case.name
    assert estimate["DSP"] == 0 or multiplies


@pytest.mark.parametrize(("kernel", "case"), first_cases())
def test_ops_refuse_values_that_are_not_integers(kernel: str, case: Case) -> None:
    op = build_op(case).op
    names = [o.name for o in case.operands]
    values = [*case.random_frame(np.random.default_rng(1)), *case.make_initializers()]
    context: dict[str, Any] = dict(zip(names, values, strict=True))
    context[names[0]] = context[names[0]] + 0.5
    message = f"^{case.op_type}_0: input {names[0]} holds values that are not integers$"
    with pytest.raises(ValueError, match=message):
        op.execute_node(context, None)


@pytest.mark.parametrize(
    ("case", "attribute", "value", "message"),
    [
        (xnor_cases.SMOKE[3], "SIMD", 7, "48 input elements cannot be split over SIMD=7"),
        (int_cases.SMOKE[0], "PE", 4, "6 outputs cannot be split over PE=4; use one of 1,2,3,6"),
        (epilogue_cases.SMOKE[0], "PE", 0, "24 channels cannot be split over PE=0"),
    ],
)
def test_a_folding_that_does_not_divide_is_refused(
    case: Case, attribute: str, value: int, message: str
) -> None:
    built = build_op(case)
    built.op.set_nodeattr(attribute, value)
    with pytest.raises(ValueError, match=message):
        for stream in (built.op.input_streams, built.op.output_streams):
            stream()


def test_stream_words() -> None:
    stream = Stream("INT4", (1, 2, 3, 6), 2)
    assert (stream.folded, stream.words, stream.width) == ((1, 2, 3, 3, 2), 18, 8)


# Datatypes.


def test_the_input_is_followed() -> None:
    built = build_op(binary_cases.SMOKE[0])
    built.model.set_tensor_datatype(built.op.onnx_node.input[0], DataType["UINT3"])
    built.op.infer_node_datatype(built.model)
    assert built.op.get_nodeattr("inputDataType") == "UINT3"


@pytest.mark.parametrize("datatype", ["UINT9", "INT4", "BIPOLAR", ""])
def test_other_inputs_are_refused(datatype: str) -> None:
    op = build_op(binary_cases.SMOKE[0]).op
    op.set_nodeattr("inputDataType", datatype)
    message = (
        f"BinaryMvu_0: found inputDataType '{datatype}', expected UINT1 to UINT8; quantise the "
        "activations to codes of at most 8 bits"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        op.input_streams()


def test_signed_thresholding_refuses_words_that_floats_do_not_hold() -> None:
    attrs = {
        "NumChannels": 2, "PE": 1, "numSteps": 25, "numInputVectors": [1, 2, 2],
        "inputDataType": "INT8", "weightDataType": "INT8", "baseDataType": "INT3",
        "outputDataType": "UINT25", "encoding": "onehot",
    }  # fmt: skip
    with pytest.raises(ValueError, match="dut: found onehot of 25 levels, expected at most 24"):
        rtl_op("SignedThresholding", 4, **attrs).verify_node()


# Cycles and lines of memory.


def test_max_pool_cycles_at_stride_two_are_the_input_words() -> None:
    attrs = pool_attrs((112, 112), (3, 3), (2, 2), (1, 1, 1, 1), (56, 56))
    assert rtl_op("StreamMaxPool", **attrs).get_exp_cycles() == 112 * 112


def test_pixel_interleave_states_one_word_per_cycle_and_its_memory() -> None:
    attrs = {"NumChannels": 16, "PE": 4, "ImgDim": [2, 30], "inputDataType": "UINT8"}
    op = rtl_op("PixelInterleave", **attrs)
    assert op.get_exp_cycles() == 4 * 2 * 30 * 16 // 4
    assert op.line_memory() == LineMemory(8 * 29 + 8 * 15 + 4, 32)
    assert op.rtl_parameters()["BlockRam"] == 1
    assert op.bram_estimation("") == 1


@pytest.mark.parametrize(
    ("scale", "phases", "words", "width"),
    [([2, 3], 0, 120 + 60 + 2, 32), ([1, 3], 0, 4 + 3 + 2, 32), ([2, 3], 1, 120 + 60 + 2, 192)],
)
def test_upsample_states_one_word_per_cycle_and_its_memory(
    scale: list[int], phases: int, words: int, width: int
) -> None:
    attrs = {"NumChannels": 16, "PE": 4, "ImgDim": [2, 30], "inputDataType": "UINT8"}
    op = rtl_op("StreamUpsample", Scale=scale, phases=phases, **attrs)
    assert op.get_exp_cycles() == scale[0] * scale[1] * 2 * 30 * 16 // 4
    assert op.line_memory() == LineMemory(words, width)
    assert op.rtl_parameters()["BlockRam"] == (words * width > 8192)
    op.set_nodeattr("line_ram", "lut")
    assert op.rtl_parameters()["BlockRam"] == 0


@pytest.mark.parametrize(
    ("attrs", "told"),
    [
        ({"Scale": [1, 1], "phases": 0, "PE": 2}, r"found Scale=\[1, 1\].*expected 1 or more"),
        ({"Scale": [0, 2], "phases": 0, "PE": 2}, r"found Scale=\[0, 2\]"),
        ({"Scale": [2, 2], "phases": 2, "PE": 2}, "found PE=2 with phases=2, expected all 6"),
    ],
)
def test_upsample_refuses_what_makes_no_rectangle(attrs: dict[str, Any], told: str) -> None:
    more = {"NumChannels": 6, "ImgDim": [2, 2], "inputDataType": "UINT4"}
    with pytest.raises(ValueError, match=told):
        rtl_op("StreamUpsample", **more, **attrs).verify_node()


def test_reflect_pad_states_its_cycles_and_its_memory() -> None:
    attrs = {"NumChannels": 3, "SIMD": 1, "ImgDim": [20, 30], "inputDataType": "UINT8"}
    op = rtl_op("StreamReflectPad", Padding=[4, 5, 8, 6], **attrs)
    assert op.get_exp_cycles() == 3 * (32 * 41 + 4 * 30 + 5 + 1) + 1
    assert op.line_memory() == LineMemory(9 * 30 * 3, 8)
    assert op.line_memory().bits == 6480


# Attributes that make no op.


@pytest.mark.parametrize(
    "attrs",
    [
        pool_attrs((4, 4), (2, 2), (2, 2), (0, 0, 0, 0), (2, 3)),
        pool_attrs((4, 4), (2, 2), (2, 2), (2, 0, 0, 0), (3, 2)),
        pool_attrs((4, 4), (5, 5), (1, 1), (0, 0, 0, 0), (0, 0)),
    ],
)
def test_max_pool_refuses_impossible_geometry(attrs: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="dut: found Axis.*expected out="):
        rtl_op("StreamMaxPool", **attrs).verify_node()


@pytest.mark.parametrize("channels", [[3, 4], [6], [0, 6]])
def test_split_refuses_channels_that_fill_no_words(channels: list[int]) -> None:
    attrs = {"SIMD": 2, "ChannelsPerStream": channels, "inputDataType": "INT8"}
    op = rtl_op("StreamingSplit", outputs=len(channels), numInputVectors=[1, 2, 2], **attrs)
    with pytest.raises(ValueError, match="dut: found ChannelsPerStream.*SIMD=2"):
        op.verify_node()


@pytest.mark.parametrize(
    ("channels", "types", "message"),
    [
        ([3, 4], ["INT8", "INT8"], r"found ChannelsPerStream=\[3, 4\], expected .* SIMD=2"),
        ([6], ["INT8"], r"found ChannelsPerStream=\[6\], expected two or more"),
        ([4, 4], ["UINT4", "UINT3"], "found inputDataTypes=.*UINT3.*expected the same datatype"),
        ([4, 4], ["UINT4"], "found inputDataTypes=.*each of the 2 inputs"),
    ],
)
def test_concat_refuses_what_fills_no_words_or_mixes_types(
    channels: list[int], types: list[str], message: str
) -> None:
    attrs = {"SIMD": 2, "ChannelsPerStream": channels, "inputDataTypes": types}
    op = rtl_op("StreamingConcat", inputs=len(channels), numInputVectors=[1, 2, 2], **attrs)
    with pytest.raises(ValueError, match=f"dut: {message}"):
        op.verify_node()


def test_pixel_interleave_refuses_lanes_that_divide_no_channels() -> None:
    attrs = {"NumChannels": 6, "PE": 4, "ImgDim": [2, 2], "inputDataType": "UINT4"}
    with pytest.raises(ValueError, match="dut: 6 channels cannot be split over PE=4"):
        rtl_op("PixelInterleave", **attrs).output_streams()


@pytest.mark.parametrize("crop", [[2, 0, 2, 0], [0, 3, 0, 2], [-1, 0, 0, 0]])
def test_crop_refuses_borders_that_leave_no_picture(crop: list[int]) -> None:
    attrs = {"NumChannels": 2, "SIMD": 1, "ImgDim": [4, 5], "inputDataType": "INT8"}
    with pytest.raises(ValueError, match="dut: found Crop=.*of a picture of 4x5, expected"):
        rtl_op("StreamCrop", Crop=crop, **attrs).verify_node()


@pytest.mark.parametrize("padding", [[4, 0, 0, 0], [0, 5, 0, 0], [0, 0, 4, 0], [0, 0, 0, -1]])
def test_reflect_pad_refuses_borders_as_large_as_the_side(padding: list[int]) -> None:
    attrs = {"NumChannels": 2, "SIMD": 1, "ImgDim": [4, 5], "inputDataType": "INT8"}
    with pytest.raises(ValueError, match="dut: found Padding=.*of a picture of 4x5, expected"):
        rtl_op("StreamReflectPad", Padding=padding, **attrs).verify_node()


@pytest.mark.parametrize(("key", "value"), [("depth", 1), ("ram_style", "ultra")])
def test_fifo_refuses_what_the_rtl_lacks(key: str, value: int | str) -> None:
    attrs = {"depth": 8, "folded_shape": [1, 1, 1], "normal_shape": [1, 1], "dataType": "INT8"}
    with pytest.raises(ValueError, match=f"dut: found {key} {value}"):
        rtl_op("StreamingFIFO", **{**attrs, key: value}).verify_node()
