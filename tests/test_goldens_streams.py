# SPDX-License-Identifier: Apache-2.0
"""Goldens that move, join, pool and pick: plain loops, values by hand, FINN's own ops."""

from __future__ import annotations

import numpy as np
import pytest
from andpop.hw.kernels import register
from andpop.hw.kernels.base import Kernel
from andpop.hw.kernels.stream_max_pool import cases as pool_cases
from andpop.sim.cases import Case
from kernel_cases import cases_where, golden_of, pool_attrs, rtl_op
from onnx import helper
from qonnx.custom_op.registry import getCustomOp


@pytest.mark.parametrize("case", pool_cases.FULL)
def test_max_pool_equals_plain_loops(case: Case) -> None:
    """The windows clipped at the picture's edge, without any border value."""
    x = case.random_frame(np.random.default_rng(9))[0]
    (got,) = golden_of("stream_max_pool", [x], **case.attrs)
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
    assert golden_of("stream_max_pool", [x], **attrs)[0].tolist() == [[[[-128]]]]
    attrs["inputDataType"] = "BINARY"
    assert golden_of("stream_max_pool", [x * 0], **attrs)[0].tolist() == [[[[0]]]]


def test_max_pool_takes_any_batch() -> None:
    x = np.arange(2 * 4 * 4).reshape(2, 4, 4, 1)
    attrs = pool_attrs((4, 4), (2, 2), (2, 2), (0, 0, 0, 0), (2, 2))
    (y,) = golden_of("stream_max_pool", [x], **attrs)
    assert y[..., 0].tolist() == [[[5, 7], [13, 15]], [[21, 23], [29, 31]]]


def test_shuffle_concat_interleaves_channels() -> None:
    left, right = [[[[1, 2, 3]]]], [[[[10, 20, 30]]]]
    attrs = {"NumChannels": 3, "PE": 1, "inputDataType": "INT8", "numInputVectors": [1, 1, 1]}
    (y,) = golden_of("shuffle_concat", [left, right], **attrs)
    assert y.tolist() == [[[[1, 10, 2, 20, 3, 30]]]]


def test_shuffle_concat_is_concat_then_shuffle_of_two_groups() -> None:
    rng = np.random.default_rng(1)
    left, right = rng.integers(-128, 128, (2, 3, 4, 5, 6))
    joined = np.concatenate([left, right], axis=-1)
    shuffled = joined.reshape(3, 4, 5, 2, 6).swapaxes(-1, -2).reshape(3, 4, 5, 12)
    assert np.array_equal(golden_of("shuffle_concat", [left, right])[0], shuffled)


def test_split_undoes_concat() -> None:
    x = np.arange(2 * 3 * 10).reshape(2, 3, 10)
    parts = golden_of("streaming_split", [x], ChannelsPerStream=[2, 5, 3])
    assert [p.shape[-1] for p in parts] == [2, 5, 3]
    assert np.array_equal(np.concatenate(parts, axis=-1), x)


def test_concat_by_hand_and_undone_by_split() -> None:
    parts = [[[[1, 2]], [[3, 4]]], [[[5]], [[6]]], [[[7, 8]], [[9, 0]]]]
    (y,) = golden_of("streaming_concat", parts)
    assert y.tolist() == [[[1, 2, 5, 7, 8]], [[3, 4, 6, 9, 0]]]
    back = golden_of("streaming_split", [y], ChannelsPerStream=[2, 1, 2])
    assert [part.tolist() for part in back] == parts


def test_pixel_interleave_is_its_equation() -> None:
    x = np.random.default_rng(2).integers(-128, 128, (1, 3, 4, 4 * 5))
    (y,) = golden_of("pixel_interleave", [x])
    assert y.shape == (1, 6, 8, 5)
    for i, j, dy, dx, c in np.ndindex(3, 4, 2, 2, 5):
        assert y[0, 2 * i + dy, 2 * j + dx, c] == x[0, i, j, (2 * dy + dx) * 5 + c]


