# SPDX-License-Identifier: Apache-2.0
"""The driver that a board gets: exact, never waiting for ever, telling what it saw."""

from __future__ import annotations

import ast
import importlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from andpop.flows.commands.vivado import zynq_project
from andpop.flows.errors import UsageError
from andpop.flows.files import BuildFiles
from andpop.hw.boards import find
from andpop.quant.pictures import read_picture
from andpop.sim.network import pack_words
from deployed import CLASSES, Deployed, classifier, several
from IPython.core.interactiveshell import InteractiveShell
from PIL import Image
from pynq import Device

NETWORKS = {"classifier": classifier, "several": several}
ON_THE_BOARD = {"PIL", "numpy", "pynq", *sys.stdlib_module_names}
OLDEST = (3, 10)
"""Python of a PYNQ image 3.0."""


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Deployed]:
    folder = tmp_path_factory.mktemp("networks")
    return {name: Deployed.of(make(), folder / name) for name, make in NETWORKS.items()}


@pytest.fixture(scope="module")
def board(networks: dict[str, Deployed]) -> Iterator[Any]:
    """The emitted package, imported as on the board."""
    sys.path.insert(0, str(networks["classifier"].deploy))
    yield importlib.import_module("andpop_board")
    sys.path.pop(0)
    for name in [n for n in sys.modules if n.partition(".")[0] == "andpop_board"]:
        del sys.modules[name]


def accelerator(board: Any, network: Deployed, hardware: Any = None, **options: Any) -> Any:
    device = network.device(network.model_board() if hardware is None else hardware)
    return board.Accelerator(network.deploy, device=device, **options)


def compare(network: Deployed, pictures: Any, found: dict[str, Any]) -> int:
    """Compare what every head gave; return the number of values."""
    wanted = network.golden(pictures)
    assert list(found) == [head.name for head in network.heads]
    for got, want in zip(found.values(), wanted, strict=True):
        assert got.dtype == np.int64
        np.testing.assert_array_equal(got.reshape(want.shape), want)
    return sum(w.size for w in wanted)


def test_the_folder_needs_no_andpop(networks: dict[str, Deployed]) -> None:
    for network in networks.values():
        before = {f: f.read_bytes() for f in network.deploy.rglob("*") if f.is_file()}
        written = network.write()
        assert before == {f: f.read_bytes() for f in network.deploy.rglob("*") if f.is_file()}
        names = {"settings.json", "andpop.bit", *(w.removeprefix("deploy/") for w in written)}
        assert names == {f.relative_to(network.deploy).as_posix() for f in before}
        for name in names:
            if not name.endswith(".py"):
                continue
            text = (network.deploy / name).read_text(encoding="utf-8")
            for node in ast.walk(ast.parse(text, feature_version=OLDEST)):
                if isinstance(node, ast.Import):
                    assert {a.name.partition(".")[0] for a in node.names} <= ON_THE_BOARD
                elif isinstance(node, ast.ImportFrom) and node.level:
                    assert node.level == 1, f"{name}: leaves the package"
                    assert f"andpop_board/{(node.module or '').partition('.')[0]}.py" in names
                elif isinstance(node, ast.ImportFrom):
                    assert str(node.module).partition(".")[0] in ON_THE_BOARD


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("latency", [0, 1, 7])
def test_results_are_exact(
    board: Any, networks: dict[str, Deployed], name: str, latency: int
) -> None:
    network = networks[name]
    hardware = network.model_board(latency=latency)
    driver = accelerator(board, network, hardware, batch=5)
    compared = 0
    for count in (1, 5, 6, 23):
        pictures = network.pictures(count, count)
        compared += compare(network, pictures, driver.run(pictures))
    assert compared >= 35
    assert hardware.dmas[0].frames == 3 + 35
    state = driver.state()
    assert (state.submitted, state.returned, state.trouble) == (38, 38, "")
    assert [s.under_way for s in state.streams] == [0] * len(hardware.dmas)


