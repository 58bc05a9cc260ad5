# SPDX-License-Identifier: Apache-2.0
"""Goldens and ops of the stream kernels against plain loops, by-hand values and FINN's own ops."""

from __future__ import annotations

import math
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from andpop.hw.kernels import register
from andpop.hw.kernels.base import Stream
from andpop.hw.kernels.memory import bram18_blocks, lutram_luts
from andpop.quant.grid import limits, type_format
from andpop.sim.cases import Case, Operand
from kernel_cases import build_op
from onnx import helper
from qonnx.custom_op.registry import getCustomOp

IntArray = npt.NDArray[np.int64]
STREAM_KERNELS = (
    "duplicate_streams",
    "global_acc_pool",
    "label_select",
    "pixel_interleave",
    "shift_requant",
    "shuffle_concat",
    "stream_crop",
    "stream_max_pool",
    "stream_reflect_pad",
    "streaming_concat",
    "streaming_fifo",
    "streaming_split",
)


def golden(kernel: str, inputs: list[Any], **attrs: Any) -> list[IntArray]:
    """Run a kernel's golden."""
    arrays = [np.asarray(x, dtype=np.int64) for x in inputs]
    return list(import_module(f"andpop.hw.kernels.{kernel}.golden").run(arrays, attrs))


def all_cases() -> list[Any]:
    """Every case of the stream kernels as pytest parameters."""
    modules = {
        kernel: import_module(f"andpop.hw.kernels.{kernel}.cases") for kernel in STREAM_KERNELS
    }
    return [
        pytest.param(case, id=f"{kernel}-{case.name}")
        for kernel, module in modules.items()
        for case in (*module.SMOKE, *module.FULL)
    ]


def rtl_op(op_type: str, inputs: int = 1, outputs: int = 1, **attrs: Any) -> Any:
    """Return the RTL backend of an op as FINN finds it."""
    register()
    node = helper.make_node(
        f"{op_type}_rtl",
        [f"x{i}" for i in range(inputs)],
        [f"y{i}" for i in range(outputs)],
        name="dut",
        domain="finn.custom_op.fpgadataflow.rtl",
        backend="fpgadataflow",
        **attrs,
    )
    return getCustomOp(node)


def case_op(case: Case) -> Any:
    """The RTL backend of a case."""
    return rtl_op(case.op_type, len(case.operands), len(case.output_types), **case.attrs)


def pool_attrs(
    image: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int, int, int],
    out: tuple[int, int],
    datatype: str = "INT8",
) -> dict[str, Any]:
    """Attributes of a StreamMaxPool with one channel."""
    return {
        "NumChannels": 1, "PE": 1, "ImgDim": list(image), "KernelDim": list(kernel),
        "Stride": list(stride), "Padding": list(padding), "OutDim": list(out),
        "inputDataType": datatype,
    }  # fmt: skip


@pytest.mark.parametrize("case", all_cases())
def test_case_declares_what_golden_gives(case: Case) -> None:
    """Shapes and datatypes of the op are those of the golden's outputs, for extremes too."""
    op = case_op(case)
    op.verify_node()
    kernel = import_module(f"andpop.hw.kernels.{op.module}.golden")
    frames = [case.random_frame(np.random.default_rng(5)), *case.worst_frames()]
    for frame in frames:
        outputs = kernel.run(frame, case.attrs)
        assert len(outputs) == len(case.output_types)
        for i, (value, datatype) in enumerate(zip(outputs, case.output_types, strict=True)):
            low, high = limits(*type_format(datatype))
            assert value.dtype == np.int64
            assert value.min() >= low and value.max() <= high
            assert op.get_output_datatype(i).name == datatype
            assert tuple(op.get_normal_output_shape(i)) == value.shape
            folded = op.get_folded_output_shape(i)
            assert math.prod(folded) == value.size
            assert folded[-1] * op.get_output_datatype(i).bitwidth() == op.get_outstream_width(i)
    for i, operand in enumerate(case.operands):
        assert tuple(op.get_normal_input_shape(i)) == operand.shape
        assert math.prod(op.get_folded_input_shape(i)) == math.prod(operand.shape)


