# SPDX-License-Identifier: Apache-2.0
"""Cells of the 7 series in simulation: Yosys' models, whose block RAMs do nothing, with ours."""

from __future__ import annotations

import re
from pathlib import Path

from andpop.hw.synth import yosys

MODEL = Path(__file__).parent / "xc7_bram.sv"
INVERTED = (
    "CLKARDCLK", "CLKBWRCLK", "ENARDEN", "ENBWREN", "RSTRAMARSTRAM", "RSTRAMB", "RSTREGARSTREG",
    "RSTREGB",
)  # fmt: skip


def cell_models(folder: Path) -> list[Path]:
    """Write models of the cells of a netlist; return them in compile order.

    Ports and parameters of the block RAMs are Yosys' own, what they do is `xc7_bram.sv`.
    """
    text = yosys.cells_sim().read_text(encoding="utf-8")
    for name, side in (("RAMB18E1", 2), ("RAMB36E1", 4)):
        text, found = re.subn(
            rf"(^module {name} \((?:(?!^endmodule).)*?)^ *specify\b.*?^ *endspecify\n",
            lambda cell, name=name, side=side: cell[1] + _body(name, side),
            text, flags=re.M | re.S,
        )  # fmt: skip
        assert found == 1, f"{yosys.cells_sim()}: found {found} modules {name}, expected one"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / "cells_sim.v"
    target.write_text(text, encoding="utf-8")
    return [MODEL, target]


def _body(name: str, side: int) -> str:
    """What a block RAM does, whose ports A and B have so many bytes each."""
    data, word = 8 * side, 9 * side
    expected = {"DOA_REG": "0", "DOB_REG": "0", "INIT_FILE": '"NONE"'}
    expected |= {f"IS_{pin}_INVERTED": "0" for pin in INVERTED}
    if side == 4:
        expected |= {f"RAM_EXTENSION_{port}": '"NONE"' for port in "AB"}
        expected |= {f"EN_ECC_{what}": '"FALSE"' for what in ("READ", "WRITE")}
    lines = ['localparam Sdp = RAM_MODE == "SDP";', 'if (!Sdp && RAM_MODE != "TDP")']
    lines.append(f'  $error("{name}: found RAM_MODE %s, expected TDP or SDP", RAM_MODE);')
    for key, value in expected.items():
        shown, kind = value.strip('"'), "%s" if value.startswith('"') else "%0d"
        lines.append(f"if ({key} != {value})")
        lines.append(f'  $error("{name}: found {key} {kind}, expected {shown}", {key});')
    for port, (sdp, tdp) in {"READ_WIDTH_A": (2, 1), "READ_WIDTH_B": (0, 1),
                             "WRITE_WIDTH_A": (0, 1), "WRITE_WIDTH_B": (2, 1)}.items():  # fmt: skip
        lines.append(f"if ({port} > (Sdp ? {sdp * word} : {tdp * word}))")
        lines.append(f'  $error("{name}: found {port} %0d, which RAM_MODE %s has not", {port},')
        lines.append("         RAM_MODE);")
    for port, name_in, parity in (("a", "DIADI", "DIPADIP"), ("b", "DIBDI", "DIPBDIP")):
        both = [f"{parity}[{n}], {name_in}[{8 * n}+:8]" for n in reversed(range(side))]
        lines.append(f"wire [{word - 1}:0] in_{port} = {{{', '.join(both)}}};")
    lines += [
        "wire [71:0] out_a, out_b;",
        f"wire [{word - 1}:0] upper = Sdp ? out_a[{word}+:{word}] : out_b;",
    ]
    lines += [
        line
        for n in range(side)
        for line in (
            f"assign {{DOPADOP[{n}], DOADO[{8 * n}+:8]}} = out_a[{9 * n}+:9];",
            f"assign {{DOPBDOP[{n}], DOBDO[{8 * n}+:8]}} = upper[{9 * n}+:9];",
        )
    ]

    def start(of: str) -> str:
        halves = [f"{of}_{port}[{part}]" for part in (f"{data}+:{side}", f"0+:{data}")
                  for port in "BA"]  # fmt: skip
        return f"72'(Sdp && READ_WIDTH_A == {2 * word} ? {{{', '.join(halves)}}} : {of}_A)"

    def contents(of: str, number: int) -> str:
        return "{" + ", ".join(f"{of}_{n:02X}" for n in reversed(range(number))) + "}"

    address = "13:0" if side == 2 else "14:0"
    settings = {
        "Bytes": 1024 * side, "Init": contents("INIT", 32 * side),
        "InitParity": contents("INITP", 4 * side), "ReadWidthA": "READ_WIDTH_A",
        "ReadWidthB": "READ_WIDTH_B", "WriteWidthA": "WRITE_WIDTH_A",
        "WriteWidthB": "WRITE_WIDTH_B", "ModeA": "WRITE_MODE_A", "ModeB": "WRITE_MODE_B",
        "StartA": start("INIT"), "StartB": "72'(INIT_B)", "ResetA": start("SRVAL"),
        "ResetB": "72'(SRVAL_B)",
    }  # fmt: skip
    pins = {
        "clk_i": "{CLKBWRCLK, CLKARDCLK}", "en_i": "{ENBWREN, ENARDEN}",
        "rst_i": "{RSTRAMB, RSTRAMARSTRAM}",
        "addr_i": f"{{16'(ADDRBWRADDR[{address}]), 16'(ADDRARDADDR[{address}])}}",
        "we_i": "{8'(WEBWE), 8'(WEA)}",
        "data_i": f"{{WRITE_WIDTH_B > {word} ? 72'({{in_b, in_a}}) : 72'(in_b), 72'(in_a)}}",
        "data_o": "{out_b, out_a}",
    }  # fmt: skip
    lines += [
        "xc7_bram #(" + ", ".join(f".{k}({v})" for k, v in settings.items()) + ") u_memory (",
        "  " + ",\n      ".join(f".{k}({v})" for k, v in pins.items()) + "\n    );",
    ]
    return "".join(f"    {line}\n" for line in lines)