def test_two_batches_are_under_way(board: Any, networks: dict[str, Deployed]) -> None:
    network = networks["classifier"]
    hardware = network.model_board(latency=4)
    driver = accelerator(board, network, hardware, batch=2)
    sent = []

    def batches() -> Iterator[Any]:
        for seed in range(6):
            sent.append(network.pictures(2, seed))
            yield sent[-1]

    for number, found in enumerate(driver.stream(batches())):
        assert len(sent) == min(number + 3, 6), "the next batch is read while two are computed"
        compare(network, sent[number], found)


def test_a_stream_that_is_left_does_not_spoil_the_next(
    board: Any, networks: dict[str, Deployed]
) -> None:
    network = networks["several"]
    driver = accelerator(board, network, batch=2)
    stream = driver.stream(network.pictures(2, seed) for seed in range(5))
    next(stream)
    with pytest.raises(board.BoardError, match="found one in use"):
        driver.run(network.pictures(1))
    stream.close()
    pictures = network.pictures(3, 9)
    compare(network, pictures, driver.run(pictures))


def test_answers_have_names(board: Any, networks: dict[str, Deployed]) -> None:
    network = networks["classifier"]
    pictures = network.pictures(9)
    driver = accelerator(board, network)
    assert driver.classes(pictures) == [CLASSES[int(i)] for i in network.golden(pictures)[0].flat]
    with pytest.raises(board.BoardError, match="found heads of kind class, expected class_map"):
        driver.masks(pictures)
    network = networks["several"]
    pictures = network.pictures(4)
    masks = accelerator(board, network).masks(pictures)
    np.testing.assert_array_equal(masks, network.golden(pictures)[0][..., 0] != 0)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_hung_network_ends_in_the_timeout_with_the_dump(
    board: Any, networks: dict[str, Deployed], name: str
) -> None:
    network = networks[name]
    hardware = network.model_board()
    driver = accelerator(board, network, hardware, batch=4, timeout=0.2)
    hardware.hang_after = hardware.given + 6
    begin = time.monotonic()
    with pytest.raises(board.FrameLost, match=r"no answer within 0\.2 s.*7 of 15 frames") as lost:
        driver.run(network.pictures(12))
    assert time.monotonic() < begin + 5
    state = lost.value.state
    assert [s.frames for s in state.streams] == [7] * len(state.streams)
    source, *heads = state.streams
    assert source.works and all(h.works and h.stands_still for h in heads)
    assert all(h.batch == 4 and h.under_way and h.still_cycles for h in heads)
    assert all(s.peak == 5 and s.room == 64 for s in state.streams)
    text = state.text()
    assert "odma0: works, stands still" in text and "7 came back" in text
    assert json.loads(json.dumps(state.as_dict()))["streams"][0]["name"] == "idma0"
    with pytest.raises(board.BoardError, match="call reset"):
        driver.run(network.pictures(1))
    hardware.hang_after = None
    driver.reset()
    pictures = network.pictures(9, 2)
    compare(network, pictures, driver.run(pictures))


def test_the_watchdog_ends_the_wait_at_once(board: Any, networks: dict[str, Deployed]) -> None:
    network = networks["classifier"]
    hardware = network.model_board(bites=True)
    driver = accelerator(board, network, hardware, timeout=20.0)
    hardware.hang_after = hardware.given
    with pytest.raises(board.FrameLost, match="the watchdog saw a standstill") as lost:
        driver.run(network.pictures(2))
    assert lost.value.state.watchdog


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", [1, 3, 4, 8, 11, 16, 17, 32])
@pytest.mark.parametrize("lanes", [1, 3, 4])
def test_words_are_those_of_the_network(board: Any, bits: int, lanes: int, signed: bool) -> None:
    low = -(1 << bits - 1) if signed else 0
    rng = np.random.default_rng(bits)
    values = rng.integers(low, low + (1 << bits), (5, 4, 3 * lanes))
    values[0, 0, :2] = low, low + (1 << bits) - 1
    packed = pack_words(values.reshape(5, -1), bits, lanes)
    words = importlib.import_module("andpop_board.words")
    stream = words.Stream("odma0", bits, signed, (4, 3 * lanes), lanes, packed.shape[1:])
    np.testing.assert_array_equal(stream.pack(values), packed)
    np.testing.assert_array_equal(stream.unpack(packed), values)


