# SPDX-License-Identifier: Apache-2.0
"""PA networks the whole way: checkpoint, QONNX, dataflow graph, CPU, RTL, no bit different."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from andpop.flows import api
from andpop.flows.files import BuildFiles
from andpop.hw.graph.executor import run
from andpop.hw.graph.folding import fold
from andpop.hw.rtl.simulate import emit, simulate, size_fifos
from andpop.hw.rtl.top_info import TopInfo
from andpop.models.build import build as build_network
from andpop.models.build import save_network
from andpop.quant import synthetic
from andpop.quant.checkpoint import Card, InputSize
from andpop.quant.pictures import list_pictures, read_picture
from andpop.sim import verilator
from qonnx.core.modelwrapper import ModelWrapper
from slice_checks import BACKENDS, check_comparison

# One worker builds the network once for all tests of this file.
pytestmark = pytest.mark.xdist_group("pa-slice")

SIDE = 32


def random_checkpoint(
    path: Path, network: str, config: dict[str, Any], size: tuple[int, int, int]
) -> Path:
    """A frozen network with random weights and statistics, gammas of both signs and zero."""
    height, width, channels = size
    torch.manual_seed(3)
    net = build_network(network, config)
    net.train()
    with torch.no_grad():
        for _ in range(3):
            net(torch.randint(0, 256, (4, channels, height, width)).float())
        for name, value in net.named_parameters():
            if value.ndim == 1 and "endpoints" not in name:
                value.add_(0.1 * torch.randn_like(value))
            if name.endswith("gamma"):
                value[::5] *= -1
                value[3] = 0
    net.freeze()
    card = Card(
        network=network,
        config=config,
        input=InputSize(height=height, width=width, channels=channels),
        classes=[f"class {i}" for i in range(net.config.classes)],
        frozen=True,
    )
    save_network(net, path, card)
    return path


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    synthetic.generate(folder, 1, SIDE, seed=5)
    from PIL import Image

    for name, value in {"black": 0, "white": 255}.items():
        Image.new("L", (SIDE, SIDE), value).save(folder / f"{name}.png")
    return folder


@pytest.fixture(scope="module", params=["m4n5", "m8n7"])
def shipped(request: pytest.FixtureRequest) -> Path:
    return api.ZOO / f"pa-resnet-small-{request.param}-neu.safetensors"


@pytest.fixture(scope="module")
def small(shipped: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished build of a shipped checkpoint at 32x32."""
    folder = tmp_path_factory.mktemp("pa") / "build"
    api.build(shipped, folder, input=f"{SIDE}x{SIDE}x1", target_cycles=16_000)
    return folder


@pytest.mark.sim
def test_every_backend_gives_the_same_bits(small: Path, pictures: Path) -> None:
    result = api.compare(small, pictures, BACKENDS)
    check_comparison(result, pictures=8, layers=40, values=50_000)


@pytest.mark.sim
def test_the_hardware_keeps_its_stated_pace(small: Path, pictures: Path) -> None:
    result = api.simulate(small, pictures, count=4, capture=False)
    assert result["values_compared"] == 4
    assert len(result["layers"]) == 1
    assert sum(len(gap["layers"]) for gap in result["not_covered"]) == result["layers_total"] - 1
    assert {"only the output was compared (--no-capture)"} == {
        gap["reason"] for gap in result["not_covered"]
    }
    assert result["values_differing"] == 0
    stated = TopInfo.load(small / "rtl").slowest.cycles
    assert stated <= result["interval"] <= 1.05 * stated


def test_the_report_tells_the_implementations(small: Path) -> None:
    report = json.loads((small / "report.json").read_text())
    units = {row["name"]: row for row in report["implementations"]}
    ops = {n["name"]: n["op"].removesuffix("_rtl") for n in report["cycles"]["nodes"]}
    choosing = [name for name, op in ops.items() if op in ("PaMvu", "SignedThresholding")]
    assert sorted(units) == sorted(choosing)
    assert [ops[name] for name in units].count("PaMvu") == 14
    for row in units.values():
        assert row["luts"][row["implementation"]] == min(row["luts"].values())
    page = (small / "report.html").read_text()
    assert all(name in page for name in units)


