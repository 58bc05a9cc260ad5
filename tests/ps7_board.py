# SPDX-License-Identifier: Apache-2.0
"""The netlist that nextpnr-xilinx gets, in Verilator: the PS7 taken out, its pins served.

Yosys turns the pins of the cell PS7 into ports of the netlist and leaves all else as it is. Around
it stands a module with the ports of `andpop_axi`, so that the harness of that serves it, too: it
makes single reads and writes on the general purpose port of what it gets for a block of registers.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from andpop.hw.synth import yosys
from andpop.hw.targets.zynq import Project
from andpop.hw.targets.zynq.openxc7 import flow
from andpop.hw.targets.zynq.openxc7.top import TOP
from andpop.hw.targets.zynq.system import lite_signals, master_signals
from andpop.sim import verilator
from verilated_board import HARNESS, write_ports
from xc7_cells import cell_models

PAGE, BASE = 4096, 0x4000_0000
ID = 0x5A3
"""Id of every access to a register, which has to come back."""


def everted(project: Project, folder: Path) -> Path:
    """Return the Verilog of a project's netlist with the pins of its PS7 as ports."""
    folder.mkdir(parents=True, exist_ok=True)
    netlist = flow.synthesise(project).netlist.resolve()
    script = [
        f"read_json {netlist}", f"select {TOP}/t:PS7", "expose -evert -sep _", "select -clear",
        f"select -module {TOP}", "clean", "write_verilog -noattr -selected netlist.v",
    ]  # fmt: skip
    yosys.run(script, folder, TOP)
    return folder / "netlist.v"


def build_ps7_board(project: Project, heads: int, folder: Path) -> Path:
    """Compile the netlist of a project around the harness; return the executable."""
    netlist = everted(project, folder / "netlist")
    bench = folder / "andpop_axi.sv"
    ports = write_ports(heads, folder, "andpop_axi__DOT__hangs")
    bench.write_text(_bench(heads))
    return verilator.build(
        [*cell_models(folder / "cells"), netlist, bench],
        "andpop_axi",
        extra_cpp=[HARNESS, ports],
        kind="executable",
        verilator_flags=("-O3", "-fno-split", "-Wno-PINMISSING"),
    )


def _bench(heads: int) -> str:
    """The module around the netlist, with the ports of `andpop_axi`."""
    sinks = [f"odma{i}" for i in range(heads)]
    cells = ["control0", "idma0", *sinks]
    ports = ["input wire ap_clk", "input wire ap_rst_n"]
    for cell in cells:
        ports += [_port(f"s_axi_{cell}", s.direction, s.range, s.name) for s in lite_signals()]
    for dma in cells[1:]:
        ports += [_port(f"m_axi_{dma}", s.direction, s.range, s.name) for s in master_signals(64)]
    pins = dict(_pins(sinks))
    connected = ",\n".join(f"    .ps7_{pin}({wire})" for pin, wire in pins.items())
    header = ",\n  ".join(ports)
    return (
        f"module andpop_axi (\n  {header},\n  output wire irq\n);\n"
        "  reg hangs /*verilator public_flat_rw*/;\n"
        + "".join(_logic(cells, sinks))
        + f"  {TOP} chip (\n{connected}\n  );\nendmodule\n"
    )


def _port(prefix: str, direction: str, width: str, name: str) -> str:
    return f"{'input' if direction == 'in' else 'output'} wire {width}{prefix}_{name}"


