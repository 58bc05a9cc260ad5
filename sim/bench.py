# SPDX-License-Identifier: Apache-2.0
"""Runs cocotb on cached Verilator builds and plays plans of stream words through a design.

The caller, who knows the op, turns tensors into words and writes down what is expected; the
bench itself (``tb_generic``) sees only a plan. Every phase of a design runs in one simulation.
"""

from __future__ import annotations

import contextlib
import json
import random
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from . import verilator
from .model import missing_memories
from .tools import ToolMissing

SEEDS = (1, 2, 3)
WARM_FRAMES = 3
"""Frames after which a design has found its pace."""
STEADY_FRAMES = 6
STEADY_CYCLES = 1000
"""Least frames and least stated cycles over which every frame has to take the stated cycles."""


class BenchFailure(AssertionError):
    """A bench failed; the message quotes every failed test."""


@dataclass(frozen=True)
class StreamPort:
    """An AXI stream of the design: port prefix, used data bits, values per word."""

    name: str
    width: int
    lanes: int


@dataclass(frozen=True)
class Frame:
    """Words of one frame, per input stream and per output stream."""

    inputs: list[list[int]]
    outputs: list[list[int]]


@dataclass(frozen=True)
class Phase:
    """One stretch of stimulus, started by a reset; ``frames`` index the plan's frames."""

    name: str
    frames: list[int]
    pattern: str = "none"
    seed: int = 1
    ready_waits: bool = False
    """Ready rises only after valid was seen: shows a valid that waits for ready."""
    reset_after: list[int] = field(default_factory=list)
    """First play up to so many words of input 0 and cut each try off by a reset."""


@dataclass(frozen=True)
class Plan:
    """All the generic bench needs to know of a design."""

    case: str
    cycles: int
    inputs: list[StreamPort]
    outputs: list[StreamPort]
    frames: list[Frame]
    phases: list[Phase]


@dataclass(frozen=True)
class Result:
    """What a plan's run compared and measured, in values and clock cycles."""

    values: int
    differing: int
    interval: int
    latency: int
    phases: Mapping[str, Mapping[str, Any]]


