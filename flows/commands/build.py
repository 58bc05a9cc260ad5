# SPDX-License-Identifier: Apache-2.0
"""``andpop build``: the steps of a source, run into a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...hw.graph.folding_file import read_folding
from .. import build_notes, steps
from ..build import run_build
from ..class_names import read_class_names
from ..config import BuildConfig
from ..errors import UsageError
from ..files import CHECKPOINT, BuildFiles
from ..folder import reading
from ..progress import Progress


def build(source: Path, folder: Path, config: BuildConfig, progress: Progress) -> dict[str, Any]:
    """See ``flows.api.build``.

    Raises:
        UsageError: bad source, folding or class names.
        CheckFailed: the network takes more than its share of the board.
        ToolMissing: FIFO sizing is asked for and Verilator or g++ is missing.
    """
    # Wrong files are refused before the work.
    if config.folding is not None:
        read_folding(Path(config.folding))
    if config.classes is not None:
        if source.suffix == CHECKPOINT:
            raise UsageError(
                f"{source}: the classes of a checkpoint are named by its card; build it without "
                "--classes"
            )
        read_class_names(Path(config.classes))
    if config.until in (None, "size", "report"):
        steps.check_simulator()
    rows = run_build(steps.plan(source), source, folder, config, progress)
    with reading(folder):
        return {
            "folder": str(folder),
            "steps": rows,
            "slowest": steps.slowest(BuildFiles(folder)),
            "fit": steps.fit(BuildFiles(folder), config.until),
            "notes": build_notes.of_build(BuildFiles(folder), config.size),
        }
