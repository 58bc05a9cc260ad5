# SPDX-License-Identifier: Apache-2.0
"""What ops state of the ends of their streams, registers or not, is what the netlists show."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from andpop.hw.kernels.ops import op_of
from andpop.hw.synth import yosys
from andpop.sim.cases import Case
from kernel_cases import build_op, first_cases

CASES = [pytest.param(p.values[1], id=str(p.id)) for p in first_cases()]
REGISTERS = "$dff,$dffe,$sdff,$sdffe,$sdffce"


def sources_of(case: Case, folder: Path) -> dict[str, set[str]]:
    """By output port of a node's skin: the input ports that reach it within the cycle."""
    built = build_op(case)
    files = []
    for number, source in enumerate(built.generate(folder / "generated")):
        files.append(f"{number}_{source.name}")
        shutil.copyfile(source, folder / files[-1])
    for memory in (folder / "generated").glob("*.*"):
        shutil.copyfile(memory, folder / memory.name)
    top = built.op.get_nodeattr("gen_top_module")
    names = built.op.get_verilog_top_module_intf_names()
    ports = [f"{name}_{end}" for name, _ in names["m_axis"] for end in ("TVALID", "TDATA")]
    ports += [f"{name}_TREADY" for name, _ in names["s_axis"]]
    script = [yosys.read_command(files, top), f"hierarchy -top {top}", "proc", "flatten"]
    script += ["opt -fast", "opt_clean"]
    script += [
        f"tee -o {port}.txt select -list w:{port} %ci*:-{REGISTERS} i:* %i" for port in ports
    ]
    yosys.run(script, folder, top)
    return {
        port: {line.split("/")[-1] for line in (folder / f"{port}.txt").read_text().split()}
        - {"ap_clk", "ap_rst_n"}
        for port in ports
    }


@pytest.mark.parametrize("case", CASES)
def test_ends_are_registers_where_the_op_says_so(case: Case, tmp_path: Path) -> None:
    op = op_of(build_op(case).model.graph.node[0])
    found = sources_of(case, tmp_path)
    for port, reached in found.items():
        ready = {name for name in reached if name.endswith("TREADY")}
        if not port.endswith("TREADY"):
            assert reached == set() or not op.cuts_output(), port
        else:
            assert bool(ready) is not op.cuts_ready(), port
