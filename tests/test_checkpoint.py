# SPDX-License-Identifier: Apache-2.0
"""Checkpoints come back bit for bit, and whatever is wrong with one is said in one line."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from andpop.models.build import build, load_network, save_network
from andpop.quant import checkpoint, files
from andpop.quant.checkpoint import Card, CheckpointError, InputSize
from andpop.quant.exact import exact_eval

CONFIG = {"width": 0.25, "classes": 3}


def make_card(frozen: bool) -> Card:
    return Card(
        network="bi-shufflenet",
        config=CONFIG,
        input=InputSize(height=32, width=32, channels=1),
        classes=["a", "b", "c"],
        frozen=frozen,
    )


@pytest.fixture()
def saved(tmp_path: Path) -> Path:
    torch.manual_seed(3)
    net = build("bi-shufflenet", CONFIG)
    net.freeze()
    path = tmp_path / "net.safetensors"
    save_network(net, path, make_card(True))
    return path


@pytest.mark.parametrize("frozen", [True, False])
def test_loaded_network_computes_the_same_bits(tmp_path: Path, frozen: bool) -> None:
    torch.manual_seed(4)
    net = build("bi-shufflenet", CONFIG)
    pictures = torch.randint(0, 256, (8, 1, 32, 32)).float()
    net(pictures)
    if frozen:
        net.freeze()
    path = tmp_path / "net.safetensors"
    save_network(net, path, make_card(frozen))
    loaded, card = load_network(path)
    assert card == make_card(frozen)
    assert loaded.frozen == frozen and not loaded.training
    with exact_eval():
        assert torch.equal(net.eval()(pictures), loaded(pictures))


def test_frozen_checkpoint_holds_small_integers_only(saved: Path) -> None:
    tensors, _ = checkpoint.read(saved)
    assert {value.dtype.kind for value in tensors.values()} == {"i"}
    assert tensors["stage2.0.left.0.weight"].dtype == np.int8
    assert set(np.unique(tensors["stage2.0.left.0.weight"])) == {-1, 1}


def test_nothing_is_left_beside_the_files(saved: Path) -> None:
    assert sorted(p.name for p in saved.parent.iterdir()) == ["net.json", "net.safetensors"]


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".pkl", ".ckpt"])
def test_pickles_are_refused_with_a_hint(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"net{suffix}"
    path.write_bytes(b"\x80\x04.")
    with pytest.raises(CheckpointError, match="pickles can run code.*safetensors"):
        load_network(path)


@pytest.mark.parametrize("keep", [0, 5, 100, 0.5, 0.999])
def test_truncated_file_is_refused(saved: Path, keep: float) -> None:
    content = saved.read_bytes()
    saved.write_bytes(content[: int(keep if keep > 1 else keep * len(content))])
    with pytest.raises(CheckpointError, match="not a whole safetensors file") as caught:
        load_network(saved)
    assert "\n" not in str(caught.value)


def test_missing_files_are_named(saved: Path) -> None:
    with pytest.raises(CheckpointError, match="none.safetensors: no such file"):
        load_network(saved.with_name("none.safetensors"))
    checkpoint.card_path(saved).unlink()
    with pytest.raises(CheckpointError, match="net.json: no such file, expected the card"):
        load_network(saved)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"config": {"width": 0.5, "classes": 3}}, "has shape .* the card's network needs"),
        ({"config": {"width": 0.25, "classes": 3, "right": [3]}}, "use the card written with"),
        ({"config": {"width": 0.25, "classes": 4}}, "classes: found 3, config says 4"),
        ({"config": {"width": 0.25, "classes": 3, "depth": 9}}, "config.depth"),
        ({"input": {"height": 32, "width": 32, "channels": 3}}, "input.channels: found 3"),
        ({"network": "resnet"}, "expected one of: bi-shufflenet"),
        ({"surprise": 1}, "surprise"),
        ({"frozen": False}, "use the card written with this file"),
        ({"input": {"height": 0, "width": 32, "channels": 1}}, "input.height"),
    ],
)
def test_card_that_disagrees_is_refused(
    saved: Path, change: dict[str, object], message: str
) -> None:
    path = checkpoint.card_path(saved)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(CheckpointError, match=message) as caught:
        load_network(saved)
    assert "\n" not in str(caught.value)


def test_card_that_is_no_json_is_refused(saved: Path) -> None:
    checkpoint.card_path(saved).write_text("{")
    with pytest.raises(CheckpointError, match="net.json"):
        load_network(saved)


def test_nan_is_neither_written_nor_read(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    with pytest.raises(CheckpointError, match="w holds NaN"):
        checkpoint.write(path, {"w": np.array([np.nan])}, make_card(False))
    assert not path.exists()
    checkpoint.write(path, {"w": np.zeros(1, np.float32)}, make_card(False))
    content = path.read_bytes()
    path.write_bytes(content[:-4] + np.float32(np.nan).tobytes())
    with pytest.raises(CheckpointError, match="w holds NaN"):
        checkpoint.read(path)


def test_fractions_are_no_frozen_network(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    with pytest.raises(CheckpointError, match="w: found values that are not integers"):
        checkpoint.write(path, {"w": np.array([0.5])}, make_card(True))
    checkpoint.write(path, {"w": np.array([0.5])}, make_card(False))
    card = checkpoint.card_path(path)
    card.write_text(card.read_text().replace('"frozen": false', '"frozen": true'))
    with pytest.raises(CheckpointError, match="w is float64, expected integers"):
        checkpoint.read(path)


def test_failed_write_keeps_the_old_file(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.write(saved, {"w": np.zeros(1)}, make_card(False))
    assert saved.read_bytes() == before
    assert sorted(p.name for p in saved.parent.iterdir()) == ["net.json", "net.safetensors"]


def test_a_pair_of_two_different_writes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "net.safetensors"
    checkpoint.write(path, {"w": np.zeros(1, np.float32)}, make_card(False))
    real = checkpoint.replace_file

    def killed(target: Path, content: bytes) -> None:
        if target.suffix == ".json":
            raise KeyboardInterrupt
        real(target, content)

    monkeypatch.setattr(checkpoint, "replace_file", killed)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.write(path, {"w": np.ones(1, np.float32)}, make_card(False))
    with pytest.raises(CheckpointError, match="not those of its card net.json"):
        checkpoint.read(path)
    monkeypatch.setattr(checkpoint, "replace_file", real)
    checkpoint.write(path, {"w": np.ones(1, np.float32)}, make_card(False))
    assert checkpoint.read(path)[0]["w"].tolist() == [1.0]


def test_a_file_is_replaced_behind_its_link_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "link.json"
    link.symlink_to(tmp_path / "real" / "file.json")
    # Longer than what follows: left by a killed process.
    (tmp_path / "real" / ".file.json.part").write_bytes(b"x" * 1000)
    checkpoint.replace_file(link, b"new")
    assert link.is_symlink() and link.read_bytes() == b"new"
    assert [p.name for p in (tmp_path / "real").iterdir()] == ["file.json"]


def test_two_writers_of_one_file_leave_one_of_their_texts(tmp_path: Path) -> None:
    path = tmp_path / "file"
    texts = [bytes([65 + i]) * 200_000 for i in range(4)]

    def write(text: bytes) -> None:
        for _ in range(20):
            files.replace_file(path, text)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, texts))
    assert path.read_bytes() in texts
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_device_is_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(files.FileError, match="no ordinary file"):
        files.replace_file(pipe, b"x")
    assert pipe.is_fifo()


def test_cards_of_older_versions_are_read(saved: Path) -> None:
    """They tell formats and a grey rule that nothing ever read."""
    whole = checkpoint.read_card(saved)
    path = checkpoint.card_path(saved)
    written = json.loads(path.read_text())
    assert not {"quantisation", "grey"} & set(written)
    old = {"quantisation": {"stream_bits": 8}, "grey": "ITU-R 601-2 luma"}
    path.write_text(json.dumps({**written, **old}))
    assert checkpoint.read_card(saved) == whole
    path.write_text(json.dumps({**written, "grey": "mean"}))
    with pytest.raises(CheckpointError, match="found grey 'mean', expected ITU-R 601-2 luma"):
        checkpoint.read_card(saved)
