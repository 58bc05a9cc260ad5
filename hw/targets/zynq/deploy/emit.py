# SPDX-License-Identifier: Apache-2.0
"""Writes the folder that is copied to a board.

    andpop.bit, andpop.hwh   by Vivado, when it has run
    settings.json            by the project: names of the DMAs, shapes, hash of the build
    network.json             heads, classes, how pictures are resized
    vectors.npz              pictures and what the golden model makes of them
    andpop_board/            the driver, a Python package
    andpop.ipynb             the first steps in a notebook
    README.md                how to install and run it

Nothing in it needs andpop: the driver reads pictures with the very files that andpop reads them
with, which are copied beside it.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ....graph.heads import Head
from ....kernels.base import HW
from ..project import Project

HERE = Path(__file__).parent
PACKAGE = "andpop_board"
SHARED = ("folders.py", "names.py", "pictures.py")
"""Of ``quant``: how a folder is searched and a picture is read. They import one another alone."""


@dataclass(frozen=True)
class Content:
    """What the project does not know of the network.

    Attributes:
        network: its name.
        task: ``classification``, ``masks``, or empty where it is no task of andpop's.
        classes: names in the order of the indices; empty where there are none.
        heads: of the graph, in the order of its outputs.
        filter: how pictures are resized, as the card says.
        pictures: (N, H, W, C) vectors for the self-test.
        results: what the golden model gives for them, (N, ...) per head.
    """

    network: str
    task: str
    classes: Sequence[str]
    heads: Sequence[Head]
    filter: str
    pictures: npt.NDArray[np.uint8]
    results: Sequence[npt.NDArray[np.int64]]


def write_deploy(project: Project, content: Content) -> list[str]:
    """Write what the folder of a project holds for the board, but for bit file and hwh.

    Equal contents give equal bytes. May be written before Vivado has run, or afterwards.

    Args:
        project: what `emit_project` returned.
        content: the network.

    Returns:
        The files that were written, relative to the project's folder.
    """
    folder = (project.folder / project.settings).parent
    settings = json.loads((project.folder / project.settings).read_text(encoding="utf-8"))
    about = {
        "network": content.network,
        "task": content.task,
        "classes": list(content.classes),
        "heads": [{"name": head.name, "kind": head.kind} for head in content.heads],
        "filter": content.filter,
    }
    height, width, channels = content.pictures.shape[1:]
    values = {
        "about": about,
        "own": settings["andpop"],
        "size": f"{height}x{width} {'RGB' if channels == 3 else 'grey'}",
        "board": project.board,
        "masks": any(head.kind == "class_map" for head in content.heads),
    }
    package = [(HERE / PACKAGE / f.name, f.name) for f in sorted((HERE / PACKAGE).glob("*.py"))]
    package += [(HW.parent / "quant" / name, name) for name in SHARED]
    written = {f"{PACKAGE}/{name}": source.read_bytes() for source, name in package}
    written |= {
        "network.json": (json.dumps(about, indent=1) + "\n").encode(),
        "vectors.npz": _vectors(content),
        "andpop.ipynb": _notebook(_render("notebook.py.j2", values)),
        "README.md": _render("readme.md.j2", values).encode(),
    }
    (folder / PACKAGE).mkdir(parents=True, exist_ok=True)
    for name, data in written.items():
        (folder / name).write_bytes(data)
    return [(folder / name).relative_to(project.folder).as_posix() for name in written]


def _render(template: str, values: dict[str, Any]) -> str:
    environment = Environment(
        loader=FileSystemLoader(HERE), undefined=StrictUndefined, keep_trailing_newline=True,
        trim_blocks=True, lstrip_blocks=True, autoescape=False,
    )  # fmt: skip
    return environment.get_template(template).render(values)


def _vectors(content: Content) -> bytes:
    """Pictures and results as `numpy.load` reads them."""
    data = io.BytesIO()
    results = {f"result_{i}": np.asarray(r) for i, r in enumerate(content.results)}
    arrays: dict[str, npt.NDArray[Any]] = {"pictures": content.pictures, **results}
    np.savez_compressed(data, **arrays)  # type: ignore[arg-type]
    return data.getvalue()


def _notebook(text: str) -> bytes:
    """A notebook of cells that begin with ``# %%``, or ``# %% [markdown]``, in a Python file."""
    cells: list[dict[str, Any]] = []
    for part in text.split("# %%")[1:]:
        head, _, body = part.partition("\n")
        lines = body.strip().splitlines(keepends=True)
        prose = head.strip() == "[markdown]"
        cell: dict[str, Any] = {
            "cell_type": "markdown" if prose else "code",
            "id": f"cell-{len(cells)}",
            "metadata": {},
            "source": [line.removeprefix("# ") for line in lines] if prose else lines,
        }
        cells.append(cell if prose else {**cell, "execution_count": None, "outputs": []})
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook = {
        "cells": cells,
        "metadata": {"kernelspec": kernel},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return (json.dumps(notebook, indent=1) + "\n").encode()
