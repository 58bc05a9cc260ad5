# SPDX-License-Identifier: Apache-2.0
"""brevitas_examples' fully connected networks and FINN's for the security data set, as exported:
built, and simulated whole beside every other backend."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from andpop.flows import api
from andpop.flows.files import BuildFiles
from andpop.flows.fitting import read_fit
from andpop.hw.rtl.top_info import TopInfo
from foreign_graphs import Net, head, sign
from foreign_networks import FEATURES, FULLY_CONNECTED, export_fc, export_flattened_cnn, export_mlp
from onnx import save
from PIL import Image

SMALL = "tfc_1w1a"
BACKENDS = ("qonnx", "golden", "cpu", "rtl")


def draw(folder: Path, shape: tuple[int, ...], count: int = 4) -> Path:
    """Random pictures and the two extremes."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, 256, shape, dtype=np.uint8) for _ in range(count - 2)]
    for i, array in enumerate((*arrays, np.zeros_like(arrays[0]), np.full_like(arrays[0], 255))):
        Image.fromarray(array).save(folder / f"{i}.png")
    return folder


def check(build: Path, images: Path, count: int) -> dict[str, Any]:
    """No bit differs on any backend; the hardware keeps its stated pace and its estimate."""
    check_estimate(build)
    result = api.compare(build, images, BACKENDS)
    assert [row["backend"] for row in result["backends"]] == ["qonnx", "cpu", "rtl"]
    assert all(row["pictures"] == count for row in result["backends"])
    assert result["values_differing"] == 0
    ran = api.simulate(build, images, capture=False)
    assert ran["values_differing"] == 0
    stated = TopInfo.load(build / "rtl").slowest.cycles
    print(f"{result['values_compared']} values, interval {ran['interval']}, stated {stated}")
    assert stated <= ran["interval"] <= 1.05 * stated
    return result


def check_estimate(build: Path) -> None:
    """What decided whether the network fits is about what it takes once its FIFOs are sized."""
    made = BuildFiles(build)
    expected, sized = (
        {row["resource"]: row["used"] for row in table["resources"]}
        for table in (read_fit(made.fit), json.loads(made.report.read_text())["fit"])
    )
    for resource, near in (("lut", 400), ("ff", 400), ("bram18", 4), ("dsp", 0)):
        off = abs(expected[resource] - sized[resource])
        assert off <= max(near, 0.1 * sized[resource]), (resource, expected, sized)


def check_fc(name: str, folder: Path, target_cycles: int) -> None:
    file = export_fc(name, folder / f"{name}.onnx")
    api.build(file, folder / "build", target_cycles=target_cycles)
    result = check(folder / "build", draw(folder / "pictures", (28, 28)), 4)
    units = 3 * {"t": 64, "s": 256, "l": 1024}[name[0]]
    assert result["values_compared"] > 3 * 4 * units


@pytest.mark.sim
def test_tfc_is_exact_on_every_backend(tmp_path: Path) -> None:
    check_fc(SMALL, tmp_path, 3136)


@pytest.mark.full
@pytest.mark.sim
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", [name for name in FULLY_CONNECTED if name != SMALL])
def test_fully_connected_networks_are_exact_on_every_backend(name: str, tmp_path: Path) -> None:
    check_fc(name, tmp_path, {"t": 3136, "s": 12_544, "l": 50_176}[name[0]])


@pytest.mark.sim
def test_a_flattened_map_is_exact_on_every_backend(tmp_path: Path) -> None:
    file = export_flattened_cnn(tmp_path / "cnn.onnx")
    api.build(file, tmp_path / "build", target_cycles=4096)
    check(tmp_path / "build", draw(tmp_path / "pictures", (16, 16)), 4)


@pytest.mark.full
@pytest.mark.sim
def test_a_network_of_vectors_is_exact_on_every_backend(tmp_path: Path) -> None:
    """600 bits from a .npy file, which the network reads as -1 and +1."""
    file = export_mlp(tmp_path / "mlp.onnx", signs=True)
    api.build(file, tmp_path / "build", target_cycles=2400, input_scale="2", input_mean="1")
    inputs = np.random.default_rng(1).integers(0, 2, (6, FEATURES), dtype=np.uint8)
    inputs[4], inputs[5] = 0, 1
    np.save(tmp_path / "x.npy", inputs)
    check(tmp_path / "build", tmp_path / "x.npy", 6)


@pytest.mark.parametrize("signs", [False, True])
def test_a_small_network_of_vectors_is_built_and_asked(signs: bool, tmp_path: Path) -> None:
    file = export_mlp(tmp_path / "mlp.onnx", 20, 32, signs)
    reads = {"input_scale": "2", "input_mean": "1"} if signs else {"input_scale": "1"}
    built = api.build(file, tmp_path / "build", **reads, until="pack")
    assert any("1x1x20 (HWC): give .npy files" in note for note in built["notes"])
    np.save(tmp_path / "x.npy", np.random.default_rng(1).integers(0, 2, (5, 20)))
    found = api.infer(tmp_path / "build", tmp_path / "x.npy")
    assert [Path(p["picture"]).name for p in found["predictions"]] == [
        f"x.npy[{i}]" for i in range(5)
    ]
    result = api.compare(tmp_path / "build", tmp_path / "x.npy", ("qonnx", "cpu"), count=3)
    assert result["values_differing"] == 0
    assert all(row["pictures"] == 3 for row in result["backends"])


def test_a_network_may_take_any_number_of_channels(tmp_path: Path) -> None:
    net = Net(channels=2)
    weight = net.quant(net.constant(net.weights(4, 2, 3, 3)), narrow=1)
    x = net.norm(net.op("Conv", ["x", weight], kernel_shape=[3, 3]), 4)
    head(net, net.quant(x, signed=0), 4)
    save(net.model([1, 5]), tmp_path / "net.onnx")
    built = api.build(tmp_path / "net.onnx", tmp_path / "build", until="pack")
    assert any("8x8x2 (HWC): give .npy files of numbers 0..255, (N, 8, 8, 2)" in note
               for note in built["notes"])  # fmt: skip
    assert json.loads((tmp_path / "build" / "source.json").read_text())["input"]["scale"] == 1 / 255
    np.save(tmp_path / "x.npy", np.random.default_rng(1).integers(0, 256, (3, 8, 8, 2)))
    result = api.compare(tmp_path / "build", tmp_path / "x.npy", ("qonnx", "cpu"))
    assert result["values_differing"] == 0


@pytest.mark.parametrize("channels", [3, 8, 20])
def test_flattened_bits_are_exact_on_the_cpu(channels: int, tmp_path: Path) -> None:
    """Bits of pixels lie in whole bytes, those of a vector do not."""
    net = Net()
    weight = net.quant(net.constant(net.weights(channels, 1, 3, 3)), narrow=1)
    x = net.norm(net.op("Conv", ["x", weight], kernel_shape=[3, 3]), channels)
    x = net.op("Flatten", [sign(net, x)])
    weight = sign(net, net.constant(net.weights(9, 36 * channels)))
    x = sign(net, net.norm(net.op("Gemm", [x, weight], transB=1), 9))
    net.op("Gemm", [x, sign(net, net.constant(net.weights(5, 9)))], transB=1)
    save(net.model([1, 5]), tmp_path / "net.onnx")
    api.build(tmp_path / "net.onnx", tmp_path / "build", until="pack")
    result = api.compare(
        tmp_path / "build", draw(tmp_path / "pictures", (8, 8), 8), ("qonnx", "cpu")
    )
    assert result["values_differing"] == 0
    assert result["values_compared"] > 2 * 8 * 36 * channels
