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
                pins = {"A": [last], "B": [bit], "C": ["0"], "D": ["0"], "Z": [mixed]}
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


def pack_output_registers(module: Module) -> int:
    """Move flip-flops behind block RAMs into their output registers; return how many ports got it.

    Yosys leaves them outside, where a read takes 5.8 ns to come out. A port is packed where every
    data output that is read goes to one plain flip-flop, all of them of the RAM's clock and of one
    enable.
    """
    readers: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for name, cell in module["cells"].items():
        for port, bits in cell["connections"].items():
            if cell["port_directions"][port] != "output":
                for bit in bits:
                    readers[bit].append((name, port))
    outside = {bit for facts in module["ports"].values() for bit in facts["bits"]}
    packed = 0
    for ram in list(module["cells"].values()):
        for data, clock, enable, mode in SIDES.get(ram["type"], ()):
            moves = _registers(module, ram, data, clock, readers, outside)
            if not moves:
                continue
            for port, name in moves.items():
                register = module["cells"].pop(name)["connections"]
                ram["connections"][port] = register["Q"]
                ram["connections"][enable] = register.get("CE", ["1"])
            ram["parameters"][mode] = "OUTREG"
            packed += 1
    return packed


def _registers(
    module: Module,
    ram: Mapping[str, Any],
    data: str,
    clock: str,
    readers: Mapping[int, list[tuple[str, str]]],
    outside: set[int],
) -> dict[str, str]:
    """The flip-flop behind each data output that is read; empty where they cannot be packed."""
    found: dict[str, str] = {}
    kinds = set()
    for port, bits in ram["connections"].items():
        if not (port.startswith(data) and port[len(data) :].isdigit()):
            continue
        bit = bits[0]
        if bit in outside:
            return {}
        if not readers.get(bit):
            continue
        if len(readers[bit]) != 1:
            return {}
        name, pin = readers[bit][0]
        cell = module["cells"][name]
        if cell["type"] != "TRELLIS_FF" or pin != "DI":
            return {}
        pins, parameters = cell["connections"], cell["parameters"]
        if pins.get("LSR", ["0"]) != ["0"] or parameters.get("CLKMUX") != "CLK":
            return {}
        if pins["CLK"] != ram["connections"].get(clock):
            return {}
        enabled = parameters.get("CEMUX", "1 ").strip()
        if enabled not in ("1", "CE"):
            return {}
        kinds.add((enabled, tuple(pins["CE"]) if enabled == "CE" else ()))
        found[port] = name
    return found if len(kinds) == 1 else {}


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
