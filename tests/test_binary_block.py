# SPDX-License-Identifier: Apache-2.0
"""Fused 1-bit layers: wired to each other without a link, and what becomes of a graph's nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from andpop.hw.graph import executor
from andpop.hw.graph.fuse import fuse
from andpop.hw.graph.specialise import specialise
from andpop.hw.kernels import backends, register, walk
from andpop.hw.kernels.binary_block import cases
from andpop.hw.kernels.binary_block.op import SHORTCUTS
from andpop.hw.kernels.fused import Fused
from andpop.sim import bench
from andpop.sim.bench import Frame, Plan, StreamPort
from comparisons import Comparisons
from dataflow_graphs import bi_shufflenet, pictures_for
from definitions import evaluate
from kernel_cases import build_op, pack
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp

SMALL = {"size": (32, 32), "plan": (8, 16, 24, 32, 16), "repeats": (1, 1, 1)}

POINT: tuple[Any, ...] = ((1, 1), (1, 1), (0, 0, 0, 0))
AROUND: tuple[Any, ...] = ((3, 3), (1, 1), (1, 1, 1, 1))
CHANNELS = 12
IMAGE = (4, 4)


def chain() -> list[Any]:
    """A basic unit: 1x1, 3x3, 3x3, 1x1, each with its own input as the shortcut."""
    shifts = {"shortcut_shift": 4, "pre_shift": 3}
    return [
        cases._case(IMAGE, (CHANNELS, CHANNELS), (lanes, 1), *shape, "own", **shifts)
        for lanes, shape in ((12, POINT), (6, AROUND), (4, AROUND), (6, POINT))
    ]


def top_of(blocks: list[str]) -> str:
    """A module with the blocks one behind the other, output to input."""
    count = len(blocks)
    lines = [
        "module chain (input wire ap_clk, ap_rst_n, in0_V_TVALID, out0_V_TREADY,",
        "  input wire [7:0] in0_V_TDATA, output wire in0_V_TREADY, out0_V_TVALID,",
        "  output wire [7:0] out0_V_TDATA);",
        f"  wire valid [{count + 1}], ready [{count + 1}];",
        f"  wire [7:0] data [{count + 1}];",
        "  assign valid[0] = in0_V_TVALID, data[0] = in0_V_TDATA, in0_V_TREADY = ready[0];",
        f"  assign out0_V_TVALID = valid[{count}], out0_V_TDATA = data[{count}];",
        f"  assign ready[{count}] = out0_V_TREADY;",
    ]
    for i, name in enumerate(blocks):
        lines += [
            f"  {name} u_{name} (.ap_clk, .ap_rst_n, .in0_V_TVALID(valid[{i}]),",
            f"    .in0_V_TREADY(ready[{i}]), .in0_V_TDATA(data[{i}]),",
            f"    .out0_V_TVALID(valid[{i + 1}]), .out0_V_TREADY(ready[{i + 1}]),",
            f"    .out0_V_TDATA(data[{i + 1}]));",
        ]
    return "\n".join([*lines, "endmodule", ""])


@pytest.mark.sim
def test_blocks_need_no_link_between_them(tmp_path: Path, compared: Comparisons) -> None:
    """Output to input, at random pace and with resets; the slowest block sets the interval."""
    layers = chain()
    ops, sources = [], []
    for i, case in enumerate(layers):
        built = build_op(case)
        built.op.onnx_node.name = f"block{i}"
        sources += built.generate(tmp_path)
        ops.append(built.op)
    top = tmp_path / "chain.sv"
    top.write_text(top_of([op.onnx_node.name for op in ops]))
    frames = []
    rng = np.random.default_rng(0)
    for _ in range(2 * len(bench.SEEDS) + 1):
        x = first = layers[0].random_frame(rng)[0]
        for case in layers:
            (x,) = evaluate(case.op_type, [x, *case.make_initializers()], case.attrs)
        words = [pack(v, ops[0].get_folded_input_shape(), ops[0].get_input_datatype())
                 for v in (first, x)]  # fmt: skip
        frames.append(Frame([words[0]], [words[1]]))
    cycles = max(op.get_exp_cycles() for op in ops)
    phases = bench.phases_of(len(frames) - 1, 1, len(frames[0].inputs[0]), cycles)
    ins, outs = ([StreamPort(f"{name}_V", 8, 1)] for name in ("in0", "out0"))
    plan = Plan("chain", cycles, ins, outs, frames, phases)
    unique = list(dict.fromkeys(Path(s) for s in sources))
    result = bench.run_plan(plan, [*unique, top], "chain", tmp_path / "run", data=tmp_path)
    compared.count(result.values, result.differing)


def test_every_1_bit_layer_becomes_one_node(compared: Comparisons) -> None:
    model = specialise(ModelWrapper(bi_shufflenet(**SMALL)))
    fused = fuse(model)
    before = [n for n in model.graph.node if n.op_type == "XnorMvu_rtl"]
    blocks = [n for n in fused.graph.node if n.op_type == "BinaryBlock_rtl"]
    assert len(blocks) == len(before) > 0
    assert not [n for n in fused.graph.node if n.op_type in ("XnorMvu_rtl", "Thresholding_rtl")]
    kinds = [getCustomOp(n).get_nodeattr("shortcut") for n in blocks]
    assert {kind: kinds.count(kind) for kind in SHORTCUTS} == {
        "none": 17, "own": 12, "stream": 1,
    }  # fmt: skip
    pictures = pictures_for(model, 2)
    golden = executor.run(model, pictures, keep="all")
    got = executor.run(fused, pictures, keep="all")
    for node in blocks:
        compared.arrays(golden[node.output[0]], got[node.output[0]], node.name)


def test_taps_are_the_bits_and_the_sums() -> None:
    fused = fuse(specialise(ModelWrapper(bi_shufflenet(**SMALL))))
    for node in fused.graph.node:
        if node.op_type == "BinaryBlock_rtl":
            op = getCustomOp(node)
            (_, bits), (_, sums) = op.taps()
            assert bits.datatype == "BINARY" and bits.shape == op.get_normal_input_shape(0)
            assert sums.shape == op.get_normal_output_shape(0)
            assert sums.width == int(op.inputs()).bit_length() + 1


def test_only_fused_kernels_do_without_the_cpu() -> None:
    """The CPU engine packs the graph before it is fused."""
    from andpop.hw.cpu.pack import lowerings

    register()
    without = {name for name in backends() if name not in lowerings()}
    assert without == {name for name, op in backends().items() if issubclass(op, Fused)}


# The published network's layers: the line memory is as small as its pace allows.


@pytest.mark.parametrize(
    ("place", "cycles", "bits"),
    [
        # height, width, out, kernel, stride, pad, words of a pixel, cycles to take and to compute
        ((16, 16, 16, 16, 3, 3, 1, 1, 1, 1, 2, 24, 433), 110_848, 7),
        ((8, 8, 8, 8, 3, 3, 1, 1, 1, 1, 3, 48, 1297), 83_008, 6),
        ((32, 32, 16, 16, 5, 5, 2, 2, 2, 2, 2, 24, 401), 102_656, 9),
    ],
)
def test_line_memory_is_the_smallest_with_the_pace(
    place: tuple[int, ...], cycles: int, bits: int
) -> None:
    ring = walk.ring_of(walk.Walk(*place), sparing=True)
    assert (ring.cycles, ring.address_bits) == (cycles, bits)
