# SPDX-License-Identifier: Apache-2.0
"""Runs Yosys commands: ``python -m andpop.hw.synth.worker SCRIPT``, in the folder of its files.

A program of its own, as Yosys ends the process it runs in where a command fails, and keeps what it
has read. What Yosys prints goes to standard output, its errors to standard error.
"""

from __future__ import annotations

import ctypes
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """End at once on Ctrl-C, and when the process that started this one ends (on Linux)."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def main(script: Path) -> None:
    """Run every line of ``script`` as a command."""
    from pyosys import libyosys

    design = libyosys.Design()
    for command in script.read_text(encoding="ascii").splitlines():
        libyosys.run_pass(command, design)


if __name__ == "__main__":
    end_with_parent()
    main(Path(sys.argv[1]))
