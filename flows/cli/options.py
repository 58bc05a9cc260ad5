# SPDX-License-Identifier: Apache-2.0
"""Options that several commands share, and the groups that commands are listed in."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer


class Group(Enum):
    """Headings of ``andpop --help``, in their order."""

    START = "Start here"
    NETWORKS = "Networks"
    HARDWARE = "Hardware"


Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Images = Annotated[
    Path,
    typer.Option(
        "--images", help="A picture or a folder of pictures; or .npy files of inputs (N, H, W, C)."
    ),
]
Count = Annotated[
    int | None,
    typer.Option(
        "--count", min=1, help="Number of pictures to use, the first ones; all by default."
    ),
]
Network = Annotated[
    str, typer.Argument(metavar="NETWORK", help="Name of the network, e.g. bi-shufflenet.")
]
Model = Annotated[Path, typer.Argument(help="Build folder, checkpoint or packed model.")]
Build = Annotated[Path, typer.Argument(metavar="BUILD", help="Folder of a build.")]
Defects = Annotated[
    str | None,
    typer.Option(
        help="Kinds of defect to use, with commas, e.g. Crack,Fray; all by default. Networks of "
        "masks only."
    ),
]
Masks = Annotated[
    Path | None,
    typer.Option("--out", help="Folder for masks and overlays as PNG; none by default."),
]
Trust = Annotated[
    bool, typer.Option("--trust", help="Run RTL of a build that differs from its build.json.")
]
Threads = Annotated[int, typer.Option(min=1, max=1024, help="Threads of the CPU engine.")]
InputSize = Annotated[
    str | None,
    typer.Option(
        "--input",
        metavar="HxWxC",
        help="Height, width and channels of the input; by default the size it was trained at.",
    ),
]


def names(text: str | None) -> list[str]:
    """Return names divided by commas."""
    return [name.strip() for name in text.split(",")] if text else []
