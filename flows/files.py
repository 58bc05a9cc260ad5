# SPDX-License-Identifier: Apache-2.0
"""Which files a build folder has, and what names the files around it end in."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from .errors import UsageError
from .folder import STATE

AnyPath = Path | str
"""What callers from outside may give as a path."""

PACKED = ".andpop"
CHECKPOINT = ".safetensors"
QONNX = ".onnx"
"""Ends of the names of a packed CPU model, a checkpoint and a graph."""
PACKED_NAME = f"model{PACKED}"


@dataclass(frozen=True)
class BuildFiles:
    """The files of a build."""

    folder: Path

    @property
    def checkpoint(self) -> Path:
        """Copy of the checkpoint; missing where the build was made from QONNX."""
        return self.folder / f"checkpoint{CHECKPOINT}"

    @property
    def card(self) -> Path:
        """Card of the checkpoint."""
        return self.folder / "checkpoint.json"

    @property
    def source(self) -> Path:
        """What was read of somebody else's QONNX; missing where there is a checkpoint."""
        return self.folder / "source.json"

    @property
    def qonnx(self) -> Path:
        """The network as QONNX."""
        return self.folder / "model.qonnx.onnx"

    @property
    def lowered(self) -> Path:
        """The dataflow graph as it was lowered: what every backend computes."""
        return self.folder / "lowered.onnx"

    @property
    def dataflow(self) -> Path:
        """The graph of the hardware: nodes fused, lanes chosen."""
        return self.folder / "dataflow.onnx"

    @property
    def folding(self) -> Path:
        """Folding of every node."""
        return self.folder / "folding.json"

    @property
    def fit(self) -> Path:
        """What the network takes of its board, and what was done so that it fits."""
        return self.folder / "fit.json"

    @property
    def packed(self) -> Path:
        """The CPU model."""
        return self.folder / PACKED_NAME

    @property
    def rtl(self) -> Path:
        """Folder of the RTL."""
        return self.folder / "rtl"

    @property
    def fifos(self) -> Path:
        """Depths of the FIFOs."""
        return self.folder / "fifo.json"

    @property
    def finn(self) -> Path:
        """The graph of the hardware for FINN's own passes, with the depths of the FIFOs."""
        return self.folder / "finn.onnx"

    @property
    def sizing(self) -> Path:
        """What the simulation that sized the FIFOs measured."""
        return self.folder / "sizing.json"

    @property
    def vectors(self) -> Path:
        """Pictures and what the golden model makes of them, to test a board with."""
        return self.folder / "vectors.npz"

    @property
    def report(self) -> Path:
        """The report for machines."""
        return self.folder / "report.json"

    @property
    def page(self) -> Path:
        """The report for people."""
        return self.folder / "report.html"


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
    if not (folder / STATE).is_file() or not files.dataflow.is_file():
        raise UsageError(
            f"{folder}: is not a build of andpop (no build.json); "
            f"make one with: andpop build CKPT --out {folder}"
        )
    return files


def checkpoint_of(path: Path) -> Path | None:
    """Return a checkpoint, or that of a build folder that was made from one; else None."""
    checkpoint = BuildFiles(path).checkpoint if path.is_dir() else path
    return checkpoint if checkpoint.suffix == CHECKPOINT and checkpoint.is_file() else None


def as_path(given: AnyPath | None) -> Path | None:
    """Return a path that may be left out."""
    return None if given is None else Path(given)


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
