# SPDX-License-Identifier: Apache-2.0
"""FINN's passes take andpop's graphs after one call; FINN's own RTL runs in Verilator."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from andpop.sim import finn_sources
from fresh_process import in_fresh_process

PART = "xc7z020clg400-1"
VERSAL = "xcvc1902-vsva2197-2MP-e-S"
TARGET = 2000


@pytest.fixture(scope="module")
def dataflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folded dataflow graph of a small network."""
    file = tmp_path_factory.mktemp("finn") / "dataflow.onnx"
    in_fresh_process(_write, file)
    return file


def _write(file: Path) -> None:
    from andpop.hw.graph import folding
    from andpop.hw.graph.specialise import specialise
    from dataflow_graphs import pa_resnet
    from qonnx.core.modelwrapper import ModelWrapper

    model = specialise(ModelWrapper(pa_resnet()))
    folding.fold(model, TARGET)
    model.save(str(file))


def _model(file: Path) -> Any:
    """What a user of FINN writes: one call, then FINN's own names."""
    import andpop

    andpop.register()
    from qonnx.core.modelwrapper import ModelWrapper

    return ModelWrapper(str(file))


def _tensors(model: Any) -> dict[str, tuple[Any, str]]:
    names = model.get_all_tensor_names()
    return {n: (model.get_tensor_shape(n), model.get_tensor_datatype(n).name) for n in names}


def _analyse(file: Path) -> dict[str, Any]:
    model = _model(file)
    from finn.analysis.fpgadataflow.dataflow_performance import dataflow_performance
    from finn.analysis.fpgadataflow.exp_cycles_per_layer import exp_cycles_per_layer
    from finn.analysis.fpgadataflow.op_and_param_counts import op_and_param_counts
    from finn.analysis.fpgadataflow.res_estimation import res_estimation
    from finn.transformation.fpgadataflow.annotate_cycles import AnnotateCycles

    return {
        "nodes": [node.name for node in model.graph.node],
        "cycles": model.analysis(exp_cycles_per_layer),
        "resources": model.analysis(lambda m: res_estimation(m, PART)),
        "counts": model.analysis(op_and_param_counts),
        "performance": model.transform(AnnotateCycles()).analysis(dataflow_performance),
    }


@pytest.fixture(scope="module")
def found(dataflow: Path) -> dict[str, Any]:
    """What FINN's analysis passes say of it."""
    result: dict[str, Any] = in_fresh_process(_analyse, dataflow)
    return result


def test_analysis_passes_see_every_node(found: dict[str, Any]) -> None:
    assert list(found["cycles"]) == list(found["resources"]) == found["nodes"]
    assert len(found["nodes"]) > 30
    slowest = max(found["cycles"].values())
    assert 0 < slowest <= TARGET and found["performance"]["max_cycles"] == slowest
    assert found["resources"]["IntMvu_2"]["DSP"] > 0
    assert all(row["LUT"] >= 0 for row in found["resources"].values())


def test_operations_and_parameters_are_counted(found: dict[str, Any]) -> None:
    counts = found["counts"]
    # 5x5 window of one channel, 6 outputs, 10x11 positions; then a classifier of 12 to 4.
    assert counts["IntMvu_2"] == {"op_mac_8bx8b": 25 * 6 * 110, "param_weight_8b": 25 * 6}
    assert counts["IntMvu_40"] == {"op_mac_8bx8b": 12 * 4, "param_weight_8b": 12 * 4}
    assert list(counts["SignedThresholding_5"]) == ["param_threshold_8b"]
    assert counts["total"]["param_weight_8b"] == 25 * 6 + 12 * 4
    assert sum(n for key, n in counts["total"].items() if key.startswith("op_mac")) > 100_000


