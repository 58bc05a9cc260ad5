# SPDX-License-Identifier: Apache-2.0
"""Yosys for 7-series parts: synthesis out of context, cells counted by type, cached by content.

Yosys is the library of the wheel `pyosys`. It runs in a process of its own (``worker.py``).
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata, resources
from pathlib import Path

from ...sim.cache import building, content_key, scratch
from ...sim.tools import ToolMissing

PACKAGE = "pyosys"
WORKER = f"{__package__}.worker"
DEFINES = ("SYNTHESIS",)
LIBRARIES = (
    "read_verilog -lib -specify +/xilinx/cells_sim.v",
    "read_verilog -lib +/xilinx/cells_xtra.v",
)
MAP = "synth_xilinx -family xc7 -flatten -noiopad -noclkbuf -run"
"""Out of context: neither pads nor clock buffers."""
MAP_MEMORY = (
    "memory_libmap -logic-cost-rom 0.015625 -lib +/xilinx/lutrams_xc5v.txt -lib "
    "+/xilinx/brams_xc4v.txt -D HAS_SIZE_36 -D HAS_CASCADE -D HAS_CONFLICT_BUG "
    "-D HAS_MIXWIDTH_SDP -no-auto-huge",
    "techmap -map +/xilinx/lutrams_xc5v_map.v",
    "techmap -map +/xilinx/brams_xc6v_map.v",
)
"""synth_xilinx's own steps from memories to cells."""
EMPTY_BLOCKS = "setparam -set INIT 0 t:$__XILINX_BLOCKRAM*"
"""After the first of them: equal block RAMs are made once, whatever they hold."""
ROM_LUTS = (Path(__file__).parent / "rom_luts.v").read_text(encoding="ascii")
ROM_LUTS_FILE = f"rom_luts_{hashlib.sha256(ROM_LUTS.encode()).hexdigest()[:8]}.v"
"""The file beside a script, named by its content so that results of another one are not found."""
MAP_ROM = ("memory_nordff", f"techmap -map {ROM_LUTS_FILE}")
"""Read-only memories that no block RAM took: a LUT per column and 64 words, as a LUT is one. As
logic, abc takes up to twice as many beyond 64 words, depending on what they hold."""
MAPPER = "abc -lut 6"
"""What turns logic into LUTs: plain abc, every LUT at the same cost, so that it looks for few of
them. synth_xilinx's own choice, abc9, looks for speed and takes up to twice as many."""
MAP_LUTS = (
    "opt_expr -mux_undef -noclkinv",
    MAPPER,
    "opt_merge",
    "clean",
    "xilinx_srl -fixed -minlen 3",
    "techmap -map +/xilinx/lut_map.v -map +/xilinx/cells_map.v -D LUT_WIDTH=6",
    "xilinx_dffopt",
    "opt_lut_ins -tech xilinx",
)
"""synth_xilinx's own steps with that mapper; equal LUTs, inverters above all, become one."""
MAP_DSP = (
    "memory_dff",
    "alumacc -macc-only",
    "maccmap -unmap",
    "opt_clean",
    "techmap -map +/mul2dsp.v -map +/xilinx/xc7_dsp_map.v -D DSP_A_MAXWIDTH=25 "
    "-D DSP_B_MAXWIDTH=18 -D DSP_A_MAXWIDTH_PARTIAL=18 -D DSP_A_MINWIDTH=2 -D DSP_B_MINWIDTH=2 "
    "-D DSP_Y_MINWIDTH=9 -D DSP_SIGNEDONLY=1 -D DSP_NAME=$__MUL25X18",
    "select a:mul2dsp",
    "setattr -unset mul2dsp",
    "opt_expr -fine",
    "wreduce",
    "select -clear",
    "chtype -set $mul t:$__soft_mul",
)
"""synth_xilinx's own way to DSP48E1 without its pass xilinx_dsp. That one packs the adders around
a product, too, and where such a sum has a second reader, as in the end of a block, it leaves it
without a driver: the data path behind it is then optimised away (Yosys 0.70)."""

PRIMITIVES = ("LUT6", "LUT6_2", "CARRY4", "DSP48E1")
"""The cells that andpop's sources name. The front end does not accept Yosys' own models: it gets
their ports and parameters (AMD UG953) as black boxes."""
PRIMITIVES_FILE = "primitives.v"

LUTRAM = {
    "RAM32X1S": 1, "RAM64X1S": 1, "RAM128X1S": 2, "RAM256X1S": 4, "RAM32X1D": 2, "RAM64X1D": 2,
    "RAM128X1D": 4, "RAM32M": 4, "RAM64M": 4, "SRL16E": 1, "SRLC16E": 1, "SRLC32E": 1,
}  # fmt: skip
"""LUTs that each memory cell takes."""

