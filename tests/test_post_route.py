# SPDX-License-Identifier: Apache-2.0
"""Routed netlists of an ECP5 give the golden model's bits."""

from __future__ import annotations

import ast
import json
import re
from importlib import import_module
from operator import and_, or_, xor
from pathlib import Path

import pytest
from andpop.hw.synth import ecp5, nextpnr
from andpop.hw.targets.ecp5 import lut_table, post_route
from andpop.sim import bench
from andpop.sim.cases import Case
from comparisons import Comparisons
from kernel_cases import build_op
from test_kernels import make_plan

pytestmark = [pytest.mark.sim, pytest.mark.xdist_group("nextpnr")]

CASES = {
    "binary_block": "7x5_c6_4_simd2_pe1_k35",
    "streaming_fifo": "uint3_pe1_depth13_distributed",
    "pixel_interleave": "uint4_4x5_c4_pe2",
    "int_mvu": "int8_int8_mw5_mh6_simd5_pe2_bias",
    "shared_engine": "1x1_c26_u2_k55_simd26_pe1",
    "global_acc_pool": "int9_2x2_c768_pe1",
    "stream_max_pool": "int16_3x6_k33_s11_p0000_c68_pe4",
}
"""Block RAMs and a multiplier; LUT RAM; carry chains; multipliers; wide block RAM; both ports;
words that are wider than its ports."""


def place(netlist: Path, top: str, folder: Path) -> Path:
    """Place and route a kernel, ports at pins of the part; nextpnr's netlist."""
    folder.mkdir()
    module = ecp5.packed(netlist, top)
    (folder / "netlist.json").write_text(json.dumps({"creator": "", "modules": {top: module}}))
    arguments = [
        *ecp5.DEVICE, "--json", "netlist.json", "--top", top, "--freq", "100", "--write",
        "routed.json", "--lpf-allow-unconstrained", "--timing-allow-fail", "-q",
    ]  # fmt: skip
    nextpnr.run(nextpnr.NEXTPNR, arguments, folder, top)
    return folder / "routed.json"


def case_of(kernel: str) -> Case:
    cases = import_module(f"andpop.hw.kernels.{kernel}.cases")
    found: Case = next(c for c in cases.SMOKE if c.name.startswith(CASES[kernel]))
    return found


@pytest.mark.parametrize("kernel", CASES)
def test_routed_netlist_equals_golden(kernel: str, tmp_path: Path, compared: Comparisons) -> None:
    case = case_of(kernel)
    built = build_op(case)
    sources = built.generate(tmp_path / "rtl")
    top = built.op.get_nodeattr("gen_top_module")
    memories = {f.name: f for f in (tmp_path / "rtl").glob("*.mem")}
    netlist = ecp5.map_design(top, sources, memories=memories)
    routed = place(netlist, top, tmp_path / "routed")
    written = post_route.to_verilog(routed, tmp_path / "sim", top)
    result = bench.run_plan(
        make_plan(kernel, case, built), written, top, tmp_path / "run", data=tmp_path / "sim",
        ports_only=True,
    )  # fmt: skip
    compared.count(result.values, result.differing)


def value(node: ast.expr) -> int:
    """What an expression of masks is, in all entries of a table at once."""
    match node:
        case ast.Constant(value=int(number)):
            return number
        case ast.UnaryOp(op=ast.Invert(), operand=inner):
            return ~value(inner)
        case ast.BinOp(left=left, op=sign, right=right):
            return int(SIGNS[type(sign)](value(left), value(right)))
    raise AssertionError(ast.dump(node))


SIGNS = {ast.BitAnd: and_, ast.BitOr: or_, ast.BitXor: xor}


def test_every_table_becomes_its_expression() -> None:
    names = [f"0x{ones:x}" for ones in lut_table.ONES]
    for table in range(lut_table.ALL + 1):
        text = lut_table.expression(f"{table:b}", names)
        read = ast.parse(text.replace("1'b0", "0").replace("1'b1", "0xFFFF"), mode="eval").body
        assert value(read) & lut_table.ALL == table, text
    assert lut_table.expression("1001" * 4, ["~n1", "n2", "n3", "n4"]) == "((~n1) ^ ~n2)"