@pytest.mark.parametrize("case", all_cases())
def test_sources_exist_and_top_is_named(case: Case, tmp_path: Path) -> None:
    op = case_op(case)
    op.set_nodeattr("code_gen_dir_ipgen", str(tmp_path))
    op.code_generation_ipgen(None, "xc7z020clg400-1", 10.0)
    files = [Path(f) for f in op.get_rtl_file_list(abspath=True)]
    assert all(f.is_file() for f in files)
    assert [f.name for f in files] == op.get_rtl_file_list()
    assert "module dut (" in files[-1].read_text(encoding="ascii")
    commands = op.code_generation_ipi()
    assert commands[-1] == "create_bd_cell -type module -reference dut dut"
    assert len(commands) == len(files) + 1
    estimate = op.node_res_estimation("xc7z020clg400-1")
    assert estimate["LUT"] > 0 and estimate["DSP"] == 0


@pytest.mark.parametrize("case", import_module("andpop.hw.kernels.stream_max_pool.cases").FULL)
def test_max_pool_equals_plain_loops(case: Case) -> None:
    """The windows clipped at the picture's edge, without any border value."""
    x = case.random_frame(np.random.default_rng(9))[0]
    (got,) = golden("stream_max_pool", [x], **case.attrs)
    top, left, _, _ = case.attrs["Padding"]
    (ky, kx), (sy, sx) = case.attrs["KernelDim"], case.attrs["Stride"]
    height, width = case.attrs["ImgDim"]
    for oy, ox in np.ndindex(*case.attrs["OutDim"]):
        rows = range(max(0, oy * sy - top), min(height, oy * sy - top + ky))
        columns = range(max(0, ox * sx - left), min(width, ox * sx - left + kx))
        window = [x[0, y, z] for y in rows for z in columns]
        assert np.array_equal(got[0, oy, ox], np.max(window, axis=0)), (oy, ox)


def test_max_pool_border_never_wins() -> None:
    x = np.full((1, 2, 2, 1), -128)
    attrs = pool_attrs((2, 2), (3, 3), (2, 2), (1, 1, 1, 1), (1, 1))
    assert golden("stream_max_pool", [x], **attrs)[0].tolist() == [[[[-128]]]]
    attrs["inputDataType"] = "BINARY"
    assert golden("stream_max_pool", [x * 0], **attrs)[0].tolist() == [[[[0]]]]


def test_max_pool_takes_any_batch() -> None:
    x = np.arange(2 * 4 * 4).reshape(2, 4, 4, 1)
    attrs = pool_attrs((4, 4), (2, 2), (2, 2), (0, 0, 0, 0), (2, 2))
    (y,) = golden("stream_max_pool", [x], **attrs)
    assert y[..., 0].tolist() == [[[5, 7], [13, 15]], [[21, 23], [29, 31]]]


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


def test_max_pool_cycles_at_stride_two_are_the_input_words() -> None:
    attrs = pool_attrs((112, 112), (3, 3), (2, 2), (1, 1, 1, 1), (56, 56))
    assert rtl_op("StreamMaxPool", **attrs).get_exp_cycles() == 112 * 112


def test_shuffle_concat_interleaves_channels() -> None:
    left, right = [[[[1, 2, 3]]]], [[[[10, 20, 30]]]]
    attrs = {"NumChannels": 3, "PE": 1, "inputDataType": "INT8", "numInputVectors": [1, 1, 1]}
    (y,) = golden("shuffle_concat", [left, right], **attrs)
    assert y.tolist() == [[[[1, 10, 2, 20, 3, 30]]]]


def test_shuffle_concat_is_concat_then_shuffle_of_two_groups() -> None:
    rng = np.random.default_rng(1)
    left, right = rng.integers(-128, 128, (2, 3, 4, 5, 6))
    joined = np.concatenate([left, right], axis=-1)
    shuffled = joined.reshape(3, 4, 5, 2, 6).swapaxes(-1, -2).reshape(3, 4, 5, 12)
    assert np.array_equal(golden("shuffle_concat", [left, right])[0], shuffled)


