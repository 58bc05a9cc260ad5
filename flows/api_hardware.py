# SPDX-License-Identifier: Apache-2.0
"""The functions of ``flows.api`` for synthesis, bitstreams and boards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .errors import require, require_hardware
from .files import AnyPath, as_path, open_build
from .folder import reads_build
from .progress import Progress, silent
from .trust import blames_damage
from .trust import check as check_trust


@reads_build
@blames_damage
def run(
    folder: AnyPath,
    images: AnyPath | None = None,
    *,
    port: str | None = None,
    simulated: bool = False,
    routed: AnyPath | None = None,
    count: int | None = None,
    masks_folder: AnyPath | None = None,
    check: bool = False,
    self_test: bool = False,
    baud: int | None = None,
    timeout: float | None = None,
    trust: bool = False,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Run pictures on a board at a serial port, or on one that is simulated.

    Args:
        folder: build folder whose bitstream is on the board.
        images: a picture or a folder of pictures; may be left out for a self-test alone.
        port: serial port, such as /dev/ttyUSB0 or COM3.
        simulated: without a board, on a Verilator model of what its bitstream is made of.
        routed: without a board, on a Verilator model of the routed netlist in this project folder.
        count: use the first ``count`` pictures.
        masks_folder: where masks and overlays go, of networks that predict masks.
        check: compare every result with the CPU engine.
        self_test: run the vectors that the build stores first.
        baud: bits per second of the link; 3,000,000 by default.
        timeout: seconds until an answer counts as lost; by default what the build's cycles and
            the baud rate say.
        trust: simulate a folder that differs from its build.json too.

    Returns:
        ``{"task", "pictures", "seconds", "pictures_per_second", "predictions", "self_test",
        "check", "values_differing", "status", "troubles", "notes"}``.
    """
    require("run", "serial")
    from . import on_board
    from .commands import run as command

    files = open_build(Path(folder))
    doubts = check_trust(files, port is None, trust)
    asked = command.Asked(as_path(images), count, as_path(masks_folder), check, self_test)
    rate = on_board.BAUD if baud is None else baud
    line = on_board.Line(port, simulated, as_path(routed), rate, timeout)
    return command.run(files, line, asked, doubts, progress)


@reads_build
@blames_damage
def synth(
    folder: AnyPath,
    *,
    node: str | None = None,
    flat: bool = False,
    primitives: bool = True,
    timing: str = "none",
    progress: Progress = silent,
) -> dict[str, Any]:
    """Synthesise a build with Yosys in cells of AMD's 7 series: read once, mapped node by node.

    Args:
        folder: build folder.
        node: only the node of this name.
        flat: one netlist, optimised across nodes, in their place; it has sums alone.
        primitives: bodies of LUT6_2 and CARRY4, as the RTL says; False for plain ones.
        timing: "none", "estimate" clocks, or "route" each op's slowest designs on an ECP5 as well.

    Returns:
        ``{"nodes": [{name, op, lut, ..., dsp, estimate}], "ops", "total", "estimate", "share",
        "timing": {"method", "mhz", "nodes"}, ...}``; nodes and ops are empty if ``flat``.
    """
    require("synth", "pyosys")
    require_hardware("synth")
    from .commands import synth as command

    return command.synthesise_build(Path(folder), node, flat, primitives, timing, progress)


def synth_kernel(
    kernel: str,
    width: int,
    *,
    m: int = 4,
    n: int = 5,
    bits: int = 8,
    primitives: bool = True,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Synthesise one datapath with Yosys: LUTs per multiply-accumulate.

    Args:
        kernel: "xnor-dot" or another datapath that ``andpop synth --help`` names.
        width: multiply-accumulates per cycle of a dot product (SIMD).
        m: weight levels besides 0 (PA only).
        n: input levels besides 0 (PA only).
        bits: bits of a level or an input code.
        primitives: the explicit LUT6_2 and CARRY4 body instead of the behavioural one.

    Returns:
        ``{"lut_per_mac", "lut", "ff", "carry4", "cells", "macs", ...}``.
    """
    require("synth", "pyosys")
    from .commands import synth as cmd

    return cmd.synthesise_kernel(cmd.Datapath(kernel, width, primitives, m, n, bits), progress)


@reads_build
@blames_damage
def bitstream(
    folder: AnyPath,
    *,
    board: str | None = None,
    out: AnyPath | None = None,
    clock_mhz: float | None = None,
    check: bool = False,
    seed: int = 1,
    flow: str | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Write a project for a board and make its bitstream.

    Args:
        folder: build folder.
        board: that of the build by default.
        out: folder of the project; by default beside the build, named after it and the board.
        clock_mhz: clock of the network; by default that of the build, or the other board's own.
        check: stop before place and route: whether it fits.
        seed: of the placement.
        flow: of a board with a Zynq, "vivado" by default, or "openxc7".

    Returns:
        ``{"folder", "board", "resources": [{resource, used, have, share}], "asked_mhz",
        "reached_mhz", "fps", "link_fps", "files", "missing", "steps", ...}``.
    """
    from .commands import bitstream as command

    return command.bitstream(
        Path(folder), board, as_path(out), clock_mhz, check, seed, flow, progress
    )
