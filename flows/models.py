# SPDX-License-Identifier: Apache-2.0
"""What a command may be given as a model: a build folder, a checkpoint or a packed CPU model."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import UsageError, require

if TYPE_CHECKING:
    from ..hw.cpu.engine import Engine

PACKED = ".andpop"
CHECKPOINT = ".safetensors"
QONNX = ".onnx"


@dataclass(frozen=True)
class BuildFiles:
    """The files of a finished build."""

    folder: Path

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint.safetensors"

    @property
    def qonnx(self) -> Path:
        return self.folder / "model.qonnx.onnx"

    @property
    def dataflow(self) -> Path:
        return self.folder / "dataflow.onnx"

    @property
    def packed(self) -> Path:
        return self.folder / "model.andpop"

    @property
    def rtl(self) -> Path:
        return self.folder / "rtl"

    @property
    def fifos(self) -> Path:
        return self.folder / "fifo.json"

    @property
    def report(self) -> Path:
        return self.folder / "report.json"


def open_build(folder: Path) -> BuildFiles:
    """Return the files of a build folder.

    Raises:
        UsageError: the folder is missing or no finished build.
    """
    if not folder.is_dir():
        raise UsageError(
            f"{folder}: no such folder; make it with: andpop build CKPT --out {folder}"
        )
    files = BuildFiles(folder)
    if not (folder / "build.json").is_file() or not files.dataflow.is_file():
        raise UsageError(
            f"{folder}: is not a build of andpop (no build.json); "
            f"make one with: andpop build CKPT --out {folder}"
        )
    return files


def packed_model(path: Path) -> Path:
    """Return the packed CPU model of a build, a checkpoint or a packed model.

    A checkpoint uses the packed model beside it if that was made from it; otherwise it is
    compiled once into the cache (needs the extras train and hw).

    Raises:
        UsageError: the path is none of the three.
    """
    if path.is_dir():
        files = open_build(path)
        if not files.packed.is_file():
            raise UsageError(f"{path}: the build has no CPU model yet; run andpop build again")
        return files.packed
    if not path.is_file():
        raise UsageError(f"{path}: no such file; expected a build folder, {CHECKPOINT} or {PACKED}")
    if path.suffix == PACKED:
        return path
    if path.suffix != CHECKPOINT:
        raise UsageError(
            f"{path}: found a {path.suffix or 'suffixless'} file, expected a build folder, "
            f"a checkpoint ({CHECKPOINT}) or a packed model ({PACKED})"
        )
    beside = path.with_suffix(PACKED)
    if beside.is_file() and load_engine(beside).card.get("checkpoint_sha256") == sha256(path):
        return beside
    return _compile(path)


def _compile(checkpoint: Path) -> Path:
    require("infer", "torch", "brevitas", "onnx", "qonnx", "finn")
    from . import steps

    cache = Path(os.environ.get("ANDPOP_CACHE", Path.home() / ".cache" / "andpop"))
    card = checkpoint.with_suffix(".json")
    key = hashlib.sha256((sha256(checkpoint) + (sha256(card) if card.is_file() else "")).encode())
    target = cache / "packed" / f"{key.hexdigest()[:32]}{PACKED}"
    if not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        steps.compile_checkpoint(checkpoint, target)
    return target


def load_engine(packed: Path) -> Engine:
    """Load a packed model into the CPU engine."""
    from ..hw.cpu.engine import Engine

    return Engine.load(packed)


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def card_of(engine: Engine) -> dict[str, Any]:
    """The card packed with a model."""
    return dict(engine.card)
