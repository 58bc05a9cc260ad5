# SPDX-License-Identifier: Apache-2.0
"""Whole networks of published size: too large for ``make test``."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from andpop.flows import api
from andpop.flows.backends.golden import Golden
from andpop.flows.files import BuildFiles
from andpop.hw.graph.executor import run
from andpop.hw.graph.folding import fold
from andpop.hw.rtl.simulate import emit, simulate
from andpop.hw.rtl.sizing import size_fifos
from andpop.hw.rtl.top_info import TopInfo
from andpop.quant import synthetic
from andpop.quant.pictures import list_pictures, read_picture
from andpop.sim import verilator
from andpop.sim.bench import run_cocotb
from networks import random_checkpoint
from qonnx.core.modelwrapper import ModelWrapper

pytestmark = [pytest.mark.full, pytest.mark.timeout(3600)]


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
    sources = [rtl / name for name in info.sources]
    text = verilator.lint(sources, info.top, cwd=rtl)
    found = re.findall(r"^%(?:Warning|Error)-?(\w*): (\S+?):\d+:", text, re.M)
    return {(rule, str(Path(file).relative_to(rtl))) for rule, file in found}


@pytest.fixture(scope="module")
def resnet18(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """pa-resnet18 at 224x224 with random weights, without RTL."""
    folder = tmp_path_factory.mktemp("resnet18")
    checkpoint = random_checkpoint(
        folder / "resnet18.safetensors", "pa-resnet18", {}, (224, 224, 3)
    )
    # That board's room is not judged: the network takes more than any has.
    board = "ulx3s-85f"
    api.build(checkpoint, folder / "build", target_cycles=2_000_000, board=board, until="pack")
    return folder / "build"


def test_resnet18_golden_equals_cpu(resnet18: Path, tmp_path: Path) -> None:
    synthetic.generate(tmp_path, 1, 224, seed=7)
    result = api.compare(resnet18, tmp_path, ("cpu",), count=4)
    print(f"{result['values_compared']} values compared, {result['values_differing']} differing")
    assert result["values_differing"] == 0
    assert result["values_compared"] > 4 * 7_000_000


@pytest.mark.sim
def test_resnet18_rtl_is_clean(resnet18: Path, tmp_path: Path) -> None:
    emit(ModelWrapper(str(BuildFiles(resnet18).dataflow)), tmp_path / "rtl")
    for rule, file in warnings_of(tmp_path / "rtl"):
        # Words are padded to whole bytes.
        assert (rule, file) == ("UNUSEDSIGNAL", "andpop_top.sv")


@pytest.mark.sim
def test_one_block_of_resnet18_in_hardware(resnet18: Path, tmp_path: Path) -> None:
    """The second block of the second stage: 128 channels, 28x28, identity shortcut."""
    files = BuildFiles(resnet18)
    first, last = (f"stages_1_{i}_conv_round_out_ShiftRequant_out" for i in (0, 1))
    synthetic.generate(tmp_path / "pictures", 1, 224, seed=7)
    paths = list_pictures(tmp_path / "pictures")[:2]
    pictures = np.stack([read_picture(path, 224, 224, 3, "bilinear") for path in paths])
    golden = run(files.lowered, pictures, [first, last])
    block = fold(cut(ModelWrapper(str(files.lowered)), first, last), 250_000)
    emit(block, tmp_path / "rtl")
    size_fifos(tmp_path / "rtl")
    # The bits of the INT8 codes are what the block's input stream carries.
    result = simulate(tmp_path / "rtl", golden[first].astype(np.int8).view(np.uint8))
    print(f"{golden[last].size} values in {result.cycles} cycles")
    assert len(np.unique(golden[last])) > 50
    np.testing.assert_array_equal(result.outputs[last], golden[last])


@pytest.mark.sim
def test_published_network_under_cocotb(tmp_path: Path) -> None:
    """One picture through the top of the published network at 64x64, with and without stalls."""
    api.build(api.DEMO_CHECKPOINT, tmp_path / "build", input="64x64x1")
    files = BuildFiles(tmp_path / "build")
    pictures = synthetic.picture("patches", np.random.default_rng(2), 64)[None]
    (head,) = Golden(files).outputs(pictures).values()
    expected = head.values.tolist()
    plan = {"inputs": pictures.ravel().tolist(), "outputs": expected, "patience": 2_000_000}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    info = TopInfo.load(files.rtl)
    tests = run_cocotb(
        [files.rtl / source for source in info.sources],
        info.top,
        ["andpop.sim.tb_network"],
        tmp_path / "run",
        data=files.rtl,
        environment={"ANDPOP_PLAN": str(tmp_path / "plan.json")},
    )
    assert tests == 2


@pytest.mark.sim
def test_published_network_at_224x224(tmp_path: Path) -> None:
    api.build(api.DEMO_CHECKPOINT, tmp_path / "build", input="224x224x1")
    synthetic.generate(tmp_path / "pictures", 1, 224, seed=1)
    picture = next((tmp_path / "pictures").rglob("*.png"))
    result = api.simulate(tmp_path / "build", picture)
    print({k: v for k, v in result.items() if k != "layers"})
    assert result["values_differing"] == 0
    assert result["values_compared"] > 3_800_000
