# SPDX-License-Identifier: Apache-2.0
"""What FINN's own units take on a 7-series part by Yosys, and their netlists."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from andpop.hw.synth import yosys
from andpop.hw.synth.yosys import SynthResult
from andpop.sim.finn_sources import KNOWN, Edit
from finn_units import WORDS, Unit

WATCH = (
    "	if(1) begin : blkRecoveryWatch\n",
    "	if(0) begin : blkRecoveryWatch\n",
)
"""A check of the first 100 ns of a simulation: its delay is no hardware."""
EDITS = {
    "mvu.sv": Edit("4c6c11482fe3e8b569b6249469a302f9cb9bf89978d007ff1d0153511762b068", (WATCH,)),
    "mvu_vvu_8sx9_dsp58.sv": Edit(
        "31174b1c5fd374c06ae31e64793064e3b3cba2f9a33a37e541f546f45cf45acc", (WATCH,)
    ),
    # Vivado reads the name of an attribute in either case.
    "memstream.sv": Edit(
        "dca7be8a6315d0fd0f0af10970af320c0d01f8739404a75ffd66c431c6dc441f",
        (("(* RAM_STYLE = RAM_STYLE *)", "(* ram_style = RAM_STYLE *)"),),
    ),
}
OPTIONS = ("--translate-off-format synthesis,translate_off,translate_on",)
SHIFT_REGISTERS = r"""
(* techmap_celltype = "$bmux" *)
module read_of_a_shift_register (A, S, Y);
  parameter WIDTH = 1;
  parameter S_WIDTH = 1;
  localparam WORDS = 2**S_WIDTH;
  input [WIDTH*WORDS-1:0] A;
  input [S_WIDTH-1:0] S;
  output [WIDTH-1:0] Y;
  genvar bit_, word;
  generate
    for (bit_ = 0; bit_ < WIDTH; bit_ = bit_ + 1) begin : gen_bit
      wire [WORDS-1:0] a;
      for (word = 0; word < WORDS; word = word + 1) begin : gen_word
        assign a[word] = A[(WORDS-1-word)*WIDTH+bit_];
      end
      \$shiftx #(.A_SIGNED(0), .B_SIGNED(0), .A_WIDTH(WORDS), .B_WIDTH(S_WIDTH), .Y_WIDTH(1))
        u_read (.A(a), .B(~S), .Y(Y[bit_]));
    end
  endgenerate
