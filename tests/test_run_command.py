# SPDX-License-Identifier: Apache-2.0
"""`andpop run`: as a user calls it, at a pseudo-terminal with a board behind it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from andpop.flows import api
from andpop.flows.files import BuildFiles
from andpop.flows.models import load_cpu_model
from andpop.hw.rtl.top_info import TopInfo, build_hash
from andpop.hw.targets import vectors
from andpop.hw.targets.serial.network import Link
from andpop.sim.network import unpack_words
from foreign_graphs import QONNX, Net, first, head
from PIL import Image
from program import Run
from serial_board import Board, Faults

COUNT = 100


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> tuple[BuildFiles, Path]:
    """The build of a small network of five classes; a hundred pictures."""
    folder = tmp_path_factory.mktemp("run")
    net = Net(10, 10)
    signs = net.op(
        "BipolarQuant", [net.constant(net.weights(4, 4, 3, 3)), net.constant(1.0)], QONNX
    )
    conv = net.op("Conv", [first(net), signs], kernel_shape=[3, 3])
    head(net, net.quant(net.norm(conv, 4), signed=0), 4)
    onnx.save(net.model([1, 5]), folder / "net.onnx")
    api.build(folder / "net.onnx", folder / "build", target_cycles=1000)
    (folder / "pictures").mkdir()
    for number in range(COUNT):
        values = np.random.default_rng(number).integers(0, 256, (10, 10), dtype=np.uint8)
        Image.fromarray(values).save(folder / "pictures" / f"{number:03}.png")
    return BuildFiles(folder / "build"), folder / "pictures"


def computes(files: BuildFiles) -> Callable[[bytes], bytes]:
    """What the build's board makes of a picture's bytes, by the CPU engine."""
    info, engine = TopInfo.load(files.rtl), load_cpu_model(files.packed).engine

    def compute(picture: bytes) -> bytes:
        words = np.frombuffer(picture, np.uint8).reshape(info.input.words, -1)
        pixels = unpack_words(words, 8, info.input.lanes, False).astype(np.uint8)
        (index,) = engine.run(pixels.reshape(1, *info.input.shape[1:]))[0]
        return int(index).to_bytes(1, "little")

    return compute


def board(files: BuildFiles, folder: Path, faults: Faults | None = None) -> Board:
    link = Link.of(TopInfo.load(files.rtl), build_hash(files.rtl))
    sizes = (link.picture_bytes, link.result_bytes)
    return Board(folder / "tty", computes(files), *sizes, link.build_hash, faults)


def test_a_hundred_pictures_with_faults_on_the_line(
    network: tuple[BuildFiles, Path], tmp_path: Path, run: Run
) -> None:
    files, pictures = network
    faults = Faults(bits_in=3e-4, bits_out=1e-3, lost_in=2e-4, lost_out=1e-3, silent=0.02, seed=1)
    with board(files, tmp_path, faults) as there:
        code, text, _ = run(
            "run", files.folder, "--port", there.path, "--images", pictures, "--check",
            "--self-test", "--timeout", 0.3, "--json",
        )  # fmt: skip
    found = json.loads(text)
    assert code == 0
    assert found["pictures"] == COUNT and found["pictures_per_second"] > 0
    assert found["check"]["values_compared"] == COUNT
    assert found["self_test"]["values_compared"] == vectors.PICTURES
    assert found["values_differing"] == 0
    assert found["troubles"]["resent"] > 0
    expected = api.infer(files.folder, pictures)["predictions"]
    keys = ("picture", "class", "index")
    assert [[p[k] for k in keys] for p in found["predictions"]] == [
        [p[k] for k in keys] for p in expected
    ]
    assert {p["logits"] for p in found["predictions"]} == {None}


def test_what_people_see(network: tuple[BuildFiles, Path], tmp_path: Path, run: Run) -> None:
    files, pictures = network
    with board(files, tmp_path) as there:
        code, text, _ = run(
            "run", files.folder, "--port", there.path, "--images", pictures, "--count", 3, "--check"
        )
    assert code == 0
    assert "002.png" in text and "003.png" not in text
    assert "check: 3 values of 3 pictures compared with the CPU engine, 0 differing" in text
    assert "board: not compared: " in text and "a board gives its results alone" in text


def test_a_wrong_board_is_found_out(
    network: tuple[BuildFiles, Path], tmp_path: Path, run: Run
) -> None:
    files, pictures = network
    right = computes(files)
    there = board(files, tmp_path)
    there._compute = lambda picture: bytes([right(picture)[0] ^ 1])
    with there:
        code, text, error = run(
            "run", files.folder, "--port", there.path, "--images", pictures, "--count", 2,
            "--check", "--self-test",
        )  # fmt: skip
    assert code == 1
    assert "self-test: 2 values of 2 pictures compared with the golden model, 2 differing" in text
    assert "check: 2 values of 2 pictures compared with the CPU engine, 2 differing" in text
    assert "picture: 000.png" in error and "backend: board" in error


def test_the_self_test_needs_no_picture(
    network: tuple[BuildFiles, Path], tmp_path: Path, run: Run
) -> None:
    files, _ = network
    with board(files, tmp_path) as there:
        code, text, _ = run("run", files.folder, "--port", there.path, "--self-test", "--json")
    found = json.loads(text)
    assert code == 0 and found["self_test"]["values_differing"] == 0
    assert found["check"] is None and found["pictures"] == 0 and "predictions" not in found
    assert found["status"]["build"] == build_hash(files.rtl).hex()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["--self-test"],
            "--port: found none, expected --simulated, --routed or one of this machine's: ",
        ),
        (
            ["--simulated", "--port", "x", "--self-test"],
            "--port: found --port and --simulated, expected",
        ),
        (["--port", "x"], "--images: found none, expected pictures to run, or --self-test"),
        (["--port", "x", "--self-test", "--check"], "found none, expected pictures for --check"),
        (["--port", "/dev/nowhere", "--self-test"], "/dev/nowhere: found no such port, expected"),
        (["--port", "x", "--self-test", "--timeout", 0], "--timeout: found 0.0, expected seconds"),
        (
            ["--port", "x", "--self-test", "--baud", 0],
            "--baud': Input should be greater than or equal to 1",
        ),
    ],
)
def test_bad_usage_is_one_line(
    network: tuple[BuildFiles, Path], run: Run, arguments: list[object], said: str
) -> None:
    code, _, error = run("run", network[0].folder, *arguments)
    assert code == 2 and said in error and len(error.splitlines()) == 1


def test_another_build_on_the_board_is_one_line(
    network: tuple[BuildFiles, Path], tmp_path: Path, run: Run
) -> None:
    files, pictures = network
    there = board(files, tmp_path)
    there._build = bytes(16)
    with there:
        code, _, error = run("run", files.folder, "--port", there.path, "--images", pictures)
    assert code == 1 and "found the build 0000000000000000 on the board" in error


def test_vectors_lie_in_the_build(network: tuple[BuildFiles, Path]) -> None:
    files, _ = network
    stored = vectors.read(files.vectors)
    assert stored.pictures.shape == (vectors.PICTURES, 10, 10, 1)
    assert np.array_equal(stored.pictures, vectors.draw(10, 10, 1))
    classes, _ = load_cpu_model(files.packed).run(stored.pictures)
    assert np.array_equal(stored.results[0].reshape(-1), classes)
    assert stored.distinct == (1,)
    assert stored.layers == 1 + sum(len(gap["layers"]) for gap in stored.not_covered)


def test_damaged_vectors_are_told(network: tuple[BuildFiles, Path], tmp_path: Path) -> None:
    content = network[0].vectors.read_bytes()
    for wrong in (b"", content[: len(content) // 2], b"x" * 100):
        (tmp_path / "vectors.npz").write_bytes(wrong)
        with pytest.raises(vectors.VectorsError, match="found no vectors"):
            vectors.read(tmp_path / "vectors.npz")
    with pytest.raises(vectors.VectorsError, match="build again"):
        vectors.read(tmp_path / "missing.npz")


@pytest.mark.sim
def test_the_rtl_behind_the_link(network: tuple[BuildFiles, Path], run: Run) -> None:
    """Every picture through the RTL that a bitstream is made of, as a user without a board asks."""
    files, pictures = network
    code, text, _ = run(
        "run", files.folder, "--simulated", "--images", pictures, "--check", "--self-test", "--json"
    )
    found = json.loads(text)
    assert code == 0 and found["values_differing"] == 0
    assert found["check"]["values_compared"] == COUNT
    assert found["self_test"]["values_compared"] == vectors.PICTURES
    status = found["status"]
    assert status["pictures"] == status["results"] == COUNT + vectors.PICTURES
    assert status["refused"] == status["unknown"] == 0
    assert found["troubles"] == {
        "resent": 0, "silences": 0, "refused": {}, "strays": 0, "damaged": 0, "reconnects": 0,
    }  # fmt: skip