def _transform(file: Path) -> dict[str, Any]:
    model = _model(file)
    from finn.transformation.fpgadataflow.create_dataflow_partition import CreateDataflowPartition
    from finn.transformation.fpgadataflow.insert_dwc import InsertDWC
    from finn.transformation.fpgadataflow.insert_fifo import InsertFIFO
    from finn.transformation.fpgadataflow.minimize_accumulator_width import (
        MinimizeAccumulatorWidth,
    )
    from finn.transformation.fpgadataflow.minimize_weight_bit_width import MinimizeWeightBitWidth
    from finn.transformation.fpgadataflow.specialize_layers import SpecializeLayers
    from qonnx.transformation.general import GiveReadableTensorNames, GiveUniqueNodeNames
    from qonnx.transformation.infer_datatypes import InferDataTypes
    from qonnx.transformation.infer_shapes import InferShapes

    before = _tensors(model)
    unchanged = {}
    for step in (InferShapes, InferDataTypes, MinimizeAccumulatorWidth, MinimizeWeightBitWidth):
        unchanged[step.__name__] = _tensors(model.transform(step())) == before
    named = model.transform(GiveUniqueNodeNames()).transform(GiveReadableTensorNames())
    stitched = model.transform(InsertDWC()).transform(InsertFIFO(create_shallow_fifos=True))
    stitched = stitched.transform(SpecializeLayers(PART)).transform(GiveUniqueNodeNames())
    partition = model.transform(CreateDataflowPartition())
    return {
        "unchanged": unchanged,
        "names": [node.name for node in named.graph.node],
        "ops": [node.op_type for node in stitched.graph.node],
        "partition": [node.op_type for node in partition.graph.node],
    }


def test_transformation_passes_take_the_graph(dataflow: Path) -> None:
    found = in_fresh_process(_transform, dataflow)
    assert found["unchanged"] == dict.fromkeys(found["unchanged"], True)
    assert len(set(found["names"])) == len(found["names"]) and "PaMvu_rtl_0" in found["names"]
    assert all(op.endswith("_rtl") for op in found["ops"])
    assert {"StreamingFIFO_rtl", "StreamingDataWidthConverter_rtl"} <= set(found["ops"])
    assert found["partition"] == ["StreamingDataflowPartition"]


def _fold(file: Path) -> dict[str, Any]:
    model = _model(file)
    import logging

    from finn.analysis.fpgadataflow.exp_cycles_per_layer import exp_cycles_per_layer
    from finn.transformation.fpgadataflow.set_folding import SetFolding
    from finn.util.logging import log
    from qonnx.custom_op.registry import getCustomOp

    said: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    log.addHandler(Listener())
    before = [(n.op_type, getCustomOp(n)) for n in model.graph.node if "Mvu" in n.op_type]
    kept = [(op, i.get_nodeattr("PE"), i.get_nodeattr("SIMD")) for op, i in before]
    folded = model.transform(SetFolding(TARGET))
    after = [(n.op_type, getCustomOp(n)) for n in folded.graph.node if "Mvu" in n.op_type]
    return {
        "said": said,
        "same": sorted(kept)
        == sorted((op, i.get_nodeattr("PE"), i.get_nodeattr("SIMD")) for op, i in after),
        "cycles": folded.analysis(exp_cycles_per_layer),
    }


def test_set_folding_leaves_andpops_ops_as_they_are_and_says_so(dataflow: Path) -> None:
    found = in_fresh_process(_fold, dataflow)
    assert found["same"]
    assert any("doesn't know how to handle op_type PaMvu_rtl" in text for text in found["said"])
    assert len(found["cycles"]) > 30


