# SPDX-License-Identifier: Apache-2.0
"""Writes the table of what can be built, as the patterns of the lowering say it.

Run as ``python -m andpop.hw.graph.constructs docs/03_reference/foreign_networks.md`` (``make
constructs``): replaces what stands between its two markers of the file.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ...quant.files import rewrite
from .lower import constructs

BEGIN = "<!-- constructs: begin -->"
END = "<!-- constructs: end -->"


def table() -> str:
    """Return the table as Markdown, by op."""
    rows = ["| op | what | datatypes | kernels | limits |", "|---|---|---|---|---|"]
    for c in sorted(constructs(), key=lambda c: c.ops):
        cells = (_listed(c.ops), c.what, c.datatypes, _listed(c.kernels) or "-", c.limits)
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    rewrite(Path(sys.argv[1]), table(), BEGIN, END)
