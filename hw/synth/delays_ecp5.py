# SPDX-License-Identifier: Apache-2.0
"""Cell delays of Lattice's ECP5 in speed grade 6, as nextpnr's SDF states them (Project Trellis).

They exist to judge the estimate of `sta`: the same model of nets as on the 7 series, against what
nextpnr finds by placing and routing.
"""

from __future__ import annotations

from collections.abc import Iterable

from .netlist import Cell, NetlistError, Pin
from .sta import Arc, Family, Nets

LUT = 0.236
PFUMX_DATA, PFUMX_SELECT = 0.165, 0.256
L6MUX_DATA, L6MUX_SELECT = 0.242, 0.256
CARRY_IN, CARRY_ON = 0.447, 0.071
"""From an operand into the carry, and through one cell of the chain."""
SUM = (0.403, 0.443)
"""From the carry input to S0 and S1."""
FF_OUT = 0.525
FF_CHECKS = {"DI": 0.0, "M": 0.0, "CE": 0.0, "LSR": 0.424}
EBR_OUT, EBR_OUT_REGISTERED = 5.830, 0.956
EBR_CHECK = 0.218
PRODUCT = 3.927
PRODUCT_OUT, PRODUCT_SETUP, OPERAND_SETUP = 0.735, 3.486, 0.084
"""With registers: clock to output, operand to output register, operand to its own register."""
PRODUCT_INSIDE = 3.129
"""From operand registers to the output register: the product less what is outside of them."""
WRITE_ENABLE = 0.392


class Ecp5(Family):
    """ECP5, speed grade 6."""

    name = "ECP5 -6"
    sources = "nextpnr's delays (Project Trellis)"
    nets = Nets(0.65, 0.06, 1.6)
    register = (FF_OUT, 0.0)

    def launches(self, cell: Cell) -> Iterable[tuple[str, float]]:
        if cell.type == "TRELLIS_FF":
            yield "Q", FF_OUT
        elif cell.type == "MULT18X18D":
            if "REG_OUTPUT_CLK" in cell.parameters:
                yield from ((port, PRODUCT_OUT) for port in cell.outputs)
            elif any(_is_operand_held(cell, side) for side in "AB"):
                yield from ((port, PRODUCT_OUT + PRODUCT_INSIDE) for port in cell.outputs)
        elif _is_ebr(cell):
            for port in cell.outputs:
                side = "A" if port.startswith("DOA") else "B"
                mode = cell.text(f"REGMODE_{side}", cell.text("REGMODE", "NOREG"))
                yield port, EBR_OUT_REGISTERED if mode == "OUTREG" else EBR_OUT

    def arcs(self, cell: Cell) -> Iterable[Arc]:
        if cell.type == "LUT4":
            yield from ((port, None, "Z", None, LUT) for port in "ABCD")
        elif cell.type == "PFUMX":
            yield from ((port, None, "Z", None, PFUMX_DATA) for port in ("ALUT", "BLUT"))
            yield ("C0", None, "Z", None, PFUMX_SELECT)
        elif cell.type == "L6MUX21":
            yield from ((port, None, "Z", None, L6MUX_DATA) for port in ("D0", "D1"))
            yield ("SD", None, "Z", None, L6MUX_SELECT)
        elif cell.type == "CCU2C":
            yield from _carry_arcs()
        elif cell.type == "TRELLIS_DPR16X4":
            yield ("RAD", None, "DO", None, LUT)
        elif cell.type == "MULT18X18D":
            for port in () if "REG_OUTPUT_CLK" in cell.parameters else _operands(cell):
                if not _is_operand_held(cell, port[0]):
                    yield from ((port, None, out, None, PRODUCT) for out in cell.outputs)
        elif cell.type != "TRELLIS_FF" and not _is_ebr(cell):
            raise NetlistError(
                f"{cell.name}: found a cell {cell.type}, expected one of the ECP5 with known "
                "delays; add it to hw/synth/delays_ecp5.py"
            )

    def checks(self, cell: Cell) -> Iterable[tuple[str, float]]:
        if cell.type == "TRELLIS_FF":
            yield from FF_CHECKS.items()
        elif cell.type == "TRELLIS_DPR16X4":
            yield from (("DI", 0.0), ("WAD", 0.0), ("WRE", WRITE_ENABLE))
        elif cell.type == "MULT18X18D":
            for port in _operands(cell):
                if _is_operand_held(cell, port[0]):
                    yield port, OPERAND_SETUP
                elif "REG_OUTPUT_CLK" in cell.parameters:
                    yield port, PRODUCT_SETUP
        elif _is_ebr(cell):
            for port in cell.connections:
                if port not in cell.outputs and not port.startswith("CLK"):
                    yield port, EBR_CHECK

    def local(self, driver: Pin, load: Pin, registers: int) -> bool:
        if driver.cell is None or load.cell is None:
            return False
        before, after = driver.cell.type, load.cell.type
        if after == "TRELLIS_FF":
            logic = before in ("LUT4", "CCU2C", "PFUMX", "L6MUX21")
            return load.port == "DI" and logic and registers == 1
        if after == "CCU2C":
            return before == "CCU2C" and load.port == "CIN"
        if after == "PFUMX":
            return load.port in ("ALUT", "BLUT") and before == "LUT4"
        return after == "L6MUX21" and load.port in ("D0", "D1")


def _operands(cell: Cell) -> list[str]:
    return [port for port in cell.connections if port[0] in "AB" and port[1:].isdigit()]


def _is_operand_held(cell: Cell, side: str) -> bool:
    return f"REG_INPUT{side}_CLK" in cell.parameters


def _is_ebr(cell: Cell) -> bool:
    return cell.type in ("DP16KD", "PDPW16KD")


def _carry_arcs() -> Iterable[Arc]:
    for port in "ABCD":
        yield (f"{port}0", None, "S0", None, LUT)
        yield (f"{port}0", None, "S1", None, CARRY_IN + SUM[1])
        yield (f"{port}0", None, "COUT", None, CARRY_IN + CARRY_ON)
        yield (f"{port}1", None, "S1", None, LUT)
        yield (f"{port}1", None, "COUT", None, CARRY_IN)
    yield ("CIN", None, "S0", None, SUM[0])
    yield ("CIN", None, "S1", None, SUM[1])
    yield ("CIN", None, "COUT", None, CARRY_ON)
