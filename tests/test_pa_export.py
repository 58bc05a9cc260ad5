# SPDX-License-Identifier: Apache-2.0
"""PA blocks export to standard ops that compute the same in ONNX Runtime and in qonnx."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
import torch
from andpop.quant.blocks.block import freeze
from andpop.quant.blocks.classifiers import Classifier, IntegerClassifier
from andpop.quant.blocks.fixed_point import PIXEL_RANGE, FixedPointBlock
from andpop.quant.blocks.pa import PaBlock, PaEpilogueBlock
from andpop.quant.blocks.pa_conv import PaConv
from andpop.quant.capture import capture
from andpop.quant.exact import exact_eval
from andpop.quant.export_qonnx import ExportError, check_bounds, export
from onnx import numpy_helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from torch import Tensor, nn

SIZE = 16


class Small(nn.Module):
    """Both kinds of block with and without shortcut, strides, several M and N."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = FixedPointBlock(1, 6, 3, 2, 8, PIXEL_RANGE, 0, 1024.0)
        self.plain = PaBlock(6, 8, 3, 2, m=2, n=1)
        self.same = PaBlock(8, 8, 3, m=8, n=7)
        self.down = PaBlock(8, 10, 1, 2, levels="linear")
        self.strided = PaEpilogueBlock(8, 10, 3, 2)
        self.last = PaEpilogueBlock(10, 12, 1, m=14, n=15)
        self.classifier = Classifier(12, 5, 8)

    def forward(self, x: Tensor) -> Tensor:
        x = self.plain(self.stem(x))
        x = self.same(x, x)
        x = self.last(self.strided(x, self.down(x)))
        logits = self.classifier(x)
        step = 2.0**-self.classifier.logit_frac if self.frozen else 1.0
        return logits * step

    @property
    def frozen(self) -> bool:
        return isinstance(self.classifier, IntegerClassifier)


def network(plain: bool = False) -> Small:
    """A frozen network; unless ``plain`` with BN gammas of every sign."""
    torch.manual_seed(3)
    net = Small()
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, PaConv) and not plain:
                module.activation.gamma[::3] *= -1
                module.activation.gamma[1] = 0
                module.activation.beta.normal_(std=0.3)
        for _ in range(3):
            net(torch.randint(0, 256, (8, 1, SIZE, SIZE)).float())
    net.eval()
    freeze(net)
    return net.eval()


def pictures() -> npt.NDArray[np.uint8]:
    """Noise, black, white, checkerboard."""
    x = np.random.default_rng(2).integers(0, 256, (8, SIZE, SIZE, 1)).astype(np.uint8)
    x[0], x[1] = 0, 255
    x[2, ..., 0] = 255 * (np.add.outer(np.arange(SIZE), np.arange(SIZE)) % 2)
    return x


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Small, Path]:
    net, path = network(), tmp_path_factory.mktemp("pa") / "small.onnx"
    export(net, SIZE, SIZE, 1, path)
    return net, path


def floats(x: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    return x.transpose(0, 3, 1, 2).astype(np.float32)


def test_onnx_runtime_equals_torch(exported: tuple[Small, Path]) -> None:
    net, path = exported
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    x = floats(pictures())
    found = np.concatenate([session.run(None, {"picture": p[None]})[0] for p in x])
    with exact_eval():
        expected = net(torch.from_numpy(x)).numpy()
    assert np.count_nonzero(found != expected) == 0
    assert len(np.unique(found)) > 20


def test_qonnx_equals_torch_at_every_boundary(exported: tuple[Small, Path]) -> None:
    net, path = exported
    model = ModelWrapper(str(path))
    blocks = ("plain", "same", "down", "strided", "last")
    wanted = [f"{b}_conv_activation_ReduceSum_out" for b in blocks]
    wanted += [f"{b}_conv_Conv_out" for b in blocks]
    wanted += [f"{b}_round_out_Quant_out" for b in blocks[:3]]
    wanted += [f"{b}_epilogue_round_out_Quant_out" for b in blocks[3:]]
    compared = 0
    for picture in pictures()[:4]:
        ours = capture(net, picture[None], wanted)
        x = floats(picture[None])
        theirs = execute_onnx(model, {"picture": x}, return_full_exec_context=True)
        assert sorted(ours) == sorted(wanted)
        for name in wanted:
            assert np.count_nonzero(ours[name] != theirs[name]) == 0, name
            compared += ours[name].size
        assert np.array_equal(net(torch.from_numpy(x)).detach().numpy(), theirs["logits"])
    assert compared == 4 * 1576


def test_ops_and_types_are_the_documented_ones(exported: tuple[Small, Path]) -> None:
    net, path = exported
    model = ModelWrapper(str(path))
    values = {c.name: numpy_helper.to_array(c) for c in model.graph.initializer}
    conv = net.same.conv
    codes = [n.op_type for n in model.graph.node if n.name.startswith("same_conv_activation")]
    assert codes == ["Mul", "Unsqueeze", "GreaterOrEqual", "Cast", "ReduceSum"]
    rest = [n.op_type for n in model.graph.node if n.name.startswith("same_")][5:]
    assert rest == ["Cast", "Gather", "Conv", "Mul", "Add", "Mul", "Add", "Quant"]
    thresholds = values["same_conv_activation_GreaterOrEqual_in1"]
    assert np.array_equal(thresholds, conv.activation.thresholds.numpy()[..., None, None])
    assert np.array_equal(values["same_conv_Gather_in0"], conv.beta.numpy())
    index = conv.weight.numpy().astype(int) + 4
    assert np.array_equal(values["same_conv_Conv_in1"], conv.alpha.numpy()[index])
    for tensor, datatype in (
        ("plain_conv_activation_ReduceSum_out", "UINT1"),
        ("same_conv_activation_ReduceSum_out", "UINT3"),
        ("last_conv_activation_ReduceSum_out", "UINT4"),
        ("same_conv_Gather_out", "UINT8"),
        ("same_conv_Conv_in1", "INT8"),
        ("same_conv_Conv_out", "INT32"),
        ("same_round_out_Quant_out", "INT8"),
    ):
        assert model.get_tensor_datatype(tensor).name.replace("BINARY", "UINT1") == datatype


def test_no_sign_where_every_gamma_is_positive(tmp_path: Path) -> None:
    export(network(plain=True), SIZE, SIZE, 1, tmp_path / "plain.onnx")
    model = ModelWrapper(str(tmp_path / "plain.onnx"))
    assert not [n.name for n in model.graph.node if n.name.endswith("activation_Mul")]


def test_sum_beyond_24_bits_is_refused_with_the_layer_named() -> None:
    picture = torch.zeros(1, 1, SIZE, SIZE)
    net = network()
    check_bounds(net, picture)
    # 72 taps of 127 * 255 stay below; the shortcut on 20 fraction bits does not.
    net.same.set_integers([4 + 17])
    with pytest.raises(ExportError, match="same: accumulator with shortcut can reach"):
        check_bounds(net, picture)
    net.strided.conv.fill(alpha=torch.tensor([-127.0, -127.0, 0.0, 127.0, 3e5]))
    net.same.set_integers([4])
    with pytest.raises(ExportError, match="strided: accumulator can reach"):
        check_bounds(net, picture)
