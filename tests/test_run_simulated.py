# SPDX-License-Identifier: Apache-2.0
"""`andpop run` on RTL boards: bad lines, a host that was killed, several heads, masks."""

from __future__ import annotations

import json
import os
import tty
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from andpop.flows import api
from andpop.flows.files import BuildFiles
from andpop.hw.rtl.top_info import build_hash
from andpop.hw.targets import vectors
from andpop.hw.targets.serial.link import Frame, Kind
from andpop.hw.targets.serial.simulated import build_board, running_board
from noisy_line import NoisyLine
from PIL import Image
from program import Run
from serial_board import Faults
from two_heads import two_heads

SIDE = 12
COUNT = 30


def draw(folder: Path, side: int, count: int) -> Path:
    """Fill a folder with noise."""
    folder.mkdir()
    for number in range(count):
        values = np.random.default_rng(number).integers(0, 256, (side, side), dtype=np.uint8)
        Image.fromarray(values).save(folder / f"{number:03}.png")
    return folder


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> tuple[BuildFiles, Path]:
    """The build of a network of two heads, a class and a class per pixel; pictures."""
    folder = tmp_path_factory.mktemp("simulated")
    onnx.save(two_heads(side=SIDE), folder / "net.onnx")
    api.build(folder / "net.onnx", folder / "build", target_cycles=1000)
    return BuildFiles(folder / "build"), draw(folder / "pictures", SIDE, COUNT)


@pytest.fixture
def port(network: tuple[BuildFiles, Path]) -> Iterator[str]:
    """A simulated board's port."""
    files, _ = network
    with running_board(build_board(files.rtl, build_hash(files.rtl))) as name:
        yield name


@pytest.mark.sim
def test_two_heads(network: tuple[BuildFiles, Path], run: Run) -> None:
    """Every value of both: a class, and a class for each of 10x10 pixels."""
    files, pictures = network
    code, text, _ = run(
        "run", files.folder, "--simulated", "--images", pictures, "--check", "--self-test", "--json"
    )
    found = json.loads(text)
    assert code == 0 and found["values_differing"] == 0
    each = 1 + (SIDE - 2) ** 2
    assert found["check"]["values_compared"] == COUNT * each
    assert found["self_test"]["values_compared"] == vectors.PICTURES * each
    assert found["check"]["layers"] == 2 and found["task"] is None


@pytest.mark.sim
def test_a_bad_line_gives_no_wrong_result(
    network: tuple[BuildFiles, Path], port: str, run: Run
) -> None:
    files, pictures = network
    faults = Faults(bits_in=3e-4, bits_out=1e-4, lost_in=3e-4, lost_out=1e-4, seed=1)
    with NoisyLine(port, faults) as line:
        code, text, _ = run(
            "run", files.folder, "--port", line.port, "--images", pictures, "--check",
            "--timeout", 2, "--json",
        )  # fmt: skip
    found = json.loads(text)
    assert code == 0 and found["pictures"] == COUNT and found["values_differing"] == 0
    assert found["troubles"]["resent"] > 0 and found["troubles"]["refused"]


@pytest.mark.sim
def test_a_run_after_one_that_was_killed(
    network: tuple[BuildFiles, Path], port: str, run: Run
) -> None:
    """Half a picture lies in the network, and answers of another run wait at the port."""
    files, pictures = network
    frame = Frame(Kind.PICTURE, 1, bytes(SIDE * SIDE)).encode()
    left = os.open(port, os.O_RDWR | os.O_NOCTTY)
    tty.setraw(left)
    os.write(left, 3 * frame + frame[: len(frame) // 2])
    os.close(left)
    code, text, _ = run(
        "run", files.folder, "--port", port, "--images", pictures, "--check", "--json"
    )
    found = json.loads(text)
    assert code == 0 and found["values_differing"] == 0
    assert found["status"]["pictures"] == COUNT


@pytest.mark.sim
def test_the_board_of_another_build(
    network: tuple[BuildFiles, Path], tmp_path: Path, run: Run
) -> None:
    files, pictures = network
    with running_board(build_board(files.rtl, bytes(16))) as port:
        code, _, error = run("run", files.folder, "--port", port, "--images", pictures)
    assert code == 1 and "found the build 0000000000000000 on the board, expected" in error


@pytest.mark.full
@pytest.mark.sim
@pytest.mark.parametrize(
    ("name", "side", "cycles"),
    [("bi-shufflenet-synthetic", 64, 65_536), ("u-binet-k4-mt", 32, 65_536)],
)
def test_shipped_networks(tmp_path: Path, run: Run, name: str, side: int, cycles: int) -> None:
    """A hundred pictures through the RTL of a shipped network; of masks also the files."""
    folder, out = tmp_path / "build", tmp_path / "masks"
    source = api.ZOO / f"{name}.safetensors"
    api.build(source, folder, input=f"{side}x{side}x1", target_cycles=cycles)
    pictures = draw(tmp_path / "pictures", side, 100)
    masks = name.startswith("u-binet")
    code, text, error = run(
        "run", folder, "--simulated", "--images", pictures, "--check", "--self-test", "--json",
        *(("--out", out) if masks else ()),
    )  # fmt: skip
    assert code == 0, error
    found = json.loads(text)
    assert found["pictures"] == 100 and found["values_differing"] == 0
    assert found["check"]["values_compared"] == 100 * (side**2 if masks else 1)
    expected = api.infer(folder, pictures)["predictions"]
    keys = ("defect_pixels",) if masks else ("class", "index")
    assert [[p[k] for k in keys] for p in found["predictions"]] == [
        [p[k] for k in keys] for p in expected
    ]
    assert len(list(out.glob("*.mask.png"))) == (100 if masks else 0)
