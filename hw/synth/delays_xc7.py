# SPDX-License-Identifier: Apache-2.0
"""Cell delays of AMD's 7 series in speed grade -1, for the estimate of `sta`.

Block RAM, CARRY4 and MUXF: Project X-Ray's timing of Artix-7, as quoted by Yosys' cell models. The
delays of a LUT and of a flip-flop's output are those that public timing reports of -1 parts show.
Other checks, LUT RAM, shift registers and the DSP's periods are typical figures of that grade,
not checked against AMD's data sheets. DSP48E1: Yosys' model quotes -3; its figures are taken times
1.37, a ratio that was seen on a few of its arcs only.
"""

from __future__ import annotations

from collections.abc import Iterable

from .netlist import Cell, NetlistError, Pin
from .sta import Arc, Family, Nets

LUT = 0.124
MUXF = {"MUXF7": (0.223, 0.296), "MUXF8": (0.104, 0.273)}
"""From a data input and from the select."""

CARRY_CI_CO = (0.271, 0.157, 0.228, 0.114)
CARRY_CI_O = (0.222, 0.334, 0.239, 0.313)
CARRY_CYINIT_CO = (0.536, 0.494, 0.592, 0.580)
CARRY_CYINIT_O = (0.482, 0.598, 0.584, 0.642)
CARRY_S_CO = ((0.340, 0.433, 0.512, 0.508), (0, 0.469, 0.548, 0.528), (0, 0, 0.292, 0.378),
              (0, 0, 0, 0.380))  # fmt: skip
CARRY_S_O = ((0.223, 0.400, 0.523, 0.582), (0, 0.205, 0.558, 0.618), (0, 0, 0.226, 0.330),
             (0, 0, 0, 0.227))  # fmt: skip
CARRY_DI_CO = ((0.379, 0.465, 0.540, 0.526), (0, 0.445, 0.520, 0.507), (0, 0, 0.356, 0.398),
               (0, 0, 0, 0.385))  # fmt: skip
CARRY_DI_O = ((0, 0.407, 0.556, 0.615), (0, 0, 0.537, 0.596), (0, 0, 0, 0.438), (0, 0, 0, 0))
"""CARRY4: row is the input's bit, column the output's."""

FF_OUT = 0.478
FF_CHECKS = {"D": 0.0, "CE": 0.205, "R": 0.429, "S": 0.429, "CLR": 0.429, "PRE": 0.429}
RAM_OUT = 1.314
RAM_CHECKS = {"data": 0.26, "address": 0.31, "WE": 0.533}
SRL_OUT = 1.628
SRL_CHECKS = {"D": 0.173, "CE": 0.533}

RAMB_OUT, RAMB_OUT_REGISTERED = 2.454, 0.882
RAMB_CHECKS = {
    "ADDRARDADDR": 0.566, "ADDRBWRADDR": 0.566, "WEA": 0.532, "WEBWE": 0.532, "DIADI": 0.737,
    "DIBDI": 0.737, "DIPADIP": 0.737, "DIPBDIP": 0.737, "ENARDEN": 0.443, "ENBWREN": 0.443,
    "REGCEAREGCE": 0.360, "REGCEB": 0.360, "RSTREGARSTREG": 0.342, "RSTREGB": 0.342,
    "RSTRAMARSTRAM": 0.359, "RSTRAMB": 0.359,
}  # fmt: skip

DSP_SCALE = 1.37
"""-1 over -3."""
DSP_CE, DSP_RST = 0.52, 0.60
DSP_PERIODS = {"whole": 1000 / 464, "no ADREG": 1000 / 290, "no MREG": 1000 / 257,
               "neither": 1000 / 190}  # fmt: skip
"""Between registers inside a DSP48E1, ns, of -1."""


