# SPDX-License-Identifier: Apache-2.0
"""What a command may be given as a model: a build folder, a checkpoint or a packed CPU model."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..sim.cache import building, content_key, subfolder
from .errors import UsageError, require
from .folder import reads_build

if TYPE_CHECKING:
    from ..hw.cpu.engine import Engine

PACKED = ".andpop"
CHECKPOINT = ".safetensors"
QONNX = ".onnx"


def require_hardware(command: str) -> None:
    """Check for what lowers and builds networks; gives FINN a folder unless the user has one.

    Raises:
        MissingExtra: finn, qonnx, onnx, torch or brevitas is missing.
    """
    if "FINN_BUILD_DIR" not in os.environ:
        os.environ["FINN_BUILD_DIR"] = str(subfolder("finn"))
    require(command, "finn", "qonnx", "onnx", "torch", "brevitas")


@dataclass(frozen=True)
class BuildFiles:
    """The files of a finished build."""

    folder: Path

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint.safetensors"

    @property
    def card(self) -> Path:
        return self.folder / "checkpoint.json"

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
    if beside.is_file() and _packed_from(beside) == sha256(path):
        return beside
    return _compile(path)


def _packed_from(packed: Path) -> str | None:
    """SHA-256 of the checkpoint a packed model was made from."""
    card = load_cpu_model(packed).engine.card or {}
    value: str | None = card.get("checkpoint_sha256")
    return value


def _compile(checkpoint: Path) -> Path:
    require_hardware("infer")
    from . import steps

    card = checkpoint.with_suffix(".json")
    files = [sha256(file) for file in (checkpoint, card) if file.is_file()]
    name = f"model{PACKED}"
    with building(content_key("packed", *files)) as (final, work):
        if work is not None:
            steps.compile_checkpoint(checkpoint, work / name)
    return final / name


@dataclass(frozen=True)
class CpuModel:
    """A packed model in the CPU engine, with what its card says about pictures and classes."""

    engine: Engine
    shape: tuple[int, int, int]
    """Input height, width, channels."""
    classes: tuple[str, ...]
    """Class names; numbers where the model came without a card."""
    resize_filter: str

    def run(
        self, pictures: npt.NDArray[np.uint8], threads: int = 1
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return class indices (N,) and integer logits (N, L) of (N, H, W, C) pictures."""
        return self.engine.run(pictures, threads=threads)

    def masks(self, pictures: npt.NDArray[np.uint8], threads: int = 1) -> npt.NDArray[np.int64]:
        """Return a class index per pixel (N, H, W) of (N, H, W, C) pictures."""
        return self.engine.masks(pictures, threads=threads)

    @property
    def predicts_masks(self) -> bool:
        """True if the network finds a class per pixel."""
        return self.engine.mask_shape is not None

    @property
    def card(self) -> dict[str, Any] | None:
        """The card of the checkpoint the model was made from, if it had one."""
        return self.engine.card


def load_cpu_model(packed: Path) -> CpuModel:
    """Load a packed model into the CPU engine."""
    from ..hw.cpu.engine import Engine

    engine = Engine.load(packed)
    card = engine.card or {}
    height, width, channels = engine.input_shape
    classes = tuple(card.get("classes") or map(str, range(engine.labels)))
    filter = card.get("resize", "bilinear")
    return CpuModel(engine, (height, width, channels), classes, filter)


@reads_build
def load(path: Path | str) -> CpuModel:
    """Load a build folder, a checkpoint or a packed model for the CPU.

    Example:
        >>> model = andpop.load("bi-shufflenet-neu.andpop")
        >>> classes, logits = model.run(pictures)
    """
    return load_cpu_model(packed_model(Path(path)))


def checkpoint_of(path: Path) -> Path | None:
    """Return a checkpoint, or that of a build folder that was made from one; else None."""
    checkpoint = BuildFiles(path).checkpoint if path.is_dir() else path
    return checkpoint if checkpoint.suffix == CHECKPOINT and checkpoint.is_file() else None


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
