# SPDX-License-Identifier: Apache-2.0
"""Runs a script of Yosys commands: ``python worker.py SCRIPT``, in the folder of its files.

A program of its own, as Yosys ends the process it runs in where a command fails, and keeps what it
has read: what it prints goes to the file beside the script, its errors to standard error.
"""

from __future__ import annotations

import sys
from pathlib import Path


def main(script: Path) -> None:
    """Run every line of ``script`` as a command."""
    from pyosys import libyosys

    design = libyosys.Design()
    for command in script.read_text(encoding="ascii").splitlines():
        libyosys.run_pass(command, design)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
