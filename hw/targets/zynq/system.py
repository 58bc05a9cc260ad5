# SPDX-License-Identifier: Apache-2.0
"""The cells around a network on a Zynq, their ports and how they are connected.

One input, one DMA for it (``idma0``), one DMA for every head (``odma0``, ...), ``control0``. Both
renderings of it, the Verilog of `andpop_axi` and the block design of Vivado, are made of this.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from ...rtl.top_info import TapInfo, TopInfo

HERE = Path(__file__).parent
DATA_BITS = 64
"""Width of the DMAs' ports to memory: those of a Zynq-7000."""
BURST_BEATS = 16
"""Beats of a burst: what a port of a Zynq-7000 takes without cutting it."""
FIFO_BEATS = 64
"""Beats that a DMA's FIFO holds: four bursts under way."""
WATCHDOG_TURNS = 4
"""Cycles without any movement, as times of the cycles of all nodes, that prove a standstill."""
LITE_BYTES = 4096
"""Addresses of a block of registers, in bytes."""


def template(name: str) -> Template:
    """Return a template of the folder beside this file."""
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"), undefined=StrictUndefined,
        keep_trailing_newline=True, trim_blocks=True, lstrip_blocks=True, autoescape=False,
    )  # fmt: skip
    return environment.get_template(name)


@dataclass(frozen=True)
class Signal:
    """A signal of a bus interface, seen from the cell that has it."""

    name: str
    direction: str
    """``in`` or ``out``."""
    width: int

    @property
    def range(self) -> str:
        """Its range in Verilog, with a space behind; empty for a single bit."""
        return f"[{self.width - 1}:0] " if self.width > 1 else ""


def lite_signals() -> list[Signal]:
    """Return the signals of an AXI4-Lite slave of 4 KiB."""
    return _signals(
        "in awaddr 12,in awprot 3,in awvalid 1,out awready 1,in wdata 32,in wstrb 4,in wvalid 1,"
        "out wready 1,out bresp 2,out bvalid 1,in bready 1,in araddr 12,in arprot 3,in arvalid 1,"
        "out arready 1,out rdata 32,out rresp 2,out rvalid 1,in rready 1"
    )


def master_signals(data_bits: int) -> list[Signal]:
    """Return the signals of an AXI4 master with ids of one bit and 64-bit addresses."""
    address = "out {0}id 1,out {0}addr 64,out {0}len 8,out {0}size 3,out {0}burst 2,out {0}lock 1,"
    address += "out {0}cache 4,out {0}prot 3,out {0}qos 4,out {0}valid 1,in {0}ready 1,"
    return _signals(
        address.format("aw")
        + f"out wdata {data_bits},out wstrb {data_bits // 8},out wlast 1,out wvalid 1,in wready 1,"
        + "in bid 1,in bresp 2,in bvalid 1,out bready 1,"
        + address.format("ar")
        + f"in rid 1,in rdata {data_bits},in rresp 2,in rlast 1,in rvalid 1,out rready 1"
    )


def _signals(text: str) -> list[Signal]:
    parts = (line.split() for line in text.split(","))
    return [Signal(name, direction, int(width)) for direction, name, width in parts]


