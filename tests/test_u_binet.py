# SPDX-License-Identifier: Apache-2.0
"""U-BiNet: shapes and sizes as resolved, frozen = trained, QONNX = PyTorch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from andpop.models.build import build, load_network, save_network
from andpop.models.count import count
from andpop.models.network import Network
from andpop.quant.blocks.kbit_activation import KbitActivation
from andpop.quant.capture import capture
from andpop.quant.checkpoint import Card, CheckpointError, InputSize
from andpop.quant.exact import exact_eval
from andpop.quant.export_qonnx import ExportError, check_bounds, export
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from torch import Tensor

HEIGHT, WIDTH = 20, 24


def pictures(count: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Noise, black, white, a grey ramp."""
    x = np.random.default_rng(4).integers(0, 256, (count, height, width, 1)).astype(np.uint8)
    x[0], x[1] = 0, 255
    x[2, ..., 0] = np.linspace(0, 255, width).astype(np.uint8)
    return x


def floats(x: np.ndarray) -> Tensor:
    return torch.from_numpy(x.transpose(0, 3, 1, 2).astype(np.float32))


def network(k: int = 4, *, monotone: bool = False) -> Network:
    """A small trained-like network, not frozen, with gammas of every sign."""
    torch.manual_seed(k)
    net = build("u-binet", {"base": 4, "depth": 3, "k": k, "monotone": monotone})
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, KbitActivation):
                module.gamma[::3] *= -1
                module.gamma[1] = 0
                module.beta.normal_(mean=0.4, std=0.3)
                if module.eta is not None:
                    module.eta.uniform_(-0.1, 0.4)
        for _ in range(3):
            net(floats(pictures(8)))
    return net.eval()


def test_parameters_are_those_of_the_resolved_network() -> None:
    net = build("u-binet", {})
    sizes = {name: p.numel() for name, p in net.named_parameters()}

    def total(*ends: str) -> int:
        return sum(n for name, n in sizes.items() if name.endswith(ends))

    binary = sum(
        n for name, n in sizes.items() if name.endswith(".weight") and ".conv." not in name
    )
    assert total(".weight", ".bias") == 7_756_130
    assert binary == 7_755_776
    assert total(".gamma", ".beta") == 6_848
    assert total(".zeta", ".eta") == 5_888
    assert sum(sizes.values()) == 7_756_130 + 6_848 + 5_888


def test_count_is_that_of_the_network_built() -> None:
    found = count("u-binet", 224, 224)
    assert found.binary_weights == 7_755_776
    assert found.binary_weights + found.real_weights == 7_756_130
    assert (2 * found.bn_channels, 2 * found.rsilu_channels) == (6_848, 5_888)
    assert found.macs == 9_214_722_048
    assert found.bops == 4 * (found.macs - 224 * 224 * (9 * 32 + 2 * 32))
    net = build("u-binet", {})
    for layer in found.layers:
        parameters = net.get_submodule(layer.name).named_parameters()
        weights = [p.numel() for n, p in parameters if n.rpartition(".")[2] in ("weight", "bias")]
        assert sum(weights) == layer.weights, layer.name
    assert len(found.layers) == 23
    assert count("u-binet", 200, 200) == replace(
        count("u-binet", 208, 208), layers=count("u-binet", 200, 200).layers
    )
    twin = count("u-binet", 224, 224, {"kind": "real"})
    assert (twin.binary_weights, twin.real_weights, twin.bops) == (0, 7_756_130, 0)


def test_pa_bases_by_one_switch(tmp_path: Path) -> None:
    config = {"base": 2, "depth": 3, "pa": {"m": 4, "n": 5}}
    torch.manual_seed(0)
    net, x = build("u-binet", config), floats(pictures(4))
    net(x).square().mean().backward()
    assert all(p.grad is not None for p in net.parameters())
    counted = count("u-binet", HEIGHT, WIDTH, config)
    gammas = [p.numel() for n, p in net.named_parameters() if n.endswith(".gamma")]
    assert (sum(gammas), counted.rsilu_channels) == (counted.bn_channels, 0)
    with torch.no_grad():
        for _ in range(20):
            net(x)
    with exact_eval():
        expected = net.eval()(x)
        net.freeze()
        assert torch.count_nonzero(net(x) != expected) == 0
    path = tmp_path / "pa.onnx"
    export(net, HEIGHT, WIDTH, 1, path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found = np.concatenate([session.run(None, {"picture": p[None].numpy()})[0] for p in x])
    assert np.count_nonzero(found != expected.numpy()) == 0
    assert found.size == 4 * 2 * HEIGHT * WIDTH and len(np.unique(found)) > 30


@pytest.mark.parametrize("k", [2, 4, 8])
@pytest.mark.parametrize("monotone", [False, True])
def test_frozen_network_gives_the_same_bits(k: int, monotone: bool) -> None:
    net, x = network(k, monotone=monotone), floats(pictures(6))
    with exact_eval():
        expected = net(x)
        net.freeze()
        found = net(x)
        assert torch.equal(net.integer_logits(x) * net.logit_step, found)
    assert torch.count_nonzero(found != expected) == 0
    assert found.shape == (6, 2, HEIGHT, WIDTH)
    assert len(torch.unique(found)) > 50


@pytest.mark.parametrize(
    ("depth", "height", "width"), [(3, 20, 24), (4, 33, 47), (4, 16, 16), (3, 5, 9)]
)
def test_any_size_is_reflected_and_cropped_back(depth: int, height: int, width: int) -> None:
    net = build("u-binet", {"base": 2, "depth": depth}).eval()
    x = floats(pictures(3, height, width))
    assert net(x).shape == (3, 2, height, width)
    multiple = 1 << depth
    rows, columns = -height % multiple, -width % multiple
    around = (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)
    padded = net(torch.nn.functional.pad(x, around, mode="reflect"))
    inner = padded[:, :, around[2] : around[2] + height, around[0] : around[0] + width]
    assert torch.equal(net(x), inner)


def test_a_picture_that_cannot_be_reflected_is_refused() -> None:
    net = build("u-binet", {"base": 2})
    with pytest.raises(ValueError, match="found a picture of 5x40, expected sides"):
        net(torch.zeros(1, 1, 5, 40))


def test_real_twin_trains_and_never_freezes() -> None:
    net = build("u-binet", {"base": 2, "depth": 3, "kind": "real"})
    net.set_real(False)
    logits = net(floats(pictures(4)))
    logits.square().mean().backward()
    assert all(
        p.grad is not None for n, p in net.named_parameters() if "zeta" not in n and "eta" not in n
    )
    with pytest.raises(ValueError, match="has real weights"):
        net.freeze()


def test_first_stage_is_real_then_bits() -> None:
    net = network()
    x = floats(pictures(4))
    bits = net(x)
    net.set_real(True)
    assert not torch.equal(net(x), bits)
    net.set_real(False)
    assert torch.equal(net(x), bits)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"k": 9}, "found k 9, expected 1 to 8 bits"),
        ({"depth": 5}, "depth"),
        ({"pa": {"m": 4}, "monotone": True}, "found monotone with pa"),
        ({"channels": 2}, "channels"),
    ],
)
def test_bad_configurations_are_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build("u-binet", config)


