# SPDX-License-Identifier: Apache-2.0
"""Synthesis by Yosys: cells counted, networks node by node, netlists exact, LUTs per MAC."""

from __future__ import annotations

import json
import re
import shutil
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from andpop.flows import cli
from andpop.hw.graph.folding import fold
from andpop.hw.graph.specialise import specialise
from andpop.hw.kernels.pa_mvu.datapath import levels
from andpop.hw.rtl.simulate import emit
from andpop.hw.synth import network, split, table, yosys
from andpop.hw.synth.datapath import Datapath, DatapathError, synthesise_datapath
from andpop.hw.synth.sources import Sources
from andpop.hw.synth.yosys import SynthesisError, SynthResult
from andpop.quant.files import rewrite
from andpop.sim import bench
from andpop.sim.cases import Case
from comparisons import Comparisons
from dataflow_graphs import GraphBuilder
from kernel_cases import build_op
from qonnx.core.modelwrapper import ModelWrapper
from test_kernels import make_plan

COUNTED = """
module counted (
  input  logic clk_i, d_i, ci_i,
  input  logic [5:0] i_i,
  input  logic [3:0] s_i,
  output logic q_o, o5_o, o6_o, n_o,
  output logic [3:0] sum_o, co_o
);
  always_ff @(posedge clk_i) q_o <= d_i;
  assign n_o = ~d_i;
  LUT6_2 #(.INIT(64'h8000_0001_0000_0006)) u_lut (
    .O6(o6_o), .O5(o5_o), .I0(i_i[0]), .I1(i_i[1]), .I2(i_i[2]), .I3(i_i[3]), .I4(i_i[4]), .I5(1'b1)
  );
  CARRY4 u_carry (.CO(co_o), .O(sum_o), .CI(ci_i), .CYINIT(1'b0), .DI(i_i[3:0]), .S(s_i));
endmodule
"""

NAMED = """
module named (
  input  logic        clk_i,
  input  logic [5:0]  i_i,
  input  logic [24:0] a_i,
  input  logic [17:0] b_i,
  output logic        o_o,
  output logic [47:0] p_o
);
  LUT6 #(.INIT(64'h8000_0001_0000_0006)) u_lut (
    .O(o_o), .I0(i_i[0]), .I1(i_i[1]), .I2(i_i[2]), .I3(i_i[3]), .I4(i_i[4]), .I5(i_i[5])
  );
  DSP48E1 #(.AREG(1), .USE_DPORT("TRUE"), .MASK(48'h3)) u_dsp (
    .CLK(clk_i), .A({5'b0, a_i}), .B(b_i), .P(p_o), .CEA2(1'b1), .OPMODE(7'b0000101)
  );
endmodule
"""

MEMORY = """
module memory (
  input  logic       clk_i,
  input  logic [9:0] addr_i,
  output logic [7:0] data_o
);
  (* rom_style = "block" *)
  logic [7:0] words[1024];
  initial $readmemh("data/words.mem", words);
  always_ff @(posedge clk_i) data_o <= words[addr_i];
endmodule
"""


def written(folder: Path, name: str, text: str) -> Path:
    """A source file."""
    file = folder / f"{name}.sv"
    file.write_text(text, encoding="ascii")
    return file


def silent(*_: object) -> None:
    """Report nothing."""


def test_cells_are_counted_once_each(tmp_path: Path) -> None:
    found = yosys.synthesise("counted", [written(tmp_path, "counted", COUNTED)])
    assert found.cells["LUT6_2"] == 1 and found.cells["INV"] == 1
    assert (found.luts, found.lutram, found.carry4, found.ffs) == (1, 0, 1, 1)
    assert (found.bram18, found.dsp) == (0, 0)
    assert re.search(r"module counted\(clk_i", found.netlist.read_text())


def test_cells_that_sources_name_keep_their_parameters(tmp_path: Path) -> None:
    found = yosys.synthesise("named", [written(tmp_path, "named", NAMED)])
    assert found.cells == {"LUT6": 1, "DSP48E1": 1} and found.dsp == 1
    text = found.netlist.read_text()
    assert '.USE_DPORT("TRUE")' in text and ".MASK(48'h000000000003)" in text


