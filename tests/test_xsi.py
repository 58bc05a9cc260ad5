# SPDX-License-Identifier: Apache-2.0
"""FINN's own rtlsim execution on Verilator equals its Python execution, bit for bit."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from andpop.sim import xsi
from andpop.sim.cases import Case
from comparisons import Comparisons
from kernel_cases import FPGA_PART, build_op

pytestmark = pytest.mark.sim


def ours(kernel: str) -> Case:
    """The first smoke case of one of andpop's kernels."""
    case: Case = import_module(f"andpop.hw.kernels.{kernel}.cases").SMOKE[0]
    return case


CASES = [
    ours("fm_padding"),
    ours("sliding_window"),
    ours("thresholding"),
    ours("xnor_mvu"),
    ours("epilogue"),
    ours("duplicate_streams"),
    ours("signed_thresholding"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_rtlsim_equals_python(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compared: Comparisons
) -> None:
    from finn.transformation.fpgadataflow.prepare_ip import PrepareIP
    from finn.transformation.fpgadataflow.prepare_rtlsim import PrepareRTLSim
    from finn.transformation.fpgadataflow.set_exec_mode import SetExecMode
    from qonnx.custom_op.registry import getCustomOp

    monkeypatch.setenv("FINN_BUILD_DIR", str(tmp_path))
    xsi.install()
    built = build_op(case)
    rng = np.random.default_rng(5)
    frames = [case.random_frame(rng) for _ in range(2)] + case.worst_frames()
    built.model = built.model.transform(SetExecMode("cppsim"))
    expected = [built.execute(frame) for frame in frames]
    built.model = built.model.transform(PrepareIP(FPGA_PART, 10.0))
    built.model = built.model.transform(PrepareRTLSim(num_workers=1))
    built.model = built.model.transform(SetExecMode("rtlsim"))
    for frame, outputs in zip(frames, expected, strict=True):
        got = built.execute(frame)
        for e, g in zip(outputs, got, strict=True):
            compared.arrays(e, g)
    assert getCustomOp(built.model.graph.node[0]).get_nodeattr("cycles_rtlsim") > 0


def test_waveform_is_written_where_finn_asks(tmp_path: Path) -> None:
    source = tmp_path / "follower.sv"
    source.write_text(
        "module follower (input logic ap_clk, ap_rst_n, d, output logic q);\n"
        "  always_ff @(posedge ap_clk) q <= d && ap_rst_n;\nendmodule\n"
    )
    xsi.install()
    import finn.xsi

    parts = finn.xsi.compile_sim_obj("follower", [str(source)], tmp_path, debug=True)
    sim = finn.xsi.load_sim_obj(*parts, tracefile="wave.vcd")
    finn.xsi.reset_rtlsim(sim)
    finn.xsi.close_rtlsim(sim)
    assert "ap_rst_n" in (tmp_path / "wave.vcd").read_text()