def _stitch(file: Path) -> tuple[list[str], set[str]]:
    # FINN's folder is one for all tests; here the script has to be the only one.
    os.environ["FINN_BUILD_DIR"] = str(file.parent)
    model = _model(file)
    from finn.transformation.fpgadataflow.create_stitched_ip import CreateStitchedIP
    from finn.transformation.fpgadataflow.hlssynth_ip import HLSSynthIP
    from finn.transformation.fpgadataflow.insert_dwc import InsertDWC
    from finn.transformation.fpgadataflow.insert_fifo import InsertFIFO
    from finn.transformation.fpgadataflow.prepare_ip import PrepareIP
    from finn.transformation.fpgadataflow.specialize_layers import SpecializeLayers
    from finn.util.settings import get_settings
    from qonnx.transformation.general import GiveReadableTensorNames, GiveUniqueNodeNames

    model = model.transform(InsertDWC()).transform(InsertFIFO(create_shallow_fifos=True))
    model = model.transform(SpecializeLayers(PART)).transform(GiveUniqueNodeNames())
    model = model.transform(GiveReadableTensorNames()).transform(PrepareIP(PART, 10.0))
    model = model.transform(HLSSynthIP())
    assert Path(get_settings().finn_build_dir) == file.parent
    try:
        model.transform(CreateStitchedIP(PART, 10.0))
    except FileNotFoundError as error:
        assert "vivado" in str(error)
    (script,) = file.parent.glob("vivado_stitch_proj_*/make_project.tcl")
    lines = script.read_text().splitlines()
    return lines, {node.name for node in model.graph.node}


def test_stitching_collects_files_that_exist_for_every_node(dataflow: Path) -> None:
    lines, nodes = in_fresh_process(_stitch, dataflow)
    sources = [Path(x.split()[-1]) for x in lines if x.startswith("add_files -norecurse")]
    # FINN names two of its own files by a variable that Vivado expands.
    sources = [s for s in sources if not s.parts[0].startswith("$::env(")]
    # The wrapper of the whole design is Vivado's to write.
    assert [s.name for s in sources if not s.is_file()] == ["finn_design_wrapper.v"]
    cells = {x.split()[-1] for x in lines if x.startswith("create_bd_cell -type module")}
    assert nodes <= cells


def _own(
    name: str, attrs: dict[str, Any], frames: list[Any], out: list[int], weights: Any,
    part: str = PART,
) -> Any:  # fmt: skip
    """Run one of FINN's own ops in Verilator; no kernel of andpop is registered."""
    from andpop.sim import xsi

    xsi.install()
    from finn.core.onnx_exec import execute_onnx
    from finn.transformation.fpgadataflow.prepare_ip import PrepareIP
    from finn.transformation.fpgadataflow.prepare_rtlsim import PrepareRTLSim
    from finn.transformation.fpgadataflow.set_exec_mode import SetExecMode
    from onnx import TensorProto, helper
    from qonnx.core.datatype import DataType
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.custom_op.registry import getCustomOp

    node = helper.make_node(
        name, ["x", "w"] if weights is not None else ["x"], ["y"], name=f"{name}_0",
        domain="finn.custom_op.fpgadataflow.rtl", backend="fpgadataflow", **attrs,
    )  # fmt: skip
    ends = [
        [helper.make_tensor_value_info(tensor, TensorProto.FLOAT, list(shape))]
        for tensor, shape in (("x", frames[0].shape), ("y", out))
    ]
    graph = helper.make_graph([node], "own", *ends)
    model = ModelWrapper(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]))
    op = getCustomOp(model.graph.node[0])
    assert type(op).__module__.startswith("finn.")
    if weights is not None:
        model.set_initializer("w", weights.astype(np.float32))
        model.set_tensor_datatype("w", DataType[attrs["weightDataType"]])
    model.set_tensor_datatype("x", op.get_input_datatype())
    model.set_tensor_datatype("y", op.get_output_datatype())
    for step in (SetExecMode("rtlsim"), PrepareIP(part, 10.0), PrepareRTLSim(num_workers=1)):
        model = model.transform(step)
    return [execute_onnx(model, {"x": f.astype(np.float32)})["y"] for f in frames]


@pytest.mark.sim
@pytest.mark.parametrize("depth", [40, 3000])
def test_finns_own_fifo_passes_everything_through(depth: int) -> None:
    rng = np.random.default_rng(depth)
    shape = [1, 20, 30, 4]
    frames = [rng.integers(-128, 128, shape) for _ in range(2)]
    attrs = {"depth": depth, "dataType": "INT8", "normal_shape": shape}
    attrs |= {"folded_shape": [*shape[:-1], 1, 4]}
    got = in_fresh_process(_own, "StreamingFIFO_rtl", attrs, frames, shape, None)
    np.testing.assert_array_equal(np.stack(got), np.stack(frames))


