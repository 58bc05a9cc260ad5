# SPDX-License-Identifier: Apache-2.0
"""LUTs per multiply-accumulate of single datapaths: dot products and a processing element."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...sim.cache import scratch
from . import yosys
from .sources import Sources
from .yosys import SynthResult

HW = Path(__file__).parent.parent
KERNELS = (
    "xnor-dot", "and-dot", "xnor-pe", "binary-serial", "binary-addsub",
    "pa-literal", "pa-coded", "pa-planes",
)  # fmt: skip
PE_LANES = 4
"""Lanes of the datapaths in ``FOUR_LANES``."""
FOUR_LANES = ("xnor-pe", "binary-serial", "binary-addsub")
"""Datapaths whose lanes share something."""
ACC_BITS = 16
"""Accumulator bits of ``xnor-pe``."""
WORDS = 9
"""Words of SIMD bits that ``xnor-pe`` accumulates: a 3x3 window."""

XNOR_PE = """
module xnor_pe #(
  parameter int unsigned Simd       = 8,
  parameter int unsigned Pe         = 4,
  parameter int unsigned Words      = 9,
  parameter int unsigned AccWidth   = 16,
  parameter int unsigned Primitives = 0
) (
  input  logic                   clk_i,
  input  logic                   rst_ni,
  input  logic                   in_valid_i,
  output logic                   in_ready_o,
  input  logic [Simd-1:0]        in_data_i,
  input  logic                   weight_valid_i,
  output logic                   weight_ready_o,
  input  logic [Pe*Simd-1:0]     weight_data_i,
  input  logic                   threshold_valid_i,
  output logic                   threshold_ready_o,
  input  logic [Pe*AccWidth-1:0] threshold_data_i,
  output logic                   out_valid_o,
  input  logic                   out_ready_i,
  output logic [Pe-1:0]          out_data_o
);
  logic                   acc_valid;
  logic [Pe*AccWidth-1:0] acc;
  xnor_mvu #(
    .Mw(Words * Simd), .Mh(Pe), .Simd(Simd), .Pe(Pe), .AccWidth(AccWidth), .Primitives(Primitives)
  ) u_mvu (
    .clk_i, .rst_ni, .in_valid_i, .in_ready_o, .in_data_i,
    .weight_valid_i, .weight_ready_o, .weight_data_i,
    .out_valid_o(acc_valid), .out_ready_i(threshold_valid_i && out_ready_i), .out_data_o(acc)
  );
  for (genvar p = 0; p < Pe; p++) begin : gen_compare
    assign out_data_o[p] = $signed(acc[p*AccWidth+:AccWidth]) >=
                           $signed(threshold_data_i[p*AccWidth+:AccWidth]);
  end
  assign out_valid_o       = acc_valid && threshold_valid_i;
  assign threshold_ready_o = acc_valid && out_ready_i;
endmodule
"""
"""A processing element with accumulator and threshold; weights and thresholds are streams."""


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
        if not self.kernel.startswith("pa-"):
            return
        if not 2 <= self.m <= 14 or self.m % 2 or self.m >= 1 << self.bits:
            raise DatapathError(
                f"--m: found {self.m}, expected an even number, 2 to 14, below 2**bits"
            )
        if not 1 <= self.n <= 15 or self.n >= 1 << self.bits:
            raise DatapathError(f"--n: found {self.n}, expected 1 to 15, below 2**bits")

    @property
    def macs(self) -> int:
        """Multiply-accumulates per cycle."""
        return self.width * (PE_LANES if self.kernel in FOUR_LANES else 1)

    def levels(self) -> tuple[list[int], list[int]]:
        """The codebooks alpha (M+1,) and beta (N+1,): the codes themselves for ``planes``, else
        uneven steps up to the ends of the range."""
        half = self.m // 2
        if self.kernel == "pa-planes":
            return list(range(-half, half + 1)), list(range(self.n + 1))
        positive = _uneven(half, (1 << (self.bits - 1)) - 1)
        alpha = [-v for v in reversed(positive)] + [0] + positive
        return alpha, [0, *_uneven(self.n, (1 << self.bits) - 1)]

    def top(self) -> tuple[str, dict[str, int | str]]:
        """Top module and its parameters."""
        explicit = {"Primitives": 1} if self.primitives else {}
        if self.kernel in ("xnor-dot", "and-dot"):
            gate = 2 if self.kernel == "xnor-dot" else 1
            return "gated_popcount", {
                "Lanes": 1, "Width": self.width, "Gate": gate, **explicit,
            }  # fmt: skip
        if self.kernel == "xnor-pe":
            return "xnor_pe", {
                "Simd": self.width, "Pe": PE_LANES, "Words": WORDS, "AccWidth": ACC_BITS,
                **explicit,
            }  # fmt: skip
        if self.kernel.startswith("binary-"):
            return self.kernel.replace("binary-", "binary_dot_"), {
                "Pe": PE_LANES,
                "Simd": self.width,
                "InWidth": self.bits,
                # No sum wraps.
                "OutWidth": (self.width * ((1 << self.bits) - 1)).bit_length() + 1,
                **explicit,
            }
        alpha, beta = self.levels()
        parameters: dict[str, int | str] = {
            "Pe": 1,
            "Simd": self.width,
            "InWidth": self.n.bit_length(),
            "WeightWidth": (self.m // 2).bit_length() + 1,
            # No sum wraps.
            "OutWidth": (self.width * alpha[-1] * beta[-1]).bit_length() + 1,
            **explicit,
        }
        if self.kernel != "pa-planes":
            parameters |= {
                "M": self.m,
                "N": self.n,
                "Zero": self.m // 2,
                "Alpha": _packed(alpha),
                "Beta": _packed(beta),
                "ProductWidth": (alpha[-1] * beta[-1]).bit_length() + 1,
            }
        return f"pa_dot_{self.kernel.removeprefix('pa-')}", parameters


def _uneven(count: int, top: int) -> list[int]:
    """``count`` rising integers from 1 on, the last one ``top``, closer together near 0."""
    values: list[int] = []
    for i in range(1, count + 1):
        wanted = round(top * (i / count) ** 1.25)
        values.append(min(max(wanted, values[-1] + 1 if values else 1), top - (count - i)))
    return values


def _packed(levels: list[int]) -> str:
    """A codebook as the cores take it: 16 bits per level, level 0 lowest."""
    value = sum((v & 0xFFFF) << (16 * i) for i, v in enumerate(levels))
    return f"{16 * len(levels)}'h{value:x}"


def synthesise_datapath(datapath: Datapath) -> SynthResult:
    """Synthesise a datapath by itself; its multiplications by constants become LUTs.

    Raises:
        ToolMissing: no Yosys.
        SynthesisError: Yosys refused it.
    """
    top, parameters = datapath.top()
    files = {f.name: f for f in sorted(HW.rglob("*.sv"))}
    texts = {name: f.read_text(encoding="ascii") for name, f in files.items()}
    needed = Sources({**texts, "xnor_pe.sv": XNOR_PE}).needed(top)
    with scratch("datapath") as folder:
        generated = folder / "xnor_pe.sv"
        generated.write_text(XNOR_PE, encoding="ascii")
        sources = [files.get(name, generated) for name in needed]
        return yosys.synthesise(top, sources, parameters=parameters)
