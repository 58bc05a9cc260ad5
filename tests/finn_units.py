# SPDX-License-Identifier: Apache-2.0
"""FINN's own MVAU_rtl and VVAU_rtl with their weight memory, of the shape of a case of a kernel."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from andpop.hw.kernels import register
from andpop.quant.grid import IntArray
from andpop.sim import bench
from andpop.sim.bench import Frame, Plan, StreamPort
from andpop.sim.cases import Case
from andpop.sim.finn_sources import adapt
from kernel_cases import FPGA_PART, build_op, pack
from onnx import TensorProto, helper
from test_kernels import RANDOM_FRAMES, frames_of, golden

VERSAL = "xcvc1902-vsva2197-2MP-e-S"
"""A part with DSP58 blocks, the only ones that FINN's VVAU_rtl has a body for."""
WORDS = "memblock.dat"
TOP = """\
module {top} (
  input  wire ap_clk,
  input  wire ap_rst_n,
  input  wire [{x_bytes}*8-1:0] in0_V_TDATA,
  input  wire in0_V_TVALID,
  output wire in0_V_TREADY,
  output wire [{y_bytes}*8-1:0] out0_V_TDATA,
  output wire out0_V_TVALID,
  input  wire out0_V_TREADY
);
  wire [{w_bytes}*8-1:0] weights;
  wire valid, ready;
  {node}_memstream_wrapper #(.INIT_FILE("{words}")) u_weights (
    .ap_clk(ap_clk), .ap_clk2x(ap_clk), .ap_rst_n(ap_rst_n),
    .s_axilite_AWVALID(1'b0), .s_axilite_AWPROT(3'b0), .s_axilite_AWADDR('0),
    .s_axilite_WVALID(1'b0), .s_axilite_WDATA('0), .s_axilite_WSTRB('0), .s_axilite_BREADY(1'b1),
    .s_axilite_ARVALID(1'b0), .s_axilite_ARPROT(3'b0), .s_axilite_ARADDR('0),
    .s_axilite_RREADY(1'b1), .s_axis_0_tvalid(1'b0), .s_axis_0_tdata(1'b0),
    .m_axis_0_tready(ready), .m_axis_0_tvalid(valid), .m_axis_0_tdata(weights)
  );
  {node} u_unit (
    .ap_clk(ap_clk), .ap_clk2x(ap_clk), .ap_rst_n(ap_rst_n),
    .in1_V_TDATA(weights), .in1_V_TVALID(valid), .in1_V_TREADY(ready),
    .in0_V_TDATA(in0_V_TDATA), .in0_V_TVALID(in0_V_TVALID), .in0_V_TREADY(in0_V_TREADY),
    .out0_V_TDATA(out0_V_TDATA), .out0_V_TVALID(out0_V_TVALID), .out0_V_TREADY(out0_V_TREADY)
  );
endmodule
"""
"""What FINN's block design joins inside of a node: its unit and the memory of its weights."""