def test_memory_weights_of_cells() -> None:
    cells = {"RAM32M": 2, "SRL16E": 3, "RAMB36E1": 1, "RAMB18E1": 1, "LUT6": 5, "MUXF7": 4}
    found = SynthResult(cells, Path("netlist.v"))
    assert (found.luts, found.lutram, found.bram18) == (5, 11, 3)


def test_memory_files_are_read(tmp_path: Path) -> None:
    source = written(tmp_path, "memory", MEMORY)
    words = tmp_path / "words.mem"
    values = np.random.default_rng(1).integers(0, 256, 1024)
    words.write_text("".join(f"{v:02x}\n" for v in values))
    found = yosys.synthesise("memory", [source], memories={"data/words.mem": words})
    assert found.bram18 == 1 and found.luts == 0
    netlist = found.netlist.read_text().lower()
    rows = ["".join(f"{v:02x}" for v in row[::-1]) for row in values.reshape(32, 32)]
    assert all(f"256'h{row}" in netlist for row in rows)
    with pytest.raises(SynthesisError, match="words.mem"):
        yosys.synthesise("memory", [source])
    with pytest.raises(SynthesisError, match=r"gone.mem not found"):
        yosys.synthesise("memory", [source], memories={"w": tmp_path / "gone.mem"})


def test_a_finished_result_is_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = written(tmp_path, "counted", COUNTED)
    first = yosys.synthesise("counted", [source])

    def refuse(*_: object) -> None:
        raise AssertionError("Yosys ran again")

    monkeypatch.setattr(yosys, "run", refuse)
    assert yosys.synthesise("counted", [source]) == first
    with pytest.raises(AssertionError, match="ran again"):
        yosys.synthesise("counted", [written(tmp_path, "counted", COUNTED + "\n")])


def test_a_refused_source_is_quoted(tmp_path: Path) -> None:
    wrong = written(
        tmp_path, "wrong", "module wrong (output logic a);\n  assign a = b;\nendmodule\n"
    )
    with pytest.raises(SynthesisError, match=r"wrong: yosys failed: .*wrong.sv:2: ERROR.*'b'"):
        yosys.synthesise("wrong", [wrong])


def test_a_cell_that_is_not_counted_is_refused(tmp_path: Path) -> None:
    text = (
        "module odd (input a, b, g, output logic q);\n  always_latch if (g) q = a & b;\nendmodule\n"
    )
    with pytest.raises(SynthesisError, match="1 cells LDCE, expected cells of the 7 series"):
        yosys.synthesise("odd", [written(tmp_path, "odd", text)])


