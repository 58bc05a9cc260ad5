# SPDX-License-Identifier: Apache-2.0
"""A build as a project for a board with a Zynq, with everything that the board gets beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from qonnx.core.modelwrapper import ModelWrapper

from ...hw.boards import Board
from ...hw.cpu.engine import Engine
from ...hw.graph import executor
from ...hw.graph.heads import heads_of
from ...hw.targets.zynq import Project, emit_project
from ...hw.targets.zynq.deploy import Content, write_deploy
from ...quant import tasks
from ..errors import UsageError
from ..files import BuildFiles

VECTORS = 2
"""Pictures of the self-test."""


def zynq_project(files: BuildFiles, board: Board, place: Path | None = None) -> Project:
    """Write the project of a build, ``deploy`` of it but for bit file and hwh; nothing is run.

    Args:
        files: a build with its packed model and its RTL, FIFOs sized.
        board: a board with a Zynq.
        place: where the project goes; None for ``vivado-<board>`` in the build.

    Raises:
        UsageError: the build has no RTL, or no packed model.
        EmitError: the RTL cannot be read.
        TargetError: it is not for that board.
    """
    for file in (files.rtl / "top.json", files.packed):
        if not file.is_file():
            raise UsageError(f"{file}: no such file; build it without --until")
    project = emit_project(files.folder, board, place)
    engine, model = Engine.load(files.packed), ModelWrapper(str(files.lowered))
    heads, card = heads_of(model.model), engine.card or {}
    task = tasks.of_heads([head.kind for head in heads])
    shape = (VECTORS, *engine.input_shape)
    pictures = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    found = executor.run(model, pictures)
    content = Content(
        card.get("network", files.folder.resolve().name),
        task.name if task else "",
        card.get("classes", ()),
        heads,
        card.get("resize", "bilinear"),
        pictures,
        [np.asarray(found[head.tensor]) for head in heads],
    )
    write_deploy(project, content)
    return project