@pytest.mark.parametrize("config", [{}, {"m": 2, "n": 3, "levels": "linear"}])
def test_random_networks_are_exact(config: dict[str, Any], pictures: Path, tmp_path: Path) -> None:
    """Gammas of both signs and zero; then the exported file again, as if it were a stranger's."""
    checkpoint = random_checkpoint(
        tmp_path / "random.safetensors", "pa-resnet-small", {"depth": 8, **config}, (SIDE, SIDE, 1)
    )
    api.build(checkpoint, tmp_path / "build", until="pack")
    result = api.compare(tmp_path / "build", pictures, ("torch", "qonnx", "cpu"))
    print(f"{result['values_compared']} values compared, {result['values_differing']} differing")
    assert result["values_differing"] == 0
    assert all(row["values_compared"] > 50_000 for row in result["backends"])
    api.build(tmp_path / "build" / "model.qonnx.onnx", tmp_path / "again", until="lower")


def cut(model: ModelWrapper, first: str, last: str) -> ModelWrapper:
    """The part of a specialised graph between two tensors, both included."""
    proto = onnx.ModelProto.FromString(model.model.SerializeToString())
    graph = proto.graph
    producer = {name: node for node in graph.node for name in node.output}
    wanted, kept = [last], set()
    while wanted:
        name = wanted.pop()
        node = producer.get(name)
        if name != first and node is not None and node.name not in kept:
            kept.add(node.name)
            wanted += node.input
    nodes = [n for n in graph.node if n.name in kept]
    used = {name for n in nodes for name in (*n.input, *n.output)}
    info = {v.name: v for v in (*graph.input, *graph.value_info, *graph.output)}
    constants = [t for t in graph.initializer if t.name in used]
    part = onnx.helper.make_graph(
        nodes,
        "part",
        [info[first]],
        [info[last]],
        constants,
        value_info=[v for n, v in info.items() if n in used - {first, last}],
    )
    part.quantization_annotation.extend(
        a for a in graph.quantization_annotation if a.tensor_name in used
    )
    return ModelWrapper(onnx.helper.make_model(part, opset_imports=proto.opset_import))


def warnings_of(rtl: Path) -> set[tuple[str, str]]:
    """(rule, file) of everything Verilator says about an emitted network."""
    info = TopInfo.load(rtl)
    waiver = Path(api.__file__).parents[1] / "sim" / "finn.vlt"
    sources = [rtl / name for name in info.sources]
    text = verilator.lint(sources, info.top, cwd=rtl, waiver=waiver)
    found = re.findall(r"^%(?:Warning|Error)-?(\w*): (\S+?):\d+:", text, re.M)
    return {(rule, str(Path(file).relative_to(rtl))) for rule, file in found}