def test_sources_are_those_below_the_top() -> None:
    sources = Sources(
        {
            "p.sv": "package p;\nendpackage",
            "leaf.sv": "module leaf; // middle\nendmodule",
            "middle.sv": "module middle; leaf u(); /* other */ endmodule",
            "other.sv": "module other; import p::*; middle u(); endmodule",
        }
    )
    assert sources.needed("middle") == ["leaf.sv", "middle.sv"]
    assert sources.needed("other") == ["p.sv", "leaf.sv", "middle.sv", "other.sv"]
    with pytest.raises(ValueError, match="module gone is not defined in any of the 4 sources"):
        sources.needed("gone")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("xor-dot", 8), "--kernel: found 'xor-dot', expected one of xnor-dot"),
        (("and-dot", 0), "--width: found 0, expected 1 to 4096"),
        (("pa-coded", 8, False, 3), "--m: found 3, expected an even number"),
        (("pa-coded", 8, False, 4, 16), "--n: found 16, expected 1 to 15"),
        (("pa-coded", 8, False, 4, 5, 9), "--bits: found 9, expected 2 to 8"),
    ],
)
def test_a_datapath_that_does_not_exist(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(DatapathError, match=re.escape(message)):
        Datapath(*arguments)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize(("m", "n"), [(2, 1), (4, 5), (8, 7), (14, 15)])
def test_codebooks_reach_the_ends_and_rise(m: int, n: int, bits: int) -> None:
    alpha, beta = levels("coded", Datapath("pa-coded", 8, m=m, n=n, bits=bits))
    assert len(alpha) == m + 1 and len(beta) == n + 1
    assert alpha == sorted(set(alpha)) and beta == sorted(set(beta))
    top = (1 << (bits - 1)) - 1
    assert (alpha[0], alpha[m // 2], alpha[-1]) == (-top, 0, top)
    assert (beta[0], beta[-1]) == (0, 2 * top + 1)


def test_the_skin_alone_chooses_the_body(tmp_path: Path) -> None:
    case = next(p.values[1] for p in netlist_cases() if p.values[0] == "xnor_mvu")
    built = build_op(case)
    built.generate(tmp_path)
    text = (tmp_path / f"{built.op.onnx_node.name}.v").read_text()
    synthesis = text.partition("`ifdef SYNTHESIS\n")[2].partition("`endif")[0]
    assert synthesis.split("\n")[:3] == [
        "`define ANDPOP_PRIMITIVES 1", "`else", "`define ANDPOP_PRIMITIVES 0",
    ]  # fmt: skip
    assert ".Primitives(`ANDPOP_PRIMITIVES)" in text
    assert "Primitives" not in built.op.skin("LFE5U-85F-6BG381C"), "an ECP5 has no such cells"


@pytest.fixture(scope="module")
def emitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The RTL of a small network with two equal forks, products and thresholds."""
    g = GraphBuilder(3)
    x = g.epilogue(g.int_mvu(g.input((1, 4, 4, 2), "UINT8"), 4))
    x = g.identity_block(x, 1)
    model = ModelWrapper(g.model([g.identity_block(x, 1)]))
    folder = tmp_path_factory.mktemp("emitted") / "rtl"
    emit(fold(specialise(model), 1000), folder)
    return folder


def test_a_network_is_counted_node_by_node(
    emitted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANDPOP_CACHE", str(tmp_path))
    steps: list[tuple[int, int]] = []

    def note(_: str, done: int, total: int) -> None:
        steps.append((done, total))

    rows = network.synthesise_network(emitted, node=None, primitives=True, progress=note)
    by_op: dict[str, list[network.NodeUsage]] = {}
    for row in rows:
        by_op.setdefault(row.op, []).append(row)
    graph = [n.name for n in _nodes(emitted)]
    assert [row.name for row in rows] == [name for name in graph if name in {r.name for r in rows}]
    assert {n.name for n in _nodes(emitted) if n.op_type != "StreamingFIFO_rtl"} <= {
        row.name for row in rows
    }
    # Equal designs are synthesised once: forks, FIFOs of one size.
    assert steps[-1][0] == steps[-1][1] < len(rows)
    forks = [row.usage for row in by_op["DuplicateStreams"]]
    assert len(forks) == 2 and forks[0] == forks[1]
    assert all(row.usage.lut + row.usage.ff > 0 for row in rows)
    for row in by_op["Epilogue"]:
        assert row.usage.dsp == row.estimate["dsp"] > 0
    again = network.synthesise_network(emitted, node=None, primitives=True, progress=_refuse)
    assert again == rows, "a finished network is found again"
    name = by_op["XnorMvu"][0].name
    one = network.synthesise_network(emitted, node=name, primitives=True, progress=silent)
    assert one == [by_op["XnorMvu"][0]]
    plain = network.synthesise_network(emitted, node=name, primitives=False, progress=silent)
    assert plain[0].usage != one[0].usage, "the RTL itself asks for the cells in synthesis"
    flat, clock = network.synthesise_flat(emitted, primitives=True, progress=silent)
    assert clock is None and all(row.timing is None for row in rows)
    assert flat.dsp == sum(row.usage.dsp for row in rows)
    assert flat.bram18 == sum(row.usage.bram18 for row in rows)
    assert flat.lut == pytest.approx(sum(row.usage.lut for row in rows), rel=0.1)
    with pytest.raises(network.UnknownNode, match="--node: found 'gone', expected a node such as"):
        network.synthesise_network(emitted, node="gone", primitives=True, progress=silent)


def _refuse(stage: str, done: int, total: int) -> None:
    raise AssertionError(f"{stage} ran again")


def test_a_source_that_is_refused_is_one_line(emitted: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(emitted, tmp_path / "rtl")
    source = folder / "lib" / "epilogue.sv"
    source.write_text(source.read_text() + "\nmodule broken\n")
    with pytest.raises(SynthesisError, match=r"andpop_top: .*epilogue.sv:\d+: ERROR"):
        network.synthesise_network(folder, node=None, primitives=True, progress=silent)


def test_a_node_of_unknown_cells_is_named(
    emitted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANDPOP_CACHE", str(tmp_path))
    monkeypatch.setattr(yosys, "_known", lambda cell: cell != "DSP48E1")
    name = next(r.name for r in _nodes(emitted) if r.op_type == "Epilogue_rtl")
    with pytest.raises(SynthesisError, match=rf"{name}: the netlist holds \d+ cells DSP48E1"):
        network.synthesise_network(emitted, node=name, primitives=True, progress=silent)


def test_logic_of_the_top_itself_is_counted(emitted: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(emitted, tmp_path / "rtl")
    top = folder / "andpop_top.sv"
    text = top.read_text()
    assert text.count("= s_axis_0_tvalid;") == 1
    top.write_text(text.replace("= s_axis_0_tvalid;", "= s_axis_0_tvalid && ^s_axis_0_tdata;"))
    rows = network.synthesise_network(folder, node=None, primitives=True, progress=silent)
    glue = [row for row in rows if row.name == "glue"]
    assert len(glue) == 1 and glue[0].usage.lut > 0 and glue[0].estimate["lut"] == 0


def test_a_design_has_the_ports_that_its_top_uses() -> None:
    cell = {
        "type": "kernel",
        "port_directions": {"a_i": "input", "b_i": "input", "y_o": "output"},
        "connections": {"a_i": [2, "1"], "b_i": ["0"], "y_o": [3, 4]},
    }
    top = {"cells": {"u": cell}, "ports": {"o": {"direction": "output", "bits": [4]}}}
    used = split.readers(top)
    assert used == {2: 1, 4: 1}
    text = split.wrapper(7, cell, used)
    assert "  wire width 1 input 1 \\a_i\n" in text and "input 2" not in text
    assert "  wire width 1 output 2 \\y_o\n" in text, "an unread output is gone"
    assert "connect \\a_i { 1'1 \\a_i [0] }" in text and "connect \\b_i { 1'0 }" in text
    assert "connect \\y_o { \\y_o [0] $open_y_o [0] }" in text


def test_equal_designs_have_equal_digests() -> None:
    memory = (
        'module \\{name}\n  wire $auto$1$y\n  attribute \\rom_style "{style}"\n'
        "  memory width 2 size 4 \\mem\n  cell $meminit_v2 ${number}\n"
        '    parameter \\WIDTH 2\n    parameter \\MEMID "\\\\mem"\n'
        "    connect \\DATA 8'{data}\n  end\nend\n"
    )

    def text(name: str, number: int, style: str, data: str) -> str:
        made = memory.format(name=name, number=number, style=style, data=data)
        return split.canonical(made, name)

    block = text("a", 1, "block", "00010010")
    assert block == text("b", 7, "block", "10010001"), "contents of a block RAM do not count"
    assert block != text("a", 1, "block", "00010001"), "a column that never changes does"
    assert text("a", 1, "auto", "00010010") != text("a", 1, "auto", "10010001")


def _nodes(rtl: Path) -> list[Any]:
    return list(ModelWrapper(str(rtl / "stitched.onnx")).graph.node)


def run_cli(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object
) -> tuple[int, str, str]:
    """Run the program; returns (exit code, standard output, standard error)."""
    monkeypatch.setattr("sys.argv", ["andpop", "synth", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    printed = capsys.readouterr()
    return int(stop.value.code or 0), printed.out, printed.err


def test_the_command_prints_a_datapath(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--kernel", "and-dot", "--width", 8, "--behavioural", "--json")
    code, out, _ = run_cli(monkeypatch, capsys, *arguments)
    result = json.loads(out)
    assert code == 0 and result["macs"] == 8
    assert result["lut_per_mac"] == result["lut"] / 8 > 0
    assert {"kernel", "width", "primitives", "ff", "carry4", "cells", "yosys"} <= result.keys()


def test_the_command_prints_a_build(
    emitted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (tmp_path / "build.json").write_text("{}")
    (tmp_path / "dataflow.onnx").write_bytes(b"")
    shutil.copytree(emitted, tmp_path / "rtl")
    code, out, _ = run_cli(monkeypatch, capsys, tmp_path, "--behavioural", "--json")
    result = json.loads(out)
    assert code == 0
    for key in ("lut", "lutram", "ff", "carry4", "bram18", "dsp"):
        for rows in (result["nodes"], result["ops"]):
            assert result["total"][key] == sum(row[key] for row in rows)
    assert sum(row["count"] for row in result["ops"]) == len(result["nodes"])
    assert result["share"]["lut"] == result["total"]["lut"] / 53_200
    assert result["share"]["lutram"] == result["total"]["lutram"] / 17_400
    assert result["mapper"].startswith("abc ")
    code, out, _ = run_cli(monkeypatch, capsys, tmp_path, "--behavioural")
    assert code == 0 and "sum" in out and "inverters not counted" in " ".join(out.split())
    code, out, _ = run_cli(monkeypatch, capsys, tmp_path, "--flat", "--json")
    flat = json.loads(out)
    assert code == 0 and flat["flat"] and flat["nodes"] == [] and flat["total"]["lut"] > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "found neither of BUILD and --kernel, expected one of them"),
        (("build", "--kernel", "and-dot"), "found both of BUILD and --kernel"),
        (("gone",), "gone: no such folder"),
        (("--kernel", "xor"), "--kernel: found 'xor', expected one of"),
    ],
)
def test_bad_usage_is_one_line(
    arguments: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    code, out, err = run_cli(monkeypatch, capsys, *arguments)
    assert (code, out) == (2, "") and message in err and err.count("\n") == 1


def test_a_missing_yosys_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyosys", None)
    code, _, err = run_cli(monkeypatch, capsys, "--kernel", "and-dot")
    assert code == 3 and "pip install 'andpop[synth]'" in err


REQUIRED = [
    pytest.param(Datapath("xnor-dot", 128, True), 0.85, id="xnor-dot-128"),
    *(
        pytest.param(Datapath(kernel, width, True), 0.85, id=f"{kernel}-{width}", marks=full)
        for full in (pytest.mark.full,)
        for kernel in ("xnor-dot", "and-dot")
        for width in (128, 256, 512)
        if (kernel, width) != ("xnor-dot", 128)
    ),
    pytest.param(Datapath("xnor-pe", 128, True), 1.10, id="xnor-pe", marks=pytest.mark.full),
    pytest.param(
        Datapath("pa-coded", 256, True, bits=4), 12.5, id="pa-coded", marks=pytest.mark.full
    ),
    pytest.param(Datapath("pa-planes", 256, True), 7.5, id="pa-planes", marks=pytest.mark.full),
    *(
        pytest.param(
            Datapath(f"binary-{way}", 64, True, bits=4), most, id=way, marks=pytest.mark.full
        )
        for way, most in (("serial", 4.0), ("addsub", 3.3))
    ),
]


@pytest.mark.parametrize(("datapath", "most"), REQUIRED)
def test_luts_per_mac(datapath: Datapath, most: float, record_property: Any) -> None:
    found = synthesise_datapath(datapath)
    per_mac = (found.luts + found.lutram) / datapath.macs
    record_property("lut_per_mac", per_mac)
    assert per_mac <= most, f"{datapath}: {per_mac:.3f} LUTs per MAC, expected at most {most}"


def test_the_table_is_replaced_between_its_markers(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"a\n{table.BEGIN}\n| old |\n{table.END}\nb\n")
    rewrite(page, "| new |", table.BEGIN, table.END)
    assert page.read_text() == f"a\n{table.BEGIN}\n| new |\n{table.END}\nb\n"
    page.write_text("a\n")
    with pytest.raises(ValueError, match="page.md: found no lines"):
        rewrite(page, "| new |", table.BEGIN, table.END)


def test_the_page_has_every_row_of_the_table() -> None:
    page = (Path(__file__).parent.parent / "docs/03_reference/synthesis.md").read_text()
    measured = page.partition(table.BEGIN)[2].partition(table.END)[0]
    for name, datapath in table.datapaths():
        assert f"| {name} | {datapath.width} |" in measured


def netlist_cases() -> list[Any]:
    """(kernel, case, defines): a small case of every implementation, with both bodies."""
    chosen = {
        ("xnor_mvu", "mw8_mh8_simd8_pe1"),
        *(("pa_mvu", f"{way}_m4_n5_mw24_mh6_simd24_pe1") for way in ("literal", "coded", "planes")),
        *(("pa_mvu", f"{way}_m2_n1_mw24_mh6_simd6_pe2") for way in ("literal", "coded", "planes")),
        *(
            ("binary_mvu", f"{way}_{sizes}")
            for way in ("serial", "addsub")
            for sizes in (
                "k1_mw24_mh6_simd6_pe2",
                "k4_mw24_mh6_simd24_pe6",
                "k8_mw24_mh6_simd4_pe1",
                "k8_mw1_mh3_simd1_pe1",
            )
        ),
        ("image_conv", "5x6x3_k3_s1_p1021"),
        ("image_conv", "10x12x1_k5_s2"),
        ("image_conv", "10x38x1_k5_s2"),
        ("int_mvu", "int8_int8_mw5_mh6_simd5_pe2_bias"),
        ("int_mvu", "uint8_int7_mw12_mh3_simd2_pe3"),
    }
    quick = {
        ("xnor_mvu", "mw8_mh8_simd8_pe1"),
        ("image_conv", "10x12x1_k5_s2"),
        ("int_mvu", "int8_int8_mw5_mh6_simd5_pe2_bias"),
        ("binary_mvu", "serial_k8_mw24_mh6_simd4_pe1"),
    }
    parameters = []
    for kernel, name in sorted(chosen):
        cases = import_module(f"andpop.hw.kernels.{kernel}.cases")
        case = next(c for c in (*cases.SMOKE, *cases.FULL) if c.name.startswith(name))
        for primitives in (False, True):
            marks = () if primitives and (kernel, name) in quick else (pytest.mark.full,)
            body = "primitives" if primitives else "behavioural"
            parameters.append(
                pytest.param(kernel, case, primitives, id=f"{name}-{body}", marks=marks)
            )
    return parameters


def netlist_of(case: Case, primitives: bool, folder: Path) -> tuple[Any, SynthResult]:
    """The op of a case and the netlist of its RTL, memory contents included."""
    built = build_op(case)
    sources = built.generate(folder)
    top = built.op.get_nodeattr("gen_top_module")
    defines = [] if primitives else ["ANDPOP_PRIMITIVES=0"]
    memories = {f.name: f for f in folder.glob("*.mem")}
    return built, yosys.synthesise(top, sources, defines=defines, memories=memories)


@pytest.mark.sim
@pytest.mark.parametrize(("kernel", "case", "primitives"), netlist_cases())
def test_netlist_equals_golden(
    kernel: str, case: Case, primitives: bool, tmp_path: Path, compared: Comparisons
) -> None:
    built, found = netlist_of(case, primitives, tmp_path / "rtl")
    explicit = {"LUT6_2", "DSP48E1"} & found.cells.keys()
    assert bool(explicit) == primitives, "the body asked for is in the netlist"
    plan = make_plan(kernel, case, built)
    top = built.op.get_nodeattr("gen_top_module")
    sources = [found.netlist, yosys.cells_sim()]
    run = tmp_path / "run"
    result = bench.run_plan(plan, sources, top, run, data=tmp_path / "rtl", ports_only=True)
    compared.count(result.values, result.differing)


@pytest.mark.sim
@pytest.mark.full
def test_a_wrong_bit_in_a_netlist_is_found(tmp_path: Path) -> None:
    kernel, case, _ = next(p.values for p in netlist_cases() if p.values[0] == "xnor_mvu")
    built, found = netlist_of(case, False, tmp_path / "rtl")
    text = found.netlist.read_text()
    wrong = re.sub(r"\.INIT\(64'h([0-9a-f]{15})([0-9a-f])\)",
                   lambda m: f".INIT(64'h{m[1]}{15 - int(m[2], 16):x})", text, count=1)  # fmt: skip
    assert wrong != text
    netlist = written(tmp_path, "wrong", wrong)
    top = built.op.get_nodeattr("gen_top_module")
    with pytest.raises(bench.BenchFailure, match="expected 0x"):
        bench.run_plan(
            make_plan(kernel, case, built), [netlist, yosys.cells_sim()], top, tmp_path / "run",
            data=tmp_path / "rtl", ports_only=True,
        )  # fmt: skip