@dataclass(frozen=True)
class Unit:
    """A node of FINN's of the shape of a case of ``int_mvu`` or ``grouped_mvu``."""

    case: Case
    pe: int
    simd: int
    op: Any
    model: Any

    @property
    def depthwise(self) -> bool:
        """Whether it is a VVAU: an output per channel."""
        return bool(self.op.onnx_node.op_type == "VVAU_rtl")

    @property
    def cycles(self) -> int:
        """Cycles per frame that FINN states."""
        return int(self.op.get_exp_cycles())

    def ports(self) -> tuple[list[StreamPort], list[StreamPort]]:
        """Its input and its output, without the weights."""
        lanes = self.simd * self.pe if self.depthwise else self.simd
        x = StreamPort("in0_V", lanes * self.op.get_input_datatype(0).bitwidth(), lanes)
        y = StreamPort("out0_V", self.pe * self.op.get_output_datatype().bitwidth(), self.pe)
        return [x], [y]

    def frame(self, x: IntArray, y: IntArray) -> Frame:
        """Words of one frame, in FINN's order of the stream.

        A VVAU takes all positions of ``PE`` channels before those of the next ones, and a word
        holds the channels of a position side by side.
        """
        (source,), (sink,) = self.ports()
        if self.depthwise:
            channels = self.case.attrs["MH"]
            split = (-1, x.shape[-1] // channels // self.simd, self.simd, channels // self.pe)
            x = x.reshape(*split, self.pe).transpose(0, 3, 1, 2, 4)
        return Frame(
            [pack(x, (source.lanes,), self.op.get_input_datatype(0))],
            [pack(y, (sink.lanes,), self.op.get_output_datatype())],
        )

    def plan(self) -> Plan:
        """The frames and phases of the case, as words of this unit; outputs come from golden."""
        kernel = "grouped_mvu" if self.depthwise else "int_mvu"
        frames = [
            self.frame(*values, *golden(kernel, self.case, values))
            for values in frames_of(self.case)
        ]
        words = len(frames[0].inputs[0])
        worst = len(frames) - RANDOM_FRAMES
        phases = bench.phases_of(RANDOM_FRAMES, worst, words, self.cycles)
        return Plan(self.case.name, self.cycles, *self.ports(), frames, phases)

    def generate(self, folder: Path) -> list[Path]:
        """Write its RTL and weights into ``folder``; return the sources, the top's last."""
        part, name = VERSAL if self.depthwise else FPGA_PART, self.op.onnx_node.name
        generated = folder / "node"
        generated.mkdir(parents=True)
        self.op.set_nodeattr("code_gen_dir_ipgen", str(generated))
        self.op.generate_hdl(self.model, part, 10.0)
        shutil.copyfile(generated / WORDS, folder / WORDS)
        library = _library()
        files = [Path(f) for f in self.op.get_rtl_file_list(abspath=True)]
        files += [library / "memstream/hdl" / f for f in ("memstream.sv", "memstream_axi.sv")]
        files += [library / "axi/hdl/axilite.sv", generated / f"{name}_memstream_wrapper.v"]
        (source,), (sink,) = self.ports()
        weights = self.pe * self.simd * self.op.get_input_datatype(1).bitwidth()
        top = folder / f"{self.top}.v"
        top.write_text(
            TOP.format(
                top=self.top,
                node=name,
                words=WORDS,
                x_bytes=-(-source.width // 8),
                y_bytes=-(-sink.width // 8),
                w_bytes=-(-weights // 8),
            ),
            encoding="ascii",
        )
        return [*(adapt(file, folder / "adapted") for file in files), top]

    @property
    def top(self) -> str:
        """Name of the top module."""
        return f"{self.op.onnx_node.name}_with_weights"


def _library() -> Path:
    import finn

    return Path(finn.__path__[0]) / "finn-rtllib"


def finn_unit(case: Case, weights: IntArray | None = None) -> Unit:
    """FINN's node of the shape, the folding and the weights of a case.

    Its weights lie where those of andpop's node do: in block RAM or in LUTs.

    Args:
        case: of ``int_mvu``, or of ``grouped_mvu`` with one input and output per group.
        weights: instead of those of the case.
    """
    register()
    from qonnx.core.datatype import DataType
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.custom_op.registry import getCustomOp

    a = case.attrs
    depthwise = case.op_type == "GroupedMvu"
    codes = case.make_initializers()[0] if weights is None else weights
    vectors: Sequence[int] = a["numInputVectors"]
    attrs: dict[str, Any] = {
        "inputDataType": a["inputDataType"],
        "weightDataType": a["weightDataType"],
        "outputDataType": a["outputDataType"],
        "accDataType": a["outputDataType"],
        "noActivation": 1,
        "mem_mode": "internal_decoupled",
        "resType": "dsp",
        "ram_style": "block" if build_op(case).op.weight_rom().block else "distributed",
    }
    if depthwise:
        channels, side = a["Groups"], int(a["Taps"] ** 0.5)
        pe = min(a["SIMD"], channels)
        simd = a["SIMD"] // pe
        attrs |= {"Channels": channels, "Kernel": [side, side], "Dim": list(vectors[1:])}
        codes = codes.T.reshape(channels, 1, side, side)
    else:
        pe, simd = a["PE"], a["SIMD"]
        attrs |= {"MW": a["MW"], "MH": a["MH"], "numInputVectors": list(vectors)}
    attrs |= {"PE": pe, "SIMD": simd}
    name = "VVAU_rtl" if depthwise else "MVAU_rtl"
    node = helper.make_node(
        name, ["x", "w"], ["y"], name=f"{name}_0",
        domain="finn.custom_op.fpgadataflow.rtl", backend="fpgadataflow", **attrs,
    )  # fmt: skip
    ends = [
        [helper.make_tensor_value_info(tensor, TensorProto.FLOAT, [*vectors, size])]
        for tensor, size in (("x", a["MW"]), ("y", a["MH"]))
    ]
    graph = helper.make_graph([node], "own", *ends)
    model = ModelWrapper(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]))
    op = getCustomOp(model.graph.node[0])
    model.set_initializer("w", codes.astype(np.float32))
    for tensor, datatype in (("x", "input"), ("w", "weight"), ("y", "output")):
        model.set_tensor_datatype(tensor, DataType[attrs[f"{datatype}DataType"]])
    return Unit(case, pe, simd, op, model)