@pytest.fixture(scope="module")
def resnet18(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """pa-resnet18 at 224x224 with random weights, without RTL."""
    folder = tmp_path_factory.mktemp("resnet18")
    checkpoint = random_checkpoint(
        folder / "resnet18.safetensors", "pa-resnet18", {}, (224, 224, 3)
    )
    api.build(checkpoint, folder / "build", target_cycles=2_000_000, until="pack")
    return folder / "build"


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_resnet18_golden_equals_cpu(resnet18: Path, tmp_path: Path) -> None:
    synthetic.generate(tmp_path, 1, 224, seed=7)
    result = api.compare(resnet18, tmp_path, ("cpu",), count=4)
    print(f"{result['values_compared']} values compared, {result['values_differing']} differing")
    assert result["values_differing"] == 0
    assert result["values_compared"] > 4 * 7_000_000


@pytest.mark.full
@pytest.mark.sim
@pytest.mark.timeout(3600)
def test_resnet18_rtl_is_clean(resnet18: Path, tmp_path: Path) -> None:
    emit(ModelWrapper(str(BuildFiles(resnet18).dataflow)), tmp_path / "rtl")
    for rule, file in warnings_of(tmp_path / "rtl"):
        if file == "andpop_top.sv":
            # FINN's register ports stay open; words are padded to whole bytes.
            assert rule in {"PINMISSING", "UNUSEDSIGNAL"}
        else:
            assert file.startswith(("lib/swg_", "lib/fmpadding", "lib/axi2we")), (rule, file)


@pytest.mark.full
@pytest.mark.sim
@pytest.mark.timeout(3600)
def test_one_block_of_resnet18_in_hardware(resnet18: Path, tmp_path: Path) -> None:
    """The second block of the second stage: 128 channels, 28x28, identity shortcut."""
    files = BuildFiles(resnet18)
    first, last = (f"stages_1_{i}_conv_round_out_ShiftRequant_out" for i in (0, 1))
    synthetic.generate(tmp_path / "pictures", 1, 224, seed=7)
    paths = list_pictures(tmp_path / "pictures")[:2]
    pictures = np.stack([read_picture(path, 224, 224, 3, "bilinear") for path in paths])
    golden = run(files.dataflow, pictures, [first, last])
    block = fold(cut(ModelWrapper(str(files.dataflow)), first, last), 250_000)
    emit(block, tmp_path / "rtl")
    size_fifos(tmp_path / "rtl")
    # The bits of the INT8 codes are what the block's input stream carries.
    result = simulate(tmp_path / "rtl", golden[first].astype(np.int8).view(np.uint8))
    print(f"{golden[last].size} values in {result.cycles} cycles")
    assert len(np.unique(golden[last])) > 50
    np.testing.assert_array_equal(result.outputs[last], golden[last])


@pytest.mark.full
@pytest.mark.sim
@pytest.mark.timeout(3600)
def test_bi_shufflenet_with_pa_blocks(tmp_path: Path, pictures: Path) -> None:
    config = {"width": 0.25, "pa": {}}
    checkpoint = random_checkpoint(
        tmp_path / "pa.safetensors", "bi-shufflenet", config, (SIDE, SIDE, 1)
    )
    api.build(checkpoint, tmp_path / "build", target_cycles=16_000)
    result = api.compare(tmp_path / "build", pictures, ("torch", "qonnx", "cpu", "rtl"), count=1)
    print(f"{result['values_compared']} values compared, {result['values_differing']} differing")
    assert result["values_differing"] == 0
    assert all(row["values_compared"] > 15_000 for row in result["backends"])


@pytest.mark.data
def test_300_real_pictures_are_exact(shipped: Path, andpop_data: Path, tmp_path: Path) -> None:
    api.build(shipped, tmp_path / "build", input="64x64x1", until="pack")
    images = andpop_data / "neu-det" / "images"
    result = api.compare(tmp_path / "build", images, ("torch", "cpu"), count=300)
    print(f"{result['values_compared']} values compared, {result['values_differing']} differing")
    assert result["values_differing"] == 0
    assert all(row["pictures"] == 300 for row in result["backends"])
    some = api.compare(tmp_path / "build", images, ("qonnx",), count=10)
    assert some["values_differing"] == 0


@pytest.mark.full
@pytest.mark.sim
@pytest.mark.data
@pytest.mark.timeout(3600)
def test_shipped_network_at_64x64(shipped: Path, andpop_data: Path, tmp_path: Path) -> None:
    api.build(shipped, tmp_path / "build", input="64x64x1")
    images = andpop_data / "neu-det" / "images" / "scratches"
    result = api.simulate(tmp_path / "build", images, count=4)
    print({k: v for k, v in result.items() if k != "layers"})
    assert result["values_differing"] == 0
    assert result["values_compared"] > 500_000
    stated = TopInfo.load(tmp_path / "build" / "rtl").slowest.cycles
    assert result["interval"] <= 1.05 * stated
