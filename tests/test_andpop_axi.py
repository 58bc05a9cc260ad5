# SPDX-License-Identifier: Apache-2.0
"""A network between its DMAs on AXI: exact with every bus and stream width, never a hang."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from andpop.hw.boards import find
from andpop.hw.graph.executor import run
from andpop.hw.graph.folding import fold
from andpop.hw.graph.specialise import specialise
from andpop.hw.rtl.simulate import emit
from andpop.hw.rtl.top_info import TopInfo
from andpop.hw.targets.zynq import Project, emit_project
from andpop.hw.targets.zynq.system import System
from andpop.sim import verilator
from andpop.sim.bench import run_cocotb
from axi_network import Shape, Stream, frames, write_build
from dataflow_graphs import GraphBuilder
from finn.util.data_packing import finnpy_to_packed_bytearray
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper

pytestmark = pytest.mark.sim

SHAPES = {
    "bytes64": (64, Shape(Stream(8, 96), (Stream(8, 1),))),
    "wide64": (64, Shape(Stream(64, 64), (Stream(64, 64),))),
    "odd64": (64, Shape(Stream(24, 70), (Stream(37, 35), Stream(8, 7)))),
    "odd32": (32, Shape(Stream(44, 33), (Stream(20, 11),))),
}
SHORT = {"batches": 6, "errors": 6, "resets": 8}
LONG = {"batches": 40, "errors": 30, "resets": 40}
SEEDS = range(2, 8)


def play(
    project: Project,
    frames: list[tuple[bytes, list[bytes]]],
    folder: Path,
    data_bits: int,
    counts: dict[str, int],
    seed: int = 1,
    only: str = "",
) -> int:
    """Run the bench over a project's RTL, from that folder alone; return the number of tests."""
    info = TopInfo.load(project.folder.parent / "rtl")
    plan = {
        "seed": seed,
        "data_bits": data_bits,
        "words": [info.input.words, *(t.words for t in info.outputs)],
        "frames": [(f.hex(), [h.hex() for h in heads]) for f, heads in frames],
        "hash": project.build_hash,
        "watchdog": System(info).watchdog,
        **counts,
    }
    (folder / "plan.json").write_text(json.dumps(plan))
    environment = {"ANDPOP_PLAN": str(folder / "plan.json")}
    if only:
        environment["COCOTB_TEST_FILTER"] = only
    sources = [project.folder / s for s in project.sources]
    return run_cocotb(
        sources, project.top, ["tb_axi"], folder / "run", data=project.folder / "rtl",
        environment=environment,
    )  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_bench(name: str, tmp_path: Path) -> None:
    data_bits, shape = SHAPES[name]
    write_build(tmp_path / "build", shape)
    project = emit_project(tmp_path / "build", find("pynq-z2"), data_bits=data_bits)
    sources = [project.folder / s for s in project.sources]
    assert verilator.lint(sources, project.top, cwd=project.folder / "rtl") == ""
    assert play(project, frames(shape, 8, 1), tmp_path, data_bits, SHORT) == 10


@pytest.mark.full
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", SHAPES)
def test_bench_long(name: str, seed: int, tmp_path: Path) -> None:
    data_bits, shape = SHAPES[name]
    write_build(tmp_path / "build", shape)
    project = emit_project(tmp_path / "build", find("pynq-z2"), data_bits=data_bits)
    assert play(project, frames(shape, 8, seed), tmp_path, data_bits, LONG, seed) == 10


def packed(values: npt.NDArray[Any], side: dict[str, Any], letter: str) -> list[bytes]:
    """Return a tensor (frames, ...) frame by frame as FINN's driver puts it into memory."""
    folded = [len(values), *side[f"{letter}shape_folded"][0][1:]]
    name = side[f"{letter}dt"][0].split("'")[1]
    found = finnpy_to_packed_bytearray(
        values.reshape(folded).astype(np.float32), DataType[name],
        reverse_endian=True, reverse_inner=True,
    )  # fmt: skip
    assert list(found.shape[1:]) == side[f"{letter}shape_packed"][0][1:]
    return [np.ascontiguousarray(frame).tobytes() for frame in found]


def test_network_packed_as_finns_driver_does(tmp_path: Path) -> None:
    """A real network in its project folder, memories and all, between goldens in FINN's packing."""
    g = GraphBuilder(4)
    x = g.epilogue(g.int_mvu(g.input((1, 6, 8, 3), "UINT8"), 4))
    x = g.int_mvu(g.max_pool(x, [2, 2], [2, 2], [0] * 4), 3)
    model = fold(specialise(ModelWrapper(g.model([x]))), 100)
    emit(model, tmp_path / "build/rtl")
    project = emit_project(tmp_path / "build", find("pynq-z2"))
    assert project.memories
    pictures = np.random.default_rng(6).integers(0, 256, (8, 6, 8, 3), dtype=np.uint8)
    (golden,) = run(model, pictures).values()
    settings = json.loads((project.folder / project.settings).read_text())
    shapes = settings["driver_information"]["io_shape_dict"]
    results = packed(golden, shapes, "o")
    assert len(set(results)) == len(results)
    pairs = [(f, [r]) for f, r in zip(packed(pictures, shapes, "i"), results, strict=True)]
    assert play(project, pairs, tmp_path, 64, SHORT, only="batches") == 1
