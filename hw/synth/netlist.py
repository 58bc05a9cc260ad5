# SPDX-License-Identifier: Apache-2.0
"""A mapped netlist as Yosys writes it in JSON: cells, who drives a bit, who reads it, its name."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Bit = int | str
"""A net's number, or a constant: '0', '1', 'x' or 'z'."""


class NetlistError(ValueError):
    """A file is no mapped netlist, or one with cells or loops that timing does not know."""


@dataclass(frozen=True)
class Cell:
    """One cell: its type, parameters and the bits at its ports."""

    name: str
    type: str
    parameters: Mapping[str, str | int]
    connections: Mapping[str, Sequence[Bit]]
    outputs: frozenset[str]

    def number(self, parameter: str, default: int = 0) -> int:
        """A parameter as a number; Yosys writes binary text."""
        value = self.parameters.get(parameter, default)
        if isinstance(value, int):
            return value
        return int(value, 2) if re.fullmatch("[01]+", value) else default

    def text(self, parameter: str, default: str = "") -> str:
        """A parameter as text; Yosys pads with blanks what could be read as a number."""
        return str(self.parameters.get(parameter, default)).strip()


@dataclass(frozen=True)
class Pin:
    """Bit ``index`` of a port of a cell; of a port of the design where ``cell`` is None."""

    cell: Cell | None
    port: str
    index: int


@dataclass
class Netlist:
    """A flat module of mapped cells."""

    name: str
    cells: list[Cell]
    inputs: dict[str, list[Bit]]
    outputs: dict[str, list[Bit]]
    names: dict[int, str]
    """The name of each bit in the source, where it has one."""
    drivers: dict[int, Pin] = field(default_factory=dict)
    loads: dict[int, list[Pin]] = field(default_factory=lambda: defaultdict(list))

    @staticmethod
    def module(file: Path, top: str) -> dict[str, Any]:
        """Read module ``top`` of a file written by ``write_json``, for ``of``.

        Raises:
            NetlistError: the file lacks the module, or a cell without port directions.
        """
        modules = json.loads(file.read_text(encoding="utf-8"))["modules"]
        if top not in modules:
            raise NetlistError(f"{file}: found no module {top}, expected it among {len(modules)}")
        found: dict[str, Any] = modules[top]
        return found

    @staticmethod
    def of(name: str, module: Mapping[str, Any]) -> Netlist:
        """The netlist of one module of such a file.

        Raises:
            NetlistError: a cell has no port directions, so it is not a known one.
        """
        cells = [
            _cell(cell_name, cell)
            for cell_name, cell in module["cells"].items()
            if not cell["type"].startswith("$scopeinfo")
        ]
        sides: dict[str, dict[str, list[Bit]]] = {"input": {}, "output": {}}
        for port, facts in module["ports"].items():
            sides[facts["direction"]][port] = facts["bits"]
        found = Netlist(name, cells, sides["input"], sides["output"], _names(module["netnames"]))
        found._connect()
        return found

    def _connect(self) -> None:
        for port, bits in self.inputs.items():
            for index, bit in enumerate(bits):
                if isinstance(bit, int):
                    self.drivers[bit] = Pin(None, port, index)
        for cell in self.cells:
            for port, wires in cell.connections.items():
                for index, bit in enumerate(wires):
                    if not isinstance(bit, int):
                        continue
                    if port in cell.outputs:
                        self.drivers[bit] = Pin(cell, port, index)
                    else:
                        self.loads[bit].append(Pin(cell, port, index))
        for port, bits in self.outputs.items():
            for index, bit in enumerate(bits):
                if isinstance(bit, int):
                    self.loads[bit].append(Pin(None, port, index))

    def name_of(self, bit: int) -> str:
        """The name of a bit in the source, or what drives it."""
        if bit in self.names:
            return self.names[bit]
        driver = self.drivers.get(bit)
        return f"{driver.cell.type}.{driver.port}" if driver and driver.cell else f"net {bit}"


def _cell(name: str, cell: Mapping[str, Any]) -> Cell:
    directions = cell.get("port_directions")
    if directions is None:
        raise NetlistError(f"{name}: found a cell {cell['type']} that Yosys does not know")
    outputs = frozenset(port for port, way in directions.items() if way != "input")
    return Cell(name, cell["type"], cell["parameters"], cell["connections"], outputs)


def _names(netnames: Mapping[str, Any]) -> dict[int, str]:
    """The best name of each bit: made by a person, then of few levels, then short."""
    found: dict[int, tuple[tuple[bool, int, int], str]] = {}
    for name, net in netnames.items():
        bits = net["bits"]
        rank = (bool(net.get("hide_name")) or "$" in name, name.count("."), len(name))
        for index, bit in enumerate(bits):
            if isinstance(bit, int) and (bit not in found or rank < found[bit][0]):
                found[bit] = (rank, f"{name}[{index}]" if len(bits) > 1 else name)
    return {bit: name for bit, (rank, name) in found.items() if not rank[0]}
