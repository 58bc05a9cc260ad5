# SPDX-License-Identifier: Apache-2.0
"""`andpop_axi` of a project in Verilator, as what a pynq device stands in front of."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import TracebackType

import numpy as np
from andpop.hw.targets.zynq import Project
from andpop.sim import verilator
from fake_pynq import MEMORY_BASE, MEMORY_BYTES

HARNESS = Path(__file__).parent / "axi_board.cpp"
NETWORK = "andpop_network.v"
"""The module in which a network can be told to stand still."""


def build_board(project: Project, heads: int, folder: Path) -> Path:
    """Compile a project around the harness; return the executable.

    Args:
        project: the project, as Vivado would get it.
        heads: heads of the network.
        folder: for what is generated.
    """
    ports = write_ports(heads, folder, "andpop_axi__DOT__network0__DOT__hangs")
    sources = [project.folder / s for s in project.sources]
    (network,) = (s for s in sources if s.name == NETWORK)
    stoppable = folder / NETWORK
    stoppable.write_text(_stoppable(network.read_text()))
    return verilator.build(
        [stoppable if s == network else s for s in sources],
        project.top,
        extra_cpp=[HARNESS, ports],
        kind="executable",
        verilator_flags=("-O3", "-fno-split"),
    )


def write_ports(heads: int, folder: Path, hangs: str) -> Path:
    """Write what the harness has to know of a top; return the file."""
    folder.mkdir(parents=True, exist_ok=True)
    sinks = [f"odma{i}" for i in range(heads)]
    lists = {"LITES": ["control0", "idma0", *sinks], "READERS": ["idma0"], "WRITERS": sinks}
    ports = folder / "axi_ports.hpp"
    ports.write_text(
        f"#define ANDPOP_HANGS {hangs}\n"
        + "".join(
            f"#define ANDPOP_{name}(X) {' '.join(f'X({c})' for c in cells)}\n"
            for name, cells in lists.items()
        )
    )
    return ports


def _stoppable(text: str) -> str:
    """A wire between the input and the network that the harness cuts."""
    changes = {
        ".s_axis_0_tvalid(s_axis_0_tvalid)": ".s_axis_0_tvalid(s_axis_0_tvalid && !hangs)",
        ".s_axis_0_tready(s_axis_0_tready)": ".s_axis_0_tready(ready)",
        "  wire unused = s_axis_0_tlast;": "  reg hangs /*verilator public_flat_rw*/;\n"
        "  wire ready;\n  assign s_axis_0_tready = ready && !hangs;\n"
        "  wire unused = s_axis_0_tlast;",
    }
    for old, new in changes.items():
        assert text.count(old) == 1, f"{NETWORK} has changed: {old}"
        text = text.replace(old, new)
    return text


class VerilatedBoard:
    """A running model; see `fake_pynq.Hardware`."""

    def __init__(self, executable: Path, project: Project, folder: Path, seed: int = 1) -> None:
        path = folder / "memory"
        path.write_bytes(bytes(MEMORY_BYTES))
        self.memory = np.memmap(path, np.uint8, "r+")
        self._process = subprocess.Popen(
            [executable, path, str(MEMORY_BASE), str(seed)],
            cwd=project.folder / "rtl",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        # Asking costs more than a few hundred cycles do.
        self._ask("pause 200")

    def __enter__(self) -> VerilatedBoard:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait(10)

    def load(self) -> None:
        """See `Hardware.load`."""
        self._ask("load")

    def read(self, block: int, offset: int) -> int:
        """See `Hardware.read`; the DMAs work on meanwhile."""
        return self._ask(f"r {block} {offset}")

    def write(self, block: int, offset: int, value: int) -> None:
        """See `Hardware.write`."""
        self._ask(f"w {block} {offset} {value}")

    def hang(self, on: bool) -> None:
        """Stop the network, or let it go on."""
        self._ask(f"hang {int(on)}")

    def spoil(self, addresses: range) -> None:
        """Answer with errors at these addresses."""
        self._ask(f"bad {addresses.start} {addresses.stop}")

    @property
    def cycles(self) -> int:
        """Cycles so far."""
        return self._ask("cycles")

    def _ask(self, command: str) -> int:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        stdin.write(command + "\n")
        line = stdout.readline()
        assert line, f"the model ended with {self._process.wait(10)} at {command}"
        return int(line)