class Series7(Family):
    """AMD's 7 series, speed grade -1."""

    name = "7 series -1"
    sources = (
        "Project X-Ray's timing as quoted by Yosys' cell models, DSP48E1 its -3 figures times "
        "1.37; LUTs, flip-flops and LUT RAM typical of -1, not checked against data sheets"
    )
    nets = Nets(0.65, 0.06, 1.6)
    register = (FF_OUT, 0.0)

    def launches(self, cell: Cell) -> Iterable[tuple[str, float]]:
        kind = _kind(cell)
        if kind == "FD":
            yield "Q", FF_OUT
        elif kind == "SRL":
            yield from (("Q", SRL_OUT), ("Q15", SRL_OUT), ("Q31", SRL_OUT))
        elif kind == "RAM":
            yield from ((port, RAM_OUT) for port in cell.outputs)
        elif kind == "RAMB":
            for side, ports in (("A", ("DOADO", "DOPADOP")), ("B", ("DOBDO", "DOPBDOP"))):
                registered = cell.number(f"DO{side}_REG")
                for port in ports:
                    yield port, RAMB_OUT_REGISTERED if registered else RAMB_OUT
        elif kind == "DSP":
            yield from _dsp_launches(cell)

    def arcs(self, cell: Cell) -> Iterable[Arc]:
        kind = _kind(cell)
        if kind == "INV":
            # Whatever drives it can hold or compute the inverse: neither a LUT nor a net.
            yield ("I", None, "O", None, 0.0)
        elif kind == "LUT":
            for port in cell.connections:
                if port not in cell.outputs:
                    for out in cell.outputs:
                        if _computes_from(cell, out, port):
                            yield (port, None, out, None, LUT)
        elif kind == "MUXF":
            data, select = MUXF[cell.type]
            yield from (("I0", None, "O", None, data), ("I1", None, "O", None, data))
            yield ("S", None, "O", None, select)
        elif kind == "CARRY4":
            yield from _carry_arcs()
        elif kind in ("RAM", "SRL"):
            for port in cell.connections:
                if _is_read_address(cell, port):
                    yield from ((port, None, out, None, LUT) for out in _read_by(cell, port))
        elif kind == "DSP":
            yield from _dsp_arcs(cell)

    def checks(self, cell: Cell) -> Iterable[tuple[str, float]]:
        kind = _kind(cell)
        if kind == "FD":
            yield from FF_CHECKS.items()
        elif kind == "SRL":
            yield from SRL_CHECKS.items()
        elif kind == "RAM":
            for port in cell.connections:
                if port in ("D", "DI") or port.startswith("DI"):
                    yield port, RAM_CHECKS["data"]
                elif port == "WE":
                    yield port, RAM_CHECKS["WE"]
                elif _is_write_address(cell, port):
                    yield port, RAM_CHECKS["address"]
        elif kind == "RAMB":
            yield from RAMB_CHECKS.items()
        elif kind == "DSP":
            yield from _dsp_checks(cell)

    def inside(self, cell: Cell) -> float:
        if _kind(cell) != "DSP" or not (_register(cell, "PREG") or _register(cell, "MREG")):
            return 0.0
        before = _register(cell, "AREG") or _register(cell, "BREG")
        if not before or cell.text("USE_MULT", "MULTIPLY") == "NONE":
            return 0.0
        preadder = cell.text("USE_DPORT", "FALSE") == "TRUE" and not _register(cell, "ADREG")
        product = not _register(cell, "MREG")
        if product and preadder:
            return DSP_PERIODS["neither"]
        if product:
            return DSP_PERIODS["no MREG"]
        return DSP_PERIODS["no ADREG" if preadder else "whole"]

    def entry(self, load: Pin) -> float:
        # No wire leads to the select of a carry chain: the LUT in front of it is passed.
        inside = load.cell is not None and _kind(load.cell) == "CARRY4" and load.port == "S"
        return LUT if inside else 0.0

    def local(self, driver: Pin, load: Pin, registers: int) -> bool:
        if driver.cell is None or load.cell is None:
            return False
        before, after = _kind(driver.cell), _kind(load.cell)
        if after == "INV":
            return True
        logic = before in ("LUT", "INV", "CARRY4", "MUXF")
        if after == "FD":
            return load.port == "D" and logic and registers == 1
        if after == "CARRY4":
            return (before == "LUT" and load.port in ("S", "DI")) or (
                before == "CARRY4" and load.port == "CI"
            )
        if after == "MUXF":
            return load.port != "S" and before in ("LUT", "MUXF")
        return after == "DSP" and before == "DSP" and load.port in ("PCIN", "ACIN", "BCIN")


def _kind(cell: Cell) -> str:
    """The kind of a cell: the first of the prefixes below.

    Raises:
        NetlistError: the cell is none of them.
    """
    kinds = ("FD", "LUT", "CARRY4", "MUXF", "INV", "SRL", "RAMB", "DSP", "RAM", "VCC", "GND")
    for kind in kinds:
        if cell.type.startswith(kind):
            return kind
    raise NetlistError(
        f"{cell.name}: found a cell {cell.type}, expected one of the 7 series with known delays; "
        "add it to hw/synth/delays_xc7.py"
    )


def _carry_arcs() -> Iterable[Arc]:
    for j in range(4):
        yield ("CI", None, "CO", j, CARRY_CI_CO[j])
        yield ("CI", None, "O", j, CARRY_CI_O[j])
        yield ("CYINIT", None, "CO", j, CARRY_CYINIT_CO[j])
        yield ("CYINIT", None, "O", j, CARRY_CYINIT_O[j])
        for i in range(j + 1):
            yield ("S", i, "CO", j, CARRY_S_CO[i][j])
            yield ("S", i, "O", j, CARRY_S_O[i][j])
            yield ("DI", i, "CO", j, CARRY_DI_CO[i][j])
            if i < j:
                yield ("DI", i, "O", j, CARRY_DI_O[i][j])


def _is_read_address(cell: Cell, port: str) -> bool:
    if port.startswith(("ADDR", "DPRA")):
        return True
    return port[0] == "A" and (len(port) == 1 or port[1:].isdigit())


def _read_by(cell: Cell, port: str) -> Iterable[str]:
    """The outputs that an address port selects."""
    if port.startswith("ADDR"):
        return [f"DO{port[-1]}"]
    if port.startswith("DPRA"):
        return ["DPO"]
    return [out for out in cell.outputs if out in ("SPO", "O", "Q")]


