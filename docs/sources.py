# SPDX-License-Identifier: Apache-2.0
"""Hook of the site: where the API reference finds the package.

The repository's root is the package, and beside it lie virtual environments and caches with a
hundred thousand files, all of which would be searched. So the package is put together from links.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / ".cache" / "api" / "andpop"
PARTS = ("__init__.py", "flows", "hw", "models", "quant", "sim")


def on_startup(**_: Any) -> None:
    """Make the links before anything reads them."""
    PACKAGE.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        link = PACKAGE / part
        if not link.is_symlink():
            link.symlink_to(ROOT / part)