@pytest.mark.parametrize("victim", ["idma0", "odma0", "odma2"])
def test_a_bad_response_is_told(board: Any, networks: dict[str, Deployed], victim: str) -> None:
    network = networks["several"]
    hardware = network.model_board()
    driver = accelerator(board, network, hardware, batch=2, timeout=20.0)
    slot = driver._slots[0]
    buffer = {"idma0": slot.source, "odma0": slot.sinks[0], "odma2": slot.sinks[2]}[victim]
    hardware.bad = range(buffer.device_address + 1, buffer.device_address + 2)
    with pytest.raises(board.FrameLost, match=f"{victim}: bad response of the memory") as lost:
        driver.run(network.pictures(6))
    assert [s.name for s in lost.value.state.streams if s.errors] == [victim]
    hardware.bad = range(0)
    driver.reset()
    pictures = network.pictures(6, 3)
    compare(network, pictures, driver.run(pictures))


def test_another_build_is_refused(board: Any, networks: dict[str, Deployed]) -> None:
    network = networks["classifier"]
    hardware = network.model_board()
    hardware.build_hash = "00" * 16
    with pytest.raises(board.WrongBuild, match=f"expected {network.project.build_hash}"):
        accelerator(board, network, hardware)
    hardware = network.model_board()
    hardware.read = lambda block, offset: 0
    with pytest.raises(board.WrongBuild, match="found 0x00000000 of version 0"):
        accelerator(board, network, hardware)
    hardware = network.model_board()
    hardware.frame_bytes = [*hardware.frame_bytes, 1]
    hardware.load()
    with pytest.raises(board.WrongBuild, match="2 outputs, expected 1 and 1"):
        accelerator(board, network, hardware)


def test_a_network_that_computes_otherwise_fails_its_self_test(
    board: Any, networks: dict[str, Deployed]
) -> None:
    network = networks["several"]
    hardware = network.model_board()

    def wrong(frames: Any) -> list[Any]:
        outputs = [np.array(r) for r in network.frames(frames)]
        if len(frames):
            outputs[0][1, 0] ^= 1
        return outputs

    hardware.function = wrong
    with pytest.raises(board.SelfTestError, match=r"at \(1, 0, 0\) of mask, .*1 of 108 values"):
        accelerator(board, network, hardware)
    assert accelerator(board, network, hardware, self_test=False).network.name == "tiny"


def test_damaged_folders_are_told(
    board: Any, networks: dict[str, Deployed], tmp_path: Path
) -> None:
    network = networks["classifier"]
    faults = {
        "andpop.bit": (None, "found no such file"),
        "settings.json": ("{}", "settings that cannot be read"),
        "network.json": ("{", "found no settings"),
        "vectors.npz": ("PK", "found no vectors"),
    }
    for name, (text, message) in faults.items():
        path = network.deploy / name
        content = path.read_bytes()
        path.unlink()
        if text is not None:
            path.write_text(text)
        with pytest.raises(board.BoardError, match=message) as error:
            accelerator(board, network)
        assert "\n" not in str(error.value)
        path.write_bytes(content)
    driver = accelerator(board, network)
    for pictures, message in (
        (network.pictures(1)[:, 1:], r"found uint8 \(1, 5, 6, 1\)"),
        (network.pictures(1).astype(np.int64), "found int64"),
        (network.pictures(0), "found none"),
    ):
        with pytest.raises(ValueError, match=message):
            driver.run(pictures)
    pictures = network.pictures(2)
    compare(network, pictures, driver.run(pictures))


