# SPDX-License-Identifier: Apache-2.0
"""``andpop build --explain``: what each node of somebody else's network becomes, or why not."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from ...hw.graph.explain import explain as explain_nodes
from ...hw.graph.lowering import lower
from ...hw.graph.qonnx_graph import LoweringError
from ...hw.graph.verify import verify
from .. import steps
from ..config import BuildConfig
from ..errors import UsageError
from ..files import QONNX


def explain(source: Path, config: BuildConfig) -> dict[str, Any]:
    """See ``flows.api.explain``.

    Raises:
        UsageError: no QONNX file, or one that is refused as a whole.
        LoweringError: every node is known, and the whole computes something else.
    """
    if source.suffix != QONNX:
        raise UsageError(
            f"{source}: --explain reads somebody else's network, expected a QONNX file ({QONNX}); "
            "checkpoints always build"
        )
    refused: list[LoweringError] = []
    loaded, network, pixels = steps.read_foreign(source, config, refused)
    rows = explain_nodes(network, refused)
    builds = all(row.verdict in ("hardware", "part") for row in rows)
    if builds:
        verify(network, lower(network))
    called = loaded.renamed
    return {
        "nodes": [
            {**asdict(r), "node": called.get(r.node, r.node), "of": called.get(r.of, r.of)}
            for r in rows
        ],
        "builds": builds,
        "input": pixels.describe(),
        "notes": [note for note in loaded.notes if not note.startswith("renamed ")],
    }
