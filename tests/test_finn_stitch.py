# SPDX-License-Identifier: Apache-2.0
"""FINN's own way from a build to a stitched IP: the same FIFOs, every file found, right values."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from andpop.flows import api
from comparisons import Comparisons
from fresh_process import in_fresh_process
from two_heads import two_heads

PART = "xc7z020clg400-1"
STUBS = Path(__file__).parent / "vivado_stitch_stubs.tcl"
PICTURES = 3

Facts = dict[tuple[str, str], tuple[int, str, tuple[int, ...]]]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The build of a small network with two heads."""
    folder = tmp_path_factory.mktemp("finn")
    onnx.save(two_heads(side=10), folder / "net.onnx")
    api.build(folder / "net.onnx", folder / "build", target_cycles=1000, board="pynq-z2")
    return folder / "build"


def _fifos(model: Any) -> Facts:
    """Depth, datatype and folded shape of every FIFO, by the nodes before and behind it."""
    from qonnx.custom_op.registry import getCustomOp

    found = {}
    for node in model.graph.node:
        if node.op_type.startswith("StreamingFIFO"):
            ends = model.find_producer(node.input[0]), model.find_consumer(node.output[0])
            op = getCustomOp(node)
            found[ends[0].name if ends[0] else "", ends[1].name if ends[1] else ""] = (
                op.get_nodeattr("depth"),
                op.get_nodeattr("dataType"),
                tuple(op.get_nodeattr("folded_shape")),
            )
    return found


def _insert(build: Path) -> dict[str, Any]:
    """FINN's InsertDWC and InsertFIFO on the graph of a build."""
    api.register()
    from finn.transformation.fpgadataflow.insert_dwc import InsertDWC
    from finn.transformation.fpgadataflow.insert_fifo import InsertFIFO
    from qonnx.core.modelwrapper import ModelWrapper

    before = ModelWrapper(str(build / "finn.onnx"))
    after = before.transform(InsertDWC()).transform(InsertFIFO())
    return {
        "sized": _fifos(ModelWrapper(str(build / "rtl/stitched.onnx"))),
        "kept": _fifos(before),
        "inserted": _fifos(after),
    }


def test_finn_inserts_the_fifos_that_were_sized(built: Path) -> None:
    found = in_fresh_process(_insert, built)
    assert found["inserted"] == found["sized"]
    assert len(found["kept"]) < len(found["sized"])
    assert all(depth == 2 for depth, *_ in found["kept"].values())
    assert any(depth > 2 for depth, *_ in found["sized"].values())


def _vivado(folder: Path) -> None:
    """Put a program of that name on PATH, which runs a script over stubs."""
    folder.mkdir()
    (folder / "run.tcl").write_text(f"source {STUBS}\nsource make_project.tcl\n")
    program = folder / "vivado"
    program.write_text(f"#!/bin/sh\nexec tclsh {folder / 'run.tcl'}\n")
    program.chmod(0o755)
    os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"


def _build_kernel(build: Path, folder: Path) -> Any:
    """What FINN's ZynqBuild does with the part of the network between its DMAs."""
    _vivado(folder / "bin")
    from finn.transformation.fpgadataflow.create_dataflow_partition import CreateDataflowPartition
    from finn.transformation.fpgadataflow.floorplan import Floorplan
    from finn.transformation.fpgadataflow.insert_dwc import InsertDWC
    from finn.transformation.fpgadataflow.insert_iodma import InsertIODMA
    from finn.transformation.fpgadataflow.make_zynq_proj import _build_sdp_kernel
    from finn.transformation.fpgadataflow.specialize_layers import SpecializeLayers
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.custom_op.registry import getCustomOp
    from qonnx.transformation.general import GiveReadableTensorNames, GiveUniqueNodeNames
    from qonnx.transformation.infer_data_layouts import InferDataLayouts

    model = ModelWrapper(str(build / "finn.onnx")).transform(InferDataLayouts())
    for step in (
        InsertIODMA(64), InsertDWC(), SpecializeLayers(PART), Floorplan(),
        CreateDataflowPartition(partition_model_dir=str(folder / "parts")),
    ):  # fmt: skip
        model = model.transform(step)
        model = model.transform(GiveUniqueNodeNames()).transform(GiveReadableTensorNames())
    files = [getCustomOp(n).get_nodeattr("model") for n in model.graph.node]
    (ours,) = [
        file for file in files
        if not any(n.op_type == "IODMA_hls" for n in ModelWrapper(file).graph.node)
    ]  # fmt: skip
    _build_sdp_kernel(("ours", ours, PART, 10.0, False))
    return ModelWrapper(ours)


