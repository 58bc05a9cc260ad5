# SPDX-License-Identifier: Apache-2.0
"""``andpop simulate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ....quant import tasks
from ... import api
from ...errors import CHECK_FAILED, OK
from ..options import Build, Count, Group, Images, Json, Masks, Trust
from ..results import show, show_divergence, show_gaps, show_notes
from ..terminal import Bars, emit, table

GROUP = Group.HARDWARE


def command(
    folder: Build,
    images: Images,
    count: Count = None,
    capture: Annotated[
        bool, typer.Option(help="Also compare every layer boundary (a second, slower run).")
    ] = True,
    pauses: Annotated[
        int,
        typer.Option(
            min=0,
            help="Runs more, each with random standstills at input and output. The seeds are "
            "1, 2 and on. 5 are enough to publish a figure.",
        ),
    ] = 0,
    primitives: Annotated[
        bool,
        typer.Option(
            "--primitives",
            help="Simulate what synthesis reads: LUT6_2, CARRY4 and DSP48E1 cells in place of the "
            "plain bodies, FIFOs in their final form. Several times slower.",
        ),
    ] = False,
    masks: Masks = None,
    trust: Trust = False,
    as_json: Json = False,
) -> None:
    """Run the whole network in Verilator against the golden model.

    On a mismatch: the first divergent layer, index, both bit patterns and a waveform.

    Example: `andpop simulate build/steel --images pictures/ --count 4`
    """
    with Bars(as_json) as progress:
        result = api.simulate(
            folder,
            images,
            count=count,
            capture=capture,
            pauses=pauses,
            primitives=primitives,
            masks_folder=masks,
            trust=trust,
            progress=progress,
        )
    emit(result, as_json, lambda r: _show(r, folder))
    raise typer.Exit(CHECK_FAILED if result["values_differing"] else OK)


def _show(result: dict[str, Any], folder: Path) -> None:
    task = tasks.named(result["task"]) if result["task"] else None
    end, each = (task.last_word, task.predicts) if task else ("output", "outputs")
    rows = [
        ("pictures", result["images"]),
        ("values compared", result["values_compared"]),
        ("values differing", result["values_differing"]),
        ("layers compared", f"{len(result['layers'])} of {result['layers_total']}"),
        (f"cycles from first pixel to {end}", result["cycles_per_frame"]),
        (f"cycles between two {each}", result["interval"]),
        *((_pauses(result["pauses"]),) if result["pauses"] else ()),
        ("bodies", "7-series cells" if result["primitives"] else "plain"),
        ("simulated cycles per second", f"{result['sim_cycles_per_second']:,.0f}"),
        ("Verilator build", f"{result['build_seconds']:.1f} s"),
    ]
    table(f"{folder} in Verilator against the golden model", ("figure", "value"), rows)
    show_gaps("rtl", result["not_covered"])
    if task is not None and "predictions" in result:
        show(task.show_predictions(result["predictions"]))
    show_divergence(result)
    show_notes(result)


def _pauses(rows: list[dict[str, Any]]) -> tuple[str, str]:
    """The row of the runs with pauses."""
    differing = sum(row["values_differing"] for row in rows)
    compared = sum(row["values_compared"] for row in rows)
    return f"with pauses, {len(rows)} seeds", f"{compared} compared, {differing} differing"
