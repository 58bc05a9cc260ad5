# SPDX-License-Identifier: Apache-2.0
"""The cores below the memories: weights, biases and parameters come from streams of their own, with
pauses that have nothing to do with the data's."""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from andpop.hw.kernels.base import Stream
from andpop.hw.kernels.mvu import Mvu
from andpop.hw.kernels.skin import Parameters
from andpop.sim import bench
from andpop.sim.bench import Frame, Plan, StreamPort
from andpop.sim.cases import Case
from kernel_cases import FPGA_PART, Built, build_op
from test_kernels import make_plan

pytestmark = pytest.mark.sim

ROM_ONLY = {
    "Channels", "HasBias", "WeightFile", "BiasFile", "InitFile", "ParamFile",
    "BlockRom", "BlockBias", "BlockInit", "RomBank", "RomParts",
}  # fmt: skip
"""Parameters of the modules that put memories before the cores."""
KERNELS = ("binary_mvu", "epilogue", "int_mvu", "pa_mvu", "xnor_mvu")
PIPELINED = "pipelined"
"""The implementation of an epilogue whose core takes its parameters from a stream."""


def core_cases() -> list[Any]:
    """(kernel, case): the smoke cases of every kernel whose core takes constants from streams."""
    return [
        pytest.param(kernel, case, id=f"{kernel}-{case.name}")
        for kernel in KERNELS
        for case in import_module(f"andpop.hw.kernels.{kernel}.cases").SMOKE
        if kernel != "epilogue" or case.attrs["implementation"] == PIPELINED
    ]


def constant_streams(kernel: str, op: Any) -> dict[str, tuple[str, Stream]]:
    """By port prefix of the core: the memory that feeds the port otherwise, and the stream."""
    lanes, vectors = int(op.get_nodeattr("PE")), math.prod(op.get_nodeattr("numInputVectors"))
    name = op.onnx_node.name

    def stream(datatype: str, words: int, width: int) -> Stream:
        return Stream(datatype, (vectors * words, width), width)

    if kernel == "epilogue":
        words = int(op.get_nodeattr("NumChannels")) // lanes
        params = stream(f"UINT{op.param_bits()}", words, lanes)
        return {"param": (f"{name}_params.mem", params)}
    weight = op.get_nodeattr("weightDataType") if kernel in ("int_mvu", "pa_mvu") else "BINARY"
    weights = stream(weight, op.weight_depth(), lanes * int(op.get_nodeattr("SIMD")))
    streams = {"weight": (f"{name}_weights.mem", weights)}
    start = stream(op.get_nodeattr("outputDataType"), int(op.get_nodeattr("MH")) // lanes, lanes)
    if kernel == "int_mvu":
        streams["bias"] = (f"{name}_bias.mem", start)
    if kernel == "binary_mvu":
        streams["init"] = (f"{name}_init.mem", start)
    return streams


def core_of(built: Built, constants: Mapping[str, tuple[str, Stream]]) -> Any:
    """The op with its core alone as its RTL, the constants' streams behind the node's."""
    kind: Any = type(built.op)
    data = len(built.op.input_streams())
    ports = [p for p in kind.in_ports if p != "shortcut" or data > 1]
    unused = [p for p in kind.in_ports if p not in ports]
    one_body = built.case.attrs.get("implementation") == PIPELINED
    dropped = {*ROM_ONLY, "Implementation"} if one_body else ROM_ONLY

    class Core(kind):
        module = kind.module.removesuffix("_rom")
        primitives = kind.primitives and not one_body
        in_ports = (*ports, *constants, *unused)

        def input_streams(self) -> list[Stream]:
            return [*super().input_streams(), *(stream for _, stream in constants.values())]

        def rtl_parameters(self) -> Parameters:
            return {k: v for k, v in super().rtl_parameters().items() if k not in dropped}

        def get_verilog_top_module_intf_names(self) -> dict[str, list[Any]]:
            names = super().get_verilog_top_module_intf_names()
            widths = [stream.width for stream in self.input_streams()]
            return {**names, "s_axis": [(f"in{i}_V", -(-w // 8) * 8) for i, w in enumerate(widths)]}

    return Core(built.op.onnx_node)


def words_of(file: Path, stream: Stream) -> list[int]:
    """A frame's words of a constant: its memory's image for every vector, zeros without a file."""
    image = [int(line, 16) for line in file.read_text().split()] if file.is_file() else [0]
    times, rest = divmod(stream.words, len(image))
    assert rest == 0, f"{file.name} holds {len(image)} words, a frame takes {stream.words}"
    return image * times


@pytest.mark.parametrize(("kernel", "case"), core_cases())
def test_core_equals_golden(kernel: str, case: Case, tmp_path: Path, record_property: Any) -> None:
    built, folder = build_op(case), tmp_path / "rtl"
    plan = make_plan(kernel, case, built)
    constants = constant_streams(kernel, built.op)
    core = core_of(built, constants)
    core.set_nodeattr("code_gen_dir_ipgen", str(folder))
    core.generate_hdl(built.model, FPGA_PART, 10.0)
    if isinstance(core, Mvu):  # a memory may hold them in banks or in parts
        weights = core.weight_memory(built.model, core.weight_type())
        (folder / f"{core.onnx_node.name}_weights.mem").write_text(weights)
    words = [words_of(folder / file, stream) for file, stream in constants.values()]
    plan = Plan(
        plan.case,
        plan.cycles,
        [
            StreamPort(f"in{i}_V", stream.width, stream.lanes)
            for i, stream in enumerate(core.input_streams())
        ],
        plan.outputs,
        [Frame([*frame.inputs, *words], frame.outputs) for frame in plan.frames],
        plan.phases,
    )
    sources = [Path(file) for file in core.get_rtl_file_list(abspath=True)]
    top = core.get_nodeattr("gen_top_module")
    result = bench.run_plan(plan, sources, top, tmp_path / "run", data=folder)
    record_property("values", result.values)
