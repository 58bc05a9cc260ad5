# SPDX-License-Identifier: Apache-2.0
"""Both drivers on `andpop_axi` in Verilator: exact, and with a report where nothing comes back."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from deployed import Deployed, classifier, several
from finn_plus_driver import FINNDMAOverlay
from verilated_board import VerilatedBoard, build_board

pytestmark = pytest.mark.sim

NETWORKS = {"classifier": (classifier, 32), "several": (several, 64)}
"""Networks, and bits of the ports to memory around them."""
PICTURES = 1000


@dataclass(frozen=True)
class Board:
    """A network whose project was compiled."""

    network: Deployed
    executable: Path
    driver: Any
    """The emitted package."""

    def start(self, folder: Path, seed: int = 1) -> VerilatedBoard:
        """Switch it on."""
        return VerilatedBoard(self.executable, self.network.project, folder, seed)

    def accelerator(self, hardware: VerilatedBoard, **options: Any) -> Any:
        """Our driver."""
        device = self.network.device(hardware)
        return self.driver.Accelerator(self.network.deploy, device=device, **options)

    def compare(self, pictures: Any, found: Any) -> int:
        """Compare what every head gave; return the number of values."""
        wanted = self.network.golden(pictures)
        for got, want in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(np.asarray(got).reshape(want.shape), want)
        return sum(w.size for w in wanted)


@pytest.fixture(scope="module", params=NETWORKS)
def board(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Board]:
    folder = tmp_path_factory.mktemp("board")
    make, data_bits = NETWORKS[request.param]
    network = Deployed.of(make(), folder / "build", data_bits)
    executable = build_board(network.project, len(network.info.outputs), folder / "ports")
    sys.path.insert(0, str(network.deploy))
    yield Board(network, executable, importlib.import_module("andpop_board"))
    sys.path.pop(0)
    for name in [n for n in sys.modules if n.partition(".")[0] == "andpop_board"]:
        del sys.modules[name]


def test_our_driver_is_exact(board: Board, tmp_path: Path) -> None:
    pictures = board.network.pictures(PICTURES)
    with board.start(tmp_path) as hardware:
        accelerator = board.accelerator(hardware, batch=48)
        found = accelerator.run(pictures)
        assert board.compare(pictures, found.values()) >= PICTURES
        state = accelerator.state()
    assert (state.submitted, state.returned, state.trouble) == (PICTURES + 3, PICTURES + 3, "")
    assert all(s.frames == PICTURES + 3 and s.peak > 0 for s in state.streams)


def test_finns_driver_is_exact(board: Board, tmp_path: Path) -> None:
    network, batch = board.network, 50
    pictures = network.pictures(PICTURES, 7)
    with board.start(tmp_path) as hardware:
        accelerator = FINNDMAOverlay(
            str(network.deploy / "andpop.bit"), **network.settings["driver_information"],
            batch_size=batch, device=network.device(hardware),
        )  # fmt: skip
        for i in range(0, PICTURES, batch):
            found = accelerator.execute(pictures[i : i + batch])
            results = found if accelerator.num_outputs > 1 else [found]
            board.compare(pictures[i : i + batch], results)
        assert accelerator.throughput_test()["batch_size"] == batch


@pytest.mark.parametrize("seed", [2, 3, 4])
def test_the_bus_may_pause_as_it_likes(board: Board, seed: int, tmp_path: Path) -> None:
    with board.start(tmp_path, seed) as hardware:
        accelerator = board.accelerator(hardware, batch=seed)
        pictures = board.network.pictures(40, seed)
        board.compare(pictures, accelerator.run(pictures).values())


def test_a_hung_network_ends_in_the_timeout_with_the_dump(board: Board, tmp_path: Path) -> None:
    with board.start(tmp_path) as hardware:
        accelerator = board.accelerator(hardware, batch=4, timeout=0.1)
        hardware.write(0, 0x30, 0)  # no watchdog

        def batches() -> Iterator[Any]:
            for number in range(8):
                if number == 4:
                    hardware.hang(True)
                yield board.network.pictures(4, number)

        stream = accelerator.stream(batches())
        for number in range(2):
            board.compare(board.network.pictures(4, number), next(stream).values())
        with pytest.raises(board.driver.FrameLost, match="no answer within") as lost:
            list(stream)
        state = lost.value.state
        source, *heads = state.streams
        assert source.works and source.stands_still and source.still_cycles > 1000
        assert all(h.works and h.under_way and h.stands_still for h in heads)
        assert state.returned < state.submitted and all(h.frames < 23 for h in heads)
        assert f"odma0: works, stands still; {heads[0].under_way} batches" in state.text()
        hardware.hang(False)
        accelerator.reset()
        pictures = board.network.pictures(20, 3)
        board.compare(pictures, accelerator.run(pictures).values())


def test_the_watchdog_ends_the_wait(board: Board, tmp_path: Path) -> None:
    with board.start(tmp_path) as hardware:
        accelerator = board.accelerator(hardware, timeout=60.0)
        hardware.hang(True)
        with pytest.raises(board.driver.FrameLost, match="the watchdog saw a standstill") as lost:
            accelerator.run(board.network.pictures(4))
        state = lost.value.state
        assert state.watchdog and state.quiet_cycles >= state.limit_cycles > 100_000
        hardware.hang(False)
        accelerator.reset()
        assert accelerator.self_test() > 0
        assert not accelerator.state().watchdog


def test_errors_of_the_memory_are_told(board: Board, tmp_path: Path) -> None:
    with board.start(tmp_path) as hardware:
        accelerator = board.accelerator(hardware, batch=4, timeout=60.0)
        slot = accelerator._slots[1]
        buffers = {"idma0": slot.source, **{f"odma{i}": s for i, s in enumerate(slot.sinks)}}
        for name, buffer in buffers.items():
            last = buffer.device_address + buffer.nbytes - 1
            hardware.spoil(range(last, last + 1))
            message = f"{name}: bad response of the memory"
            with pytest.raises(board.driver.FrameLost, match=message) as lost:
                accelerator.run(board.network.pictures(16))
            assert [s.name for s in lost.value.state.streams if s.errors] == [name]
            hardware.spoil(range(0))
            accelerator.reset()
            pictures = board.network.pictures(9, 3)
            board.compare(pictures, accelerator.run(pictures).values())


def test_a_stream_that_is_left_is_reset_in_the_middle(board: Board, tmp_path: Path) -> None:
    with board.start(tmp_path) as hardware:
        accelerator = board.accelerator(hardware, batch=6)
        for number in range(6):
            stream = accelerator.stream(board.network.pictures(6, seed) for seed in range(9))
            for _ in range(1 + number % 3):
                next(stream)
            stream.close()
            pictures = board.network.pictures(7, number)
            board.compare(pictures, accelerator.run(pictures).values())


def test_another_build_is_refused(board: Board, tmp_path: Path) -> None:
    path = board.network.deploy / "settings.json"
    text = path.read_text()
    settings = json.loads(text)
    settings["andpop"]["build_hash"] = "f" * 32
    path.write_text(json.dumps(settings))
    try:
        with (
            board.start(tmp_path) as hardware,
            pytest.raises(board.driver.WrongBuild, match=board.network.project.build_hash),
        ):
            board.accelerator(hardware)
    finally:
        path.write_text(text)