def test_a_build_without_hardware_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"top\.json: no such file; build it without --until"):
        zynq_project(BuildFiles(tmp_path), find("pynq-z2"), tmp_path / "vivado")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures of several sizes and kinds."""
    rng = np.random.default_rng(1)
    (tmp_path / "in" / "more").mkdir(parents=True)
    for i, size in enumerate([(6, 6), (8, 8), (20, 13), (40, 9, 3), (11, 7)]):
        pixels = rng.integers(0, 256, size, dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "in" / ("more" if i % 2 else "") / f"p{i}.png")
    return tmp_path / "in"


def command(
    board: Any, network: Deployed, monkeypatch: pytest.MonkeyPatch, *arguments: Any
) -> tuple[Any, int]:
    """Run the command as on the board; return the board and the exit code."""
    hardware = network.model_board()
    monkeypatch.setattr(Device, "_active_device", network.device(hardware), raising=False)
    main = importlib.import_module("andpop_board.__main__").main
    return hardware, main(["--folder", str(network.deploy), *map(str, arguments)])


def test_the_command_prints_classes(
    board: Any, networks: dict[str, Deployed], folder: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    network = networks["classifier"]
    _, code = command(board, network, monkeypatch, "--images", folder, "--batch", 2)
    out, err = capsys.readouterr()
    assert (code, err) == (0, "self-test: 3 values, all equal\n")
    lines = [line.split("\t") for line in out.splitlines()]
    names = [Path(name).name for name, _ in lines]
    assert names == ["p1.png", "p3.png", "p0.png", "p2.png", "p4.png"]
    pictures = np.stack([read_picture(name, 6, 6, 1) for name, _ in lines])
    assert [c for _, c in lines] == [CLASSES[int(i)] for i in network.golden(pictures)[0].flat]


def test_the_command_writes_masks_and_maps(
    board: Any, networks: dict[str, Deployed], folder: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    network, target = networks["several"], tmp_path / "out"
    _, code = command(
        board, network, monkeypatch, "--images", folder, "--out", target, "--json", "--no-self-test"
    )
    assert code == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    pictures = np.stack([read_picture(row["picture"], 8, 8, 1) for row in rows])
    masks, scaled, signs = network.golden(pictures)
    for i, row in enumerate(rows):
        assert row["mask"] == np.count_nonzero(masks[i])
        mask = np.asarray(Image.open(row["mask file"]))
        np.testing.assert_array_equal(mask, 255 * (masks[i, ..., 0] != 0))
        np.testing.assert_array_equal(np.load(row["scaled file"]), scaled[i])
        np.testing.assert_array_equal(np.load(row["signs file"]), signs[i])
    assert (target / "more" / "p1.mask.png").is_file()


def test_the_command_tells_what_is_wrong(
    board: Any, networks: dict[str, Deployed], folder: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    network = networks["classifier"]
    assert command(board, network, monkeypatch)[1] == 0
    assert capsys.readouterr().out.startswith(f"build {network.project.build_hash}; idle")
    assert command(board, network, monkeypatch, "--images", tmp_path / "no")[1] == 1
    assert "no such file or folder" in capsys.readouterr().err
    with monkeypatch.context() as old:
        old.setattr("PIL.__version__", "9.0.1")
        assert command(board, network, old, "--images", folder)[1] == 1
    assert "Pillow: found 9.0.1, expected 10.1 or newer" in capsys.readouterr().err
    dump = tmp_path / "state.json"
    hangs = network.model_board

    def hung() -> Any:
        return hangs(hang_after=0)

    monkeypatch.setattr(Deployed, "model_board", lambda self: hung())
    arguments = ("--images", folder, "--timeout", 0.1, "--dump", dump)
    assert command(board, network, monkeypatch, *arguments)[1] == 1
    err = capsys.readouterr().err.splitlines()
    assert "found no answer within 0.1 s" in err[0] and "odma0: works" in err[-1]
    assert json.loads(dump.read_text())["returned"] == 0


@pytest.mark.parametrize("name", NETWORKS)
def test_the_notebook_runs(
    board: Any, networks: dict[str, Deployed], name: str, folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    network = networks[name]
    device = network.device(network.model_board())
    monkeypatch.setattr(Device, "_active_device", device, raising=False)
    monkeypatch.setattr(board.accelerator, "__file__", str(network.deploy / "andpop_board/x.py"))
    notebook = json.loads((network.deploy / "andpop.ipynb").read_text())
    assert {c["cell_type"] for c in notebook["cells"]} == {"markdown", "code"}
    shell = InteractiveShell()
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            result = shell.run_cell("".join(cell["source"]), silent=True)
            result.raise_error()
    assert shell.user_ns["pace"] > 0
    shell.run_cell(f"found = read_all({str(folder)!r})", silent=True).raise_error()
    assert shell.user_ns["found"].shape == (5, *network.info.input.shape[1:])
