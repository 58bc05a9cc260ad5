# SPDX-License-Identifier: Apache-2.0
"""What a network takes of its board, as builds store and show it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from qonnx.core.modelwrapper import ModelWrapper

from ..hw import boards
from ..hw.graph import fit, folding_file
from ..hw.graph.fit import WORDS, Fit, Fitting
from ..hw.graph.usage import NodeUsage, network_usage, total
from ..hw.rtl.settle import settle_fifos
from ..quant.files import write_json
from .build import Context
from .errors import CheckFailed


def fit_to_board(context: Context) -> Fit:
    """Make the hardware's graph of a build's lowered one, for its board and target.

    Raises:
        FoldingError: the folding cannot be.
        CheckFailed: it is too much for the board.
    """
    config = context.config
    model = ModelWrapper(str(context.files.lowered))
    fitting = Fitting(
        model,
        boards.find(config.board),
        config.shares,
        fused=config.fuse,
        share=config.shared,
        fps=lambda cycles: config.clock_mhz * 1e6 / cycles,
        progress=lambda done, most: context.progress("paces that may fit", done, most),
    )
    _, height, width, _ = model.get_tensor_shape(model.graph.input[0].name)
    try:
        if config.folding is not None:
            return fitting.given(folding_file.read_folding(Path(config.folding)))
        target = config.cycles(height, width)
        return fitting.at(target) if config.asks_for_target else fitting.near(target)
    except fit.DoesNotFit as error:
        raise CheckFailed(f"{context.source.name}: {error}") from error


def write_fit(found: Fit, path: Path) -> None:
    """Write fit.json: `table_of` the expected sum, cycles per frame, what was traded, notes."""
    content = {
        **table_of(found.board.name, found.rows, found.allowed.as_dict()),
        "cycles": found.cycles,
        "moves": [{**asdict(m), "change": m.change.as_dict()} for m in found.moves],
        "notes": found.notes,
    }
    write_json(path, content)


def table_of(board: str, rows: Sequence[NodeUsage], allowed: dict[str, int]) -> dict[str, Any]:
    """Return resources and nodes as plain values; resources that no op states are left out."""
    found = boards.find(board)
    used = total(rows).as_dict()
    have = {**found.capacity, "lutram": found.lutram}
    judged = fit.judged(found)
    stated = [name for name in used if used[name] or name in ("lut", "bram18", "dsp")]
    return {
        "board": board,
        "fits": all(used[n] <= allowed[n] for n in used) if judged else None,
        "resources": [
            {
                "resource": name,
                "called": WORDS[name],
                "used": used[name],
                "allowed": allowed[name],
                "have": have[name],
            }
            for name in stated
        ],
        "nodes": [{"name": r.name, "op": r.op, **r.usage.as_dict()} for r in rows],
    }


def read_fit(path: Path) -> dict[str, Any] | None:
    """Read fit.json; None where there is none yet."""
    if not path.is_file():
        return None
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def sized(context: Context) -> dict[str, Any]:
    """Return what a build takes with its FIFOs as deep as they were sized, as fit.json has it."""
    config, files = context.config, context.files
    board = boards.find(config.board)
    rows = network_usage(ModelWrapper(str(files.rtl / "stitched.onnx")))
    allowed = config.shares.of(board).as_dict()
    return {**(read_fit(files.fit) or {}), **table_of(board.name, rows, allowed)}


def settle(context: Context) -> None:
    """Find places for FIFOs whose depths are known now, or refuse what takes too much with them.

    Raises:
        CheckFailed: see above.
    """
    config = context.config
    board, allowed = boards.find(config.board), config.shares.of(boards.find(config.board))
    if not fit.judged(board):
        return
    rows = settle_fifos(context.files.rtl, allowed)
    if not total(rows).within(allowed):
        text = fit.refusal(rows, board, config.shares, "with its FIFOs sized")
        raise CheckFailed(f"{context.source.name}: {text}")