def _stitch(build: Path, folder: Path, pictures: Any) -> dict[str, Any]:
    """The stitched IP of a build, by FINN; its files; what it gives in Verilator."""
    api.register(verilator=True)
    model = _build_kernel(build, folder)
    from finn.core.onnx_exec import execute_onnx

    project = Path(model.get_metadata_prop("vivado_stitch_proj"))
    sources = (project / "all_verilog_srcs.txt").read_text().split()
    model.set_metadata_prop("exec_mode", "rtlsim")
    name = model.graph.input[0].name
    results = [execute_onnx(model, {name: p[None].astype(np.float32)}) for p in pictures]
    ends = [value.name for value in model.graph.output]
    return {
        "script": (project / "make_project.tcl").read_text().splitlines(),
        "sources": sources,
        "fifos": sorted(depth for depth, *_ in _fifos(model).values()),
        "results": [np.concatenate([r[end] for r in results]) for end in ends],
    }


def _golden(build: Path, pictures: Any) -> list[Any]:
    from andpop.hw.graph.executor import run
    from qonnx.core.modelwrapper import ModelWrapper

    found = dict(run(ModelWrapper(str(build / "lowered.onnx")), pictures, keep="outputs"))
    names = [v.name for v in ModelWrapper(str(build / "rtl/stitched.onnx")).graph.output]
    return [found[name] for name in names]


@pytest.mark.sim
def test_finns_stitched_ip_finds_every_file_and_is_exact(
    built: Path, tmp_path: Path, compared: Comparisons
) -> None:
    if shutil.which("tclsh") is None:
        pytest.skip("tclsh: not found; install it (Debian: apt-get install tcl)")
    pictures = np.random.default_rng(0).integers(0, 256, (PICTURES, 10, 10, 1), dtype=np.uint8)
    found = in_fresh_process(_stitch, built, tmp_path, pictures)
    added = [Path(x.split()[-1]) for x in found["script"] if x.startswith("add_files -norecurse")]
    images = [file for file in added if file.suffix == ".mem"]
    assert images and all(file.is_file() for file in images)
    text = "".join(Path(source).read_text() for source in found["sources"])
    named = {f'"{file}"' for file in images if f'"{file}"' in text}
    assert named and '"./' not in text
    sized = in_fresh_process(_insert, built)["sized"]
    assert found["fifos"] == sorted(depth for depth, *_ in sized.values())
    # A partition has the outputs in an order of its own, and one has more values than the other.
    wanted = sorted(in_fresh_process(_golden, built, pictures), key=np.size)
    for got, want in zip(sorted(found["results"], key=np.size), wanted, strict=True):
        compared.arrays(want, got.reshape(want.shape))


