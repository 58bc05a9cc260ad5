# SPDX-License-Identifier: Apache-2.0
"""Routed netlists of an ECP5 give the golden model's bits."""

from __future__ import annotations

import json
import re
from importlib import import_module
from pathlib import Path

import pytest
from andpop.hw.synth import ecp5
from andpop.hw.targets.ecp5 import post_route
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
}
"""Block RAMs and a multiplier; LUT RAM; carry chains; multipliers; wide block RAM; both ports."""


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
    routed = ecp5.place(ecp5.packed(netlist, top), top, tmp_path / "routed")
    written = post_route.to_verilog(routed, tmp_path / "sim", top)
    result = bench.run_plan(
        make_plan(kernel, case, built), written, top, tmp_path / "run", data=tmp_path / "sim",
        ports_only=True,
    )  # fmt: skip
    compared.count(result.values, result.differing)
