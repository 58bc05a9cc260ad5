# SPDX-License-Identifier: Apache-2.0
"""Packed models that are damaged: found before anything is read; mutants are refused or run."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from andpop.flows.models import load
from andpop.hw.cpu import container
from andpop.hw.cpu.engine import Engine
from packed_files import (
    PREFIX,
    ZOO,
    Arrays,
    Header,
    card,
    catalogue,
    parts,
    refusal,
    resealed,
    sealed,
)
from safetensors.numpy import save_file

TESTS = Path(__file__).parent
STEPS = catalogue()


@pytest.mark.parametrize("seed", range(4))
def test_any_flipped_bit_is_found(tmp_path: Path, seed: int) -> None:
    data = sealed(tmp_path, *STEPS["int_convolution"]).read_bytes()
    rng = np.random.default_rng(seed)
    fixed = [*range(0, 8 * (PREFIX + 1), 3), 8 * len(data) - 1]
    for bit in [*fixed, *rng.integers(0, 8 * len(data), 150)]:
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << (bit % 8)
        path = tmp_path / "flipped.andpop"
        path.write_bytes(changed)
        refusal(path)


def test_every_flipped_bit_of_the_weights_is_found(tmp_path: Path) -> None:
    data = bytearray(ZOO.read_bytes())
    path = tmp_path / "flipped.andpop"
    for place in np.linspace(len(data) // 4, len(data) - 1, 40, dtype=int):
        data[place] ^= 4
        path.write_bytes(data)
        assert "its checksum does not fit its contents" in refusal(path)
        data[place] ^= 4
    path.write_bytes(data)
    Engine.load(path)


@pytest.mark.parametrize("size", [0, 7, 8, 39, 40, 47, 48, 100, 1000, -1])
def test_truncated_files_are_refused(tmp_path: Path, size: int) -> None:
    path = tmp_path / "cut.andpop"
    path.write_bytes(ZOO.read_bytes()[:size])
    found = refusal(path)
    assert ("not a packed model" if 0 <= size < 8 else "cut short or damaged") in found


@pytest.mark.parametrize("more", [b"\0", b"\n", bytes(64), b"x" * 1000])
def test_appended_bytes_are_refused(tmp_path: Path, more: bytes) -> None:
    path = tmp_path / "long.andpop"
    data = ZOO.read_bytes()
    path.write_bytes(data + more)
    assert "checksum" in refusal(path)
    body = data[40:] + more
    path.write_bytes(data[:8] + hashlib.sha256(body).digest() + body)
    assert f"found {len(more)} bytes behind its constants" in refusal(path)


def test_files_of_another_kind_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.andpop"
    for data in (b"", b"PK\x03\x04" + bytes(1000), b"ANDPOPxx" + bytes(100), b"{}" * 100):
        path.write_bytes(data)
        assert "not a packed model" in refusal(path)
    save_file({"w": np.zeros(3, np.float32)}, path)
    assert "checkpoints and graphs are packed by andpop build" in refusal(path)
    assert "cannot be read" in refusal(tmp_path / "absent.andpop")
    assert "cannot be read" in refusal(tmp_path)


def test_other_versions_are_named(tmp_path: Path) -> None:
    path = tmp_path / "old.andpop"
    save_file({"w": np.zeros(3, np.int8)}, path, {"andpop": '{"format": "andpop-packed"}'})
    assert "found packed version 1, expected 2; pack the model again" in refusal(path)
    path.write_bytes(b"ANDPOP07" + ZOO.read_bytes()[8:])
    assert "found packed version 7, expected 2" in refusal(path)


def test_a_file_is_read_up_to_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "MAX_FILE_BYTES", 1000)
    path = tmp_path / "large.andpop"
    path.write_bytes(ZOO.read_bytes())
    assert "found more than 1000 bytes" in refusal(path)


@pytest.mark.parametrize(
    "header",
    [
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"plan": 1e999}',
        b"[" * 100_000,
        b'{"plan": ' + b"9" * 10_000 + b"}",
        b'{"plan": {}, "constants": []}',
    ],
    ids=range(8),
)
def test_headers_that_are_none_are_refused(tmp_path: Path, header: bytes) -> None:
    path = tmp_path / "bad.andpop"
    path.write_bytes(container.seal(header, {}))
    assert "its header is damaged" in refusal(path)


def test_a_header_of_another_version_is_said(tmp_path: Path) -> None:
    """Plans without names of constants, say: the file is whole and yet not this version's."""

    def change(header: Header, arrays: Arrays) -> None:
        for step in header["plan"]["steps"]:
            step["constants"] = list(step["constants"].values())

    text = refusal(resealed(ZOO, tmp_path / "net.andpop", change))
    assert "another version of andpop wrote it; pack the model again" in text


