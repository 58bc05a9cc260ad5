# SPDX-License-Identifier: Apache-2.0
"""Reads a whole network once and takes it apart: ``python -m andpop.hw.synth.split SCRIPT``, in the
folder of its files. A program of its own, as ``worker.py`` is.

The script reads the sources, keeps their hierarchy and selects the top.
Every instance of the top becomes a flat design with the ports that it uses there: constant inputs
are constants in it, outputs that nobody reads are gone. Of designs that are equal but for the
contents of block RAMs one is written, as RTLIL, named by its digest; ``designs.json`` says which
instance is which.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .worker import end_with_parent

NODE = "instance_{}"
NAME = re.compile(r"\$\S+")
MEMORY = re.compile(
    r'^  attribute \\(?:ram|rom)_style "block"\n(?:  attribute .*\n)*  memory .*?(\\\S+|\$\S+)$',
    re.I | re.M,
)
CONTENTS = re.compile(
    r'(parameter \\MEMID "\\?(\S+)"\n(?:    .*\n)*?    connect \\DATA )(\d+)\'([01x]+)$', re.M
)
WORD = re.compile(r"parameter \\WIDTH (\d+)")


def wrapper(number: int, cell: Mapping[str, Any], used: Mapping[int, int]) -> str:
    """RTLIL of a module around one instance, its ports the bits that carry something."""
    wires, connections, port = [], [], 0
    for name in sorted(cell["connections"]):
        way = cell["port_directions"][name]
        bits = cell["connections"][name]
        live = [isinstance(bit, int) and (way == "input" or used[bit] > 0) for bit in bits]
        open_name = f"$open_{name}"
        if any(live):
            port += 1
            wires.append(f"  wire width {sum(live)} {way} {port} \\{name}")
        if way != "input" and not all(live):
            wires.append(f"  wire width {live.count(False)} {open_name}")
        signals = []
        taken = {True: 0, False: 0}
        for bit, alive in zip(bits, live, strict=True):
            if not alive and way == "input":
                signals.append(f"1'{bit}")
                continue
            signals.append(f"{chr(92) + name if alive else open_name} [{taken[alive]}]")
            taken[alive] += 1
        connections.append(f"    connect \\{name} {{ {' '.join(reversed(signals))} }}")
    return "\n".join(
        [
            f"module \\{NODE.format(number)}", *wires, f"  cell \\{cell['type']} \\u",
            *connections, "  end", "end", "",
        ]
    )  # fmt: skip


def readers(top: Mapping[str, Any]) -> Counter[int]:
    """How many inputs of instances and outputs of the top read each net."""
    used: Counter[int] = Counter()
    for cell in top["cells"].values():
        for name, bits in cell["connections"].items():
            if cell["port_directions"][name] != "output":
                used.update(bit for bit in bits if isinstance(bit, int))
    for port in top["ports"].values():
        if port["direction"] != "input":
            used.update(bit for bit in port["bits"] if isinstance(bit, int))
    return used


def canonical(text: str, name: str) -> str:
    """The text of a module with generated names numbered in their order, its own name and the
    contents of its block RAMs taken out; bits that are the same in every word stay, as they shape
    the memory."""
    numbers: dict[str, str] = {}
    text = text.replace(f"module \\{name}\n", "module \\design\n", 1)
    blocks = set(MEMORY.findall(text))

    def columns(match: re.Match[str]) -> str:
        memory, bits = match[2], match[4]
        if memory not in blocks and f"\\{memory}" not in blocks:
            return match[0]
        width = int(WORD.search(text, match.start() - 200)[1])  # type: ignore[index]
        found = ["".join(sorted(set(bits[i::width]))) for i in range(width)]
        return f"{match[1]}{match[3]} columns {' '.join(found)}"

    text = CONTENTS.sub(columns, text)
    return NAME.sub(lambda m: numbers.setdefault(m[0], f"$_{len(numbers)}"), text)


def main(script: Path) -> None:
    """Run ``script``, write a file per distinct design and ``designs.json``."""
    from pyosys import libyosys

    design = libyosys.Design()

    def run(command: str) -> None:
        libyosys.run_pass(command, design)

    for command in script.read_text(encoding="ascii").splitlines():
        run(command)
    run("write_json -selected top.json")
    run("select -clear")
    top = next(iter(json.loads(Path("top.json").read_text(encoding="utf-8"))["modules"].values()))
    used = readers(top)
    cells = list(top["cells"].items())
    wrappers = [wrapper(i, cell, used) for i, (_, cell) in enumerate(cells)]
    Path("wrappers.il").write_text("".join(wrappers), encoding="ascii")
    run("read_rtlil wrappers.il")
    run(f"select {NODE.format('*')}")
    for command in ("flatten -noscopeinfo", "opt_clean", "setattr -unset src -unset hdlname"):
        run(command)
    found = {}
    for number, (instance, cell) in enumerate(cells):
        name = NODE.format(number)
        text = design.module(libyosys.IdString(f"\\{name}")).to_rtlil_str()
        digest = hashlib.sha256(canonical(text, name).encode()).hexdigest()
        file = Path(f"{digest}.il")
        if not file.exists():
            text = text.replace(f"module \\{name}\n", f"module \\d_{digest}\n", 1)
            file.write_text(text, encoding="ascii")
        found[instance] = {"module": cell["type"].split("$")[0], "design": digest}
    Path("designs.json").write_text(json.dumps(found), encoding="ascii")


if __name__ == "__main__":
    end_with_parent()
    main(Path(sys.argv[1]))
