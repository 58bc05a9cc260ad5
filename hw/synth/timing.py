# SPDX-License-Identifier: Apache-2.0
"""What clock a design holds: estimated for the 7 series, routed on an ECP5."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...sim.cache import scratch
from ...sim.cases import Case
from . import cases, ecp5, sta, yosys
from .delays_ecp5 import Ecp5
from .delays_xc7 import Series7
from .ecp5 import Routed
from .netlist import Netlist
from .sta import NoPath, Timing
from .xc7_edit import pack_products

SERIES7 = Series7()
ECP5 = Ecp5()

SKINS = ("u", "u_core")
"""Instances that say nothing of where in a kernel a name is."""
NETLIST = "netlist.json"

METHOD = (
    f"{SERIES7.name}: estimate, nothing placed; cell delays of {SERIES7.sources}; assumed: "
    f"{SERIES7.nets}; registers at the ports"
)
ROUTED = (
    f"{ecp5.PART}: placed and routed by nextpnr, registers at the ports, those beside block RAMs "
    "and multipliers packed"
)


@dataclass(frozen=True)
class CaseTiming:
    """The clock of one case of a kernel."""

    kernel: str
    case: str
    estimate: Timing
    """7 series."""
    routed: Routed
    """ECP5."""
    ecp5_estimate: Timing
    """The same estimate with ECP5's cell delays: what the model of nets is worth."""

    @property
    def ratio(self) -> float:
        """Estimated over routed clock on the ECP5."""
        return self.ecp5_estimate.mhz / self.routed.mhz


def estimate(netlist: Path, top: str) -> Timing:
    """Estimate the clock of a mapped 7-series design from Yosys' JSON.

    Raises:
        NetlistError: see ``sta.analyse``.
    """
    module = Netlist.module(netlist, top)
    pack_products(module)
    return sta.analyse(Netlist.of(top, module), SERIES7)


def written(modules: Sequence[str]) -> list[str]:
    """Yosys commands that write mapped modules for ``estimated``."""
    return [f"select {' '.join(modules)}", f"write_json -selected {NETLIST}", "select -clear"]


def estimated(folder: Path, modules: Sequence[str]) -> list[Mapping[str, Any] | None]:
    """The estimated clock of each module that ``written`` left in ``folder``, in JSON form.

    None stands for a module without a path, such as wires from port to port.
    """
    found = json.loads((folder / NETLIST).read_text(encoding="utf-8"))["modules"]
    clocks: list[Mapping[str, Any] | None] = []
    for name in modules:
        module = found.pop(name)
        pack_products(module)
        try:
            clocks.append(as_dict(sta.analyse(Netlist.of(name, module), SERIES7)))
        except NoPath:
            clocks.append(None)
    return clocks


def time_case(kernel: str, case: Case, seeds: Sequence[int] = (1,)) -> CaseTiming:
    """Synthesise a case for both families, estimate and route it.

    Raises:
        SynthesisError: Yosys or nextpnr refused it.
        ToolMissing: one of them is not installed.
    """
    with scratch("timing") as folder:
        design = cases.generate(case, folder)
        mapped = yosys.synthesise(
            design.top, design.sources, defines=["ANDPOP_PRIMITIVES=1"],
            memories=design.memories, dsp=design.dsp,
        )  # fmt: skip
        netlist = ecp5.map_design(
            design.top, design.sources, memories=design.memories, dsp=design.dsp
        )
    return CaseTiming(
        kernel,
        case.name,
        estimate(mapped.json, design.top),
        ecp5.route(netlist, design.top, seeds=seeds),
        sta.analyse(Netlist.of(design.top, ecp5.packed(netlist, design.top)), ECP5),
    )


def short(name: str) -> str:
    """A hierarchical name without what tells a reader little: generate blocks and skins."""
    words = [w for w in name.split(".") if not w.startswith("gen_") and w not in SKINS]
    return ".".join(words[-3:]) or name


def as_dict(timing: Timing) -> Mapping[str, Any]:
    """The stable JSON form of an estimate."""
    return {
        "mhz": timing.mhz,
        "period_ns": timing.period_ns,
        "levels": timing.levels,
        "from": timing.ends[0],
        "to": timing.ends[1],
        "path": [hop.as_dict() for hop in timing.hops],
    }