def card(frozen: bool) -> Card:
    return Card(
        network="u-binet",
        config={"base": 4, "depth": 3},
        input=InputSize(height=HEIGHT, width=WIDTH, channels=1),
        classes=["background", "defect"],
        frozen=frozen,
    )


@pytest.mark.parametrize("frozen", [False, True])
def test_checkpoint_gives_the_same_network(tmp_path: Path, frozen: bool) -> None:
    net = network()
    if frozen:
        net.freeze()
    save_network(net, tmp_path / "u.safetensors", card(frozen))
    loaded, _ = load_network(tmp_path / "u.safetensors")
    x = floats(pictures(4))
    with exact_eval():
        assert torch.equal(loaded(x), net(x))


def test_damaged_checkpoint_is_one_line(tmp_path: Path) -> None:
    net = network()
    net.freeze()
    net.get_submodule("middle.0.activation").base[3] = 99
    save_network(net, tmp_path / "u.safetensors", card(True))
    with pytest.raises(CheckpointError, match=r"middle.0.activation: found levels .*0..15"):
        load_network(tmp_path / "u.safetensors")


@pytest.mark.parametrize(
    "k", [pytest.param(2, marks=pytest.mark.full), 4, pytest.param(8, marks=pytest.mark.full)]
)
def test_qonnx_equals_torch_at_every_boundary(tmp_path: Path, k: int) -> None:
    net = network(k)
    net.freeze()
    path = tmp_path / "u.onnx"
    export(net, HEIGHT, WIDTH, 1, path)
    x = pictures(12)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found = np.concatenate([session.run(None, {"picture": p[None].numpy()})[0] for p in floats(x)])
    with exact_eval():
        expected = net(floats(x)).numpy()
    assert np.count_nonzero(found != expected) == 0
    assert np.array_equal(found.argmax(1), expected.argmax(1))
    assert found.size == 12 * 2 * HEIGHT * WIDTH

    model = ModelWrapper(str(path))
    activations = [n for n, m in net.named_modules() if n.endswith(".activation")]
    wanted = [f"{n.replace('.', '_')}_Add_out" for n in activations]
    for name in activations:
        op = "ConvTranspose" if name.startswith("up") else "Conv"
        wanted.append(f"{name.removesuffix('.activation').replace('.', '_')}_{op}_out")
    ours = capture(net, x[:1], wanted)
    assert sorted(ours) == sorted(wanted) and len(wanted) == 2 * 17
    theirs = execute_onnx(model, {"picture": floats(x[:1]).numpy()}, return_full_exec_context=True)
    compared = 0
    for name in wanted:
        assert np.count_nonzero(ours[name] != theirs[name]) == 0, name
        compared += ours[name].size
        if name.endswith("_Add_out"):
            assert model.get_tensor_datatype(name).name == f"UINT{k}"
    assert compared > 30_000
    assert np.array_equal(theirs["logits"], expected[:1])
    assert model.get_tensor_datatype("encoder_0_0_Conv_in1").name == "INT8"
    assert model.get_tensor_datatype("up_0_ConvTranspose_in1").name == "BIPOLAR"
    assert model.get_tensor_datatype("middle_0_Conv_in1").name == "BIPOLAR"


def test_sums_beyond_float32_are_refused() -> None:
    net = network(8)
    net.freeze()
    check_bounds(net, torch.zeros(1, 1, HEIGHT, WIDTH))
    net.classifier.bias.fill_(2.0**24)
    with pytest.raises(ExportError, match="classifier: logit can reach"):
        check_bounds(net, torch.zeros(1, 1, HEIGHT, WIDTH))
