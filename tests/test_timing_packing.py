# SPDX-License-Identifier: Apache-2.0
"""Registers that count as those of a multiplier, and what an output of a LUT depends on."""

from __future__ import annotations

from pathlib import Path

import pytest
from andpop.hw.synth import ecp5, sta, timing, xc7_edit, yosys
from andpop.hw.synth.delays_ecp5 import Ecp5
from andpop.hw.synth.delays_xc7 import Series7
from andpop.hw.synth.netlist import Cell, Netlist

PRODUCT = """
module product (
  input  logic ap_clk, en_i, input logic signed [7:0] a_i, b_i, output logic signed [15:0] q_o
);
  logic signed [7:0] a_q, b_q;
  logic signed [15:0] p_q;
  assign q_o = p_q + 16'(b_q);
  always_ff @(posedge ap_clk) begin
    a_q <= a_i;
    b_q <= b_i;
    if (en_i) p_q <= a_q * b_q;
  end
endmodule
"""


def test_registers_of_a_product_are_packed_and_shared_ones_stay(tmp_path: Path) -> None:
    source = tmp_path / "product.sv"
    source.write_text(PRODUCT, encoding="ascii")
    module = ecp5.packed(ecp5.map_design("product", [source]), "product")
    product = next(c for c in module["cells"].values() if c["type"] == "MULT18X18D")
    registers = {p for p in product["parameters"] if p.endswith("_CLK")}
    assert registers == {"REG_OUTPUT_CLK", "REG_INPUTA_CLK", "REG_INPUTB_CLK"}
    assert product["connections"]["CE0"] == module["ports"]["en_i"]["bits"]
    assert product["connections"]["CE1"] == ["1"]
    found = Netlist.of("product", module)
    # One operand is read elsewhere, too, so it keeps its flip-flops.
    assert ecp5.usage(found.cells)["ff"] == 8
    assert 1000 / sta.analyse(found, Ecp5()).mhz == pytest.approx(
        0.735 + 0.65 + 0.447 + 1.0, abs=0.8
    )


def test_a_constant_factor_has_registers_beside_those_of_the_other(tmp_path: Path) -> None:
    source = tmp_path / "product.sv"
    source.write_text(PRODUCT.replace("b_q <= b_i", "b_q <= 8'sd87"), encoding="ascii")
    module = ecp5.packed(ecp5.map_design("product", [source]), "product")
    product = next(c for c in module["cells"].values() if c["type"] == "MULT18X18D")
    registers = {p for p in product["parameters"] if p.endswith("_CLK")}
    assert registers == {"REG_OUTPUT_CLK", "REG_INPUTA_CLK", "REG_INPUTB_CLK"}


def test_registers_of_a_product_count_as_those_of_its_dsp(tmp_path: Path) -> None:
    source = tmp_path / "product.sv"
    source.write_text(PRODUCT, encoding="ascii")
    mapped = yosys.synthesise("product", [source], dsp=True)
    module = Netlist.module(mapped.json, "product")
    plain = sta.analyse(Netlist.of("product", module), Series7())
    assert xc7_edit.pack_products(module) == 1
    cells = list(module["cells"].values())
    product = next(c for c in cells if c["type"] == "DSP48E1")
    assert [product["parameters"][r] for r in ("AREG", "BREG", "PREG")] == [1, 1, 1]
    assert product["connections"]["CEP"] == module["ports"]["en_i"]["bits"]
    # One operand is read elsewhere, too, so it keeps its flip-flops.
    assert sum(c["type"] == "FDRE" for c in cells) == 8
    assert sta.analyse(Netlist.of("product", module), Series7()).mhz > 1.3 * plain.mhz
    assert (
        timing.estimate(mapped.json, "product").mhz
        == sta.analyse(Netlist.of("product", module), Series7()).mhz
    )


def test_an_output_of_a_lut_waits_for_what_it_is_computed_from() -> None:
    pins = {**{f"I{i}": [i + 2] for i in range(4)}, "I4": ["0"], "I5": ["1"], "O5": [8], "O6": [9]}
    # O6: parity of I0 to I3; O5: majority of I0 to I2.
    adder = Cell("adder", "LUT6_2", {"INIT": 0x69966996_E8E8E8E8}, pins, frozenset(("O5", "O6")))
    ways = {(arc[0], arc[2]) for arc in Series7().arcs(adder)}
    assert ways == {(f"I{i}", "O6") for i in range(4)} | {(f"I{i}", "O5") for i in range(3)}
