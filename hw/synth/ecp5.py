# SPDX-License-Identifier: Apache-2.0
"""Place and route for Lattice's ECP5: Yosys and nextpnr, results cached by content.

A kernel has more ports than the part has pins, and its neighbours are registers. So every port of
the mapped design gets a flip-flop, and these form one shift register from pin to pin: what is
measured are paths between registers, those at the ports among them.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...sim.cache import building, content_key, scratch
from . import nextpnr, yosys
from .ecp5_edit import WRAPPER, Module, pack_registers, register_ports
from .netlist import Cell, Netlist
from .sta import Hop
from .yosys import SynthesisError

DEVICE = ("--85k", "--package", "CABGA381", "--speed", "6")
PART = "LFE5U-85F-6BG381C"
CAPACITY = {"lut4": 83_640, "ff": 83_640, "ebr": 208, "mult18": 156}
"""Of the LFE5U-85F, as nextpnr counts it."""
BRAMS = Path(__file__).parent / "ecp5_brams.txt"
MHZ = 200.0
"""The clock that placement and routing aim at unless another one is asked for."""

PART_OF_CELL = re.compile(r"\$(?:CCU2_COMB|DPRAM_COMB|RAMW_SLICE)")
"""What nextpnr adds to the name of a cell that it takes apart."""

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Routed:
    """What place and route gave."""

    mhz: float
    """The median of all seeds."""
    seeds: Mapping[int, float]
    """Clock in MHz by seed."""
    target_mhz: float
    clock: str
    """The clock net, as nextpnr names it."""
    used: Mapping[str, int]
    """LUT4, flip-flops, block RAMs of 18 Kbit, multipliers: ``lut4``, ``ff``, ``ebr``, ``mult18``;
    without the flip-flops at the ports."""
    path: tuple[Hop, ...]
    """The slowest path of the median seed, from register to register."""

    @property
    def ends(self) -> tuple[str, str]:
        """Where the slowest path starts and ends."""
        return self.path[0].name, self.path[-1].name


def map_design(
    top: str,
    sources: Sequence[str | Path],
    *,
    parameters: Mapping[str, int | str] | None = None,
    memories: Mapping[str, Path] | None = None,
    dsp: bool = True,
    black_boxes: Sequence[str] = (),
) -> Path:
    """Map a design to ECP5 cells, or return the finished netlist of the same content.

    Args:
        top: top module.
        sources: .v and .sv files, packages first.
        parameters: parameters of the top.
        memories: $readmemh files, by the name that the sources use.
        dsp: products become multipliers, else LUTs.
        black_boxes: modules of the sources that are cells of the part.

    Returns:
        Yosys' JSON of the netlist.

    Raises:
        ToolMissing: no Yosys.
        SynthesisError: a source is missing or refused.
    """
    files = [Path(s).resolve() for s in sources]
    given = {f"src/{number}_{file.name}": file for number, file in enumerate(files)}
    defines = [*yosys.DEFINES, "ANDPOP_PRIMITIVES=0"]
    boxes = [f"--blackboxed-module {name}" for name in black_boxes]
    read = yosys.read_command(list(given), top, parameters, defines, boxes)
    return _map(top, read, {**given, **(memories or {})}, dsp)


def synthesis(top: str, brams: str, dsp: bool = True) -> list[str]:
    """Yosys' commands that map a design that was read; ``brams`` is where it finds ``BRAMS``."""
    synth = "synth_ecp5" if dsp else "synth_ecp5 -nodsp"
    return [
        f"{synth} -top {top} -run begin:map_ram",
        f"memory_libmap -lib +/lattice/lutrams_trellis.txt -lib {brams}",
        "techmap -map +/lattice/lutrams_map_trellis.v -map +/lattice/brams_map_16kd.v",
        f"{synth} -top {top} -run map_ffram:",
    ]


def map_rtlil(top: str, file: Path, dsp: bool = True) -> Path:
    """Map a design in Yosys' own format, as ``map_design`` does."""
    return _map(top, f"read_rtlil {file.name}", {file.name: file}, dsp)


