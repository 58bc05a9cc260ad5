# SPDX-License-Identifier: Apache-2.0
"""Place and route of single nodes of an emitted network on an ECP5, with their plain bodies."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...sim.cache import scratch
from . import ecp5, nextpnr, yosys
from .network import SPLIT, Network, Progress
from .yosys import SynthesisError


def route_nodes(
    rtl: Path, nodes: Sequence[str], progress: Progress
) -> dict[str, Mapping[str, Any]]:
    """Place and route nodes of an emitted folder one by one.

    Args:
        rtl: folder written by ``emit_top``.
        nodes: names of the nodes.
        progress: called with (stage, nodes done, nodes).

    Returns:
        By name the clock, cells and slowest path, see ``ecp5.as_dict``; for a node that cannot be
        routed by itself ``{"reason": why}``.

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
        for done, name in enumerate(nodes):
            progress("place and route", done, len(nodes))
            digest = designs[f"u_{name}"]["design"]
            module = f"d_{digest}"
            netlist = ecp5.map_rtlil(module, folder / f"{digest}.il", dsp=name in network.dsp)
            try:
                found[name] = ecp5.as_dict(ecp5.route(netlist, module))
            except SynthesisError as error:
                found[name] = {"reason": str(error).replace(module, name)}
    progress("place and route", len(nodes), len(nodes))
    return found
