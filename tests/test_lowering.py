# SPDX-License-Identifier: Apache-2.0
"""Lowering: the dataflow graph computes the QONNX network's integers, tensor by tensor."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from andpop.hw.graph import lower as lowered
from andpop.hw.graph.builder import boundaries
from andpop.hw.graph.clean import clean
from andpop.hw.graph.executor import GoldenExecutor, run
from andpop.hw.graph.loader import ModelError
from andpop.hw.graph.lowering import LoweringError, lower
from andpop.hw.graph.specialise import specialise
from andpop.models.build import build
from andpop.quant.blocks.binary import IntegerBinaryBlock
from andpop.quant.blocks.classifiers import IntegerClassifier
from andpop.quant.blocks.epilogue import IntegerEpilogue
from andpop.quant.exact import exact_eval
from andpop.quant.export_qonnx import export
from dataflow_graphs import pictures_for
from finn.core.onnx_exec import execute_onnx
from float_execution import onnx_runtime
from onnx import helper, numpy_helper
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper
from qonnx_block import block, by_output, set_constant
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


def softmax(proto: onnx.ModelProto) -> None:
    by_output(proto, "d").CopyFrom(helper.make_node("Softmax", ["x"], ["d"], name="act"))


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
        (softmax, r"act \(Softmax\): this op cannot be lowered; supported: BipolarQuant, "),
        (round_to_even, r"l_Quant_t \(Quant\): found .*'ROUND'"),
        (conv_pads, r"l_Conv_acc \(Conv\): found a border of 0 around one of -1\.0, expected"),
        (grouped, r"l_Conv_acc \(Conv\): found group 2"),
        (half_weights, r"l_Conv_acc \(Conv\): found weights that are not integers"),
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


def test_every_pattern_stands_in_the_list_once() -> None:
    folder = Path(lowered.__file__).parent
    found = {p.stem for p in folder.glob("*.py") if "\nHANDLERS: " in p.read_text()}
    assert len(lowered.PATTERNS) == len(set(lowered.PATTERNS))
    assert set(lowered.PATTERNS) == found