def _map(top: str, read: str, inputs: Mapping[str, Path], dsp: bool) -> Path:
    inputs = {**inputs, BRAMS.name: BRAMS}
    script = [read, f"hierarchy -check -top {top}", *synthesis(top, BRAMS.name, dsp)]
    script.append("write_json netlist.json")
    for file in inputs.values():
        if not file.is_file():
            raise SynthesisError(f"{top}: source {file} not found; generate the RTL first")
    key = content_key("ecp5", yosys.version(), script, list(inputs), *inputs.values())
    with building(key) as (final, work):
        if work is not None:
            with scratch("ecp5") as folder:
                for name, path in inputs.items():
                    (folder / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(path, folder / name)
                yosys.run(script, folder, top)
                shutil.move(folder / "netlist.json", work / "netlist.json")
    return final / "netlist.json"


def module_of(netlist: Path, top: str) -> Module:
    """Module ``top`` of what ``map_design`` gave."""
    module: Module = json.loads(netlist.read_text(encoding="utf-8"))["modules"][top]
    return module


def packed(netlist: Path, top: str) -> Module:
    """The same, registers of memories and products packed."""
    module = module_of(netlist, top)
    pack_registers(module)
    return module


def usage(found: Iterable[Cell]) -> dict[str, int]:
    """LUT4, flip-flops, block RAMs and multipliers of mapped cells."""
    cells = Counter(cell.type for cell in found)
    return {
        "lut4": cells["LUT4"] + 2 * cells["CCU2C"] + 8 * cells["TRELLIS_DPR16X4"],
        "ff": cells["TRELLIS_FF"],
        "ebr": cells["DP16KD"] + cells["PDPW16KD"],
        "mult18": cells["MULT18X18D"],
    }


def route(
    netlist: Path,
    top: str,
    *,
    mhz: float = MHZ,
    seeds: Sequence[int] = (1,),
    progress: Progress = lambda stage, done, total: None,
) -> Routed:
    """Place and route a mapped design, or return the finished result of the same content.

    Args:
        netlist: what ``map_design`` gave.
        top: its module.
        mhz: the clock to aim at.
        seeds: placement is random; one run for each.
        progress: called with (stage, seeds done, seeds).

    Raises:
        ToolMissing: no nextpnr.
        SynthesisError: the design does not fit the part, has no clock, or nextpnr failed.
    """
    tool = nextpnr.prepare()
    module = packed(netlist, top)
    used = usage(Netlist.of(top, module).cells)
    _require_fit(top, used)
    register_ports(top, module)
    reports = {}
    placed = json.dumps({"creator": "andpop", "modules": {top: module}})
    content = hashlib.sha256(placed.encode()).hexdigest()
    for done, seed in enumerate(seeds):
        progress("place and route", done, len(seeds))
        with building(content_key("route", tool, DEVICE, mhz, seed, content)) as (final, work):
            if work is not None:
                _place(placed, top, mhz, seed, work)
        reports[seed] = json.loads((final / "report.json").read_text(encoding="utf-8"))
    progress("place and route", len(seeds), len(seeds))
    clocks = {seed: _clock(report, top) for seed, report in reports.items()}
    middle = sorted(clocks, key=lambda seed: clocks[seed][1])[(len(clocks) - 1) // 2]
    return Routed(
        statistics.median(mhz for _, mhz in clocks.values()),
        {seed: mhz for seed, (_, mhz) in clocks.items()},
        mhz,
        clocks[middle][0],
        used,
        _path(reports[middle], clocks[middle][0], module),
    )


def _require_fit(top: str, used: Mapping[str, int]) -> None:
    over = [key for key, most in CAPACITY.items() if used[key] > most]
    if over:
        figures = ", ".join(f"{used[key]:,} of {CAPACITY[key]:,} {key.upper()}" for key in CAPACITY)
        raise SynthesisError(
            f"{top}: does not fit the {PART}: {figures}; route its kernels one by one"
        )


def _place(netlist: str, top: str, mhz: float, seed: int, work: Path) -> None:
    """Fill a cache entry: report.json."""
    with scratch("nextpnr") as folder:
        (folder / "netlist.json").write_text(netlist, encoding="utf-8")
        arguments = [
            *DEVICE, "--json", "netlist.json", "--top", top, "--freq", f"{mhz:g}", "--seed",
            str(seed), "--report", "report.json", "--log", "nextpnr.log",
            "--lpf-allow-unconstrained", "--timing-allow-fail", "--textcfg", "out.config", "-q",
        ]  # fmt: skip
        nextpnr.run(nextpnr.NEXTPNR, arguments, folder, top)
        shutil.move(folder / "report.json", work / "report.json")


def _clock(report: Mapping[str, Any], top: str) -> tuple[str, float]:
    """The slowest clock and what it achieves."""
    found = {name: clock["achieved"] for name, clock in report["fmax"].items()}
    if not found:
        raise SynthesisError(f"{top}: nextpnr reports no clock, expected paths between registers")
    name = min(found, key=lambda clock: found[clock])
    return name, found[name]


def _path(report: Mapping[str, Any], clock: str, module: Module) -> tuple[Hop, ...]:
    """The report's path between registers of ``clock``: one hop for each cell or carry chain."""
    steps = next(
        path["path"]
        for path in report["critical_paths"]
        if clock in path["from"] and clock in path["to"]
    )
    hops: list[Hop] = []
    at = net = 0.0
    for step in steps:
        at += step["delay"]
        if step["type"] == "routing":
            net += step["delay"]
            continue
        cell = PART_OF_CELL.split(step["from"]["cell"])[0]
        kind = module["cells"].get(cell, {"type": step["type"]})["type"]
        hop = Hop(kind, _readable(cell), net, step["delay"], at)
        if hops and not net and kind == hops[-1].type == "CCU2C":
            hop = Hop(kind, hop.name, hops[-1].net, hops[-1].cell + hop.cell, at)
            hops.pop()
        hops.append(hop)
        net = 0.0
    return tuple(hops)


def _readable(cell: str) -> str:
    """A cell by the name in the source that it was made from."""
    if cell.startswith(WRAPPER):
        return f"port {cell.removeprefix(WRAPPER)}"
    return re.split(r"_(?:TRELLIS_FF|LUT4|CCU2C|PFUMX|L6MUX21)_|\$", cell)[0] or cell


def as_dict(routed: Routed) -> Mapping[str, Any]:
    """The stable JSON form."""
    return {
        "mhz": routed.mhz,
        "seeds": {str(seed): mhz for seed, mhz in routed.seeds.items()},
        "target_mhz": routed.target_mhz,
        "clock": routed.clock,
        **routed.used,
        "from": routed.ends[0],
        "to": routed.ends[1],
        "path": [hop.as_dict() for hop in routed.path],
    }
