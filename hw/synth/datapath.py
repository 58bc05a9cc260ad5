# SPDX-License-Identifier: Apache-2.0
"""LUTs per multiply-accumulate of single datapaths: dot products and a processing element."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...sim.cache import scratch
from ..kernels.datapaths import Datapaths, Top, all_datapaths
from . import yosys
from .sources import Sources
from .yosys import SynthResult

HW = Path(__file__).parent.parent
KERNELS = tuple(all_datapaths())
"""Names of the datapaths."""


class DatapathError(ValueError):
    """A datapath that does not exist was asked for."""


@dataclass(frozen=True)
class Datapath:
    """One datapath to measure.

    ``m`` and ``n`` count the levels besides 0 of weights and inputs, ``bits`` are those of a level
    (alpha two's complement, beta unsigned); the XNOR and AND datapaths have no levels. The inputs
    of the binary datapaths are codes of ``bits`` bits, their weights +-1.
    """

    kernel: str
    width: int
    primitives: bool = False
    m: int = 4
    n: int = 5
    bits: int = 8

    def __post_init__(self) -> None:
        if self.kernel not in KERNELS:
            raise DatapathError(
                f"--kernel: found '{self.kernel}', expected one of {', '.join(KERNELS)}"
            )
        if not 1 <= self.width <= 4096:
            raise DatapathError(f"--width: found {self.width}, expected 1 to 4096")
        if not 2 <= self.bits <= 8:
            raise DatapathError(f"--bits: found {self.bits}, expected 2 to 8")
        if not self.kind.has_levels:
            return
        if not 2 <= self.m <= 14 or self.m % 2 or self.m >= 1 << self.bits:
            raise DatapathError(
                f"--m: found {self.m}, expected an even number, 2 to 14, below 2**bits"
            )
        if not 1 <= self.n <= 15 or self.n >= 1 << self.bits:
            raise DatapathError(f"--n: found {self.n}, expected 1 to 15, below 2**bits")

    @property
    def kind(self) -> Datapaths:
        """What is known of all its kind."""
        return all_datapaths()[self.kernel]

    @property
    def macs(self) -> int:
        """Multiply-accumulates per cycle."""
        return self.width * self.kind.lanes

    def top(self) -> Top:
        """Top module and its parameters."""
        module, parameters = self.kind.top(self)
        return module, parameters | ({"Primitives": 1} if self.primitives else {})


def synthesise_datapath(datapath: Datapath) -> SynthResult:
    """Synthesise a datapath by itself; its multiplications by constants become LUTs.

    Raises:
        ToolMissing: no Yosys.
        SynthesisError: Yosys refused it.
    """
    top, parameters = datapath.top()
    files = {f.name: f for f in sorted(HW.rglob("*.sv"))}
    texts = {name: f.read_text(encoding="ascii") for name, f in files.items()}
    with scratch("datapath") as folder:
        if datapath.kind.generated:
            generated = folder / f"{top}.sv"
            texts[generated.name] = datapath.kind.generated
            generated.write_text(datapath.kind.generated, encoding="ascii")
            files[generated.name] = generated
        sources = [files[name] for name in Sources(texts).needed(top)]
        return yosys.synthesise(top, sources, parameters=parameters)