@pytest.mark.sim
@pytest.mark.parametrize(
    ("simd", "pe", "x_type", "w_type"),
    [(6, 4, "INT4", "INT4"), (9, 2, "UINT8", "INT8")],
)
def test_finns_own_mvau_multiplies_exactly(simd: int, pe: int, x_type: str, w_type: str) -> None:
    limits = {"INT4": (-8, 8), "INT8": (-128, 128), "UINT8": (0, 256)}
    rng = np.random.default_rng(simd)
    weights = rng.integers(*limits[w_type], (18, 8))
    frames = [rng.integers(*limits[x_type], (1, 5, 5, 18)) for _ in range(2)]
    attrs = {
        "MW": 18, "MH": 8, "SIMD": simd, "PE": pe, "inputDataType": x_type,
        "weightDataType": w_type, "outputDataType": "INT32", "accDataType": "INT32",
        "noActivation": 1, "numInputVectors": [1, 5, 5], "mem_mode": "internal_decoupled",
        "resType": "dsp",
    }  # fmt: skip
    got = in_fresh_process(_own, "MVAU_rtl", attrs, frames, [1, 5, 5, 8], weights)
    np.testing.assert_array_equal(np.stack(got), np.stack(frames) @ weights)


@pytest.mark.sim
def test_finns_own_vvau_multiplies_exactly() -> None:
    """Its words hold some channels of a position; all positions of those come first."""
    channels, pe, simd = 6, 2, 3
    rng = np.random.default_rng(1)
    weights = rng.integers(-8, 8, (channels, 1, 3, 3))
    frames = [rng.integers(-8, 8, (1, 3, 3, 9 * channels)) for _ in range(2)]
    attrs = {
        "Channels": channels, "Kernel": [3, 3], "Dim": [3, 3], "SIMD": simd, "PE": pe,
        "inputDataType": "INT4", "weightDataType": "INT4", "outputDataType": "INT12",
        "accDataType": "INT12", "noActivation": 1, "mem_mode": "internal_decoupled",
        "resType": "dsp",
    }  # fmt: skip
    streams = [
        f.reshape(9, 9, channels // pe, pe).transpose(0, 2, 1, 3).reshape(f.shape) for f in frames
    ]
    out = [1, 3, 3, channels]
    got = in_fresh_process(_own, "VVAU_rtl", attrs, streams, out, weights, VERSAL)
    taps = np.stack(frames).reshape(2, 1, 3, 3, 9, channels)
    expected = np.einsum("...tc,ct->...c", taps, weights.reshape(channels, 9))
    np.testing.assert_array_equal(np.stack(got), expected)


def _library() -> Path:
    import finn

    return Path(finn.__path__[0]) / "finn-rtllib"


@pytest.mark.parametrize("name", sorted(finn_sources.EDITS))
def test_a_known_text_is_edited_in_a_copy(name: str, tmp_path: Path) -> None:
    (source,) = _library().rglob(name)
    before = source.read_bytes()
    copy = finn_sources.adapt(source, tmp_path)
    assert copy == tmp_path / name and source.read_bytes() == before
    for old, new in finn_sources.EDITS[name].replacements:
        assert before.decode().count(old) == 1
        assert new in copy.read_text()


@pytest.mark.parametrize("name", sorted(finn_sources.EDITS))
def test_another_text_is_left_alone_and_said(name: str, tmp_path: Path) -> None:
    source = tmp_path / name
    (known,) = _library().rglob(name)
    source.write_bytes(known.read_bytes() + b"\n")
    with pytest.warns(UserWarning, match=f"{name}: is not the text of finn-plus 1.6.1"):
        assert finn_sources.adapt(source, tmp_path / "adapted") == source
    assert not (tmp_path / "adapted").exists()


def test_a_source_of_another_name_is_taken_as_it_is(tmp_path: Path) -> None:
    source = tmp_path / "mine.sv"
    source.write_text("module mine; endmodule\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert finn_sources.adapt(source, tmp_path / "adapted") == source