def test_split_undoes_concat() -> None:
    x = np.arange(2 * 3 * 10).reshape(2, 3, 10)
    parts = golden("streaming_split", [x], ChannelsPerStream=[2, 5, 3])
    assert [p.shape[-1] for p in parts] == [2, 5, 3]
    assert np.array_equal(np.concatenate(parts, axis=-1), x)


@pytest.mark.parametrize("channels", [[3, 4], [6], [0, 6]])
def test_split_refuses_channels_that_fill_no_words(channels: list[int]) -> None:
    attrs = {"SIMD": 2, "ChannelsPerStream": channels, "inputDataType": "INT8"}
    op = rtl_op("StreamingSplit", outputs=len(channels), numInputVectors=[1, 2, 2], **attrs)
    with pytest.raises(ValueError, match="dut: found ChannelsPerStream.*SIMD=2"):
        op.verify_node()


def test_concat_by_hand_and_undone_by_split() -> None:
    parts = [[[[1, 2]], [[3, 4]]], [[[5]], [[6]]], [[[7, 8]], [[9, 0]]]]
    (y,) = golden("streaming_concat", parts)
    assert y.tolist() == [[[1, 2, 5, 7, 8]], [[3, 4, 6, 9, 0]]]
    back = golden("streaming_split", [y], ChannelsPerStream=[2, 1, 2])
    assert [part.tolist() for part in back] == parts


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


def test_pixel_interleave_is_its_equation() -> None:
    x = np.random.default_rng(2).integers(-128, 128, (1, 3, 4, 4 * 5))
    (y,) = golden("pixel_interleave", [x])
    assert y.shape == (1, 6, 8, 5)
    for i, j, dy, dx, c in np.ndindex(3, 4, 2, 2, 5):
        assert y[0, 2 * i + dy, 2 * j + dx, c] == x[0, i, j, (2 * dy + dx) * 5 + c]


def test_pixel_interleave_states_one_word_per_cycle_and_its_memory() -> None:
    attrs = {"NumChannels": 16, "PE": 4, "ImgDim": [2, 30], "inputDataType": "UINT8"}
    op = rtl_op("PixelInterleave", **attrs)
    assert op.get_exp_cycles() == 4 * 2 * 30 * 16 // 4
    assert op.line_memory() == (8 * 29 + 8 * 15 + 4, 32)
    assert op.rtl_parameters()["BlockRam"] == 1
    assert op.bram_estimation("") == 1


def test_pixel_interleave_refuses_lanes_that_divide_no_channels() -> None:
    attrs = {"NumChannels": 6, "PE": 4, "ImgDim": [2, 2], "inputDataType": "UINT4"}
    with pytest.raises(ValueError, match="dut: 6 channels cannot be split over PE=4"):
        rtl_op("PixelInterleave", **attrs).output_streams()


def test_crop_by_hand() -> None:
    x = np.arange(20).reshape(1, 4, 5, 1)
    (y,) = golden("stream_crop", [x], Crop=[1, 2, 0, 1])
    assert y[0, :, :, 0].tolist() == [[7, 8], [12, 13], [17, 18]]


@pytest.mark.parametrize("crop", [[2, 0, 2, 0], [0, 3, 0, 2], [-1, 0, 0, 0]])
def test_crop_refuses_borders_that_leave_no_picture(crop: list[int]) -> None:
    attrs = {"NumChannels": 2, "SIMD": 1, "ImgDim": [4, 5], "inputDataType": "INT8"}
    with pytest.raises(ValueError, match="dut: found Crop=.*of a picture of 4x5, expected"):
        rtl_op("StreamCrop", Crop=crop, **attrs).verify_node()


def test_reflect_pad_by_hand() -> None:
    x = np.arange(6).reshape(1, 2, 3, 1)
    (y,) = golden("stream_reflect_pad", [x], Padding=[1, 2, 0, 1])
    assert y[0, :, :, 0].tolist() == [[5, 4, 3, 4, 5, 4], [2, 1, 0, 1, 2, 1], [5, 4, 3, 4, 5, 4]]


def test_crop_undoes_reflect_pad() -> None:
    x = np.random.default_rng(8).integers(0, 256, (1, 6, 5, 3))
    borders = [3, 4, 5, 2]
    (y,) = golden("stream_reflect_pad", [x], Padding=borders)
    assert y.shape == (1, 14, 11, 3)
    assert np.array_equal(golden("stream_crop", [y], Crop=borders)[0], x)