def design(tmp_path: Path, **changes: object) -> Path:
    """A routed design of one LUT and two pads, its LUT changed."""
    pads = {
        name: {
            "type": "TRELLIS_IO",
            "parameters": {"DIR": way},
            "connections": {"B": [pad], "O" if way == "INPUT" else "I": [net]},
        }
        for name, way, pad, net in (("a", "INPUT", 2, 4), ("z", "OUTPUT", 3, 5))
    }
    lut = {
        "type": "TRELLIS_COMB",
        "parameters": {"INITVAL": "0101010101010101"},
        "connections": {"A": [4], "B": [], "C": [], "D": [], "F": [5]},
        **changes,
    }
    ports = {
        "a": {"direction": "input", "bits": [2]},
        "z": {"direction": "output", "bits": [3]},
    }
    file = tmp_path / "routed.json"
    file.write_text(json.dumps({"modules": {"top": {"ports": ports, "cells": {**pads, "u": lut}}}}))
    return file


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"type": "ALU54B"}, "u: cell ALU54B has no model; expected one of TRELLIS_COMB, "),
        (
            {"parameters": {"INITVAL": "0" * 16, "MODE": "XYZ"}},
            "u: mode XYZ is not known; expected LOGIC, CCU2 or DPRAM",
        ),
        (
            {"parameters": {"INITVAL": "0" * 16, "AMUX": "B"}},
            "u: pin A has multiplexer 'B', expected 0, 1, INV or A",
        ),
    ],
    ids=["cell", "mode", "multiplexer"],
)
def test_what_has_no_model_is_refused(
    changes: dict[str, object], message: str, tmp_path: Path
) -> None:
    with pytest.raises(post_route.NetlistError, match=re.escape(message)):
        post_route.to_verilog(design(tmp_path, **changes), tmp_path / "sim", "top")


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ('"a": {"direction"', '"a;b": {"direction"', "'a;b'"),
        ('"F": [5]', '"F": ["5; $stop"]', "'5; $stop'"),
        ('"INITVAL": "01', '"INITVAL": "1; $stop; //', "'1; $stop; //"),
        ('{"modules"', '{"letters"', "found no netlist"),
        ('{"modules"', '{"modules" no', "found no netlist"),
    ],
    ids=["port", "net", "table", "keys", "letters"],
)
def test_no_text_of_a_netlist_becomes_code(old: str, new: str, found: str, tmp_path: Path) -> None:
    file = design(tmp_path)
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    with pytest.raises(post_route.NetlistError, match="run `andpop bitstream` again") as error:
        post_route.to_verilog(file, tmp_path / "sim", "top")
    assert found in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "sim").exists()


def test_a_wrong_bit_of_a_routed_netlist_is_found(tmp_path: Path) -> None:
    kernel = "streaming_fifo"
    case = case_of(kernel)
    built = build_op(case)
    sources = built.generate(tmp_path / "rtl")
    top = built.op.get_nodeattr("gen_top_module")
    netlist = ecp5.map_design(top, sources)
    routed = place(netlist, top, tmp_path / "routed")
    cells = json.loads(routed.read_text())
    (module,) = cells["modules"].values()
    name = next(n for n, c in module["cells"].items() if c["parameters"].get("MODE") == "DPRAM")
    # The bit that the memory's first output stores comes from its neighbour's.
    wrong = module["cells"][name]["connections"]
    other = next(
        c["connections"]["WD"]
        for c in module["cells"].values()
        if c["parameters"].get("MODE") == "DPRAM" and c["connections"]["WD"] != wrong["WD"]
    )
    wrong["WD"] = other
    routed.write_text(json.dumps(cells))
    written = post_route.to_verilog(routed, tmp_path / "sim", top)
    with pytest.raises(bench.BenchFailure, match="expected 0x"):
        bench.run_plan(
            make_plan(kernel, case, built), written, top, tmp_path / "run", data=tmp_path / "sim",
            ports_only=True,
        )  # fmt: skip
