# SPDX-License-Identifier: Apache-2.0
"""FINN's PrepareIP on every kernel: what goes into Vivado's project is there, and is all of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from finn.transformation.fpgadataflow.prepare_ip import PrepareIP
from finn.transformation.fpgadataflow.replace_verilog_relpaths import ReplaceVerilogRelPaths
from kernel_cases import FPGA_PART, build_op, kernel_cases
from qonnx.custom_op.registry import getCustomOp


@pytest.mark.parametrize(("kernel", "case"), kernel_cases())
def test_finn_finds_every_file_of_a_node(kernel: str, case: Any) -> None:
    model = build_op(case).model.transform(PrepareIP(FPGA_PART, 10.0))
    model = model.transform(ReplaceVerilogRelPaths())
    (node,) = model.graph.node
    op = getCustomOp(node)
    folder = Path(op.get_nodeattr("code_gen_dir_ipgen"))
    assert op.get_nodeattr("ip_path") == op.get_nodeattr("ipgen_path") == str(folder)
    *commands, cell = op.code_generation_ipi()
    assert cell == f"create_bd_cell -type module -reference {node.name} {node.name}"
    assert all(re.fullmatch(r"add_files -norecurse \S+", command) for command in commands)
    added = [Path(command.split()[-1]) for command in commands]
    assert all(file.is_absolute() and file.is_file() for file in added)
    sources = [str(file) for file in added if file.suffix in (".v", ".sv")]
    assert sources == op.get_rtl_file_list(abspath=True)
    memories = {str(file) for file in added if file.suffix not in (".v", ".sv")}
    assert memories == {str(file) for file in folder.iterdir() if file.suffix != ".v"}
    # What the node's own file names are these memories, or what their names begin with.
    text = (folder / f"{node.name}.v").read_text()
    named = [name for name in re.findall(r'\("([^"\n]*)"\)', text) if name]
    found = [{memory for memory in memories if memory.startswith(name)} for name in named]
    assert all(found) and set().union(*found) == memories, (kernel, named)
