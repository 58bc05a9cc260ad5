# SPDX-License-Identifier: Apache-2.0
"""Cases of all kernels as pytest parameters and as FINN ops; shared by bench, lint and rtlsim."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from andpop.hw.kernels import KERNELS, backends, register
from andpop.quant.grid import IntArray
from andpop.sim.bench import StreamPort
from andpop.sim.cases import Case
from onnx import helper

FPGA_PART = "xc7z020clg400-1"


def kernel_cases() -> list[Any]:
    """(kernel, case) parameters: SMOKE of every kernel, FULL under the marker ``full``.

    A kernel that is listed but has no cases becomes a parameter whose test fails.
    """
    parameters = []
    for kernel in KERNELS:
        name = f"andpop.hw.kernels.{kernel}.cases"
        if find_spec(name) is None:
            parameters.append(pytest.param(kernel, None, id=f"{kernel}-without-cases"))
            continue
        cases = import_module(name)
        for case in cases.SMOKE:
            parameters.append(pytest.param(kernel, case, id=f"{kernel}-{case.name}"))
        for case in cases.FULL:
            parameters.append(
                pytest.param(kernel, case, id=f"{kernel}-{case.name}", marks=pytest.mark.full)
            )
    return parameters


def cases_of(kernel: str) -> list[Any]:
    """Cases of one kernel as parameters, the long ones too: for tests without RTL."""
    cases = import_module(f"andpop.hw.kernels.{kernel}.cases")
    return [pytest.param(case, id=case.name) for case in (*cases.SMOKE, *cases.FULL)]


def cases_where(wanted: Callable[[Any], bool] = lambda op: True) -> list[Any]:
    """(kernel, case) parameters of the kernels whose op is ``wanted``: for tests without RTL."""
    ops = backends()
    return [
        pytest.param(*parameter.values, id=parameter.id)
        for parameter in kernel_cases()
        if parameter.values[1] is not None and wanted(ops[parameter.values[1].op_type])
    ]


def first_cases() -> list[Any]:
    """The first (kernel, case) parameter of each kernel, by its name."""
    firsts = {p.values[0]: p for p in reversed(cases_where())}
    return [pytest.param(*p.values, id=kernel) for kernel, p in sorted(firsts.items())]


def altered(case: Case, **attrs: Any) -> Case:
    """The case with other attributes."""
    return replace(case, attrs={**case.attrs, **attrs})


def golden_of(kernel: str, inputs: list[Any], **attrs: Any) -> list[IntArray]:
    """Outputs of a kernel's golden."""
    arrays = [np.asarray(x, dtype=np.int64) for x in inputs]
    return list(import_module(f"andpop.hw.kernels.{kernel}.golden").run(arrays, attrs))


def pool_attrs(
    image: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int, int, int],
    out: tuple[int, int],
    datatype: str = "INT8",
) -> dict[str, Any]:
    """Attributes of a StreamMaxPool with one channel."""
    return {
        "NumChannels": 1, "PE": 1, "ImgDim": list(image), "KernelDim": list(kernel),
        "Stride": list(stride), "Padding": list(padding), "OutDim": list(out),
        "inputDataType": datatype,
    }  # fmt: skip


def rtl_op(op_type: str, inputs: int = 1, outputs: int = 1, **attrs: Any) -> Any:
    """The RTL backend of an op as FINN finds it, named ``dut`` and without a model."""
    register()
    from qonnx.custom_op.registry import getCustomOp

    node = helper.make_node(
        f"{op_type}_rtl",
        [f"x{i}" for i in range(inputs)],
        [f"y{i}" for i in range(outputs)],
        name="dut",
        domain="finn.custom_op.fpgadataflow.rtl",
        backend="fpgadataflow",
        **attrs,
    )
    return getCustomOp(node)


@dataclass
class Built:
    """A case as a one-node FINN model."""

    case: Case
    model: Any
    op: Any

    def execute(self, streamed: list[IntArray]) -> list[IntArray]:
        """Run FINN's execution of the model (Python, or rtlsim where the node says so)."""
        from finn.core.onnx_exec import execute_onnx

        names = [i.name for i in self.model.graph.input]
        context = {n: v.astype(np.float32) for n, v in zip(names, streamed, strict=True)}
        result = execute_onnx(self.model, context)
        return [result[o.name].astype(np.int64) for o in self.model.graph.output]

    def generate(self, folder: Path) -> list[Path]:
        """Generate the RTL into ``folder``; return its source files."""
        folder.mkdir(parents=True, exist_ok=True)
        self.op.set_nodeattr("code_gen_dir_ipgen", str(folder))
        self.op.generate_hdl(self.model, FPGA_PART, 10.0)
        return [Path(f) for f in self.op.get_rtl_file_list(abspath=True)]


def build_op(case: Case | None) -> Built:
    """Make the one-node model of a case, specialised to RTL."""
    if case is None:
        pytest.fail("the kernel is listed in KERNELS but has no cases.py; add it or the line goes")
    from andpop.hw.kernels.one_node import one_node

    model, op = one_node(case)
    return Built(case, model, op)


def pack(values: IntArray, folded: tuple[int, ...], datatype: Any) -> list[int]:
    """Fold a tensor into stream words, element 0 in the low bits.

    Raises:
        ValueError: a value does not fit the datatype.
    """
    bits = int(datatype.bitwidth())
    flat = np.asarray(values, dtype=np.int64)
    if flat.min() < datatype.min() or flat.max() > datatype.max():
        raise ValueError(f"found values {flat.min()}..{flat.max()}, expected {datatype.name}")
    mask = (1 << bits) - 1
    return [
        sum((v & mask) << (i * bits) for i, v in enumerate(row))
        for row in flat.reshape(-1, folded[-1]).tolist()
    ]


def port_list(op: Any, streamed: list[int]) -> tuple[list[StreamPort], list[StreamPort]]:
    """The streams of an op; ``streamed`` are the node inputs that are streams."""
    names = op.get_verilog_top_module_intf_names()
    return (
        [
            StreamPort(name, int(op.get_instream_width(i)), int(op.get_folded_input_shape(i)[-1]))
            for i, (name, _) in zip(streamed, names["s_axis"], strict=True)
        ],
        [
            StreamPort(name, int(op.get_outstream_width(i)), int(op.get_folded_output_shape(i)[-1]))
            for i, (name, _) in enumerate(names["m_axis"])
        ],
    )