@dataclass(frozen=True)
class Dma:
    """A DMA and the stream of the network that it serves."""

    name: str
    """``idma0``, ``odma0``, ...: what FINN's driver calls it."""
    reads: bool
    """From memory, for the network's input."""
    tap: TapInfo
    """The stream."""

    @property
    def word_bytes(self) -> int:
        """Bytes of a word: its bits, rounded up."""
        return -(-self.tap.width // 8)

    @property
    def frame_words(self) -> int:
        """Words of a frame."""
        return self.tap.words

    @property
    def frame_bytes(self) -> int:
        """Bytes of a frame in memory."""
        return self.word_bytes * self.frame_words

    @property
    def axis(self) -> str:
        """Its stream interface."""
        return "m_axis_0" if self.reads else "s_axis_0"

    @property
    def stream_in(self) -> list[Signal]:
        """The stream's signals on the side that receives it."""
        return _signals(f"in tvalid 1,out tready 1,in tdata {8 * self.word_bytes},in tlast 1")

    @property
    def stream_out(self) -> list[Signal]:
        """The stream's signals on the side that sends it."""
        return _signals(f"out tvalid 1,in tready 1,out tdata {8 * self.word_bytes},out tlast 1")

    @property
    def stream(self) -> list[Signal]:
        """The stream's signals on the DMA."""
        return self.stream_out if self.reads else self.stream_in


@dataclass(frozen=True)
class System:
    """A network with its DMAs and its control block."""

    top: TopInfo
    data_bits: int = DATA_BITS

    @property
    def dmas(self) -> list[Dma]:
        """The input's DMA, then those of the heads in their order."""
        heads = [Dma(f"odma{i}", False, tap) for i, tap in enumerate(self.top.outputs)]
        return [Dma("idma0", True, self.top.input), *heads]

    @property
    def watchdog(self) -> int:
        """Cycles without movement after which the watchdog bites."""
        return WATCHDOG_TURNS * sum(n.cycles for n in self.top.nodes) + 100_000

    @property
    def registers(self) -> list[str]:
        """Cells with registers in the order of their addresses, `LITE_BYTES` apart."""
        return ["control0", *(d.name for d in self.dmas)]

    @property
    def modules(self) -> list[tuple[str, str]]:
        """(module, cell) of everything that lies around the processor."""
        dmas = [(f"andpop_{d.name}", d.name) for d in self.dmas]
        return [("andpop_control", "control0"), ("andpop_network", "network0"), *dmas]

    @property
    def nets(self) -> list[tuple[str, list[str]]]:
        """(driver, receivers) of the wires between the cells, each as cell/pin."""
        names = [d.name for d in self.dmas]
        return [
            ("control0/dma_flush", [f"{n}/dma_flush" for n in names]),
            ("control0/dma_clear", [f"{n}/dma_clear" for n in names]),
            ("control0/network_rst_n", ["network0/ap_rst_n"]),
            *((f"{n}/status", [f"control0/status_{i}"]) for i, n in enumerate(names)),
        ]

    @property
    def streams(self) -> list[tuple[str, str]]:
        """(sender, receiver) of the streams between the cells, each as cell/interface."""
        heads = [d.name for d in self.dmas if not d.reads]
        return [
            ("idma0/m_axis_0", "network0/s_axis_0"),
            *((f"network0/m_axis_{i}", f"{n}/s_axis_0") for i, n in enumerate(heads)),
        ]

    def verilog(self, build_hash: str) -> Iterator[tuple[str, str]]:
        """Write the cells and what connects them.

        Args:
            build_hash: 32 hexadecimal digits, the first byte first.

        Yields:
            (module, its Verilog); `andpop_axi` is the last one.
        """
        heads = len(self.dmas) - 1
        values = {
            "top": self.top.top,
            "dmas": self.dmas,
            "lite": lite_signals(),
            "master": master_signals(self.data_bits),
            "data_bits": self.data_bits,
            "size": (self.data_bits // 8).bit_length() - 1,
            "burst_beats": BURST_BEATS,
            "fifo_beats": FIFO_BEATS,
            "watchdog": self.watchdog,
            "hash": bytes.fromhex(build_hash)[::-1].hex(),
            "buses": ":".join(["s_axis_0", *(f"m_axis_{i}" for i in range(heads))]),
        }
        for dma in self.dmas:
            text = template("dma.v.j2").render(values, dma=dma)
            yield f"andpop_{dma.name}", text
        for name in ("control", "network"):
            yield f"andpop_{name}", template(f"{name}.v.j2").render(values)
        yield "andpop_axi", template("system.v.j2").render(values)
