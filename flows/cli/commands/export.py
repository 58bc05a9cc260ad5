# SPDX-License-Identifier: Apache-2.0
"""``andpop export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ... import api
from ...config import parse_size
from ..options import Group, InputSize, Json
from ..results import show_notes
from ..terminal import emit, say

GROUP = Group.NETWORKS


def command(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint (.safetensors).")],
    file: Annotated[Path, typer.Option("--out", help="QONNX file to write.")],
    size: InputSize = None,
    as_json: Json = False,
) -> None:
    """Write a checkpoint as QONNX that qonnx and ONNX Runtime execute.

    Example: `andpop export models/zoo/bi-shufflenet-neu.safetensors --out bi.qonnx.onnx`
    """
    result = api.export(checkpoint, file, size=parse_size(size) if size else None)
    emit(result, as_json, _show)


def _show(result: dict[str, Any]) -> None:
    say(f"{result['file']}: {result['nodes']} nodes")
    show_notes(result)
