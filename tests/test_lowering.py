# SPDX-License-Identifier: Apache-2.0
"""Lowering: the dataflow graph computes the QONNX network's integers, tensor by tensor."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from andpop.hw.graph import lower as lowered
from andpop.hw.graph.bisection import bisect, levels_of_table
from andpop.hw.graph.builder import boundaries
from andpop.hw.graph.clean import clean
from andpop.hw.graph.executor import GoldenExecutor, run
from andpop.hw.graph.folding import fold
from andpop.hw.graph.loader import ModelError, load
from andpop.hw.graph.lowering import LoweringError, lower
from andpop.hw.graph.qonnx_graph import QonnxGraph
from andpop.hw.graph.signed_steps import signed_steps
from andpop.hw.graph.specialise import specialise
from andpop.hw.graph.tables import Table
from andpop.hw.graph.verify import verify
from andpop.hw.kernels.signed_thresholding.golden import signed_thresholding
from andpop.models.build import build
from andpop.quant.blocks.binary import IntegerBinaryBlock
from andpop.quant.blocks.classifiers import IntegerClassifier
from andpop.quant.blocks.epilogue import IntegerEpilogue
from andpop.quant.exact import exact_eval
from andpop.quant.export_qonnx import export
from finn.core.onnx_exec import execute_onnx
from float_execution import onnx_runtime
from foreign_networks import export_cnv
from onnx import TensorProto, helper, numpy_helper
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper
from qonnx_block import block, by_output, pa_network, set_constant
from torch import nn

VARIANTS = {
    "published": ({}, (32, 32)),
    "odd-maps": (
        {
            "channels": 3,
            "classes": 11,
            "conv1_kernel": 5,
            "left": (3, 3),
            "right": (5,),
            "shortcut_down": False,
            "shortcut_basic": False,
            "weight_bits": 6,
        },
        (36, 44),
    ),
}


@dataclass
class Exported:
    """A frozen network with lively statistics, its QONNX file and the lowered graph."""

    net: nn.Module
    proto: onnx.ModelProto
    graph: ModelWrapper


@pytest.fixture(scope="module", params=VARIANTS)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    config, (height, width) = VARIANTS[request.param]
    torch.manual_seed(7)
    net = build("bi-shufflenet", {"width": 0.25, **config})
    channels = config.get("channels", 1)
    net.train()
    with torch.no_grad():
        for _ in range(3):
            net(torch.randint(0, 256, (8, channels, height, width)).float())
        for name, parameter in net.named_parameters():
            if name.endswith("gamma"):
                parameter[::5] *= -1
            if name.endswith(("zeta", "eta", "threshold", "beta", "bias")):
                parameter.add_(0.4 * torch.randn_like(parameter))
    net.eval()
    net.freeze()
    path = tmp_path_factory.mktemp("export") / "net.qonnx.onnx"
    export(net, height, width, channels, path)
    proto = onnx.load(path)
    return Exported(net, proto, lower(proto))


def pictures_for(graph: ModelWrapper, noise: int) -> np.ndarray:
    """All-0, all-255, checkerboard, stripes and noise, (N, H, W, C) uint8."""
    shape = tuple(graph.get_tensor_shape(graph.graph.input[0].name))[1:]
    rows, columns = np.indices(shape[:2])
    board = np.broadcast_to(((rows + columns) % 2 * 255)[..., None], shape)
    stripes = np.broadcast_to((rows % 2 * 255)[..., None], shape)
    rng = np.random.default_rng(5)
    extremes = [np.zeros(shape), np.full(shape, 255), board, stripes]
    return np.concatenate(
        [np.stack(extremes).astype(np.uint8), rng.integers(0, 256, (noise, *shape), np.uint8)]
    )


def test_every_boundary_equals_onnx_runtime(
    exported: Exported, record_property: Callable[[str, object], None]
) -> None:
    pictures = pictures_for(exported.graph, noise=6)
    pairs = boundaries(exported.graph)
    golden = run(exported.graph, pictures, "all")
    labels = golden[exported.graph.graph.output[0].name].reshape(-1)
    execute = onnx_runtime(exported.proto, [*(b.reference for b in pairs), "logits"])
    compared = 0
    for i, picture in enumerate(pictures):
        values = execute(picture[None].transpose(0, 3, 1, 2).astype(np.float32))
        for boundary in pairs:
            expected = boundary.codes(values[boundary.reference])
            found = golden[boundary.tensor][i : i + 1]
            np.testing.assert_array_equal(found, expected, boundary.reference)
            compared += found.size
        assert labels[i] == np.argmax(values["logits"])
    kinds = {n.op_type for n in exported.graph.graph.node}
    lowered = [n for n in exported.graph.graph.node if n.op_type == "Epilogue"]
    assert {"XnorMvu", "IntMvu", "Epilogue", "Thresholding", "LabelSelect"} < kinds
    assert {f"{n.name}_out" for n in lowered} < {b.tensor for b in pairs}
    assert compared > 100_000
    record_property("values_compared", compared)


def test_logits_equal_torch(exported: Exported) -> None:
    pictures = pictures_for(exported.graph, noise=4)
    logits = next(n.input[0] for n in exported.graph.graph.node if n.op_type == "LabelSelect")
    golden = run(exported.graph, pictures, [logits])[logits].reshape(len(pictures), -1)
    planes = torch.from_numpy(pictures.transpose(0, 3, 1, 2)).float()
    with torch.no_grad(), exact_eval():
        theirs = exported.net.integer_logits(planes).numpy()
    np.testing.assert_array_equal(golden, theirs)


def test_frozen_integers_arrive_unchanged(exported: Exported) -> None:
    constants = {t.name: numpy_helper.to_array(t) for t in exported.graph.graph.initializer}
    nodes = {n.name: n for n in exported.graph.graph.node}
    checked = 0
    for name, module in exported.net.named_modules():
        layer = name.replace(".", "_")
        if isinstance(module, IntegerEpilogue):
            node = nodes[f"{layer.removesuffix('_epilogue')}_Epilogue"]
            attrs = {a.name: helper.get_attribute_value(a) for a in node.attribute}
            params = constants[f"{node.name}_params"]
            np.testing.assert_array_equal(params, module.params().reshape(5, -1))
            fmt = module.format
            found = [attrs[k] for k in ("accShift", "preShift", "slopeShift", "outShift")]
            assert found == [fmt.acc_shift, fmt.pre_shift, fmt.slope_shift, fmt.out_shift]
            assert [attrs["accBits"], attrs["preBits"]] == [fmt.acc_bits, fmt.pre_bits]
            if attrs["hasShortcut"]:
                assert attrs["shortcutShift"] == fmt.shortcut_shift
        elif isinstance(module, IntegerBinaryBlock):
            threshold = constants[f"{layer}_sign_Thresholding_thresholds"]
            np.testing.assert_array_equal(threshold[:, 0], module.threshold.reshape(-1))
            bits = constants[f"{layer}_XnorMvu_weights"]
            rows = module.weight.permute(2, 3, 1, 0).reshape(bits.shape).numpy()
            np.testing.assert_array_equal(2 * bits - 1, rows)
        elif isinstance(module, IntegerClassifier):
            np.testing.assert_array_equal(constants[f"{layer}_IntMvu_weights"], module.weight.T)
            np.testing.assert_array_equal(constants[f"{layer}_IntMvu_bias"], module.bias)
        else:
            continue
        checked += 1
    assert checked > 100


def test_graph_keeps_the_contract(exported: Exported) -> None:
    graph = exported.graph.graph
    constants = {t.name for t in graph.initializer}
    readers: dict[str, int] = {}
    for node in graph.node:
        assert node.domain == "finn.custom_op.fpgadataflow"
        assert re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", node.name)
        for name in node.input:
            readers[name] = readers.get(name, 0) + 1
        for name in (*node.input, *node.output):
            assert exported.graph.get_tensor_datatype(name).is_integer(), name
            assert exported.graph.get_tensor_shape(name) is not None, name
    assert len({n.name for n in graph.node}) == len(graph.node)
    streams = set(readers) - constants
    assert {readers[name] for name in streams} == {1}
    for tensor in graph.initializer:
        value = numpy_helper.to_array(tensor)
        assert np.array_equal(value, np.rint(value))
        datatype = exported.graph.get_tensor_datatype(tensor.name)
        assert datatype.min() <= value.min() <= value.max() <= datatype.max()
    assert exported.graph.get_tensor_datatype("picture") == DataType["UINT8"]
    assert list(exported.graph.get_tensor_shape(graph.output[0].name)) == [1, 1, 1, 1]


def test_specialised_graph_runs_in_finn(exported: Exported) -> None:
    model = specialise(exported.graph)
    for before, after in zip(exported.graph.graph.node, model.graph.node, strict=True):
        assert (after.name, after.op_type) == (before.name, f"{before.op_type}_rtl")
        assert (after.input, after.output) == (before.input, before.output)
    picture = pictures_for(exported.graph, noise=1)[-1:]
    golden = run(model, picture, "all")
    theirs = execute_onnx(model, {"picture": picture.astype(np.float32)}, True)
    compared = 0
    for name in GoldenExecutor(model).tensors:
        np.testing.assert_array_equal(golden[name], theirs[name], name)
        compared += golden[name].size
    assert compared > 10_000


def test_small_block_lowers() -> None:
    graph = lower(block())
    assert [n.op_type for n in graph.graph.node] == [
        "Thresholding",
        "FMPadding",
        "ConvolutionInputGenerator",
        "XnorMvu",
        "Epilogue",
        "GlobalAccPool",
        "ShiftRequant",
        "IntMvu",
        "LabelSelect",
    ]


def test_small_block_keeps_its_constants() -> None:
    proto = block()
    graph = lower(proto)
    constants = {t.name: numpy_helper.to_array(t).ravel() for t in proto.graph.initializer}
    node = next(n for n in graph.graph.node if n.op_type == "Epilogue")
    rows = np.stack([constants[name] for name in ("m", "b", "zeta", "slope", "eta")])
    np.testing.assert_array_equal(graph.get_initializer(node.input[-1]), rows)
    names = ("accShift", "preShift", "slopeShift", "outShift", "preBits", "hasShortcut")
    assert [helper.get_node_attr_value(node, n) for n in names] == [0, 3, 6, 4, 14, 0]


def average(proto: onnx.ModelProto) -> None:
    by_output(proto, "total").CopyFrom(
        helper.make_node("GlobalAveragePool", ["out"], ["total"], name="pool_GlobalAveragePool")
    )


def sigmoid(proto: onnx.ModelProto) -> None:
    by_output(proto, "d").CopyFrom(helper.make_node("Sigmoid", ["x"], ["d"], name="act"))


def round_to_even(proto: onnx.ModelProto) -> None:
    attribute = next(a for a in by_output(proto, "t").attribute if a.name == "rounding_mode")
    attribute.s = b"ROUND"


def pad_with_zero(proto: onnx.ModelProto) -> None:
    set_constant(proto, "minus", np.float32(0))


def conv_pads(proto: onnx.ModelProto) -> None:
    by_output(proto, "acc").attribute.append(helper.make_attribute("pads", [1, 1, 1, 1]))


def grouped(proto: onnx.ModelProto) -> None:
    by_output(proto, "acc").attribute.append(helper.make_attribute("group", 2))


def half_weights(proto: onnx.ModelProto) -> None:
    set_constant(proto, "w", np.full((4, 2, 3, 3), 0.5, dtype=np.float32))


def real_multiplier(proto: onnx.ModelProto) -> None:
    set_constant(proto, "m", np.full((4, 1, 1), 1.5, dtype=np.float32))


def odd_slope_shift(proto: onnx.ModelProto) -> None:
    set_constant(proto, "s", np.float32(0.3))


def no_half(proto: onnx.ModelProto) -> None:
    set_constant(proto, "half", np.float32(0.25))


def scaled_quant(proto: onnx.ModelProto) -> None:
    by_output(proto, "out").input[1] = "half"


def other_comparison(proto: onnx.ModelProto) -> None:
    by_output(proto, "positive").input[1] = "one"


def real_classifier(proto: onnx.ModelProto) -> None:
    set_constant(proto, "fc", np.full((5, 4), 0.1, dtype=np.float32))


def sum_over_channels(proto: onnx.ModelProto) -> None:
    set_constant(proto, "axes", np.int64([1, 2]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (average, r"pool_GlobalAveragePool \(GlobalAveragePool\): average pooling has no exact"),
        (sigmoid, r"act \(Sigmoid\): this op cannot be lowered; supported: BipolarQuant, "),
        (round_to_even, r"l_Quant_t \(Quant\): found .*'ROUND'"),
        (pad_with_zero, r"l_Pad_padded \(Pad\): pads BINARY with 0\.0"),
        (conv_pads, r"l_Conv_acc \(Conv\): pads \[1, 1, 1, 1\] put 0 around a \+-1 tensor"),
        (grouped, r"l_Conv_acc \(Conv\): found group 2"),
        (half_weights, r"l_Conv_acc \(Conv\): found a bias or weights other than -1 and \+1"),
        (real_multiplier, r"l_Quant_out \(Quant\): m of channel 0 is 1\.5, expected an integer"),
        (odd_slope_shift, r"l_Mul_n2 \(Mul\): found the factor 0\.3.*, expected a power of two"),
        (no_half, r"\(Quant\): found no Add\(0\.5\) in front"),
        (scaled_quant, r"l_Quant_out \(Quant\): found scale 0\.5"),
        (real_classifier, r"fc_Gemm \(Gemm\): found weights that are not integers"),
        (
            other_comparison,
            r"l_GreaterOrEqual_positive .*: found another comparison",
        ),
        (sum_over_channels, r"l_ReduceSum_total \(ReduceSum\): sums over other axes"),
    ],
)
def test_names_what_cannot_be_lowered(
    change: Callable[[onnx.ModelProto], None], message: str
) -> None:
    proto = block()
    change(proto)
    with pytest.raises(LoweringError, match=message) as caught:
        lower(proto)
    assert "\n" not in str(caught.value)


# Piecewise (PA) blocks: level codes between signed thresholds and codebooks.


@pytest.mark.parametrize(
    ("m", "n", "options"),
    [
        (4, 5, {}),
        (2, 1, {"stride": 2, "size": (7, 5)}),
        (8, 7, {"kernel": 1, "stride": 2, "size": (6, 7)}),
        (14, 15, {"kernel": 5, "stride": 2, "size": (9, 6)}),
        (4, 3, {"merged": True}),
        (2, 2, {"merged": True, "stride": 3, "size": (8, 10)}),
        (4, 3, {"linear": True}),
        (2, 1, {"linear": True, "kernel": 1}),
    ],
)
@pytest.mark.parametrize("seed", [1, 2])
def test_pa_blocks_equal_qonnx(
    m: int,
    n: int,
    options: dict[str, Any],
    seed: int,
    record_property: Callable[[str, object], None],
) -> None:
    proto = pa_network(seed, m, n, **options)
    graph = lower(proto)
    assert [x.op_type for x in graph.graph.node].count("PaMvu") == 3
    compared = verify(proto, graph, noise=4)
    assert compared > 7 * 1000
    record_property("values_compared", compared)
    codes = [x.output[0] for x in graph.graph.node if x.op_type == "SignedThresholding"]
    pictures = pictures_for(graph, noise=20)
    values = run(graph, pictures, "all")
    assert all(len(np.unique(values[name])) > (n + 1) // 2 for name in codes)


def test_pa_constants_arrive_unchanged() -> None:
    proto = pa_network(3, 4, 5)
    weights = numpy_helper.to_array(
        next(t for t in proto.graph.initializer if t.name == by_name(proto, "basic_Conv").input[1])
    )
    levels = numpy_helper.to_array(
        next(
            t for t in proto.graph.initializer if t.name == by_name(proto, "basic_Gather").input[0]
        )
    )
    graph = lower(proto)
    node = next(x for x in graph.graph.node if x.name == "basic_PaMvu")
    codes, alpha, beta = (graph.get_initializer(name) for name in node.input[1:])
    zero = helper.get_node_attr_value(node, "zero")
    np.testing.assert_array_equal(
        alpha[codes.astype(int) + zero], weights.transpose(2, 3, 1, 0).reshape(codes.shape)
    )
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    assert (attributes["alphaValues"], attributes["betaValues"]) == (alpha.tolist(), beta.tolist())
    np.testing.assert_array_equal(beta, levels)
    assert alpha[zero] == 0
    assert np.all(np.diff(alpha) > 0)


def test_uniform_levels_with_a_gap_stay_their_own_codes() -> None:
    proto = pa_network(0, 4, 3, linear=True)
    replace_input("basic_Conv", 1, lambda v: np.where(v == -1, 2, v))(proto)
    graph = lower(proto)
    node = next(x for x in graph.graph.node if x.name == "basic_PaMvu")
    assert helper.get_node_attr_value(node, "alphaValues") == [-2, -1, 0, 1, 2]
    assert verify(proto, graph) > 1000


def test_any_function_of_an_integer_is_signed_steps() -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(-4, 5, (20, 60))
    codes[:, 10:40] = codes[:, 10:11]
    codes[3] = 2
    thresholds, steps, base = signed_steps(-30, codes)
    x = np.broadcast_to(np.arange(-30, 30)[:, None], (60, 20))
    found = signed_thresholding(x, thresholds, steps, base)
    np.testing.assert_array_equal(found.T, codes)
    assert np.all(np.diff(thresholds, axis=1) >= 0)


def by_name(proto: onnx.ModelProto, name: str) -> onnx.NodeProto:
    return next(n for n in proto.graph.node if n.name == name)


def replace_input(
    node: str, port: int, change: Callable[[np.ndarray], np.ndarray]
) -> Callable[[onnx.ModelProto], None]:
    """Change a constant where one node reads it."""

    def edit(proto: onnx.ModelProto) -> None:
        name = by_name(proto, node).input[port]
        tensor = next(t for t in proto.graph.initializer if t.name == name)
        set_constant(proto, name, change(numpy_helper.to_array(tensor).copy()))

    return edit


def first_level_set(levels: np.ndarray) -> np.ndarray:
    levels[0] = 3
    return levels


def pool_of_levels(proto: onnx.ModelProto) -> None:
    conv = by_name(proto, "basic_Conv")
    conv.CopyFrom(
        helper.make_node(
            "MaxPool", conv.input[:1], conv.output, name="pool_MaxPool", kernel_shape=[1, 1]
        )
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            replace_input("basic_Gather", 0, first_level_set),
            r"basic_Gather \(Gather\): found the levels \[3.*expected integers 0\.\.255 that begin",
        ),
        (
            replace_input("basic_Gather", 0, lambda v: v[:3]),
            r"basic_Gather \(Gather\): found the levels .* for codes of UINT3",
        ),
        (
            replace_input("basic_Gather", 0, lambda v: 2 * v + 100 * (v > 0)),
            r"basic_Gather \(Gather\): found the levels",
        ),
        (
            replace_input("basic_Conv", 1, lambda v: v * np.float32(2**22)),
            r"basic_Conv \(Conv\): its accumulator reaches -\d+\.\.\d+, expected at most 31 bits",
        ),
        (
            replace_input("basic_Conv", 1, lambda v: np.arange(v.size).reshape(v.shape)),
            r"basic_Conv \(Conv\): found 144 different weights on level codes, expected at most 15",
        ),
        (pool_of_levels, r"pool_MaxPool \(MaxPool\): reads the level codes basic_act"),
        (
            replace_input("basic_Mul", 1, lambda v: v * np.float32(1.5)),
            r"basic_Mul \(Mul\): found the factor .*, expected a power of two",
        ),
    ],
)
def test_names_what_a_pa_block_cannot_be(
    change: Callable[[onnx.ModelProto], None], message: str
) -> None:
    proto = pa_network(0)
    change(proto)
    with pytest.raises(LoweringError, match=message) as caught:
        lower(proto)
    assert "\n" not in str(caught.value)


# Somebody else's network: BN and quantisers instead of integer codes.


@pytest.fixture(scope="module")
def cnv(tmp_path_factory: pytest.TempPathFactory) -> onnx.ModelProto:
    path = export_cnv(tmp_path_factory.mktemp("cnv") / "cnv.onnx")
    return clean(load(path).model)


def test_cnv_equals_qonnx(
    cnv: onnx.ModelProto, record_property: Callable[[str, object], None]
) -> None:
    graph = lower(cnv)
    assert {n.op_type for n in graph.graph.node} == {
        "Thresholding",
        "ConvolutionInputGenerator",
        "IntMvu",
        "XnorMvu",
        "StreamMaxPool",
        "LabelSelect",
    }
    compared = verify(cnv, graph, noise=2)
    # The accumulators of layers with a negative gamma are turned around and not compared.
    assert compared > 5 * 60_000
    record_property("values_compared", compared)
    fold(specialise(graph), 50_000)


def test_verification_names_the_first_wrong_node(cnv: onnx.ModelProto) -> None:
    graph = lower(cnv)
    table = [t for t in graph.graph.initializer if t.name.endswith("_thresholds")][3]
    value = numpy_helper.to_array(table).copy()
    value[3] += 40
    table.CopyFrom(numpy_helper.from_array(value, table.name))
    with pytest.raises(
        LoweringError, match=r"lowered to .*values differ, the first at \("
    ) as caught:
        verify(cnv, graph, noise=1)
    layer = table.name.rpartition("_Thresholding")[0]
    assert layer in str(caught.value)


def test_rising_and_falling_functions_are_refused() -> None:
    proto = block()
    sub = by_output(proto, "d")
    sub.CopyFrom(helper.make_node("Sub", ["gamma", "x"], ["d"], name="turned"))
    with pytest.raises(LoweringError, match="falls as x rises"):
        lower(proto)


def test_nodes_without_a_name_of_their_own_are_refused() -> None:
    proto = block()
    by_output(proto, "d").name = by_output(proto, "acc").name
    with pytest.raises(LoweringError, match="one used twice, expected unique node names"):
        lower(proto)


def test_graph_that_makes_no_sense_is_refused_in_one_line() -> None:
    proto = block()
    proto.graph.node.insert(0, helper.make_node("Add", ["fc", "bias"], ["sum"], name="broken"))
    with pytest.raises(LoweringError, match=r"broken \(Add\): its shapes do not go") as caught:
        clean(proto)
    assert "\n" not in str(caught.value)
    proto.graph.node[0].input[0] = "acc"
    with pytest.raises(ModelError, match=r"broken \(Add\) reads acc, which nothing in front"):
        clean(proto)


def test_reads_from_a_path(tmp_path: Path) -> None:
    path = tmp_path / "block.onnx"
    onnx.save(block(), path)
    assert lower(path).model == lower(block()).model


def test_a_bias_turns_around_with_the_weights_of_a_negative_gamma() -> None:
    rng = np.random.default_rng(4)
    weights = np.float32([[5, -7], [-3, 6]]).reshape(2, 2, 1, 1)
    bias = np.float32([350, -420])
    gamma = np.float32([-0.5, 0.25]).reshape(2, 1, 1)
    proto = block()
    constants = {"w0": weights, "b0": bias, "turn": gamma}
    proto.graph.initializer.extend(numpy_helper.from_array(v, k) for k, v in constants.items())
    by_output(proto, "d").CopyFrom(helper.make_node("Mul", ["c", "turn"], ["d"], name="turned"))
    proto.graph.node.insert(0, helper.make_node("Conv", ["x", "w0", "b0"], ["c"], name="first"))
    for name in ("c", "d"):
        info = helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2, 4, 4])
        proto.graph.value_info.append(info)
    graph = lower(proto)
    pictures = rng.integers(0, 256, (20, 4, 4, 2), dtype=np.uint8)
    acc = pictures.astype(np.int64) @ weights[:, :, 0, 0].T.astype(np.int64) + np.int64(bias)
    expected = acc * np.array([-1, 1]) >= 0
    for channel in (0, 1):
        assert 20 < expected[..., channel].sum() < 300
    tensors = run(graph, pictures, "all")
    first = next(n for n in graph.graph.node if n.op_type == "Thresholding")
    np.testing.assert_array_equal(tensors[first.output[0]], expected)


def test_pixels_of_an_undeclared_input_are_divided_by_255() -> None:
    proto = block()
    del proto.graph.quantization_annotation[:]
    # Between two codes each: no rounding moves them, and 256 in the place of 255 would.
    set_constant(proto, "gamma", np.float32([200.5, 99.5]).reshape(2, 1, 1) / 255)
    graph = lower(proto)
    pictures = np.random.default_rng(7).integers(0, 256, (40, 4, 4, 2), dtype=np.uint8)
    pictures[0, 0] = [[200, 99], [201, 100], [202, 101], [255, 0]]
    first = next(n for n in graph.graph.node if n.op_type == "Thresholding")
    found = run(graph, pictures, "all")[first.output[0]]
    np.testing.assert_array_equal(found, pictures >= np.array([201, 100]))


def test_halving_finds_what_the_table_says() -> None:
    """Rising and falling channels, levels never reached, always reached, and between."""
    rng = np.random.default_rng(4)
    limit, channels = 300, 40
    step = rng.uniform(-0.02, 0.02, (channels, 1)).astype(np.float32)
    step[:3] = 0
    offset = rng.uniform(-3, 3, (channels, 1)).astype(np.float32)

    def tabulate(integers: np.ndarray) -> Table:
        values = np.rint(integers.astype(np.float32) * step + offset)
        return Table(-limit, np.clip(values, -8, 7).astype(np.int64), "INT4", 0.5)

    graph = QonnxGraph(block())
    found = bisect(graph, [], channels, limit, tabulate)
    expected = levels_of_table(
        block().graph.node[0], tabulate(np.tile(np.arange(-limit, limit + 1), (channels, 1)))
    )
    np.testing.assert_array_equal(found.thresholds, expected.thresholds)
    np.testing.assert_array_equal(found.falls, expected.falls)
    assert (found.first, found.datatype, found.scale) == (-8, "INT4", 0.5)


def test_every_pattern_stands_in_the_list_once() -> None:
    folder = Path(lowered.__file__).parent
    found = {p.stem for p in folder.glob("*.py") if "\nHANDLERS: " in p.read_text()}
    assert len(lowered.PATTERNS) == len(set(lowered.PATTERNS))
    assert set(lowered.PATTERNS) == found
