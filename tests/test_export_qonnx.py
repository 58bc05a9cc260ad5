# SPDX-License-Identifier: Apache-2.0
"""The exported file computes what PyTorch computes, in ONNX Runtime and in qonnx."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from andpop.models.bi_shufflenet import BiShuffleNet
from andpop.models.build import build
from andpop.quant.blocks.binary import BinaryBlock
from andpop.quant.blocks.epilogue import Epilogue
from andpop.quant.exact import exact_eval
from andpop.quant.export_qonnx import ExportError, check_bounds, export
from onnx import numpy_helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx

SIZE = 32


def network(units: int) -> BiShuffleNet:
    """A frozen network of width 0.25 with ``units`` units per stage, nothing at its initial
    value."""
    torch.manual_seed(11)
    net = build("bi-shufflenet", {"width": 0.25})
    assert isinstance(net, BiShuffleNet)
    for name in ("stage2", "stage3", "stage4"):
        setattr(net, name, net.get_submodule(name)[:units])
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, Epilogue):
                module.gamma[::3] *= -1
                for p in (module.beta, module.zeta, module.eta):
                    p.normal_(std=0.3)
            elif isinstance(module, BinaryBlock):
                module.threshold.normal_(std=0.3)
        for _ in range(3):
            net(torch.randint(0, 256, (16, 1, SIZE, SIZE)).float())
    net.freeze()
    return net


def pictures() -> np.ndarray:
    """Noise, all-0, all-255 and checkerboard."""
    x = np.random.default_rng(5).integers(0, 256, (8, 1, SIZE, SIZE)).astype(np.float32)
    x[0], x[1] = 0, 255
    x[2, 0] = 255 * (np.add.outer(np.arange(SIZE), np.arange(SIZE)) % 2)
    return x


def torch_logits(net: BiShuffleNet, x: np.ndarray) -> np.ndarray:
    with exact_eval():
        return net(torch.from_numpy(x)).numpy()


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> tuple[BiShuffleNet, Path]:
    """A down-sampling and a basic unit per stage: every kind of block once per size."""
    net = network(2)
    path = tmp_path_factory.mktemp("export") / "short.onnx"
    export(net, SIZE, SIZE, 1, path)
    return net, path


@pytest.mark.parametrize(
    "level",
    [
        onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
        onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
    ],
    ids=["unoptimised", "optimised"],
)
def test_onnx_runtime_equals_torch(
    short: tuple[BiShuffleNet, Path], level: onnxruntime.GraphOptimizationLevel
) -> None:
    net, path = short
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    x = pictures()
    found = np.concatenate([session.run(None, {"picture": p[None]})[0] for p in x])
    assert np.count_nonzero(found != torch_logits(net, x)) == 0
    assert len(np.unique(found)) > 20


def test_qonnx_equals_torch(short: tuple[BiShuffleNet, Path]) -> None:
    net, path = short
    model = ModelWrapper(str(path))
    x = pictures()[:4]
    found = np.concatenate([execute_onnx(model, {"picture": p[None]})["logits"] for p in x])
    assert np.count_nonzero(found != torch_logits(net, x)) == 0


@pytest.mark.full
def test_whole_network_equals_torch_in_both_referees(tmp_path: Path) -> None:
    net, path, x = network(8), tmp_path / "whole.onnx", pictures()
    export(net, SIZE, SIZE, 1, path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found = np.concatenate([session.run(None, {"picture": p[None]})[0] for p in x])
    expected = torch_logits(net, x)
    assert np.count_nonzero(found != expected) == 0
    # One picture: qonnx needs minutes for each, quadratic in the 1500 nodes.
    logits = execute_onnx(ModelWrapper(str(path)), {"picture": x[3:4]})["logits"]
    assert np.count_nonzero(logits != expected[3]) == 0


def test_file_holds_the_frozen_integers_and_their_types(short: tuple[BiShuffleNet, Path]) -> None:
    net, path = short
    model = ModelWrapper(str(path))
    values = {c.name: numpy_helper.to_array(c) for c in model.graph.initializer}
    block = net.stage2[0].left[0]
    assert np.array_equal(values["stage2_0_left_0_Conv_in1"], block.weight.numpy())
    assert np.array_equal(values["stage2_0_left_0_Sub_in1"], block.threshold.numpy())
    assert np.array_equal(values["stage2_0_left_0_epilogue_Mul_in1"], block.epilogue.m.numpy())
    assert np.array_equal(values["stage2_0_left_0_epilogue_Add_in1"], block.epilogue.b.numpy())
    for tensor, datatype in (
        ("picture", "UINT8"),
        ("conv1_Conv_in1", "INT8"),
        ("conv1_epilogue_round_acc_Quant_out", "INT16"),
        ("stage2_0_left_0_sign_BipolarQuant_out", "BIPOLAR"),
        ("stage2_0_left_0_Conv_in1", "BIPOLAR"),
        ("stage2_0_left_0_epilogue_round_pre_Quant_out", "INT14"),
        ("stage2_0_left_0_epilogue_round_out_Quant_out", "INT8"),
    ):
        assert model.get_tensor_datatype(tensor).name == datatype, tensor


def test_file_is_self_contained(short: tuple[BiShuffleNet, Path]) -> None:
    _, path = short
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    proto = onnx.load(path, load_external_data=False)
    assert all(not c.HasField("data_location") or c.data_location == 0
               for c in proto.graph.initializer)  # fmt: skip
    assert [i.name for i in proto.graph.input] == ["picture"]
    assert [o.name for o in proto.graph.output] == ["logits"]
    assert len({n.name for n in proto.graph.node}) == len(proto.graph.node)
    assert all(n.name.isidentifier() for n in proto.graph.node)
    assert not proto.metadata_props
    assert {n.domain for n in proto.graph.node} == {"", "qonnx.custom_op.general"}


def test_unfrozen_network_is_refused(tmp_path: Path) -> None:
    net = build("bi-shufflenet", {"width": 0.25})
    with pytest.raises(ExportError, match="not frozen"):
        export(net, SIZE, SIZE, 1, tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


def test_average_pool_is_refused_by_name(tmp_path: Path) -> None:
    net = build("bi-shufflenet", {"width": 0.25, "pool": "average"})
    net.freeze()
    with pytest.raises(ExportError, match=r"stage2\.0\.pool: found an average pool"):
        export(net, SIZE, SIZE, 1, tmp_path / "net.onnx")


def test_sum_beyond_24_bits_is_refused_with_the_layer_named() -> None:
    net = build("bi-shufflenet", {"width": 0.25})
    net.freeze()
    check_bounds(net, torch.zeros(1, 1, SIZE, SIZE))
    net.stage3[1].right[1].epilogue.b[3] = 2.0**24
    with pytest.raises(ExportError, match=r"stage3\.1\.right\.1: BN with shortcut can reach"):
        check_bounds(net, torch.zeros(1, 1, SIZE, SIZE))
    net = build("bi-shufflenet", {"width": 0.25})
    net.freeze()
    net.classifier.bias[0] = 2.0**24
    with pytest.raises(ExportError, match="classifier: logit can reach"):
        check_bounds(net, torch.zeros(1, 1, SIZE, SIZE))
