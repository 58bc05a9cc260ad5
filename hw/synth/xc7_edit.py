# SPDX-License-Identifier: Apache-2.0
"""An edit of a mapped 7-series netlist for its timing, in Yosys' JSON: registers of DSP blocks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from .ecp5_edit import Module

Cell = dict[str, Any]

Readers = Mapping[Any, list[tuple[Cell, str]]]
"""Cell and port of all that read a bit."""


def pack_products(module: Module) -> int:
    """Move flip-flops around products into their DSP48E1; return how many got one.

    Yosys leaves them outside, a vendor's tool moves them in. In front of a factor every bit must
    come from one plain flip-flop, behind a product every bit that is read must go to one. All of
    them share an enable and have no reset.
    """
    readers = _readers(module)
    drivers = {
        bit: (name, cell)
        for name, cell in module["cells"].items()
        if cell["type"] == "FDRE"
        for bit in cell["connections"]["Q"]
    }
    gone: set[str] = set()
    packed = 0
    for cell in list(module["cells"].values()):
        if cell["type"] != "DSP48E1" or any(_on(cell, r) for r in ("AREG", "BREG", "MREG", "PREG")):
            continue
        factors = [_pack_factor(cell, side, drivers, readers) for side in "AB"]
        product = _pack_product(cell, readers)
        gone.update(*factors, product)
        packed += any([*factors, product])
    module["cells"] = {name: cell for name, cell in module["cells"].items() if name not in gone}
    return packed


def _pack_factor(
    product: Cell, side: str, drivers: dict[Any, tuple[str, Cell]], readers: Readers
) -> set[str]:
    """Use the register of a factor; the flip-flops that nothing else reads any more."""
    bits = product["connections"].get(side, [])
    found = {bit: drivers.get(bit) for bit in bits if isinstance(bit, int)}
    registers = [entry[1] for entry in found.values() if entry is not None]
    if not found or len(registers) != len(found) or not _alike(registers):
        return set()
    wires = {bit: entry[1]["connections"]["D"][0] for bit, entry in found.items() if entry}
    product["connections"][side] = [wires.get(bit, bit) for bit in bits]
    _switch_on(product, f"{side}REG", f"CE{side}2", registers[0])
    alone = set()
    for bit, entry in found.items():
        readers[bit][:] = [r for r in readers[bit] if r[0] is not product or r[1] != side]
        if entry is not None and not readers[bit]:
            alone.add(entry[0])
    return alone


def _pack_product(product: Cell, readers: Readers) -> set[str]:
    """Use the register of the product; the flip-flops that go."""
    bits = product["connections"].get("P", [])
    registers: dict[Any, Cell] = {}
    for bit in bits:
        if not readers.get(bit):
            continue
        reader, port = readers[bit][0]
        if len(readers[bit]) != 1 or port != "D" or reader["type"] != "FDRE":
            return set()
        registers[bit] = reader
    if not registers or not _alike(list(registers.values())):
        return set()
    product["connections"]["P"] = [
        registers[bit]["connections"]["Q"][0] if bit in registers else bit for bit in bits
    ]
    _switch_on(product, "PREG", "CEP", next(iter(registers.values())))
    return {register["name"] for register in registers.values()}


def _switch_on(product: Cell, register: str, enable: str, like: Cell) -> None:
    product["parameters"][register] = 1
    product["connections"][enable] = list(like["connections"]["CE"])
    product["port_directions"][enable] = "input"


def _alike(registers: list[Cell]) -> bool:
    """Whether flip-flops have no reset, and one clock and enable."""
    pins = [register["connections"] for register in registers]
    return all(
        p.get("R", ["0"]) == ["0"] and (p["C"], p["CE"]) == (pins[0]["C"], pins[0]["CE"])
        for p in pins
    )


def _on(cell: Cell, register: str) -> bool:
    value = cell["parameters"].get(register, 1)
    return int(value, 2) > 0 if isinstance(value, str) else value > 0


def _readers(module: Module) -> Readers:
    """Who reads each bit; ports of the module too. Leaves each flip-flop's name in it."""
    readers: dict[Any, list[tuple[Cell, str]]] = defaultdict(list)
    for name, cell in module["cells"].items():
        if cell["type"] == "FDRE":
            cell["name"] = name
        for port, bits in cell["connections"].items():
            if cell["port_directions"][port] != "output":
                for bit in bits:
                    last = readers[bit][-1] if readers[bit] else (None, "")
                    if last[0] is not cell or last[1] != port:
                        readers[bit].append((cell, port))
    for port, facts in module["ports"].items():
        for bit in facts["bits"]:
            readers[bit].append(({"type": "port", "name": port}, port))
    return readers
