# SPDX-License-Identifier: Apache-2.0
"""Whole networks on a simulated PYNQ-Z2: from checkpoint to classes by both drivers, exact."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from andpop.flows import api
from andpop.flows.commands.vivado import zynq_project
from andpop.flows.files import open_build
from andpop.hw.boards import find
from andpop.hw.cpu.engine import Engine
from andpop.quant import synthetic
from andpop.quant.pictures import list_pictures, read_picture
from fake_pynq import FakeDevice
from finn_plus_driver import FINNDMAOverlay
from networks import RANDOM, SHIPPED, Subject, grouped
from verilated_board import VerilatedBoard, build_board

pytestmark = [pytest.mark.full, pytest.mark.sim]

PER_CLASS = 2


@pytest.mark.parametrize("subject", grouped(RANDOM, SHIPPED[0]))
def test_both_drivers_give_the_classes_of_the_cpu(
    subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    side = subject.side
    api.build(
        subject.checkpoint(tmp_path), tmp_path / "build", board="pynq-z2",
        input=f"{side}x{side}x1", target_cycles=subject.target_cycles,
    )  # fmt: skip
    files = open_build(tmp_path / "build")
    synthetic.generate(tmp_path / "pictures", PER_CLASS, side, seed=3)
    pictures = np.stack(
        [read_picture(p, side, side, 1) for p in list_pictures(tmp_path / "pictures")]
    )
    wanted, _ = Engine.load(files.packed).run(pictures)
    project = zynq_project(files, find("pynq-z2"), tmp_path / "vivado")
    deploy = project.folder / "deploy"
    (deploy / "andpop.bit").write_bytes(b"no bits")
    executable = build_board(project, 1, tmp_path / "ports")
    monkeypatch.syspath_prepend(deploy)
    try:
        board = importlib.import_module("andpop_board")
        with VerilatedBoard(executable, project, tmp_path) as hardware:
            device = FakeDevice(hardware, ["control0", "idma0", "odma0"])
            # A simulated second is far longer than one on the board.
            accelerator = board.Accelerator(deploy, device=device, batch=4, timeout=600.0)
            (found,) = accelerator.run(pictures).values()
            np.testing.assert_array_equal(found, wanted)
            state = accelerator.state()
            settings = json.loads((deploy / "settings.json").read_text())
            finn = FINNDMAOverlay(
                str(deploy / "andpop.bit"), **settings["driver_information"],
                batch_size=len(pictures), device=device,
            )  # fmt: skip
            np.testing.assert_array_equal(np.ravel(finn.execute(pictures)), wanted)
    finally:
        for name in [n for n in sys.modules if n.partition(".")[0] == "andpop_board"]:
            del sys.modules[name]
    assert len(wanted) == PER_CLASS * len(synthetic.CLASSES)
    assert state.returned == len(wanted) + 2 and not state.trouble