def test_reflect_pad_states_its_cycles_and_its_memory() -> None:
    attrs = {"NumChannels": 3, "SIMD": 1, "ImgDim": [20, 30], "inputDataType": "UINT8"}
    op = rtl_op("StreamReflectPad", Padding=[4, 5, 8, 6], **attrs)
    assert op.get_exp_cycles() == 3 * (32 * 41 + 4 * 30 + 5 + 1)
    assert op.line_memory() == (9 * 30 * 3, 8)
    assert op.line_memory().bits == 6480


@pytest.mark.parametrize("padding", [[4, 0, 0, 0], [0, 5, 0, 0], [0, 0, 4, 0], [0, 0, 0, -1]])
def test_reflect_pad_refuses_borders_as_large_as_the_side(padding: list[int]) -> None:
    attrs = {"NumChannels": 2, "SIMD": 1, "ImgDim": [4, 5], "inputDataType": "INT8"}
    with pytest.raises(ValueError, match="dut: found Padding=.*of a picture of 4x5, expected"):
        rtl_op("StreamReflectPad", Padding=padding, **attrs).verify_node()


def test_duplicates_do_not_share_memory() -> None:
    first, second = golden("duplicate_streams", [[[1, 2]]], NumOutputStreams=2)
    first[:] = 0
    assert second.tolist() == [[1, 2]]


def test_global_sum_by_hand() -> None:
    x = np.array([[[[1, -128], [2, -128]], [[3, -128], [-7, -128]]]])
    assert golden("global_acc_pool", [x])[0].tolist() == [[[[-1, -512]]]]


@pytest.mark.parametrize(
    ("target", "shift", "x", "y"),
    [
        ("INT8", 1, [-3, -2, -1, 0, 1, 2, 3], [-1, -1, 0, 0, 1, 1, 2]),
        ("INT8", 6, [8191, -8192, 31, 32, -32, -33], [127, -128, 0, 1, 0, -1]),
        ("INT8", 0, [127, 128, -128, -129], [127, 127, -128, -128]),
        ("UINT4", 2, [-1, -3, 57, 58, 61, 62], [0, 0, 14, 15, 15, 15]),
    ],
)
def test_requant_rounds_half_up_and_saturates(
    target: str, shift: int, x: list[int], y: list[int]
) -> None:
    (got,) = golden("shift_requant", [x], outputDataType=target, shift=shift, hasShortcut=0)
    assert got.tolist() == y


def test_requant_adds_the_shortcut_before_it_rounds() -> None:
    acc = [7, 8, 2000, -2048, 40, -40]
    shortcut = [0, 0, 127, -128, -2, 2]
    attrs = {"outputDataType": "INT8", "shift": 4, "hasShortcut": 1, "shortcutShift": 5}
    (got,) = golden("shift_requant", [acc, shortcut], **attrs)
    assert got.tolist() == [0, 1, 127, -128, -1, 2]


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("code", [[0, 3], [0, 3], [1, 2], [3, 1], [3, 0]]),
        ("onehot", [[0, 4], [0, 4], [1, 2], [4, 1], [4, 0]]),
        ("thermometer", [[0, 7], [0, 7], [1, 3], [7, 1], [7, 0]]),
    ],
)
def test_signed_thresholds_rise_and_fall(encoding: str, expected: list[list[int]]) -> None:
    x = [[-8, -8], [-4, -1], [-3, 0], [2, 4], [7, 6]]
    thresholds, steps, base = [[-3, 2, 2], [0, 3, 6]], [[1, 1, 1], [-1, -1, -1]], [0, 3]
    (y,) = golden("signed_thresholding", [x, thresholds, steps, base], encoding=encoding)
    assert y.tolist() == expected


def test_signed_thresholding_refuses_an_unknown_encoding() -> None:
    with pytest.raises(ValueError, match="found encoding 'gray', expected code"):
        golden("signed_thresholding", [[1], [[0]], [[1]], [0]], encoding="gray")