endmodule
"""
"""FINN's queues are shift registers that are read anywhere, newest word first. Yosys finds such
where a read is a shift, a bit wide and with the oldest bit on top; else it takes flip-flops and
multiplexers. Vivado finds them by FINN's attributes."""
QUEUES = "memstream* mvu_vvu_axi*"
DSP58 = """
module DSP58 #(
  parameter AMULTSEL = "A", A_INPUT = "DIRECT", BMULTSEL = "B", B_INPUT = "DIRECT",
  parameter DSP_MODE = "INT24", PREADDINSEL = "A", USE_MULT = "MULTIPLY", USE_SIMD = "ONE58",
  parameter USE_WIDEXOR = "FALSE", XORSIMD = "XOR24_34_58_116", AUTORESET_PATDET = "NO_RESET",
  parameter AUTORESET_PRIORITY = "RESET", SEL_MASK = "MASK", SEL_PATTERN = "PATTERN",
  parameter USE_PATTERN_DETECT = "NO_PATDET", RESET_MODE = "SYNC",
  parameter [57:0] RND = 0, MASK = 0, PATTERN = 0,
  parameter [3:0] IS_ALUMODE_INVERTED = 0, parameter [0:0] IS_CARRYIN_INVERTED = 0,
  parameter [0:0] IS_CLK_INVERTED = 0, parameter [4:0] IS_INMODE_INVERTED = 0,
  parameter [2:0] IS_NEGATE_INVERTED = 0, parameter [8:0] IS_OPMODE_INVERTED = 0,
  parameter [0:0] IS_RSTALLCARRYIN_INVERTED = 0, IS_RSTALUMODE_INVERTED = 0, IS_RSTA_INVERTED = 0,
  parameter [0:0] IS_RSTB_INVERTED = 0, IS_RSTCTRL_INVERTED = 0, IS_RSTC_INVERTED = 0,
  parameter [0:0] IS_RSTD_INVERTED = 0, IS_RSTINMODE_INVERTED = 0, IS_RSTM_INVERTED = 0,
  parameter [0:0] IS_RSTP_INVERTED = 0,
  parameter ACASCREG = 1, ADREG = 1, ALUMODEREG = 1, AREG = 1, BCASCREG = 1, BREG = 1,
  parameter CARRYINREG = 1, CARRYINSELREG = 1, CREG = 1, DREG = 1, INMODEREG = 1, MREG = 1,
  parameter OPMODEREG = 1, PREG = 1
) (
  output [33:0] ACOUT, output [23:0] BCOUT, output CARRYCASCOUT, MULTSIGNOUT,
  output [57:0] PCOUT, P, output OVERFLOW, PATTERNBDETECT, PATTERNDETECT, UNDERFLOW,
  output [3:0] CARRYOUT, output [7:0] XOROUT,
  input [33:0] ACIN, A, input [23:0] BCIN, B, input CARRYCASCIN, MULTSIGNIN,
  input [57:0] PCIN, C, input [3:0] ALUMODE, input [2:0] CARRYINSEL, NEGATE, input CLK,
  input [4:0] INMODE, input [8:0] OPMODE, input CARRYIN, input [26:0] D, input ASYNC_RST,
  input CEA1, CEA2, CEAD, CEALUMODE, CEB1, CEB2, CEC, CECARRYIN, CECTRL, CED, CEINMODE, CEM, CEP,
  input RSTA, RSTALLCARRYIN, RSTALUMODE, RSTB, RSTC, RSTCTRL, RSTD, RSTINMODE, RSTM, RSTP
);
endmodule
"""
"""Ports and parameters alone, of the DSP block of Versal (AMD AM004)."""


def synthesise(unit: Unit, folder: Path, *, products: str) -> SynthResult:
    """Map a unit with its weights for the 7 series.

    Args:
        unit: the unit.
        folder: a new one; gets sources, log and netlist.
        products: "blocks" for the DSP blocks that FINN's sources name; else FINN's model of them,
            its products in blocks that Yosys finds ("dsp") or in LUTs ("luts").

    Raises:
        SynthesisError: a source was refused.
    """
    sources = unit.generate(folder / "rtl")
    for file in sources:
        (folder / file.name).write_bytes(_edited(file))
    names = [file.name for file in sources]
    (folder / WORDS).write_bytes((folder / "rtl" / WORDS).read_bytes())
    (folder / "shift_registers.v").write_text(SHIFT_REGISTERS, encoding="ascii")
    (folder / "dsp58.v").write_text(DSP58, encoding="ascii")
    defines = yosys.DEFINES if products == "blocks" else (*yosys.DEFINES, "FINN_SIMULATION")
    options = [*OPTIONS, "--keep-hierarchy", "--blackboxed-module DSP58"]
    script = [
        yosys.read_command(["dsp58.v", *names], unit.top, defines=defines, options=options),
        f"hierarchy -check -top {unit.top}",
        *yosys.LIBRARIES,
        f"techmap -map shift_registers.v {QUEUES}",
        "opt_expr",
        "flatten -noscopeinfo",
        *yosys.mapping(dsp=products == "dsp", contents=True),
        f"rename -top {unit.top}",
        "write_verilog -noattr netlist.v",
        "write_json netlist.json",
    ]
    yosys.run(script, folder, unit.top)
    stat = json.loads((folder / "stat.json").read_text(encoding="utf-8"))
    cells: Mapping[str, int] = stat["design"].get("num_cells_by_type", {})
    yosys.checked(unit.top, {name: n for name, n in cells.items() if name != "DSP58"})
    return SynthResult(cells, folder / "netlist.v")


def _edited(source: Path) -> bytes:
    """The content of a source as Yosys reads it."""
    content, edit = source.read_bytes(), EDITS.get(source.name)
    if edit is None:
        return content
    if hashlib.sha256(content).hexdigest() != edit.sha256:
        raise ValueError(f"{source}: is not the text of {KNOWN} that is edited for Yosys")
    return edit.apply(content.decode()).encode()