def test_a_header_longer_than_its_file_is_refused(tmp_path: Path) -> None:
    body = (1 << 63).to_bytes(8, "little") + b"{}"
    path = tmp_path / "bad.andpop"
    path.write_bytes(b"ANDPOP02" + hashlib.sha256(body).digest() + body)
    assert "found a header of" in refusal(path)


def entry(index: int, **values: Any) -> Callable[[Header, Arrays], None]:
    """A change of how a constant is listed."""
    return lambda header, arrays: header["constants"][index].update(values)


def exchange(header: Header, arrays: Arrays) -> None:
    """Let two constants have each other's names."""
    first, second = header["constants"]
    first["name"], second["name"] = second["name"], first["name"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (entry(0, shape=[1 << 20]), "does not lie in the file"),
        (entry(0, shape=[1 << 28] * 8), "does not lie in the file"),
        (entry(0, shape=[0]), "header is damaged"),
        (entry(0, shape=[-1]), "header is damaged"),
        (entry(0, shape=[1] * 9), "header is damaged"),
        (entry(0, dtype="float32"), "header is damaged"),
        (entry(0, dtype="uint8"), "expected int8"),
        (entry(0, name="0.bias"), "stands twice"),
        (entry(0, name="x"), "is not in the file"),
        (entry(0, offset=3), "header is damaged"),
        (lambda header, arrays: header["constants"].pop(), "behind its constants"),
        (exchange, "plan step 'the node'"),
    ],
    ids=range(12),
)
def test_constants_that_do_not_fit_the_file_are_refused(
    tmp_path: Path, change: Callable[[Header, Arrays], None], words: str
) -> None:
    good = sealed(tmp_path, *STEPS["int_convolution"])
    assert words in refusal(resealed(good, tmp_path / "bad.andpop", change))


def test_a_pipe_is_no_packed_model(tmp_path: Path) -> None:
    path = tmp_path / "pipe.andpop"
    os.mkfifo(path)
    assert "found a pipe or a device" in refusal(path)


# Mutants


def fuzz(seed: int, count: int, folder: Path) -> str:
    """Run the program that tries mutants."""
    program = TESTS / "fuzz_packed.py"
    paths = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, program, str(seed), str(count), folder, ZOO],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert done.returncode == 0, f"exit {done.returncode}: {done.stderr[-2000:]}"
    return done.stdout


def test_mutants_are_refused_or_run_alike(tmp_path: Path) -> None:
    text = fuzz(1, 400, tmp_path)
    accepted = int(text.split(": ")[1].split(" accepted")[0])
    assert 20 < accepted < 200, text


@pytest.mark.full
@pytest.mark.parametrize("seed", range(2, 6))
def test_thousands_of_mutants_are_refused_or_run_alike(tmp_path: Path, seed: int) -> None:
    fuzz(seed, 2500, tmp_path)


def test_a_card_for_tests_is_one(tmp_path: Path) -> None:
    header, arrays = parts(ZOO)
    header["plan"]["card"] = card(6)
    assert load(sealed(tmp_path, header, arrays)).classes[5] == "class 5"
