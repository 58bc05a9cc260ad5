# SPDX-License-Identifier: Apache-2.0
"""The network between two DMAs on AXI: exact with every bus and stream width, never a hang."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from andpop.hw.boards import find
from andpop.hw.targets.zynq import emit_project
from andpop.sim import verilator
from andpop.sim.bench import run_cocotb
from axi_network import Shape, Stream, frames, write_build

pytestmark = pytest.mark.sim

SHAPES = {
    "bytes64": (64, Shape(Stream(8, 96), (Stream(8, 1),))),
    "odd64": (64, Shape(Stream(24, 70), (Stream(37, 35), Stream(8, 7)))),
    "wide64": (64, Shape(Stream(64, 64), (Stream(64, 64),))),
    "odd32": (32, Shape(Stream(24, 33), (Stream(44, 11),))),
}


@pytest.mark.parametrize("name", SHAPES)
def test_bench(name: str, tmp_path: Path) -> None:
    data_bits, shape = SHAPES[name]
    write_build(tmp_path / "build", shape)
    project = emit_project(tmp_path / "build", find("pynq-z2"), data_bits=data_bits)
    sources = [project.folder / s for s in project.sources]
    cwd = project.folder / "rtl"
    assert verilator.lint(sources, project.top, cwd=cwd) == ""
    plan = {
        "seed": 1,
        "data_bits": data_bits,
        "words": [shape.input.words, *(h.words for h in shape.heads)],
        "frames": [(f.hex(), [h.hex() for h in heads]) for f, heads in frames(shape, 8, 1)],
        "batches": 8,
        "errors": 6,
        "resets": 8,
        "hash": project.build_hash,
        "watchdog": 4 * shape.input.words + 100_000,
    }
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    environment = {"ANDPOP_PLAN": str(tmp_path / "plan.json")}
    run_cocotb(
        sources, project.top, ["tb_axi"], tmp_path / "run", data=cwd, environment=environment
    )
