# SPDX-License-Identifier: Apache-2.0
"""``andpop build --explain``: what each node of somebody else's network becomes, or why not."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from ...hw.graph.cut import prepare
from ...hw.graph.explain import explain as explain_nodes
from ...hw.graph.lowering import lower
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
    loaded = steps.load_foreign(source, config)
    prepared = prepare(loaded.model, loaded.notes)
    network, reads = prepared.network, ""
    if network is not None:
        reads = steps.note_pixels(loaded, network, config).describe()
    rows = explain_nodes(prepared)
    builds = all(row.verdict in ("hardware", "part") for row in rows)
    if builds and network is not None:
        verify(network, lower(network))
    called = loaded.renamed
    return {
        "nodes": [
            {**asdict(r), "node": called.get(r.node, r.node), "of": called.get(r.of, r.of)}
            for r in rows
        ],
        "builds": builds,
        "input": reads,
        "notes": [note for note in loaded.notes if not note.startswith("renamed ")],
    }