def phases_of(random_frames: int, worst_frames: int, words: int, cycles: int) -> list[Phase]:
    """The phases every kernel has to pass.

    Args:
        random_frames: frames 0.. of the plan with random operands, at least two per seed.
        worst_frames: frames after those, with worst-case operands.
        words: words per frame of input 0.
        cycles: stated cycles per frame.

    Returns:
        Steady state; worst case; every back-pressure pattern with every seed; valid that must
        not wait for ready; resets in the middle of a frame.
    """
    worst = list(range(random_frames, random_frames + worst_frames))
    length = WARM_FRAMES + max(STEADY_FRAMES, -(-STEADY_CYCLES // cycles))
    steady = [i % random_frames for i in range(length)]
    phases = [
        Phase("steady", steady),
        Phase("worst", worst),
        Phase("worst_random", worst, "random"),
    ]
    for pattern in ("none", "random", "gaps", "stall"):
        for number, seed in enumerate(SEEDS):
            frames = [2 * number % random_frames, (2 * number + 1) % random_frames]
            phases.append(Phase(f"{pattern}_{seed}", frames, pattern, seed))
    phases.append(Phase("ready_waits", [0, 1], "none", ready_waits=True))
    rng = random.Random(words)
    points = sorted({1, max(1, words // 2), words, rng.randint(1, words)})
    points.append(words + max(1, words // 3))
    phases.append(Phase("reset", [0, 1], "none", reset_after=points))
    for pattern in ("random", "stall"):
        anywhere = [rng.randint(1, 2 * words - 1) for _ in range(4)]
        phases.append(Phase(f"reset_{pattern}", [0, 1], pattern, 2, reset_after=anywhere))
    return phases


def run_cocotb(
    sources: Sequence[str | Path],
    top: str,
    modules: Sequence[str],
    folder: Path,
    *,
    data: Path,
    environment: Mapping[str, str] | None = None,
    defines: Sequence[str] = (),
    ports_only: bool = False,
) -> int:
    """Build a design for cocotb (cached) and run every test of ``modules`` in one simulation.

    Args:
        sources: as for ``verilator.build``.
        top: top module.
        modules: Python modules with cocotb tests.
        folder: gets the log and the results.
        data: working directory of the simulation, where memory files lie.
        environment: additional variables for the tests.
        defines: preprocessor macros.
        ports_only: show the bench the AXI ports of the top and nothing below them: the model of a
            netlist is then built several times faster.

    Returns:
        Number of tests, all of which passed.

    Raises:
        ToolMissing: no cocotb, Verilator or g++.
        BenchFailure: a test failed, or the simulation ended without results.
    """
    try:
        from cocotb_tools import config
        from cocotb_tools.runner import get_runner
    except ModuleNotFoundError:
        raise ToolMissing("cocotb: not found; install it with `pip install andpop[sim]`") from None
    missing = missing_memories(data)
    if missing:
        raise BenchFailure(f"{top}: memory files {', '.join(missing)} not found in {data}")
    folder.mkdir(parents=True, exist_ok=True)
    visible = ["--public-flat-rw"]
    if ports_only:
        ports = folder / "ports.vlt"
        patterns = ("ap_*", "in*_V_T*", "out*_V_T*")
        rules = [f'public_flat_rw -module "{top}" -var "{pattern}"' for pattern in patterns]
        ports.write_text("\n".join(["`verilator_config", *rules, ""]), encoding="ascii")
        sources, visible = [*sources, ports], []
    executable = verilator.build(
        sources,
        top,
        defines=defines,
        kind="executable",
        extra_cpp=[config.share_dir / "lib" / "verilator" / "verilator.cpp"],
        verilator_flags=("--vpi", *visible),
        link_flags=(
            f"-Wl,-rpath,{config.libs_dir}",
            f"-L{config.libs_dir}",
            "-lcocotbvpi_verilator",
        ),
    )
    # cocotb's runner expects the executable to be called like the top module.
    link = folder / top
    link.unlink(missing_ok=True)
    link.symlink_to(executable)
    results, log = (folder / "results.xml").resolve(), (folder / "log.txt").resolve()
    # The runner's way to say "a test failed"; the results say which.
    with contextlib.suppress(SystemExit):
        get_runner("verilator").test(
            test_module=list(modules),
            hdl_toplevel=top,
            hdl_toplevel_lang="verilog",
            build_dir=folder.resolve(),
            test_dir=data,
            results_xml=str(results),
            log_file=log,
            extra_env=dict(environment or {}),
            timescale=("1ns", "1ps"),
        )
    if not results.is_file():
        tail = log.read_text(errors="replace")[-1500:] if log.is_file() else "no log"
        raise BenchFailure(f"{top}: the simulation ended without results: {tail}")
    cases = list(ElementTree.parse(results).getroot().iter("testcase"))
    failures = []
    for case in cases:
        for failure in (*case.findall("failure"), *case.findall("error")):
            failures.append(failure.get("error_msg") or failure.get("message") or str(failure.text))
    if failures or not cases:
        raise BenchFailure(f"{top}: " + ("\n".join(failures) or "no test was found"))
    return len(cases)


def run_plan(
    plan: Plan,
    sources: Sequence[str | Path],
    top: str,
    folder: Path,
    *,
    data: Path,
    modules: Sequence[str] = (),
    ports_only: bool = False,
) -> Result:
    """Play ``plan`` through a design; in the steady state frames take ``plan.cycles``, any two of
    them behind each other twice that.

    Args:
        plan: ports, words, phases.
        sources: as for ``verilator.build``.
        top: top module, with FINN's port names.
        folder: gets plan, report, log.
        data: working directory of the simulation.
        modules: further cocotb modules to run in the same simulation.
        ports_only: as for ``run_cocotb``.

    Raises:
        BenchFailure: a word differs, a rule of the stream is broken, the interval is not as
            stated, or nothing was compared.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = {"ANDPOP_PLAN": folder / "plan.json", "ANDPOP_REPORT": folder / "report.json"}
    paths["ANDPOP_PLAN"].write_text(json.dumps(asdict(plan)))
    paths["ANDPOP_REPORT"].unlink(missing_ok=True)
    run_cocotb(
        sources,
        top,
        ["andpop.sim.tb_generic", *modules],
        folder,
        data=data,
        environment={k: str(p.resolve()) for k, p in paths.items()},
        ports_only=ports_only,
    )
    phases: dict[str, dict[str, Any]] = json.loads(paths["ANDPOP_REPORT"].read_text())
    expected = sum(
        len(plan.frames[f].outputs[i]) * port.lanes
        for phase in plan.phases
        for f in phase.frames
        for i, port in enumerate(plan.outputs)
    )
    values = sum(phase["values"] for phase in phases.values())
    if values != expected or not values:
        raise BenchFailure(f"{plan.case}: {values} values compared, expected {expected}")
    differing = sum(phase["differing"] for phase in phases.values())
    if differing:
        raise BenchFailure(f"{plan.case}: {differing} of {values} values differ")
    steady = phases["steady"]
    for port, ends in zip(plan.outputs, steady["frame_ends"], strict=True):
        settled = ends[WARM_FRAMES - 1 :]
        # Where several words are searched by turns, frames may be a cycle longer and shorter.
        pairs = {after - before for before, after in zip(settled, settled[2:], strict=False)}
        if pairs != {2 * plan.cycles}:
            found = sorted({after - before for before, after in pairwise(settled)})
            raise BenchFailure(
                f"{plan.case}: in the steady state a frame of {port.name} takes "
                f"{', '.join(map(str, found))} cycles, the op states {plan.cycles}; correct "
                "cycles() or the RTL"
            )
    return Result(values, differing, plan.cycles, steady["latency"], phases)
