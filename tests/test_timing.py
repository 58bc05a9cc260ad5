# SPDX-License-Identifier: Apache-2.0
"""Clocks: the estimate against paths added up by hand, place and route on a small design."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from andpop.flows import cli
from andpop.hw.graph.folding import fold
from andpop.hw.graph.specialise import specialise
from andpop.hw.kernels.base import HW
from andpop.hw.rtl.simulate import emit
from andpop.hw.synth import delays_xc7 as xc7
from andpop.hw.synth import ecp5, ecp5_edit, nextpnr, sta, timing, timing_table, yosys
from andpop.hw.synth.delays_ecp5 import Ecp5
from andpop.hw.synth.delays_xc7 import Series7
from andpop.hw.synth.netlist import Netlist, NetlistError
from andpop.hw.synth.sta import Nets, Timing
from andpop.hw.synth.yosys import SynthesisError
from dataflow_graphs import GraphBuilder
from qonnx.core.modelwrapper import ModelWrapper

NET, STEP = 0.65, 0.06
FLOP = {"C": "clk", "CE": "1", "R": "0"}


def netlist(cells: dict[str, tuple[str, dict[str, Any]]], **ports: str) -> Netlist:
    """A netlist of cells given as name -> (type, connections), nets by name; '0', '1' constants.

    A parameter is a connection in capitals whose value is an int. ``ports`` are name -> direction.
    """
    numbers: dict[str, int] = {}

    def bit(net: str) -> int | str:
        return net if net in ("0", "1") else numbers.setdefault(net, len(numbers) + 2)

    outputs = ("O", "O5", "O6", "Q", "CO", "Z", "P", "PCOUT", "DOADO", "DOBDO")
    module: dict[str, Any] = {"cells": {}, "ports": {}, "netnames": {}}
    for name, (kind, given) in cells.items():
        wired = {p: v for p, v in given.items() if not isinstance(v, int)}
        module["cells"][name] = {
            "type": kind,
            "parameters": {p: v for p, v in given.items() if isinstance(v, int)},
            "port_directions": {p: "output" if p in outputs else "input" for p in wired},
            "connections": {
                p: [bit(n) for n in ([v] if isinstance(v, str) else v)] for p, v in wired.items()
            },
        }
    for port, direction in ports.items():
        module["ports"][port] = {"direction": direction, "bits": [bit(port)]}
    for net, number in numbers.items():
        module["netnames"][net] = {"hide_name": 0, "bits": [number]}
    return Netlist.of("top", module)


def series7(found: Netlist) -> Timing:
    """The estimate for the 7 series."""
    return sta.analyse(found, Series7())


def test_a_pipeline_is_added_up_by_hand() -> None:
    found = series7(
        netlist(
            {
                "first": ("FDRE", {**FLOP, "D": "in", "Q": "a"}),
                "one": ("LUT2", {"I0": "a", "I1": "b", "O": "x"}),
                "two": ("LUT6", {"I0": "x", "O": "y"}),
                "other": ("LUT1", {"I0": "x", "O": "z"}),
                "second": ("FDRE", {**FLOP, "D": "y", "Q": "b"}),
                "third": ("FDRE", {**FLOP, "D": "z", "Q": "c"}),
            }
        )
    )
    # b -> LUT2 -> (two readers) LUT6 -> b: a net to each LUT, none into the flip-flop behind it.
    period = xc7.FF_OUT + NET + xc7.LUT + (NET + STEP) + xc7.LUT
    assert found.period_ns == pytest.approx(period)
    assert found.mhz == pytest.approx(1000 / period)
    assert found.levels == 2
    assert [hop.name for hop in found.hops][1:3] == ["x", "y"]
    assert found.ends[1] in ("b.D", "c.D") and found.ends[0] in ("a", "b")
    assert found.hops[-1].at == found.period_ns


def test_a_carry_chain_costs_nets_at_its_ends_only() -> None:
    found = series7(
        netlist(
            {
                "start": ("FDRE", {**FLOP, "D": "s", "Q": "a"}),
                "lut": ("LUT2", {"I0": "a", "O": "p"}),
                "low": ("CARRY4", {"CI": "0", "CYINIT": "0", "DI": ["0"] * 4,
                                   "S": ["p", "0", "0", "0"], "CO": ["c0", "c1", "c2", "c3"],
                                   "O": ["o0", "o1", "o2", "o3"]}),
                "high": ("CARRY4", {"CI": "c3", "CYINIT": "0", "DI": ["0"] * 4, "S": ["0"] * 4,
                                    "CO": ["d0", "d1", "d2", "d3"], "O": ["s", "t", "u", "v"]}),
                "end": ("FDRE", {**FLOP, "D": "t", "Q": "q"}),
            }
        )
    )  # fmt: skip
    period = xc7.FF_OUT + NET + xc7.LUT + 0.508 + 0.334
    assert found.period_ns == pytest.approx(period)
    assert found.ends == ("a", "q.D")


def test_a_carry_chain_is_entered_through_a_lut() -> None:
    chain = {
        "CI": "0", "CYINIT": "0", "DI": ["0"] * 4, "S": ["q", "0", "0", "0"],
        "O": ["d", "o1", "o2", "o3"],
    }  # fmt: skip
    end = ("FDRE", {**FLOP, "D": "d", "Q": "q"})
    found = series7(netlist({"chain": ("CARRY4", chain), "end": end}))
    assert found.period_ns == pytest.approx(xc7.FF_OUT + NET + xc7.LUT + 0.223)


def test_registered_block_ram_is_faster() -> None:
    def clock(registered: int) -> float:
        ram = {"DOA_REG": registered, "DOADO": ["d"], "ADDRARDADDR": ["q"], "CLKARDCLK": "clk"}
        end = ("FDRE", {**FLOP, "D": "d", "Q": "q"})
        return series7(netlist({"ram": ("RAMB18E1", ram), "end": end})).period_ns

    assert clock(0) == pytest.approx(xc7.RAMB_OUT + NET)
    # Then the way from the flip-flop to the address is the longer one.
    assert clock(1) == pytest.approx(max(0.882 + NET, xc7.FF_OUT + NET + 0.566))


@pytest.mark.parametrize(
    ("registers", "period"),
    [
        ({"AREG": 1, "BREG": 1, "MREG": 1, "PREG": 1}, 1000 / 464),
        ({"AREG": 1, "BREG": 1, "MREG": 0, "PREG": 1}, 1000 / 257),
        ({"AREG": 0, "BREG": 0, "MREG": 0, "PREG": 1}, xc7.FF_OUT + NET + 1.37 * (2.823 - 0.085)),
        ({"AREG": 0, "BREG": 0, "MREG": 0, "PREG": 0}, xc7.FF_OUT + 2 * NET + 1.37 * 2.823),
        ({"MREG": 0, "PREG": 0}, 1.37 * 2.958 + NET),
        ({}, 1000 / 464),
    ],
)
def test_a_dsp_by_its_registers(registers: dict[str, int], period: float) -> None:
    cells = {
        "first": ("FDRE", {**FLOP, "D": "p", "Q": "a"}),
        "dsp": ("DSP48E1", {**registers, "A": ["a"], "B": ["a1"], "P": ["p"]}),
    }
    found = netlist(cells)
    assert series7(found).period_ns == pytest.approx(period)


def test_wide_multiplexers_lut_ram_and_shift_registers() -> None:
    found = series7(
        netlist(
            {
                "srl": ("SRL16E", {"D": "q", "CE": "1", "A0": "0", "CLK": "clk", "Q": "s"}),
                "lut": ("LUT6", {"I0": "s", "O": "x"}),
                "mux": ("MUXF7", {"I0": "x", "I1": "0", "S": "0", "O": "y"}),
                "end": ("FDRE", {**FLOP, "D": "y", "Q": "q"}),
            }
        )
    )
    assert found.period_ns == pytest.approx(xc7.SRL_OUT + NET + xc7.LUT + 0.223)


def test_ports_count_as_registers() -> None:
    found = series7(
        netlist({"lut": ("LUT1", {"I0": "in", "O": "out"})}, **{"in": "input", "out": "output"})
    )
    assert found.period_ns == pytest.approx(xc7.FF_OUT + NET + xc7.LUT + NET)
    assert found.ends == ("in", "out[0]")


def test_nets_are_an_assumption_that_can_be_changed_and_said() -> None:
    nets = Nets(1.0, 0.5, 1.8)
    assert [nets.delay(n) for n in (0, 1, 2, 9)] == [1.0, 1.0, 1.5, 1.8]
    assert "1 ns a net and 0.5 ns" in str(nets) and "0.65 ns a net" in timing.METHOD
    found = netlist({"ff": ("FDRE", {**FLOP, "D": "q", "Q": "q"})})
    assert sta.analyse(found, Series7(), nets).period_ns == pytest.approx(xc7.FF_OUT + 1.0)


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"a": ("LUT1", {"I0": "y", "O": "x"}), "b": ("LUT1", {"I0": "x", "O": "y"})}, "a loop of"),
        ({"a": ("LDCE", {"D": "x", "Q": "y"})}, "found a cell LDCE, expected one of the 7 series"),
        ({}, "found no path between two registers"),
    ],
)
def test_what_cannot_be_timed_is_refused(cells: dict[str, Any], message: str) -> None:
    with pytest.raises(NetlistError, match=message):
        series7(netlist(cells))


def test_short_names_keep_what_tells() -> None:
    name = "u_core.u_core.gen_serial.u_dot.gen_lane[1].u_tree.operand[3].D"
    assert timing.short(name) == "u_tree.operand[3].D"
    assert timing.short("gen_a.q") == "q" and timing.short("gen_a") == "gen_a"


SMALL = """
module tiny (input logic ap_clk, input logic [9:0] a_i, input logic en_i, output logic [7:0] q_o);
  (* rom_style = "block" *) logic [7:0] words[1024];
  initial for (int i = 0; i < 1024; i++) words[i] = 8'((i * 37) ^ (i >> 3));
  logic [7:0] data_q, read_q, sum_q;
  assign q_o = sum_q;
  always_ff @(posedge ap_clk) begin
    if (en_i) data_q <= words[a_i];
    if (en_i) read_q <= data_q;
    sum_q <= sum_q + read_q;
  end
