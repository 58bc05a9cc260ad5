# SPDX-License-Identifier: Apache-2.0
"""The first convolution: what it takes the place of, what it costs in cycles, what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from andpop.hw.graph.folding import fold
from andpop.hw.graph.fuse import fuse
from andpop.hw.graph.specialise import specialise
from andpop.hw.kernels import backends
from andpop.hw.kernels.image_conv.cases import FULL, SMOKE
from andpop.hw.kernels.image_conv.fuse import match
from andpop.hw.kernels.image_conv.golden import run
from andpop.hw.kernels.image_conv.pace import Shape, interval
from andpop.sim.cases import Case
from dataflow_graphs import GraphBuilder, bi_shufflenet, pictures_for
from finn.core.onnx_exec import execute_onnx
from kernel_cases import altered, build_op
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp


def first_layer(
    size: tuple[int, int, int] = (12, 14, 1),
    kernel: tuple[int, int] = (5, 5),
    stride: tuple[int, int] = (2, 2),
    padding: tuple[int, ...] = (2, 1, 0, 2),
    outputs: int = 6,
    datatype: str = "UINT8",
    bias: bool = False,
    seen: bool = False,
) -> ModelWrapper:
    """A picture's convolution and an epilogue, specialised; ``seen`` shows the padded picture."""
    g = GraphBuilder(3)
    x = g.input((1, *size), datatype)
    padded = g.pad(x, padding) if any(padding) else x
    y = g.windows(padded, kernel, stride)
    y = g.int_mvu(y, outputs, bias=g.rng.integers(-9, 9, outputs) if bias else None)
    return specialise(ModelWrapper(g.model([g.epilogue(y), *([padded] if seen else [])])))


def ops(model: ModelWrapper) -> list[str]:
    """Op types in order."""
    return [node.op_type for node in model.graph.node]


@pytest.mark.parametrize("padding", [(2, 1, 0, 2), (0, 0, 0, 0)])
@pytest.mark.parametrize("channels", [1, 3])
def test_border_window_and_product_become_one_node(padding: tuple[int, ...], channels: int) -> None:
    lowered = first_layer((12, 14, channels), padding=padding)
    fused = fuse(lowered, [match])
    assert ops(fused) == ["ImageConv_rtl", "Epilogue_rtl"]
    (node, _) = fused.graph.node
    op = getCustomOp(node)
    product = next(n for n in lowered.graph.node if n.op_type == "IntMvu_rtl")
    assert op.reached(fused) == getCustomOp(product).bounds(lowered)
    assert op.get_op_and_param_counts().keys() == {"op_mac_8bx8b", "param_weight_8b"}
    name = lowered.graph.output[0].name
    for picture in pictures_for(lowered, 2):
        feed = {lowered.graph.input[0].name: picture[None].astype(np.float32)}
        ours, theirs = (execute_onnx(model, feed)[name] for model in (fused, lowered))
        np.testing.assert_array_equal(ours, theirs)
    # The op alone, without the nodes it stands for, computes the same.
    without = getCustomOp(type(node).FromString(node.SerializeToString()))
    picture = pictures_for(lowered, 1)[0][None].astype(np.int64)
    weights = fused.get_initializer(node.input[1]).astype(np.int64)
    (sums,) = type(without).golden([picture, weights], without.attrs())
    feed = {lowered.graph.input[0].name: picture.astype(np.float32)}
    every = execute_onnx(lowered, feed, return_full_exec_context=True)
    np.testing.assert_array_equal(sums, every[node.output[0]])


@pytest.mark.parametrize(
    "changed",
    [
        {"datatype": "INT8"},
        {"datatype": "UINT4"},
        {"size": (12, 14, 6)},
        {"kernel": (5, 3)},
        {"stride": (2, 1)},
        {"kernel": (1, 1), "stride": (1, 1), "padding": (0, 0, 0, 0)},
        {"kernel": (2, 2), "stride": (3, 3), "padding": (1, 1, 1, 1)},
        {"bias": True},
    ],
)
def test_what_the_kernel_does_not_compute_stays(changed: dict[str, Any]) -> None:
    lowered = first_layer(**changed)
    assert ops(fuse(lowered, [match])) == ops(lowered)


def test_weights_of_nine_bits_stay() -> None:
    """Bytes less a zero point."""
    lowered = first_layer()
    (unit,) = (n for n in lowered.graph.node if n.op_type == "IntMvu_rtl")
    getCustomOp(unit).set_nodeattr("weightDataType", "INT9")
    assert ops(fuse(lowered, [match])) == ops(lowered)


def test_a_wide_border_stays_in_front() -> None:
    lowered = first_layer(kernel=(3, 3), stride=(1, 1), padding=(3, 1, 1, 1))
    assert ops(fuse(lowered, [match])) == ["FMPadding_rtl", "ImageConv_rtl", "Epilogue_rtl"]


def test_a_padded_picture_that_others_see_stays() -> None:
    lowered = first_layer(seen=True)
    assert "ImageConv_rtl" in ops(fuse(lowered, [match]))
    assert "FMPadding_rtl" in ops(fuse(lowered, [match]))


def test_the_published_first_layer_folds_to_its_target() -> None:
    lowered = specialise(ModelWrapper(bi_shufflenet((128, 128), repeats=(0, 0, 0))))
    fused = fold(fuse(lowered, [match]), 131_072)
    op = getCustomOp(fused.graph.node[0])
    assert fused.graph.node[0].op_type == "ImageConv_rtl"
    assert op.get_exp_cycles() <= 131_072 and op.dsp_estimation("") <= 72
    assert op.resolved() == ("paired" if op.number("pairable") else "single")
    assert op.get_folded_output_shape()[-1] == 1