def _pair(folder: Path, pictures: Any) -> dict[str, Any]:
    """A network of fused layers, two of which share their constants, through FINN."""
    api.register(verilator=True)
    _vivado(folder / "bin")
    from andpop.hw.graph.executor import run
    from andpop.hw.graph.finn_graph import finn_graph
    from andpop.hw.graph.insert_streams import insert_streams
    from andpop.hw.rtl.emit_roms import place_roms
    from finn.core.onnx_exec import execute_onnx
    from finn.transformation.fpgadataflow.create_stitched_ip import CreateStitchedIP
    from finn.transformation.fpgadataflow.hlssynth_ip import HLSSynthIP
    from finn.transformation.fpgadataflow.insert_fifo import InsertFIFO
    from finn.transformation.fpgadataflow.prepare_ip import PrepareIP
    from finn.transformation.fpgadataflow.specialize_layers import SpecializeLayers
    from qonnx.custom_op.registry import getCustomOp
    from qonnx.transformation.general import GiveReadableTensorNames, GiveUniqueNodeNames
    from test_shared_rom import lowered_network, paired

    lowered = lowered_network(classes=False)
    stitched = insert_streams(paired(lowered))
    roms = place_roms(stitched)
    alone = stitched.transform(PrepareIP(PART, 10.0), make_deepcopy=True)
    wrappers = {}
    for node in alone.graph.node:
        if node.name in roms[0].nodes:
            place = Path(getCustomOp(node).get_nodeattr("code_gen_dir_ipgen"))
            wrappers[node.name] = (
                (place / f"{node.name}.v").read_text(),
                [file.name for file in place.glob("*.mem")],
            )
    model = finn_graph(stitched)
    for step in (
        InsertFIFO(), SpecializeLayers(PART), GiveUniqueNodeNames(), GiveReadableTensorNames(),
        PrepareIP(PART, 10.0), HLSSynthIP(), CreateStitchedIP(PART, 10.0),
    ):  # fmt: skip
        model = model.transform(step)
    model.set_metadata_prop("exec_mode", "rtlsim")
    name = model.graph.input[0].name
    results = [
        next(iter(execute_onnx(model, {name: p[None].astype(np.float32)}).values()))
        for p in pictures
    ]
    (golden,) = run(lowered, pictures, keep="outputs").values()
    return {"wrappers": wrappers, "results": np.concatenate(results), "golden": golden}


@pytest.mark.sim
def test_two_nodes_that_share_a_memory_have_their_own_in_finns_design(
    tmp_path: Path, compared: Comparisons
) -> None:
    if shutil.which("tclsh") is None:
        pytest.skip("tclsh: not found; install it (Debian: apt-get install tcl)")
    pictures = np.random.default_rng(5).integers(0, 256, (8, 6, 6, 1), dtype=np.uint8)
    found = in_fresh_process(_pair, tmp_path, pictures)
    assert len(found["wrappers"]) == 2
    for name, (wrapper, files) in found["wrappers"].items():
        assert "_address_o," not in wrapper and f'"./{name}_weights.mem"' in wrapper
        assert f"{name}_weights.mem" in files
    compared.arrays(found["golden"], found["results"].reshape(found["golden"].shape))
    assert len(np.unique(found["golden"])) > 8


def test_a_fifo_stands_behind_outputs_unlike_the_first() -> None:
    assert in_fresh_process(_unlike)[1] == ("StreamingFIFO_rtl", 2)


def _unlike() -> list[tuple[str, int]]:
    """FINN's InsertFIFO behind a node whose outputs have different numbers of channels."""
    api.register()
    from andpop.hw.graph.finn_graph import finn_graph
    from andpop.hw.graph.insert_streams import insert_streams
    from andpop.hw.graph.specialise import specialise
    from dataflow_graphs import GraphBuilder
    from finn.transformation.fpgadataflow.insert_fifo import InsertFIFO
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.custom_op.registry import getCustomOp

    g = GraphBuilder(1)
    x = g.input((1, 4, 4, 6), "UINT8")
    ends = [g.int_mvu(part, 3) for part in g.split(x, [4, 2])]
    model = finn_graph(insert_streams(specialise(ModelWrapper(g.model(ends)))))
    model = model.transform(InsertFIFO())
    (split,) = (n for n in model.graph.node if n.op_type == "StreamingSplit_rtl")
    behind = [model.find_consumer(name) for name in split.output]
    return [
        (node.op_type, getCustomOp(node).get_nodeattr("depth") if "FIFO" in node.op_type else 0)
        for node in behind
    ]