def test_signed_thresholds_count_those_reached_whatever_their_order() -> None:
    rng = np.random.default_rng(4)
    thresholds = rng.integers(-128, 128, (6, 9))
    x = rng.integers(-128, 128, (3, 5, 5, 6))
    ones, zeros = np.ones((6, 9)), np.zeros(6)
    counts = (x[..., None] >= thresholds).sum(axis=-1)
    (up,) = golden("signed_thresholding", [x, thresholds, ones, zeros], encoding="code")
    (down,) = golden("signed_thresholding", [x, thresholds, -ones, zeros + 9], encoding="code")
    assert np.array_equal(up, counts)
    assert np.array_equal(down, 9 - counts)


@pytest.mark.parametrize(
    ("initializers", "message"),
    [
        (([[0, 128]], [[1, 1]], [0]), "thresholds of channel 1 is 128, expected INT8"),
        (([[0, 1]], [[1, 0]], [0]), "steps of channel 1 is 0, expected BIPOLAR"),
        (
            ([[0, 1]], [[1, 1]], [2]),
            "channel 1 reaches code 4, expected 0..3; widen outputDataType",
        ),
        (([[0, 1]], [[-1, 1]], [0]), "channel 1 reaches code -1, expected 0..3"),
        (([[0, 1]], [[1, 1]], [9]), "base of channel 1 is 9, expected INT3"),
        (([[0, 1, 2]], [[1, 1, 1]], [0]), r"thresholds has shape \(2, 3\), expected .* \(2, 2\)"),
    ],
)
def test_signed_thresholding_refuses_constants_it_cannot_hold(
    initializers: tuple[list[list[int]], list[list[int]], list[int]], message: str
) -> None:
    values = [np.concatenate([np.zeros_like(np.array(v)), np.array(v)]) for v in initializers]
    values[1][0] = 1
    shape = (1, 2, 2, 2)
    types = ("INT8", "INT8", "BIPOLAR", "INT3")
    case = Case(
        "bad",
        "SignedThresholding",
        {
            "NumChannels": 2, "PE": 1, "numSteps": 2, "numInputVectors": [1, 2, 2],
            "inputDataType": "INT8", "weightDataType": "INT8", "baseDataType": "INT3",
            "outputDataType": "UINT2", "encoding": "code",
        },
        tuple(
            Operand(name, datatype, shape if i == 0 else values[i - 1].shape, 0, 1, i == 0)
            for i, (name, datatype) in enumerate(
                zip(("x", "thresholds", "steps", "base"), types, strict=True)
            )
        ),
        ("UINT2",),
        initializers=lambda _: values,
    )  # fmt: skip
    built = build_op(case)
    with pytest.raises(ValueError, match=f"SignedThresholding_0: {message}"):
        built.op.memories(built.model)


def test_signed_thresholding_refuses_words_that_floats_do_not_hold() -> None:
    attrs = {
        "NumChannels": 2, "PE": 1, "numSteps": 25, "numInputVectors": [1, 2, 2],
        "inputDataType": "INT8", "weightDataType": "INT8", "baseDataType": "INT3",
        "outputDataType": "UINT25", "encoding": "onehot",
    }  # fmt: skip
    with pytest.raises(ValueError, match="dut: found onehot of 25 levels, expected at most 24"):
        rtl_op("SignedThresholding", 4, **attrs).verify_node()


def test_argmax_ties_give_the_lowest_index() -> None:
    scores = [[[[3, 5, 5, 1]]], [[[-9, -9, -9, -9]]], [[[0, 0, 0, 1]]]]
    (y,) = golden("label_select", [scores], K=1)
    assert y[:, 0, 0, 0].tolist() == [1, 0, 3]


def test_label_select_per_pixel_is_a_mask() -> None:
    scores = np.random.default_rng(6).integers(-4, 4, (1, 5, 6, 3))
    (mask,) = golden("label_select", [scores], K=1)
    assert mask.shape == (1, 5, 6, 1)
    for y, x in np.ndindex(5, 6):
        pixel = scores[0, y, x].tolist()
        assert mask[0, y, x, 0] == pixel.index(max(pixel))
    op = rtl_op(
        "LabelSelect", Labels=3, PE=1, K=1, inputDataType="INT4", outputDataType="UINT8",
        numInputVectors=[1, 5, 6],
    )  # fmt: skip
    assert (op.get_exp_cycles(), op.get_number_output_values()) == (90, 30)


