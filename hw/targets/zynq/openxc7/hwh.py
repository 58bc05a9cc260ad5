# SPDX-License-Identifier: Apache-2.0
"""What pynq reads of a design beside its bit file: blocks of registers, and the clock."""

from __future__ import annotations

from xml.etree import ElementTree as Xml

from ....boards import Board
from ..system import LITE_BYTES, System

BASE = 0x4000_0000
"""Where the first block of registers lies: at the begin of M_AXI_GP0."""
PS, PORT, PAGE = "processing_system7_0", "M_AXI_GP0", "s_axi_control"
IO_PLL_MHZ = 1000.0
"""The PLL that makes the PL clocks, as boards with a Zynq-7000 boot."""
LARGEST_DIVISOR = 63


def hwh(system: System, board: Board) -> str:
    """Return the hardware handoff of `andpop_zynq`, as far as pynq looks at one."""
    root = Xml.Element("EDKSYSTEM")
    device, _, package = board.part.removeprefix("xc").partition("clg")
    Xml.SubElement(
        root, "SYSTEMINFO", ARCH="zynq", DEVICE=device, NAME="andpop",
        PACKAGE=f"clg{package.partition('-')[0]}", SPEEDGRADE=board.speed_grade,
    )  # fmt: skip
    Xml.SubElement(root, "EXTERNALPORTS")
    Xml.SubElement(root, "EXTERNALINTERFACES")
    modules = Xml.SubElement(root, "MODULES")
    ps = _module(modules, PS, "processing_system7", "xilinx.com:ip:processing_system7:5.5")
    parameters, _ = _parts(ps, PORT, "MASTER")
    for name, value in _clocks(system.top.clock_mhz).items():
        Xml.SubElement(parameters, "PARAMETER", NAME=name, VALUE=value)
    memory = Xml.SubElement(ps, "MEMORYMAP")
    for number, cell in enumerate(system.registers):
        first = BASE + number * LITE_BYTES
        Xml.SubElement(
            memory, "MEMRANGE", ADDRESSBLOCK="reg0", BASEVALUE=f"0x{first:08X}",
            HIGHVALUE=f"0x{first + LITE_BYTES - 1:08X}", INSTANCE=cell,
            MASTERBUSINTERFACE=PORT, MEMTYPE="REGISTER", SLAVEBUSINTERFACE=PAGE,
        )  # fmt: skip
    for cell in system.registers:
        name = "andpop_control" if cell == "control0" else f"andpop_{cell}"
        _parts(_module(modules, cell, name, f"xilinx.com:module_ref:{name}:1.0"), PAGE, "SLAVE")
    Xml.indent(root)
    return Xml.tostring(root, encoding="unicode") + "\n"


def _module(modules: Xml.Element, name: str, kind: str, vlnv: str) -> Xml.Element:
    return Xml.SubElement(
        modules, "MODULE", FULLNAME=f"/{name}", INSTANCE=name, MODTYPE=kind, VLNV=vlnv
    )


def _parts(module: Xml.Element, bus: str, side: str) -> tuple[Xml.Element, Xml.Element]:
    """Parameters, ports and one bus of a module."""
    parameters = Xml.SubElement(module, "PARAMETERS")
    ports = Xml.SubElement(module, "PORTS")
    buses = Xml.SubElement(module, "BUSINTERFACES")
    vlnv = "xilinx.com:interface:aximm:1.0"
    Xml.SubElement(
        Xml.SubElement(buses, "BUSINTERFACE", NAME=bus, TYPE=side, VLNV=vlnv), "PORTMAPS"
    )
    return parameters, ports


def _clocks(mhz: float) -> dict[str, str]:
    """PL clock 0 on, at the clock of the network; the others off.

    pynq 3 sets the divisors. pynq 4 sets the frequency, which it looks for under the name that it
    has for an UltraScale+.
    """
    whole = max(1, -(-IO_PLL_MHZ // mhz))
    first = next(d for d in range(1, LARGEST_DIVISOR + 1) if whole / d <= LARGEST_DIVISOR)
    found = {"PSU__CRL_APB__PL0_REF_CTRL__ACT_FREQMHZ": f"{mhz:g}"}
    for number in range(4):
        own = (first, -(-int(whole) // first)) if number == 0 else (1, 1)
        found |= {
            f"PCW_FPGA_FCLK{number}_ENABLE": str(int(number == 0)),
            f"PCW_FCLK{number}_PERIPHERAL_CLKSRC": "IO PLL",
            f"PCW_FCLK{number}_PERIPHERAL_DIVISOR0": str(own[0]),
            f"PCW_FCLK{number}_PERIPHERAL_DIVISOR1": str(own[1]),
        }
    return found