def test_crop_by_hand() -> None:
    x = np.arange(20).reshape(1, 4, 5, 1)
    (y,) = golden_of("stream_crop", [x], Crop=[1, 2, 0, 1])
    assert y[0, :, :, 0].tolist() == [[7, 8], [12, 13], [17, 18]]


def test_reflect_pad_by_hand() -> None:
    x = np.arange(6).reshape(1, 2, 3, 1)
    (y,) = golden_of("stream_reflect_pad", [x], Padding=[1, 2, 0, 1])
    assert y[0, :, :, 0].tolist() == [[5, 4, 3, 4, 5, 4], [2, 1, 0, 1, 2, 1], [5, 4, 3, 4, 5, 4]]


def test_crop_undoes_reflect_pad() -> None:
    x = np.random.default_rng(8).integers(0, 256, (1, 6, 5, 3))
    borders = [3, 4, 5, 2]
    (y,) = golden_of("stream_reflect_pad", [x], Padding=borders)
    assert y.shape == (1, 14, 11, 3)
    assert np.array_equal(golden_of("stream_crop", [y], Crop=borders)[0], x)


def test_duplicates_do_not_share_memory() -> None:
    first, second = golden_of("duplicate_streams", [[[1, 2]]], NumOutputStreams=2)
    first[:] = 0
    assert second.tolist() == [[1, 2]]


def test_global_sum_by_hand() -> None:
    x = np.array([[[[1, -128], [2, -128]], [[3, -128], [-7, -128]]]])
    assert golden_of("global_acc_pool", [x])[0].tolist() == [[[[-1, -512]]]]


def test_argmax_ties_give_the_lowest_index() -> None:
    scores = [[[[3, 5, 5, 1]]], [[[-9, -9, -9, -9]]], [[[0, 0, 0, 1]]]]
    (y,) = golden_of("label_select", [scores], K=1)
    assert y[:, 0, 0, 0].tolist() == [1, 0, 3]


def test_label_select_per_pixel_is_a_mask() -> None:
    scores = np.random.default_rng(6).integers(-4, 4, (1, 5, 6, 3))
    (mask,) = golden_of("label_select", [scores], K=1)
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
        golden_of("label_select", [[[1, 2]]], K=2)
    op = rtl_op(
        "LabelSelect", Labels=4, PE=1, K=2, inputDataType="INT8", outputDataType="UINT8",
        numInputVectors=[1, 1, 1],
    )  # fmt: skip
    with pytest.raises(ValueError, match="dut: found K=2"):
        op.verify_node()


@pytest.mark.parametrize(
    ("kernel", "case"),
    [
        found
        for found in cases_where(lambda op: not issubclass(op, Kernel))
        if not found.values[1].attrs.get("scoreBits")  # FINN's has no factors
    ],
)
def test_golden_equals_finns_own_op(kernel: str, case: Case) -> None:
    """Where FINN has the abstract op, its own execution gives the same numbers."""
    register()
    frame = [*case.random_frame(np.random.default_rng(3)), *case.make_initializers()]
    inputs = [f"x{i}" for i in range(len(frame))]
    outputs = [f"y{i}" for i in range(len(case.output_types))]
    node = helper.make_node(
        case.op_type,
        inputs,
        outputs,
        domain="finn.custom_op.fpgadataflow",
        backend="fpgadataflow",
        **case.attrs,
    )
    op = getCustomOp(node)
    context = {name: x.astype(np.float32) for name, x in zip(inputs, frame, strict=True)}
    for i, name in enumerate(outputs):
        context[name] = np.zeros(op.get_normal_output_shape(i), dtype=np.float32)
    op.execute_node(context, None)
    for name, expected in zip(outputs, golden_of(kernel, frame, **case.attrs), strict=True):
        assert np.array_equal(context[name], expected), case.name