UNCOUNTED = ("$scopeinfo", "MUXF7", "MUXF8", "VCC", "GND")
"""Cells that cost no resource counted here: the multiplexers belong to the LUTs of their slice."""


class SynthesisError(RuntimeError):
    """Yosys refused a design; the message quotes its first errors."""


@dataclass(frozen=True)
class SynthResult:
    """What one synthesis gave."""

    cells: Mapping[str, int]
    """Number of cells by type, as Yosys names them."""
    netlist: Path
    """Verilog of the mapped design; simulates with ``cells_sim()``."""

    @property
    def json(self) -> Path:
        """The same netlist as Yosys' JSON, for timing."""
        return self.netlist.with_suffix(".json")

    def _sum(self, pattern: str) -> int:
        return sum(n for name, n in self.cells.items() if re.fullmatch(pattern, name))

    @property
    def luts(self) -> int:
        """LUTs used as logic: LUT1..LUT6, LUT6_2 once each. INV is none: nearly all of them stand
        before a reset or an enable of flip-flops, which slices invert themselves."""
        return self._sum(r"LUT[1-6]|LUT6_2")

    @property
    def lutram(self) -> int:
        """LUTs used as memory or shift register."""
        return sum(LUTRAM.get(name, 0) * n for name, n in self.cells.items())

    @property
    def carry4(self) -> int:
        """CARRY4 cells, one per slice that has one."""
        return self._sum("CARRY4")

    @property
    def ffs(self) -> int:
        """Flip-flops."""
        return self._sum(r"FD[RSCP]E(_1)?")

    @property
    def bram18(self) -> int:
        """Block RAM in units of 18 Kbit."""
        return self._sum("RAMB18E1") + 2 * self._sum("RAMB36E1")

    @property
    def dsp(self) -> int:
        """DSP48E1 cells."""
        return self._sum("DSP48E1")


def _known(cell: str) -> bool:
    """Whether a cell is one that SynthResult counts, or that costs nothing."""
    counted = r"LUT[1-6]|LUT6_2|INV|CARRY4|FD[RSCP]E(_1)?|RAMB(18|36)E1|DSP48E1"
    return cell in LUTRAM or cell in UNCOUNTED or re.fullmatch(counted, cell) is not None


def version() -> str:
    """Return the version of the installed Yosys.

    Raises:
        ToolMissing: the wheel is not installed.
    """
    try:
        return metadata.version(PACKAGE)
    except metadata.PackageNotFoundError:
        raise ToolMissing("yosys: not found; install it with `pip install andpop[synth]`") from None


def cells_sim() -> Path:
    """Yosys' simulation models of the Xilinx cells: goes beside a netlist."""
    version()
    return Path(str(resources.files(PACKAGE))) / "share" / "xilinx" / "cells_sim.v"


@functools.cache
def black_boxes() -> str:
    """Verilog of the cells that sources name, without what they do."""
    models = cells_sim().read_text(encoding="utf-8")
    boxes = []
    for name in PRIMITIVES:
        found = re.search(rf"^module {name}\s*\((.*?)\);(.*?)^endmodule", models, re.M | re.S)
        if found is None:
            raise SynthesisError(f"{cells_sim()}: found no module {name}, expected one per cell")
        ports = re.sub(r"\(\*.*?\*\)|\breg\b", "", found[1])
        parameters = re.findall(r"^ *parameter .*?;", found[2], re.M)
        boxes.append("\n".join([f"module {name} ({ports});", *parameters, "endmodule", ""]))
    return "".join(boxes)


def run(script: Sequence[str], folder: Path, what: str, program: str = WORKER) -> None:
    """Run Yosys commands in ``folder``, in a process that ends with this one.

    Args:
        script: the commands, such as that of ``read_command``.
        folder: where sources lie and results go; paths are relative to it.
        what: name of the design, for the message.
        program: module that runs them.

    Raises:
        SynthesisError: a command failed; quotes Yosys' errors.
    """
    (folder / "script.ys").write_text("\n".join(script) + "\n", encoding="ascii")
    (folder / PRIMITIVES_FILE).write_text(black_boxes(), encoding="ascii")
    (folder / ROM_LUTS_FILE).write_text(ROM_LUTS, encoding="ascii")
    with (folder / "yosys.log").open("w") as log:
        done = subprocess.run(
            [sys.executable, "-P", "-m", program, "script.ys"],
            cwd=folder, env={**os.environ, "TMPDIR": str(folder.resolve())}, stdout=log,
            stderr=subprocess.PIPE, text=True, errors="replace", check=False,
        )  # fmt: skip
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        errors = [line for line in lines if re.search(r"\bERROR\b", line)]
        first = [line for line in errors if "see full log" not in line][:3]
        ended = [f"ended with status {done.returncode}"]
        raise SynthesisError(
            f"{what}: yosys failed: " + " | ".join(first or errors or lines[-1:] or ended)
        )


