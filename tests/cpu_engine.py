# SPDX-License-Identifier: Apache-2.0
"""What the tests of the CPU engine share: graphs compiled in memory, compared with goldens."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from andpop.hw.cpu.engine import Engine, instruction_sets
from andpop.hw.cpu.pack import compile_graph
from andpop.hw.graph import executor
from andpop.hw.kernels.ops import find_golden
from andpop.quant.grid import IntArray

Pictures = npt.NDArray[np.uint8]

SMALL = {"size": (33, 47), "channels": 3, "plan": (6, 12, 24, 48, 40), "repeats": (1, 2, 1)}
"""A Bi-ShuffleNet of odd map sizes and channel counts that fill no word."""


@pytest.fixture(name="isa", params=instruction_sets())
def isa_fixture(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every instruction set of this machine, one after the other."""
    monkeypatch.setenv("ANDPOP_ISA", request.param)
    return str(request.param)


def engine_of(model: onnx.ModelProto, isa: str | None = None) -> Engine:
    """Compile a graph; check that the instruction set asked for is the one that runs."""
    engine = Engine(*compile_graph(model, "test", None))
    assert isa is None or engine.isa == isa
    return engine


def assert_equal(expected: dict[str, IntArray], got: dict[str, IntArray]) -> int:
    """Compare all tensors both sides have; return how many values were compared."""
    values = 0
    for name, e in expected.items():
        if name in got:
            g = got[name]
            assert e.shape == g.shape, name
            wrong = np.argwhere(e != g)
            assert not len(wrong), (
                f"{name}: {len(wrong)} of {e.size} differ, first at {tuple(wrong[0])}: "
                f"expected {e[tuple(wrong[0])]}, got {g[tuple(wrong[0])]}"
            )
            values += e.size
    return values


def assert_golden(model: onnx.ModelProto, pictures: Pictures, isa: str, gone: int = 0) -> None:
    """Compare every tensor of a network with the golden executor; ``gone`` tensors are fused."""
    golden = executor.run(model, pictures, "all")
    got = engine_of(model, isa).intermediates(pictures)
    assert len(golden.keys() - got.keys()) == gone
    assert assert_equal(golden, got) > 0


def random_pictures(model: onnx.ModelProto, count: int, seed: int = 0) -> Pictures:
    """Random pixels of the size the graph wants."""
    dims = model.graph.input[0].type.tensor_type.shape.dim
    shape = [count, *(d.dim_value for d in dims[1:])]
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def extreme_pictures(model: onnx.ModelProto) -> Pictures:
    """All black, all white, checkerboard, half and half."""
    x = np.zeros_like(random_pictures(model, 4))
    x[1] = 255
    rows, columns = np.indices(x.shape[1:3])
    x[2][(rows + columns) % 2 == 0] = 255
    x[3, :, : x.shape[2] // 2] = 255
    return x


def golden_tensors(model: onnx.ModelProto, frames: IntArray) -> dict[str, IntArray]:
    """Every tensor of a graph of one input by the goldens, frame by frame."""
    tensors: dict[str, IntArray] = {model.graph.input[0].name: frames, **constants_of(model)}
    for node in model.graph.node:
        golden = find_golden(node.op_type)
        assert golden is not None
        attrs = executor.node_attributes(node)
        streamed = [n for n in node.input if n not in constants_of(model)]
        results = [
            golden(
                [tensors[n][i : i + 1] if n in streamed else tensors[n] for n in node.input], attrs
            )
            for i in range(len(frames))
        ]
        for name, values in zip(node.output, zip(*results, strict=True), strict=True):
            tensors[name] = np.concatenate(values)
    return tensors


def constants_of(model: onnx.ModelProto) -> dict[str, IntArray]:
    """The initializers of a graph."""
    return {i.name: onnx.numpy_helper.to_array(i).astype(np.int64) for i in model.graph.initializer}


def edited(model: onnx.ModelProto, **attrs: Any) -> onnx.ModelProto:
    """A graph with attributes of its last node replaced, or removed where None."""
    node = model.graph.node[-1]
    kept = [a for a in node.attribute if a.name not in attrs]
    added = [onnx.helper.make_attribute(k, v) for k, v in attrs.items() if v is not None]
    del node.attribute[:]
    node.attribute.extend([*kept, *added])
    return model