def _is_write_address(cell: Cell, port: str) -> bool:
    if cell.type.startswith(("RAM32M", "RAM64M")):
        return port == "ADDRD"
    return port[0] == "A" and (len(port) == 1 or port[1:].isdigit())


def _computes_from(cell: Cell, out: str, port: str) -> bool:
    """Whether an output of a LUT depends on an input: one of LUT6_2's two may ignore it."""
    if cell.type != "LUT6_2":
        return True
    table, place = cell.number("INIT"), int(port[1:])
    if out == "O5" or list(cell.connections["I5"]) == ["1"]:
        if place == 5:
            return False
        table = table & 0xFFFFFFFF if out == "O5" else table >> 32
    size, step = (32, 1 << place) if place < 5 and table < 1 << 32 else (64, 1 << place)
    return any((table >> i & 1) != (table >> (i + step) & 1) for i in range(size) if not i & step)


def _register(cell: Cell, name: str) -> bool:
    """Whether a register of a DSP48E1 is on, as it is unless a parameter says otherwise."""
    return cell.number(name, 1) > 0


def _multiplies(cell: Cell) -> bool:
    return cell.text("USE_MULT", "MULTIPLY") != "NONE"


def _preadds(cell: Cell) -> bool:
    return cell.text("USE_DPORT", "FALSE") == "TRUE"


def _dsp_launches(cell: Cell) -> Iterable[tuple[str, float]]:
    """P and PCOUT start paths at the slowest of the registers in front of them."""
    operand = _register(cell, "AREG") or _register(cell, "BREG")
    held = _preadds(cell) and _register(cell, "ADREG")
    product = _multiplies(cell) and not _register(cell, "MREG")
    if _register(cell, "PREG"):
        late = 0.329
    elif product and operand and _preadds(cell) and not held:
        late = 3.935
    elif product and (operand or held):
        late = 2.958
    elif operand or _register(cell, "CREG") or (_multiplies(cell) and not product):
        late = 1.687
    else:
        return
    yield "P", late * DSP_SCALE
    yield "PCOUT", (late + 0.13) * DSP_SCALE
    yield "CARRYOUT", (late + 0.15) * DSP_SCALE


def _dsp_through(cell: Cell) -> dict[str, float]:
    """From each operand to P through no register at all, ns of -3; by the operand's register."""
    operands = {"A": 1.523, "B": 1.509}
    if _multiplies(cell):
        operands = {"A": 2.823, "B": 2.690}
    if _multiplies(cell) and _preadds(cell):
        operands |= {"A": 3.806, "D": 3.717}
    return {**operands, "C": 1.325, "PCIN": 1.107, "CARRYIN": 1.2, "OPMODE": 1.6, "ALUMODE": 1.5}


def _is_held(cell: Cell, port: str) -> bool:
    """Whether a port ends in a register of its own."""
    registers = {"CARRYIN": "CARRYINREG", "OPMODE": "OPMODEREG", "ALUMODE": "ALUMODEREG",
                 "INMODE": "INMODEREG"}  # fmt: skip
    return port != "PCIN" and _register(cell, registers.get(port, f"{port}REG"))


def _dsp_arcs(cell: Cell) -> Iterable[Arc]:
    if _register(cell, "PREG"):
        return
    for port, delay in _dsp_through(cell).items():
        if _is_held(cell, port) or (
            port in "ABD" and _register(cell, "MREG") and _multiplies(cell)
        ):
            continue
        if port in "AD" and _preadds(cell) and _register(cell, "ADREG"):
            continue
        for out in ("P", "PCOUT"):
            yield (port, None, out, None, delay * DSP_SCALE)


def _dsp_checks(cell: Cell) -> Iterable[tuple[str, float]]:
    own = {"A": 0.254, "B": 0.324, "C": 0.168, "D": 0.248, "CARRYIN": 0.15, "OPMODE": 0.24,
           "ALUMODE": 0.22, "INMODE": 0.26}  # fmt: skip
    for port in cell.connections:
        if port.startswith("CE") and port[2:] in ("A1", "A2", "B1", "B2", "C", "D", "AD", "M", "P"):
            yield port, DSP_CE
        elif port.startswith("RST"):
            yield port, DSP_RST
    through = _dsp_through(cell)
    into_m = {"A": 2.400 if _preadds(cell) else 1.416, "B": 1.285, "D": 2.310, "INMODE": 2.4}
    for port, setup in own.items():
        if _is_held(cell, port):
            yield port, setup * DSP_SCALE
        elif port in "AD" and _preadds(cell) and _register(cell, "ADREG"):
            yield port, 1.283 * DSP_SCALE
        elif port in into_m and _multiplies(cell) and _register(cell, "MREG"):
            yield port, into_m[port] * DSP_SCALE
        elif _register(cell, "PREG"):
            # Into the register behind the adder: a tenth less than to the output in front of it.
            if port == "INMODE":
                yield port, 3.7 * DSP_SCALE
            elif port in through:
                yield port, (through[port] - 0.085) * DSP_SCALE
    if _register(cell, "PREG"):
        yield "PCIN", 1.025 * DSP_SCALE