def mapping(*, dsp: bool, contents: bool) -> list[str]:
    """Return the commands that map what was read, and the libraries, to cells of the 7 series.

    Args:
        dsp: products become DSP48E1, else LUTs.
        contents: block RAMs keep what they hold, for a netlist; not needed to count.
    """
    first, *others = MAP_MEMORY
    return [
        f"{MAP} prepare:map_dsp",
        *(MAP_DSP if dsp else ()),
        f"{MAP} coarse:map_memory",
        first,
        *([] if contents else [EMPTY_BLOCKS]),
        *others,
        *MAP_ROM,
        f"{MAP} map_ffram:map_luts",
        *MAP_LUTS,
        f"{MAP} finalize:",
        "check -assert -mapped",
        "tee -q -o stat.json stat -json",
    ]


def checked(what: str, cells: Mapping[str, int]) -> Mapping[str, int]:
    """Return the cells of a design by type.

    Raises:
        SynthesisError: some are of a kind that is not counted.
    """
    unknown = sorted(name for name in cells if not _known(name))
    if unknown:
        raise SynthesisError(
            f"{what}: the netlist holds {cells[unknown[0]]} cells {unknown[0]}, expected cells "
            "of the 7 series that are counted; extend hw/synth/yosys.py or change the source"
        )
    return cells


def read_command(
    files: Sequence[str],
    top: str,
    parameters: Mapping[str, int | str] | None = None,
    defines: Sequence[str] = DEFINES,
    options: Sequence[str] = (),
) -> str:
    """Return the command that elaborates ``top``: Yosys' slang front end, which also reads those
    of FINN's sources that no other part of Yosys does; ``options`` are its own."""
    words = ["read_slang --threads 1 --allow-use-before-declare --ignore-assertions", *options]
    words += [f"--blackboxed-module {name}" for name in PRIMITIVES]
    words += [f"-D{name}" for name in defines]
    words += [f"-G {name}={value}" for name, value in (parameters or {}).items()]
    return " ".join([*words, f"--top {top}", PRIMITIVES_FILE, *files])


def synthesise(
    top: str,
    sources: Sequence[str | Path],
    *,
    parameters: Mapping[str, int | str] | None = None,
    defines: Sequence[str] = (),
    memories: Mapping[str, Path] | None = None,
    dsp: bool = False,
) -> SynthResult:
    """Synthesise a design for the 7 series, or return the finished result of the same content.

    Args:
        top: top module; becomes the module of the netlist, with the same ports.
        sources: .v and .sv files, packages first, each of its own name.
        parameters: parameters of the top, numbers or Verilog text such as ``80'h1234``.
        defines: preprocessor macros besides SYNTHESIS.
        memories: $readmemh files, by the name that the sources use.
        dsp: multipliers become DSP48E1 (registers around them stay flip-flops), else LUTs.

    Raises:
        ToolMissing: no Yosys.
        SynthesisError: a source is missing or refused, or the netlist holds cells of a kind that
            is not counted.
    """
    tool = version()
    files = [Path(s).resolve() for s in sources]
    data = dict(memories or {})
    for file in (*files, *data.values()):
        if not file.is_file():
            raise SynthesisError(f"{top}: source {file} not found; generate the RTL first")
    given = {f"src/{number}_{file.name}": file for number, file in enumerate(files)}
    script = [
        read_command(list(given), top, parameters, [*DEFINES, *defines]),
        f"hierarchy -check -top {top}",
        *LIBRARIES,
        *mapping(dsp=dsp, contents=True),
        f"rename -top {top}",
        "write_verilog -noattr netlist.v",
        "write_json netlist.json",
    ]
    inputs = {**given, **data}
    key = content_key("synth", tool, script, list(inputs), *inputs.values())
    with building(key) as (final, work):
        if work is not None:
            _synthesise(work, top, script, inputs)
    cells = json.loads((final / "cells.json").read_text(encoding="utf-8"))
    return SynthResult(cells, final / "netlist.v")


def _synthesise(work: Path, top: str, script: Sequence[str], inputs: Mapping[str, Path]) -> None:
    """Fill a cache entry: netlist.v and cells.json."""
    with scratch("yosys") as folder:
        for name, path in inputs.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        run(script, folder, top)
        stat = json.loads((folder / "stat.json").read_text(encoding="utf-8"))
        cells = checked(top, stat["design"].get("num_cells_by_type", {}))
        (work / "cells.json").write_text(json.dumps(cells), encoding="utf-8")
        for name in ("netlist.v", "netlist.json"):
            shutil.move(folder / name, work / name)