def test_label_select_refuses_top_k() -> None:
    with pytest.raises(ValueError, match="found K=2"):
        golden("label_select", [[[1, 2]]], K=2)
    op = rtl_op(
        "LabelSelect", Labels=4, PE=1, K=2, inputDataType="INT8", outputDataType="UINT8",
        numInputVectors=[1, 1, 1],
    )  # fmt: skip
    with pytest.raises(ValueError, match="dut: found K=2"):
        op.verify_node()


@pytest.mark.parametrize(
    "kernel", ["duplicate_streams", "global_acc_pool", "label_select", "streaming_split"]
)
def test_golden_equals_finns_own_op(kernel: str) -> None:
    """Where FINN has the abstract op, its own execution gives the same numbers."""
    register()
    for case in import_module(f"andpop.hw.kernels.{kernel}.cases").FULL:
        frame = case.random_frame(np.random.default_rng(3))
        outputs = [f"y{i}" for i in range(len(case.output_types))]
        node = helper.make_node(
            case.op_type,
            ["x0"],
            outputs,
            domain="finn.custom_op.fpgadataflow",
            backend="fpgadataflow",
            **case.attrs,
        )
        op = getCustomOp(node)
        context = {"x0": frame[0].astype(np.float32)}
        for i, name in enumerate(outputs):
            context[name] = np.zeros(op.get_normal_output_shape(i), dtype=np.float32)
        op.execute_node(context, None)
        for name, expected in zip(outputs, golden(kernel, frame, **case.attrs), strict=True):
            assert np.array_equal(context[name], expected), case.name


def test_ops_refuse_values_that_are_not_integers() -> None:
    op = rtl_op(
        "ShiftRequant", NumChannels=2, PE=1, numInputVectors=[1], inputDataType="INT8",
        outputDataType="INT8", shift=1, hasShortcut=0, shortcutShift=0, shortcutDataType="",
    )  # fmt: skip
    with pytest.raises(ValueError, match="dut: input x0 holds values that are not integers"):
        op.execute_node({"x0": np.array([[0.5, 1.0]])}, None)


@pytest.mark.parametrize(
    ("style", "depth", "lanes", "block"),
    [
        ("auto", 64, 100, False),
        ("auto", 256, 4, False),
        ("auto", 257, 4, True),
        ("block", 2, 1, True),
        ("distributed", 9000, 4, False),
    ],
)
def test_fifo_memory_follows_style_and_size(
    style: str, depth: int, lanes: int, block: bool
) -> None:
    op = rtl_op(
        "StreamingFIFO", depth=depth, folded_shape=[1, 4, 1, lanes], normal_shape=[1, 4, lanes],
        dataType="INT8", ram_style=style,
    )  # fmt: skip
    assert op.rtl_parameters()["BlockRam"] == int(block)
    assert (op.bram_estimation("") > 0) is block


@pytest.mark.parametrize(("key", "value"), [("depth", 1), ("ram_style", "ultra")])
def test_fifo_refuses_what_the_rtl_lacks(key: str, value: int | str) -> None:
    attrs = {"depth": 8, "folded_shape": [1, 1, 1], "normal_shape": [1, 1], "dataType": "INT8"}
    with pytest.raises(ValueError, match=f"dut: found {key} {value}"):
        rtl_op("StreamingFIFO", **{**attrs, key: value}).verify_node()


def test_memory_costs_by_hand() -> None:
    assert lutram_luts(32, 6) == 4
    assert lutram_luts(64, 3) == 4
    assert lutram_luts(33, 4) == 8
    assert lutram_luts(128, 3) == 8 + 3
    assert bram18_blocks(512, 36) == 1
    assert bram18_blocks(513, 36) == 2
    assert bram18_blocks(4096, 4) == 1
    assert bram18_blocks(10000, 8) == 5


def test_stream_words() -> None:
    stream = Stream("INT4", (1, 2, 3, 6), 2)
    assert (stream.folded, stream.words, stream.width) == ((1, 2, 3, 3, 2), 18, 8)
