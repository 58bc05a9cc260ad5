# SPDX-License-Identifier: Apache-2.0
"""A toy layout: toy/<class>_<n>.png."""

from __future__ import annotations

from pathlib import Path

from ..folders import Folders
from .layout import Found, Layout, Sample


def _find(root: Path, folders: Folders) -> Found:
    toy = folders.child(root, "toy")
    pictures = folders.pictures(toy) if toy else []
    return [(path.stem.partition("_")[0], Sample(path)) for path in pictures]


LAYOUT = Layout(name="toy", looks="a toy (toy/<class>_<n>.png)", find=_find)