def test_cycles_are_those_of_windows_where_pixels_are_quick() -> None:
    shape = Shape(128, 128, 9, 2, 4, 4, 64, 64)
    windows = 64 * 64 * 27
    assert windows < interval(shape, 27) < windows + 250
    # With one cycle per window the pixels are what takes time: one per cycle.
    assert interval(shape, 1) >= 128 * 128
    # Two columns at once: five steps a pass in place of nine.
    assert 64 * 64 * 15 < interval(shape, 15, 2) < 64 * 64 * 15 + 250


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"Stride": 6}, "found Kernel=5, Stride=6, expected a kernel of 2 to 16 and a stride up"),
        ({"Kernel": 1}, "found Kernel=1, Stride=2"),
        ({"Padding": [5, 0, 0, 0]}, r"with borders \[5, 0, 0, 0\], expected 2 columns or more"),
        ({"OutDim": [5, 5]}, r"found OutDim=\[5, 5\], ColumnElements=5, expected \[5, 6\] and 5"),
    ],
)
def test_what_does_not_fit_together_is_refused(changed: dict[str, Any], message: str) -> None:
    op = build_op(altered(SMOKE[0], **changed)).op
    with pytest.raises(ValueError, match=f"ImageConv_0: .*{message}"):
        op.verify_node()


@pytest.mark.parametrize(
    ("attribute", "value", "message"),
    [
        ("SIMD", 4, "10 elements of a stride cannot be split over SIMD=4; use one of 1,2,5,10"),
        ("PE", 4, "6 outputs cannot be split over PE=4"),
    ],
)
def test_a_folding_that_does_not_divide_is_refused(
    attribute: str, value: int, message: str
) -> None:
    op = build_op(SMOKE[0]).op
    op.set_nodeattr(attribute, value)
    with pytest.raises(ValueError, match=message):
        op.cycles()


@pytest.mark.parametrize(
    "case", [SMOKE[0], SMOKE[1], SMOKE[2], FULL[7], FULL[12]], ids=lambda c: c.name
)
def test_the_pixel_needed_last_is_the_last_one_that_counts(case: Case) -> None:
    """One pixel of the picture after the other is lit, and every weight is 1."""
    op, (operand, weights) = build_op(case).op, case.operands
    height, width = case.attrs["ImgDim"]
    last = np.full(int(np.prod(case.attrs["OutDim"])), -1)
    for pixel in range(height * width):
        x = np.zeros(operand.shape, dtype=np.int64)
        x[0, pixel // width, pixel % width] = 1
        (sums,) = run([x, np.ones(weights.shape, dtype=np.int64)], case.attrs)
        last[sums[..., 0].reshape(-1) > 0] = pixel
    np.testing.assert_array_equal(op.last_needed(height * width, last.size), last)


def test_weights_that_do_not_fit_are_refused() -> None:
    built = build_op(altered(SMOKE[0], weightDataType="INT4"))
    with pytest.raises(ValueError, match="ImageConv_0: found weights -128..127, expected -8..7"):
        built.op.weights(built.model)
    built = build_op(altered(SMOKE[0], outputDataType="INT16"))
    with pytest.raises(ValueError, match="outputs reach .*, outputDataType INT16 holds -32768"):
        built.op.weights(built.model)
    with pytest.raises(ValueError, match="weights not read, generate the RTL of a model"):
        build_op(SMOKE[0]).op.rtl_parameters()


def test_two_weights_share_a_factor_unless_one_borrows_from_the_least() -> None:
    built = build_op(altered(SMOKE[0], pairable=0, implementation="auto"))
    assert set(built.op.usage()) == {"single"}
    built.op.read_constants(built.model)
    assert set(built.op.usage()) == {"single", "paired"}
    weights = built.case.make_initializers()[0]
    weights[3, 2:4] = -1, -128  # a pair of no pass of three, but of one of two
    name = built.op.onnx_node.input[1]
    built.model.set_initializer(name, weights.astype(np.float32))
    built.op.set_nodeattr("implementation", "paired")
    message = "implementation paired with a weight -128 above a negative one, expected none"
    with pytest.raises(ValueError, match=message):
        built.op.weights(built.model)
    built.op.read_constants(built.model)
    with pytest.raises(ValueError, match=message):
        built.op.resolved()


@pytest.mark.parametrize(
    ("kernel", "stride", "simd", "columns", "steps"),
    [
        (9, 2, 9, 1, 9),
        (9, 2, 18, 2, 5),  # the last column of five words is no window's
        (9, 2, 6, 2, 15),
        (5, 4, 15, 0, 0),  # three columns, but windows begin every four
        (4, 4, 16, 4, 1),
    ],
)
def test_columns_at_once_are_a_part_of_the_stride(
    kernel: int, stride: int, simd: int, columns: int, steps: int
) -> None:
    lowered = first_layer((20, 20, 1), (kernel,) * 2, (stride,) * 2, (1, 1, 1, 1))
    op = getCustomOp(fuse(lowered, [match]).graph.node[0])
    assert op.folding_rule().lanes["SIMD"] == stride * kernel
    op.set_nodeattr("SIMD", simd)
    if not columns:
        with pytest.raises(ValueError, match="20 elements of a stride cannot be split over SIMD"):
            op.folding()
        return
    assert (op.folding().columns, op.folding().steps) == (columns, steps)


def test_results_leave_one_by_one_where_a_pass_leaves_time() -> None:
    assert backends()["ImageConv"].module == "image_conv"
    lanes = [build_op(case).op.folding().lanes for case in (*SMOKE, *FULL)]
    assert lanes[:4] == [1, 1, 1, 1] and lanes[6] == 3