def _logic(cells: list[str], sinks: list[str]) -> Iterator[str]:
    """One access to a register at a time; memory ports as they are, widened."""
    yield "  wire gp_arready, gp_awready, gp_wready, gp_rvalid, gp_bvalid, gp_rlast;\n"
    yield "  wire [31:0] gp_rdata;\n  wire [1:0] gp_rresp, gp_bresp;\n"
    yield "  wire [11:0] gp_rid, gp_bid;\n  wire [19:0] irqs;\n  assign irq = irqs[0];\n"
    for valid in ("arvalid", "awvalid", "wvalid", "rready", "bready"):
        every = " | ".join(f"s_axi_{cell}_{valid}" for cell in cells)
        yield f"  wire gp_{valid} = {every};\n"
    for name, width in (("araddr", 32), ("awaddr", 32), ("wdata", 32), ("wstrb", 4)):
        valid = {"ar": "arvalid", "aw": "awvalid", "wd": "wvalid", "ws": "wvalid"}[name[:2]]
        # The harness holds address and data until the access is over.
        chosen = f"{width}'d0"
        for number, cell in reversed(list(enumerate(cells))):
            value = f"s_axi_{cell}_{name}"
            if name.endswith("addr"):
                value = f"(32'd{BASE + PAGE * number} | 32'({value}))"
            chosen = f"(s_axi_{cell}_{valid} ? {value} : {chosen})"
        yield f"  wire [{width - 1}:0] gp_{name} = {chosen};\n"
    for cell in cells:
        for name in ("arready", "awready", "wready", "rvalid", "rdata", "rresp", "bvalid", "bresp"):
            yield f"  assign s_axi_{cell}_{name} = gp_{name};\n"
    yield "  always @(posedge ap_clk) if (ap_rst_n) begin\n"
    yield f"    if (gp_rvalid && (gp_rid != 12'd{ID} || !gp_rlast || gp_rresp != 0)) $fatal;\n"
    yield f"    if (gp_bvalid && (gp_bid != 12'd{ID} || gp_bresp != 0)) $fatal;\n  end\n"
    for number, dma in enumerate(["idma0", *sinks]):
        channel = "aw" if number else "ar"
        port = max(0, number - 1)
        yield f"  wire [31:0] hp_{channel}addr{port};\n  wire [3:0] hp_{channel}len{port};\n"
        yield f"  assign m_axi_{dma}_{channel}addr = {{32'd0, hp_{channel}addr{port}}};\n"
        yield f"  assign m_axi_{dma}_{channel}len = {{4'd0, hp_{channel}len{port}}};\n"


def _pins(sinks: list[str]) -> Iterator[tuple[str, str]]:
    """Pins of the PS7 and what is connected to them."""
    yield "FCLKCLK", "{3'd0, ap_clk}"
    yield "FCLKRESETN", "{3'd0, ap_rst_n}"
    yield "IRQF2P", "irqs"
    for channel in ("AR", "AW"):
        yield f"MAXIGP0{channel}ID", f"12'd{ID}"
        yield f"MAXIGP0{channel}LEN", "4'd0"
        yield f"MAXIGP0{channel}SIZE", "2'd2"
        yield f"MAXIGP0{channel}BURST", "2'd1"
    for name in ("araddr", "arvalid", "arready", "awaddr", "awvalid", "awready", "wdata", "wstrb",
                 "wvalid", "wready", "rid", "rdata", "rresp", "rlast", "rvalid", "rready", "bid",
                 "bresp", "bvalid", "bready"):  # fmt: skip
        yield f"MAXIGP0{name.upper()}", f"gp_{name}"
    for number, dma in enumerate(["idma0", *sinks]):
        channel, port = ("aw" if number else "ar"), max(0, number - 1)
        rest = (
            ("wdata", "wstrb", "wlast", "wvalid", "wready", "bresp", "bvalid", "bready")
            if number
            else ("rdata", "rresp", "rlast", "rvalid", "rready")
        )
        yield f"SAXIHP{port}{channel.upper()}ADDR", f"hp_{channel}addr{port}"
        yield f"SAXIHP{port}{channel.upper()}LEN", f"hp_{channel}len{port}"
        for name in (f"{channel}valid", f"{channel}ready", *rest):
            yield f"SAXIHP{port}{name.upper()}", f"m_axi_{dma}_{name}"