endmodule
"""


@pytest.fixture(scope="module")
def mapped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small design with a block RAM and its output register, mapped to ECP5."""
    source = tmp_path_factory.mktemp("tiny") / "tiny.sv"
    source.write_text(SMALL, encoding="ascii")
    return ecp5.map_design("tiny", [source])


def test_a_small_design_is_routed_once(mapped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[tuple[int, int]] = []

    def note(_: str, done: int, total: int) -> None:
        steps.append((done, total))

    found = ecp5.route(mapped, "tiny", seeds=(1, 2, 3), mhz=150.0, progress=note)
    assert steps == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert found.mhz == sorted(found.seeds.values())[1] and set(found.seeds) == {1, 2, 3}
    # The ROM's register is its own: 5.8 ns to come out would allow less than this.
    assert 180 < found.mhz < 600 and found.target_mhz == 150.0
    assert found.used["ebr"] == 1 and found.used["mult18"] == 0
    assert found.used["ff"] == 8 and 8 <= found.used["lut4"] <= 16, "no port flip-flops counted"
    assert found.path[-1].at == pytest.approx(1000 / sorted(found.seeds.values())[1], rel=0.01)
    assert all(name for name in found.ends)

    def refuse(*_: object) -> None:
        raise AssertionError("nextpnr ran again")

    monkeypatch.setattr(nextpnr, "run", refuse)
    assert ecp5.route(mapped, "tiny", seeds=(1, 2, 3), mhz=150.0) == found
    with pytest.raises(AssertionError, match="ran again"):
        ecp5.route(mapped, "tiny", seeds=(4,), mhz=150.0)


def test_the_model_is_within_bounds_of_the_routed_clock(mapped: Path) -> None:
    estimate = sta.analyse(Netlist.of("tiny", ecp5.packed(mapped, "tiny")), Ecp5())
    assert 0.6 < estimate.mhz / ecp5.route(mapped, "tiny").mhz < 1.5


def test_output_registers_are_packed_where_they_may(mapped: Path) -> None:
    module = json.loads(mapped.read_text())["modules"]["tiny"]
    before = sum(c["type"] == "TRELLIS_FF" for c in module["cells"].values())
    assert ecp5_edit.pack_registers(module) == 1
    after = sum(c["type"] == "TRELLIS_FF" for c in module["cells"].values())
    ram = next(c for c in module["cells"].values() if c["type"] in ecp5_edit.SIDES)
    assert before - after == 8
    assert "OUTREG" in ram["parameters"].values()
    enables = [ram["connections"][p] for p in ("OCEA", "OCEB", "OCER") if p in ram["connections"]]
    assert module["ports"]["en_i"]["bits"] in enables
    assert ecp5_edit.pack_registers(module) == 0


def test_a_word_that_is_read_twice_is_not_packed(mapped: Path) -> None:
    module = json.loads(mapped.read_text())["modules"]["tiny"]
    ram = next(c for c in module["cells"].values() if c["type"] in ecp5_edit.SIDES)
    flop = next(c for c in module["cells"].values() if c["type"] == "TRELLIS_FF")
    word = {b for p, bits in ram["connections"].items() if p.startswith("DO") for b in bits}
    register = next(
        c for c in module["cells"].values()
        if c["type"] == "TRELLIS_FF" and c["connections"]["DI"][0] in word
    )  # fmt: skip
    extra = {**flop, "connections": {**flop["connections"], "Q": [99_999]}}
    extra["connections"]["DI"] = register["connections"]["DI"]
    module["cells"]["extra"] = extra
    assert ecp5_edit.pack_registers(module) == 0


def test_a_design_that_does_not_fit_says_so(mapped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ecp5.CAPACITY, "ff", 3)
    with pytest.raises(SynthesisError, match=r"tiny: does not fit the LFE5U.*: .* of 3 FF, 1 of"):
        ecp5.route(mapped, "tiny")


def test_a_design_without_a_clock_is_refused(mapped: Path) -> None:
    module = json.loads(mapped.read_text())["modules"]["tiny"]
    del module["ports"]["ap_clk"]
    with pytest.raises(SynthesisError, match="tiny: found no clock port, expected one of ap_clk"):
        ecp5_edit.register_ports("tiny", module)


@pytest.mark.full  # `make timing` takes half an hour, and any new case asks for it
def test_the_page_has_every_smoke_case() -> None:
    page = (Path(__file__).parent.parent / "docs/03_reference/timing.md").read_text()
    for kernel, case in timing_table.smoke_cases():
        assert f"| {kernel} | `{case.name}` |" in page
        readme = (HW / "kernels" / kernel / "README.md").read_text()
        assert timing_table.README_LINES.search(readme), kernel


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build folder of a network of one layer."""
    g = GraphBuilder(3)
    model = ModelWrapper(g.model([g.int_mvu(g.input((1, 2, 2, 2), "UINT8"), 2)]))
    folder = tmp_path_factory.mktemp("build")
    emit(fold(specialise(model), 1000), folder / "rtl")
    (folder / "build.json").write_text("{}")
    (folder / "dataflow.onnx").write_bytes(b"")
    return folder


def run_cli(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object
) -> tuple[int, str, str]:
    """Run ``andpop synth``; returns (exit code, standard output, standard error)."""
    monkeypatch.setattr("sys.argv", ["andpop", "synth", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    printed = capsys.readouterr()
    return int(stop.value.code or 0), printed.out, printed.err


def test_the_command_states_clocks_of_a_build(
    build: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run_cli(monkeypatch, capsys, build, "--timing", "--route", "--json")
    clocks = json.loads(out)["timing"]
    assert code == 0
    assert (clocks["method"], clocks["routed_method"]) == (timing.METHOD, timing.ROUTED)
    rates = [node["mhz"] for node in clocks["nodes"]]
    assert rates == sorted(rates) and clocks["mhz"] == rates[0]
    assert {"IntMvu", "StreamLink"} <= {node["op"] for node in clocks["nodes"]}
    for op in {node["op"] for node in clocks["nodes"]}:
        slowest = next(node for node in clocks["nodes"] if node["op"] == op)
        assert all(node["routed"] for node in clocks["nodes"])  # none has more than 3 designs
        assert slowest["routed"]["mhz"] > 50 and slowest["routed"]["path"]
        assert slowest["path"][-1]["at_ns"] == pytest.approx(1000 / slowest["mhz"])
    code, out, _ = run_cli(monkeypatch, capsys, build, "--timing")
    assert code == 0 and "clocks, the slowest first" in out and "7 series -1: estimate" in out
    code, out, _ = run_cli(monkeypatch, capsys, build, "--json")
    assert code == 0 and "timing" not in json.loads(out)


def test_one_netlist_has_a_clock_and_is_not_routed(
    build: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run_cli(monkeypatch, capsys, build, "--flat", "--timing", "--json")
    assert code == 0 and json.loads(out)["timing"]["mhz"] > 50
    code, _, err = run_cli(monkeypatch, capsys, build, "--flat", "--route")
    assert code == 2 and "found both --flat and --route" in err and err.count("\n") == 1


def test_a_missing_nextpnr_is_said(
    build: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(nextpnr.metadata, "version", missing)
    monkeypatch.setattr(yosys, "version", lambda: "0.70")
    nextpnr.prepare.cache_clear()
    code, _, err = run_cli(monkeypatch, capsys, build, "--timing", "--route")
    assert code == 3 and "pip install andpop[fpga]" in err
