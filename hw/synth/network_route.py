# SPDX-License-Identifier: Apache-2.0
"""Place and route of single nodes of an emitted network on an ECP5, with their plain bodies."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from ...sim.cache import scratch
from . import ecp5, nextpnr, yosys
from .network import SPLIT, Network, Progress
from .yosys import SynthesisError

MOST = 3
"""Designs of an op that are routed. The one that routes slowest is often not the one with the
lowest estimate; a design takes half a minute to a minute."""
JOBS = 2
"""Designs at a time."""


def route_slowest(
    rtl: Path, ops: Mapping[str, Sequence[str]], progress: Progress, most: int = MOST
) -> dict[str, Mapping[str, Any]]:
    """Place and route of each op the first nodes whose designs differ.

    Args:
        rtl: folder written by ``emit_top``.
        ops: names of each op's nodes, those first that are to be routed first.
        progress: called with (stage, designs done, designs).
        most: designs of an op.

    Returns:
        By name of a node the clock, cells and slowest path of its design, see ``ecp5.as_dict``; for
        one that cannot be routed by itself ``{"reason": why}``. Nodes of equal designs have the
        same; those of other designs are not there.

    Raises:
        EmitError: the folder holds no emitted network.
        SynthesisError: Yosys refused a source.
        ToolMissing: no Yosys or no nextpnr.
    """
    nextpnr.prepare()
    network = Network(rtl, primitives=False)
    found: dict[str, Mapping[str, Any]] = {}
    with scratch("route") as folder:
        network.write(folder)
        yosys.run(network.reading(), folder, network.info.top, SPLIT)
        designs = json.loads((folder / "designs.json").read_text(encoding="ascii"))
        alike: dict[tuple[str, bool], list[str]] = {}
        for names in ops.values():
            own: dict[tuple[str, bool], list[str]] = {}
            for name in names:
                key = designs[f"u_{name}"]["design"], name in network.dsp
                if key in own or len(own) < most:
                    own.setdefault(key, []).append(name)
            for key, nodes in own.items():
                alike.setdefault(key, []).extend(nodes)
        progress("place and route", 0, len(alike))
        pool = ThreadPoolExecutor(max_workers=JOBS)
        try:
            runs = {pool.submit(_route, folder, *key, alike[key][0]): key for key in alike}
            for done, run in enumerate(as_completed(runs), 1):
                found |= dict.fromkeys(alike[runs[run]], run.result())
                progress("place and route", done, len(alike))
        finally:
            pool.shutdown(cancel_futures=True)
    return found


def _route(folder: Path, digest: str, dsp: bool, name: str) -> Mapping[str, Any]:
    module = f"d_{digest}"
    netlist = ecp5.map_rtlil(module, folder / f"{digest}.il", dsp=dsp)
    try:
        return ecp5.as_dict(ecp5.route(netlist, module))
    except SynthesisError as error:
        return {"reason": str(error).replace(module, name)}
