# SPDX-License-Identifier: Apache-2.0
"""A routed ECP5 design as SystemVerilog, to be simulated against what it was made from.

nextpnr writes the cells that the bitstream configures: LUTs with their tables, flip-flops with
their set and enable, carry chains, memories, products. Each becomes what it computes. Facts of
the cells: Project Trellis, nextpnr's ECP5 packer, and the notes that the models of its cells name.

Not covered: delays (the clock report's), the PLL (its output clock follows its input clock) and
the configuration of the routing itself.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .lut_table import expression

FILE = "post_route.sv"
"""What ``to_verilog`` writes."""
CELLS = tuple(
    Path(__file__).parent / f"{name}.sv" for name in ("ecp5_ebr_port", "ecp5_ebr", "ecp5_mult18")
)
"""Models of the cells that are more than an expression."""
Cell = Mapping[str, Any]
CLOCKS = {"DCCA": ("CLKI", "CLKO"), "EHXPLLL": ("CLKI", "CLKOP")}
"""Cells that hand a clock on: (from, to)."""
RAMW = {
    "WADO0": "D0", "WADO1": "B0", "WADO2": "C0", "WADO3": "A0",
    "WDO0": "C1", "WDO1": "A1", "WDO2": "D1", "WDO3": "B1",
}  # fmt: skip
"""What the write port of a LUT RAM hands to its LUTs."""
MODES = {"NORMAL": 0, "WRITETHROUGH": 1, "READBEFOREWRITE": 2}


class NetlistError(ValueError):
    """A routed netlist holds what this module does not know."""


def to_verilog(routed: Path, folder: Path, top: str) -> list[Path]:
    """Write a routed design as SystemVerilog.

    Args:
        routed: what nextpnr's ``--write`` left.
        folder: gets ``post_route.sv`` and one ``ebr_N.mem`` for each block RAM.
        top: name of the module; its ports are those of the design.

    Returns:
        The sources to compile, cells first. Memory images are named without a folder: simulate in
        ``folder``.

    Raises:
        NetlistError: an unknown cell or mode, or no netlist of nextpnr's.
    """
    module = _read(routed)
    folder.mkdir(parents=True, exist_ok=True)
    writer = _Writer(folder)
    # What hands a clock on comes first: the others take their clock by the name that it has there.
    for name, cell in sorted(module["cells"].items(), key=lambda c: c[1]["type"] not in CLOCKS):
        writer.cell(name, cell)
    file = folder / FILE
    file.write_text(writer.text(top, module["ports"]), encoding="utf-8")
    return [*CELLS, file]


def _read(routed: Path) -> Mapping[str, Any]:
    """The one module of a netlist. Whatever of it becomes text of the source is looked at here: a
    name, a table or a net that is more than that would be code."""
    try:
        (module,) = json.loads(routed.read_text(encoding="utf-8"))["modules"].values()
        ports = module["ports"]
        bits = [bit for port in ports.values() for bit in port["bits"]]
        for cell in module["cells"].values():
            bits += [bit for pin in cell["connections"].values() for bit in pin]
        tables = [c["parameters"].get("INITVAL", "0") for c in module["cells"].values()]
        strange = [
            *(name for name in ports if not re.fullmatch(r"[A-Za-z]\w*", name)),
            *(p["direction"] for p in ports.values() if p["direction"] not in ("input", "output")),
            *(bit for bit in bits if type(bit) is not int),
            *(table for table in tables if not re.fullmatch("[01]{1,16}", table)),
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise NetlistError(
            f"{routed}: found no netlist ({error}), expected what nextpnr wrote; run "
            "`andpop bitstream` again"
        ) from error
    if strange:
        raise NetlistError(
            f"{routed}: found {str(strange[0])[:40]!r} as a port, net or table, expected what "
            "nextpnr wrote; run `andpop bitstream` again"
        )
    return dict(module)


def _constant(text: str) -> str:
    """A parameter without the blank that makes digits text."""
    return text.rstrip()


class _Writer:
    """Collects the statements of a netlist."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.nets: dict[int, None] = {}
        self.aliases: dict[int, int] = {}
        """Output clock -> input clock of buffers."""
        self.lines: list[str] = []
        self.registers: dict[tuple[int, bool], list[tuple[str, str, str, str, str]]]
        self.registers = defaultdict(list)
        """(clock net, inverted) -> (net, next, enable, reset, reset value)."""
        self.memories = self.cells = 0

    def cell(self, name: str, cell: Cell) -> None:
        """Add one cell.

        Raises:
            NetlistError: an unknown cell or mode.
        """
        kind = cell["type"]
        handlers: dict[str, Callable[[Cell], None]] = {
            "TRELLIS_COMB": self._comb,
            "TRELLIS_FF": self._register,
            "TRELLIS_RAMW": self._ram_write,
            "TRELLIS_IO": self._pin,
            "DP16KD": self._ebr,
            "MULT18X18D": self._product,
            "DCCA": self._clock,
            "EHXPLLL": self._clock,
        }
        if kind not in handlers:
            raise NetlistError(
                f"{name}: cell {kind} has no model; expected one of {', '.join(handlers)}"
            )
        try:
            handlers[kind](cell)
        except NetlistError as error:
            raise NetlistError(f"{name}: {error}") from None

    def text(self, top: str, ports: Mapping[str, Any]) -> str:
        """The module."""
        head = [f"  {p['direction']} wire [{len(p['bits']) - 1}:0] {n}" for n, p in ports.items()]
        wires = [f"  logic {self._name(net)};" for net in self.nets if net not in self.aliases]
        inner = []
        for name, port in ports.items():
            for index, bit in enumerate(port["bits"]):
                net = self._name(bit)
                here = f"{name}[{index}]"
                wanted = (here, net) if port["direction"] == "output" else (net, here)
                if bit in self.nets:
                    inner.append(f"  assign {wanted[0]} = {wanted[1]};")
        lines = [
            "// SPDX-License-Identifier: Apache-2.0",
            "// A routed design; written by andpop.",
            "`default_nettype none",
            f"module {top} (",
            ",\n".join(head),
            ");",
            *wires,
            *inner,
            *self.lines,
        ]
        for (clock, inverted), found in self.registers.items():
            edge = "negedge" if inverted else "posedge"
            groups: dict[tuple[str, str], list[tuple[str, str, str]]] = defaultdict(list)
            for net, data, enable, reset, value in found:
                lines.append(f"  initial {net} = {value};")
                groups[enable, reset].append((net, data, value))
            for (enable, reset), members in groups.items():
                lines.append(f"  always_ff @({edge} {self._name(clock)}) begin")
                to = "{" + ", ".join(net for net, _, _ in members) + "}"
                data = "{" + ", ".join(data for _, data, _ in members) + "}"
                value = "{" + ", ".join(value for _, _, value in members) + "}"
                take = f"{to} <= {data};" if enable == "1'b1" else f"if ({enable}) {to} <= {data};"
                if reset == "1'b0":
                    lines.append(f"    {take}")
                else:
                    lines.append(f"    if ({reset}) {to} <= {value}; else {take}")
                lines.append("  end")
        return "\n".join([*lines, "endmodule", "`default_nettype wire", ""])

    def _name(self, net: int) -> str:
        while net in self.aliases:
            net = self.aliases[net]
        return f"n{net}"

    def _out(self, cell: Cell, pin: str) -> str | None:
        """The net that an output drives, if any."""
        bits = cell["connections"].get(pin)
        if not bits:
            return None
        self.nets[bits[0]] = None
        return self._name(bits[0])

    def _in(self, cell: Cell, pin: str, unconnected: str = "1") -> str:
        """The value at an input, through its multiplexer. What is not connected reads one."""
        bits = cell["connections"].get(pin)
        mux = _constant(str(cell["parameters"].get(f"{pin}MUX", pin)))
        if mux in ("0", "1"):
            return f"1'b{mux}"
        if bits:
            self.nets[bits[0]] = None
            value = self._name(bits[0])
        else:
            value = f"1'b{unconnected}"
        if mux == "INV":
            return {"1'b0": "1'b1", "1'b1": "1'b0"}.get(value, f"~{value}")
        if mux != pin:
            raise NetlistError(f"pin {pin} has multiplexer {mux!r}, expected 0, 1, INV or {pin}")
        return value

    def _bus(self, cell: Cell, pin: str, width: int) -> str:
        return "{" + ", ".join(self._in(cell, f"{pin}{n}") for n in reversed(range(width))) + "}"

    def _bus_out(self, cell: Cell, pin: str, width: int) -> str:
        """Nets of an output bus, places for bits that nothing reads."""
        found = [self._out(cell, f"{pin}{n}") for n in reversed(range(width))]
        spare = [n for n in found if n is None]
        if spare:
            name = f"spare_{len(self.lines)}_{pin}"
            self.lines.append(f"  logic [{len(spare) - 1}:0] {name};")
            places = iter(range(len(spare)))
            found = [f"{name}[{next(places)}]" if n is None else n for n in found]
        return "{" + ", ".join(str(n) for n in found) + "}"

    def _comb(self, cell: Cell) -> None:
        parameters = cell["parameters"]
        mode = parameters.get("MODE", "LOGIC")
        out, table = self._out(cell, "F"), parameters["INITVAL"]
        a, b, c, d = (self._in(cell, pin) for pin in "ABCD")
        if mode == "LOGIC":
            if out:
                self.lines.append(f"  assign {out} = {expression(table, (a, b, c, d))};")
        elif mode == "CCU2":
            self._carry(cell, table, (a, b, c, d))
        elif mode == "DPRAM":
            if out:
                self._lut_ram(cell, table, f"{{{a}, {c}, {b}, {d}}}", out)
        elif mode != "RAMW_BLOCK":
            raise NetlistError(f"mode {mode} is not known; expected LOGIC, CCU2 or DPRAM")
        wide = self._out(cell, "OFX")
        if wide:
            bits = cell["connections"]
            one, zero = ("FXB", "FXA") if bits.get("FXA") or bits.get("FXB") else ("F1", "F")
            ways = f"{self._in(cell, one)} : {self._in(cell, zero)}"
            self.lines.append(f"  assign {wide} = {self._in(cell, 'M')} ? {ways};")

    def _carry(self, cell: Cell, table: str, pins: tuple[str, str, str, str]) -> None:
        """Half a CCU2C: a sum bit and the carry to the next half."""
        a, b, c, d = pins
        self.cells += 1
        whole, half = f"c{self.cells}_4", f"c{self.cells}_2"
        carry = self._in(cell, "FCI", unconnected="0")
        both, low = (expression(table, (a, b, *more)) for more in ((c, d), ("1'b0", "1'b0")))
        self.lines.append(f"  wire {whole} = {both}, {half} = {low};")
        inject = cell["parameters"]["CCU2_INJECT1"] == "YES"
        total, onward = self._out(cell, "F"), self._out(cell, "FCO")
        if total:
            self.lines.append(f"  assign {total} = {whole}{'' if inject else f' ^ {carry}'};")
        if onward:
            no = "1'b0" if inject else half
            self.lines.append(f"  assign {onward} = {whole} ? {carry} : {no};")

    def _lut_ram(self, cell: Cell, table: str, address: str, out: str) -> None:
        """One bit of a LUT RAM: written by the clock, read at once."""
        clock = self._in(cell, "WCK")
        where = ", ".join(self._in(cell, f"WAD{n}") for n in (3, 2, 1, 0))
        self.lines += [
            f"  logic [15:0] R{out} = 16'b{table};",
            f"  always_ff @(posedge {clock})",
            f"    if ({self._in(cell, 'WRE')}) R{out}[{{{where}}}] <= {self._in(cell, 'WD')};",
            f"  assign {out} = R{out}[{address}];",
        ]

    def _ram_write(self, cell: Cell) -> None:
        for pin, source in RAMW.items():
            out = self._out(cell, pin)
            if out:
                self.lines.append(f"  assign {out} = {self._in(cell, source)};")

    def _register(self, cell: Cell) -> None:
        parameters = cell["parameters"]
        out = self._out(cell, "Q")
        if out is None:
            return
        if parameters.get("SRMODE", "LSR_OVER_CE") != "LSR_OVER_CE":
            raise NetlistError("an asynchronous reset has no model; expected LSR_OVER_CE")
        data = self._in(cell, "DI" if _constant(str(parameters["SD"])) == "1" else "M")
        enable = self._in(cell, "CE")
        # What is not connected reads one, but a flip-flop without reset has none.
        reset = self._in(cell, "LSR") if cell["connections"].get("LSR") else "1'b0"
        (clock,) = cell["connections"]["CLK"]
        self.nets[clock] = None
        value = "1'b1" if parameters["REGSET"] == "SET" else "1'b0"
        inverted = parameters.get("CLKMUX", "CLK") == "INV"
        self.registers[clock, inverted].append((out, data, enable, reset, value))

    def _pin(self, cell: Cell) -> None:
        """A pad: the design's port is the net at B."""
        way = cell["parameters"]["DIR"]
        (pad,) = cell["connections"]["B"]
        self.nets[pad] = None
        if way == "INPUT":
            out = self._out(cell, "O")
            if out:
                self.lines.append(f"  assign {out} = {self._name(pad)};")
        elif way == "OUTPUT":
            self.lines.append(f"  assign {self._name(pad)} = {self._in(cell, 'I')};")
        else:
            raise NetlistError(f"a pad of direction {way} has no model; expected INPUT or OUTPUT")

    def _clock(self, cell: Cell) -> None:
        source, out = CLOCKS[cell["type"]]
        (a,), (b,) = cell["connections"][source], cell["connections"][out]
        self.nets[a] = self.nets[b] = None
        self.aliases[b] = a
        if cell["connections"].get("LOCK"):
            self.lines.append(f"  assign {self._out(cell, 'LOCK')} = 1'b1;")

    def _ebr(self, cell: Cell) -> None:
        parameters = cell["parameters"]
        image = f"ebr_{self.memories}.mem"
        self.memories += 1
        (self.folder / image).write_text(_image(parameters), encoding="utf-8")
        settings = [f'.Image("{image}")']
        pins = []
        for side in "AB":
            low = side.lower()
            width = int(parameters[f"DATA_WIDTH_{side}"], 2)
            if width > 18:
                raise NetlistError(f"port {side} of {width} bits has no model; expected 18 or less")
            mode = MODES[parameters.get(f"WRITEMODE_{side}", "NORMAL")]
            register = int(parameters.get(f"REGMODE_{side}", "NOREG") == "OUTREG")
            settings += [
                f".Width{side}({width})", f".Reg{side}(1'b{register})", f".Mode{side}({mode})",
            ]  # fmt: skip
            if parameters.get(f"CSDECODE_{side}", "0b000") != "0b000":
                raise NetlistError(f"chip select of port {side} is decoded; expected 0b000")
            select = " | ".join(self._in(cell, f"CS{side}{n}") for n in range(3))
            clocked = cell["connections"].get(f"CLK{side}")
            clock = self._in(cell, f"CLK{side}") if clocked else "1'b0"
            pins += [
                f".clk_{low}_i({clock})",
                f".ce_{low}_i({self._in(cell, f'CE{side}')} & ~({select}))",
                f".oce_{low}_i({self._in(cell, f'OCE{side}')})",
                f".we_{low}_i({self._in(cell, f'WE{side}')})",
                f".rst_{low}_i({self._in(cell, f'RST{side}')})",
                f".addr_{low}_i({self._bus(cell, f'AD{side}', 14)})",
                f".data_{low}_i({self._bus(cell, f'DI{side}', 18)})",
                f".data_{low}_o({self._bus_out(cell, f'DO{side}', 18)})",
            ]
        self.lines.append(
            f"  ecp5_ebr #({', '.join(settings)}) u_{self.memories} ({', '.join(pins)});"
        )

    def _product(self, cell: Cell) -> None:
        parameters = cell["parameters"]
        settings, pins = [], []
        stages = {"A": "INPUTA", "B": "INPUTB", "Pipeline": "PIPELINE", "Out": "OUTPUT"}
        for stage, word in stages.items():
            low = stage[0].lower()
            clock = parameters.get(f"REG_{word}_CLK", "NONE")
            settings.append(f".Reg{stage}(1'b{int(clock != 'NONE')})")
            if clock == "NONE":
                pins += [f".clk_{low}_i(1'b0)", f".ce_{low}_i(1'b0)", f".rst_{low}_i(1'b0)"]
                continue
            pins += [
                f".clk_{low}_i({self._in(cell, clock)})",
                f".ce_{low}_i({self._in(cell, parameters.get(f'REG_{word}_CE', 'CE0'))})",
                f".rst_{low}_i({self._in(cell, parameters.get(f'REG_{word}_RST', 'RST0'))})",
            ]
        pins += [
            f".signed_a_i({self._in(cell, 'SIGNEDA')})",
            f".signed_b_i({self._in(cell, 'SIGNEDB')})",
            f".a_i({self._bus(cell, 'A', 18)})",
            f".b_i({self._bus(cell, 'B', 18)})",
            f".p_o({self._bus_out(cell, 'P', 36)})",
        ]
        self.cells += 1
        self.lines.append(
            f"  ecp5_mult18 #({', '.join(settings)}) u_p{self.cells} ({', '.join(pins)});"
        )


def _image(parameters: Mapping[str, str]) -> str:
    """The $readmemh text of a block RAM: each INITVAL holds 16 words of 18 bits, 20 apart."""
    lines = []
    for chunk in range(64):
        text = parameters.get(f"INITVAL_{chunk:02X}", "0")
        bits = int(text[2:], 16) if text.startswith("0x") else int(text, 2)
        for word in range(16):
            value = bits >> (20 * word)
            lines += [f"{value & 0x1FF:03x}", f"{value >> 9 & 0x1FF:03x}"]
    return "\n".join([*lines, ""])
