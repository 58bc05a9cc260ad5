# SPDX-License-Identifier: Apache-2.0
"""Edits of a netlist for ECP5 between Yosys and nextpnr, in Yosys' JSON."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from .yosys import SynthesisError

Module = dict[str, Any]
"""One module of a file written by ``write_json``."""

CLOCKS = ("ap_clk", "clk_i", "ap_clk2x")
WRAPPER = "andpop_port_"
"""How the names of the flip-flops at the ports begin."""
FF_PARAMETERS = {
    "GSR": "DISABLED", "CEMUX": "1 ", "CLKMUX": "CLK", "LSRMUX": "LSR", "REGSET": "RESET",
    "SRMODE": "LSR_OVER_CE",
}  # fmt: skip
"""The blank makes "1" text, not a number, as Yosys writes it."""
XOR = "0110011001100110"
"""INIT of a LUT4: A xor B."""
NOT = "0101010101010101"
"""INIT of a LUT4: not A."""

SIDES = {
    "DP16KD": (("DOA", "CLKA", "OCEA", "REGMODE_A"), ("DOB", "CLKB", "OCEB", "REGMODE_B")),
    "PDPW16KD": (("DO", "CLKR", "OCER", "REGMODE"),),
}
"""Of each port of a block RAM: its data outputs, clock, enable and mode of the output register."""


def register_ports(top: str, module: Module) -> None:
    """Put one flip-flop at every port bit but the clock's, all of them one shift register.

    Raises:
        SynthesisError: the design has no clock port.
    """
    ports = module["ports"]
    clocks = [ports.pop(name)["bits"][0] for name in CLOCKS if name in ports]
    if not clocks:
        raise SynthesisError(f"{top}: found no clock port, expected one of {', '.join(CLOCKS)}")
    clock = max(_bits(module), default=1) + 1
    first = last = clock + 1
    free = clock + 2
    chain = []
    for port, facts in sorted(ports.items(), key=lambda found: found[1]["direction"]):
        for index, bit in enumerate(facts["bits"]):
            name = f"{WRAPPER}{port}_{index}"
            if facts["direction"] == "input":
                # The port's own net becomes the flip-flop's output.
                chain.append((name, last, bit))
                last = bit
            elif isinstance(bit, int):
                mixed, out = free, free + 1
                free += 2
                pins: dict[str, list[Any]] = {
                    "A": [last],
                    "B": [bit],
                    "C": ["0"],
                    "D": ["0"],
                    "Z": [mixed],
                }
                module["cells"][f"{name}_xor"] = _cell("LUT4", {"INIT": XOR}, pins)
                chain.append((name, mixed, out))
                last = out
    for name, data, out in chain:
        pins = {"CLK": [clock], "DI": [data], "LSR": ["0"], "Q": [out]}
        module["cells"][name] = _cell("TRELLIS_FF", FF_PARAMETERS, pins)
    for cell in module["cells"].values():
        for port, bits in cell["connections"].items():
            cell["connections"][port] = [clock if bit in clocks else bit for bit in bits]
    module["ports"] = {}
    for port, direction, bit in (
        ("clk", "input", clock), ("scan", "input", first), ("out", "output", last),
    ):  # fmt: skip
        module["ports"][port] = {"direction": direction, "bits": [bit]}
        module["netnames"][f"{WRAPPER}{port}"] = {"hide_name": 0, "bits": [bit], "attributes": {}}


def pack_registers(module: Module) -> int:
    """Move flip-flops into the registers of block RAMs and multipliers; return how many got one.

    Yosys leaves them outside, where a read takes 5.8 ns to come out and a product 3.9 ns. Behind a
    RAM or a product, every bit that is read must go to one plain flip-flop; in front of a product,
    every bit must come from one, and none from an adder: multipliers lie far from those. All of
    them share an enable. A constant factor passes registers beside those of the other one: with
    registers at one side alone nextpnr takes a product as if it had none.
    """
    packer = _Packer(module)
    packed = 0
    for cell in list(module["cells"].values()):
        if cell["type"] in SIDES:
            packed += packer.memory(cell)
        elif cell["type"] == "MULT18X18D":
            packed += packer.product(cell)
    return packed


class _Packer:
    """A module while registers move: who reads and drives each bit is kept, not searched for."""

    def __init__(self, module: Module) -> None:
        cells = module["cells"]
        self._cells: dict[str, dict[str, Any]] = cells
        self._names = {id(cell): name for name, cell in cells.items()}
        self._readers: dict[Any, dict[tuple[int, str], dict[str, Any]]] = defaultdict(dict)
        self._outside = {bit for facts in module["ports"].values() for bit in facts["bits"]}
        self._free = max(_bits(module), default=1) + 1
        for cell in cells.values():
            for port in cell["connections"]:
                self._read(cell, port)
        sums = {
            bit
            for cell in cells.values()
            if cell["type"] == "CCU2C"
            for port in ("S0", "S1")
            for bit in cell["connections"].get(port, [])
        }
        self._drivers = {
            bit: cell
            for cell in cells.values()
            if cell["type"] == "TRELLIS_FF" and cell["connections"]["DI"][0] not in sums
            for bit in cell["connections"]["Q"]
        }

    def memory(self, memory: dict[str, Any]) -> int:
        """Use the output registers of a block RAM; how many of its ports have one then.

        A port that nobody reads follows: with one register of two nextpnr takes a RAM as if it had
        none.
        """
        packed, unread = 0, []
        for data, clock, enable, mode in SIDES[memory["type"]]:
            if not any(
                self._readers.get(bit) or bit in self._outside for bit in _outputs(memory, data)
            ):
                unread.append(mode)
                continue
            clocks = memory["connections"].get(clock)
            found = self._behind(memory, data)
            if found and all(r["connections"]["CLK"] == clocks for r in found.values()):
                self._connect(memory, enable, self._straight(next(iter(found.values()))))
                memory["parameters"][mode] = "OUTREG"
                self._absorb(memory, found)
                packed += 1
        if packed:
            memory["parameters"] |= dict.fromkeys(unread, "OUTREG")
        return packed

    def product(self, product: dict[str, Any]) -> bool:
        """Use the registers of a multiplier, and whether any is."""
        behind = self._behind(product, "P")
        before = {side: self._before(product, side) for side in "AB"}
        groups = {"OUTPUT": behind, "INPUTA": before["A"], "INPUTB": before["B"]}
        for side, other in ("AB", "BA"):
            if _is_constant(product, side):
                groups[f"INPUT{side}"] = before[other]
        clocks = {tuple(r["connections"]["CLK"]) for g in groups.values() for r in g.values()}
        if len(clocks) != 1:
            return False
        for number, (name, found) in enumerate(groups.items()):
            if not found:
                continue
            for kind, pin in (("CLK", "CLK0"), ("CE", f"CE{number}"), ("RST", "RST0")):
                product["parameters"][f"REG_{name}_{kind}"] = pin
                product["port_directions"][pin] = "input"
            self._connect(product, "CLK0", list(*clocks))
            self._connect(product, "RST0", ["0"])
            self._connect(product, f"CE{number}", self._straight(next(iter(found.values()))))
        copied = {**before["A"], **before["B"]}
        for port, register in copied.items():
            self._connect(product, port, register["connections"]["DI"])
        self._absorb(product, behind)
        for register in {id(r): r for r in copied.values()}.values():
            (bit,) = register["connections"]["Q"]
            if not self._readers[bit] and bit not in self._outside:
                self._remove(register)
        return True

    def _read(self, cell: dict[str, Any], port: str) -> None:
        if cell["port_directions"][port] != "output":
            for bit in cell["connections"][port]:
                self._readers[bit][id(cell), port] = cell

    def _unread(self, cell: dict[str, Any], port: str) -> None:
        if cell["port_directions"][port] != "output":
            for bit in cell["connections"].get(port, ()):
                self._readers[bit].pop((id(cell), port), None)

    def _connect(self, cell: dict[str, Any], port: str, bits: list[Any]) -> None:
        self._unread(cell, port)
        cell["connections"][port] = bits
        self._read(cell, port)

    def _add(self, name: str, cell: dict[str, Any]) -> None:
        self._cells[name] = cell
        self._names[id(cell)] = name
        for port in cell["connections"]:
            self._read(cell, port)

    def _remove(self, cell: dict[str, Any]) -> None:
        for port in cell["connections"]:
            self._unread(cell, port)
        for bit in cell["connections"]["Q"]:
            self._drivers.pop(bit, None)
        del self._cells[self._names.pop(id(cell))]

    def _behind(self, cell: Mapping[str, Any], data: str) -> dict[str, dict[str, Any]]:
        """The flip-flop behind each output ``data*`` that is read; empty where one is missing."""
        found = {}
        for port, bits in cell["connections"].items():
            if not (port.startswith(data) and port[len(data) :].isdigit()):
                continue
            if bits[0] in self._outside:
                return {}
            readers = self._readers[bits[0]]
            if not readers:
                continue
            if len(readers) != 1:
                return {}
            (((_, pin), register),) = readers.items()
            if pin != "DI" or not _is_plain(register):
                return {}
            found[port] = register
        return found if len({str(_enable(r)) for r in found.values()}) == 1 else {}

    def _before(self, cell: Mapping[str, Any], data: str) -> dict[str, dict[str, Any]]:
        """The flip-flop in front of each input ``data*``; empty where one is missing."""
        found = {}
        for port, bits in cell["connections"].items():
            named = port.startswith(data) and port[len(data) :].isdigit()
            if not named or isinstance(bits[0], str):
                continue
            register = self._drivers.get(bits[0])
            if register is None or not _is_plain(register):
                return {}
            found[port] = register
        return found if len({str(_enable(r)) for r in found.values()}) == 1 else {}

    def _straight(self, register: Mapping[str, Any]) -> list[Any]:
        """What enables a flip-flop where it is high: its enable, or one inverter for all."""
        bit, inverted = _enable(register)
        if not inverted:
            return [bit]
        name = f"andpop_not_{bit}"
        if name not in self._cells:
            pins = {"A": [bit], "B": ["0"], "C": ["0"], "D": ["0"], "Z": [self._free]}
            self._free += 1
            self._add(name, _cell("LUT4", {"INIT": NOT}, pins))
        return list(self._cells[name]["connections"]["Z"])

    def _absorb(self, cell: dict[str, Any], registers: Mapping[str, dict[str, Any]]) -> None:
        """Let outputs of ``cell`` drive what their flip-flops drove, which go."""
        for port, register in registers.items():
            self._remove(register)
            cell["connections"][port] = register["connections"]["Q"]


def _outputs(cell: Mapping[str, Any], data: str) -> Iterator[Any]:
    """The bits at ``data*`` of a cell."""
    for port, bits in cell["connections"].items():
        if port.startswith(data) and port[len(data) :].isdigit():
            yield bits[0]


def _is_constant(cell: Mapping[str, Any], data: str) -> bool:
    """Whether no input ``data*`` of a cell has a driver."""
    return all(
        isinstance(bits[0], str)
        for port, bits in cell["connections"].items()
        if port.startswith(data) and port[len(data) :].isdigit()
    )


def _is_plain(cell: Mapping[str, Any]) -> bool:
    """Whether a cell is a flip-flop of the rising edge without a reset."""
    return (
        cell["type"] == "TRELLIS_FF"
        and cell["connections"].get("LSR", ["0"]) == ["0"]
        and cell["parameters"].get("CLKMUX", "CLK") == "CLK"
        and cell["parameters"].get("CEMUX", "1 ").strip() in ("1", "CE", "INV")
    )


def _enable(register: Mapping[str, Any]) -> tuple[Any, bool]:
    """The bit that enables a flip-flop, and whether it does so where it is low."""
    way = register["parameters"].get("CEMUX", "1 ").strip()
    return ("1", False) if way == "1" else (register["connections"]["CE"][0], way == "INV")


def _bits(module: Module) -> Iterator[int]:
    for net in module["netnames"].values():
        yield from (bit for bit in net["bits"] if isinstance(bit, int))
    for cell in module["cells"].values():
        for bits in cell["connections"].values():
            yield from (bit for bit in bits if isinstance(bit, int))


def _cell(
    kind: str, parameters: Mapping[str, str], connections: Mapping[str, list[Any]]
) -> dict[str, Any]:
    outputs = ("Z", "Q")
    return {
        "hide_name": 0,
        "type": kind,
        "parameters": dict(parameters),
        "attributes": {},
        "port_directions": {p: "output" if p in outputs else "input" for p in connections},
        "connections": dict(connections),
    }
