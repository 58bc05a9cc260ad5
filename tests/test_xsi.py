# SPDX-License-Identifier: Apache-2.0
"""FINN's own rtlsim execution on Verilator equals its Python execution, bit for bit."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from andpop.sim import xsi
from andpop.sim.cases import Case, Operand
from kernel_cases import FPGA_PART, build_op

pytestmark = pytest.mark.sim


def thresholding(name: str, channels: int, steps: int, pe: int, types: list[str]) -> Case:
    """FINN's Thresholding with sorted random thresholds."""

    def sorted_thresholds(rng: np.random.Generator) -> list[Any]:
        return [np.sort(rng.integers(-120, 120, (channels, steps)), axis=1)]

    return Case(
        name,
        "Thresholding",
        {
            "NumChannels": channels,
            "PE": pe,
            "numSteps": steps,
            "inputDataType": types[0],
            "weightDataType": types[0],
            "outputDataType": types[1],
            "ActVal": 0,
            "numInputVectors": [1, 4, 4],
        },
        (
            Operand("x", types[0], (1, 4, 4, channels), -128, 127),
            Operand("thresholds", types[0], (channels, steps), -128, 127, streamed=False),
        ),
        (types[1],),
        initializers=sorted_thresholds,
    )


def padding(datatype: str, high: int) -> Case:
    """FINN's FMPadding with four different borders."""
    return Case(
        f"padding_{datatype.lower()}",
        "FMPadding",
        {
            "ImgDim": [5, 4],
            "Padding": [1, 2, 3, 0],
            "NumChannels": 6,
            "SIMD": 2,
            "inputDataType": datatype,
            "numInputVectors": 1,
        },
        (Operand("x", datatype, (1, 5, 4, 6), 0, high),),
        (datatype,),
    )


def window(name: str, kernel: int, stride: int, simd: int, parallel: int, datatype: str) -> Case:
    """FINN's ConvolutionInputGenerator on a 12x11 map of 4 channels."""
    low, high = (0, 1) if datatype == "BINARY" else (0, 255)
    out = [(n - kernel) // stride + 1 for n in (12, 11)]
    return Case(
        name,
        "ConvolutionInputGenerator",
        {
            "ConvKernelDim": [kernel, kernel],
            "Stride": [stride, stride],
            "Dilation": [1, 1],
            "IFMChannels": 4,
            "IFMDim": [12, 11],
            "OFMDim": out,
            "SIMD": simd,
            "M": 1,
            "parallel_window": parallel,
            "depthwise": 0,
            "is1D": 0,
            "inputDataType": datatype,
            "outputDataType": datatype,
        },
        (Operand("x", datatype, (1, 12, 11, 4), low, high),),
        (datatype,),
    )


def ours(kernel: str) -> Case:
    """The first smoke case of one of andpop's kernels."""
    case: Case = import_module(f"andpop.hw.kernels.{kernel}.cases").SMOKE[0]
    return case


CASES = [
    thresholding("one_threshold", 6, 1, 3, ["INT8", "BINARY"]),
    thresholding("seven_thresholds", 4, 7, 1, ["INT8", "UINT3"]),
    padding("BINARY", 1),
    padding("UINT8", 255),
    window("window_3x3", 3, 1, 2, 0, "BINARY"),
    window("window_3x3_stride2", 3, 2, 4, 0, "UINT8"),
    window("window_5x5_parallel", 5, 1, 4, 1, "BINARY"),
    window("window_9x9_stride2_parallel", 9, 2, 4, 1, "UINT8"),
    ours("xnor_mvu"),
    ours("epilogue"),
    ours("duplicate_streams"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_rtlsim_equals_python(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Any
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
    values = 0
    for frame, outputs in zip(frames, expected, strict=True):
        got = built.execute(frame)
        for e, g in zip(outputs, got, strict=True):
            np.testing.assert_array_equal(e, g)
            values += e.size
    assert values > 0
    assert getCustomOp(built.model.graph.node[0]).get_nodeattr("cycles_rtlsim") > 0
    record_property("values", values)


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
