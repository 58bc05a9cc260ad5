# SPDX-License-Identifier: Apache-2.0
"""Verification tells float32's noise from a wrong code: right networks build, wrong codes show."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from andpop.flows import api
from andpop.flows.backends.qonnx import Qonnx
from andpop.flows.errors import CheckFailed
from andpop.flows.files import BuildFiles
from andpop.hw.graph.builder import Boundary
from andpop.hw.graph.clean import clean
from andpop.hw.graph.executor import GoldenExecutor, run
from andpop.hw.graph.float32 import settle
from andpop.hw.graph.lowering import LoweringError, lower
from andpop.hw.graph.qonnx_graph import multiples
from andpop.hw.graph.reference import Reference
from andpop.hw.graph.reference_value import Value, places
from andpop.hw.graph.verify import extreme_pictures, verify
from foreign_cnn import Maker, cnn, save
from onnx import numpy_helper
from openings import opening
from PIL import Image

CNNS: list[dict[str, Any]] = [
    {"bits": 4, "depth": 3, "base": 16, "size": 32, "outputs": 10},
    {"bits": 4, "depth": 3, "channels": 1, "input_bits": None, "negative": True, "base": 16},
    {"bits": 4, "depth": 2, "input_bits": None, "odd": False},
    {"bits": 4, "depth": 1, "hidden": 12, "negative": True},
    {"bits": 2, "depth": 3, "odd": False, "input_bits": None, "hidden": 12},
    {"bits": 2, "depth": 2, "channels": 1, "negative": True},
    {"bits": 3, "depth": 2, "input_bits": 6, "bias": True},
    {"bits": 4, "masks": True, "outputs": 3},
    {"bits": 4, "masks": True, "outputs": 1},
    {"bits": 4, "outputs": 1, "hidden": 8},
]


def folder(path: Path, size: int, channels: int, count: int = 4) -> Path:
    """A folder of pictures: white, black and noise."""
    path.mkdir()
    rng = np.random.default_rng(1)
    shape = (size, size, 3) if channels == 3 else (size, size)
    for i in range(count):
        pixels = rng.integers(0, 256, shape, dtype=np.uint8)
        if i < 2:
            pixels[:] = 255 * (1 - i)
        Image.fromarray(pixels).save(path / f"{i}.png")
    return path


def built(model: onnx.ModelProto, tmp_path: Path, **options: Any) -> BuildFiles:
    """Build a network until it is packed."""
    out = tmp_path / "build"
    api.build(save(model, tmp_path / "net.onnx"), out, until="pack", **options)
    return BuildFiles(out)


@pytest.mark.parametrize("options", CNNS, ids=lambda o: "-".join(f"{k}{v}" for k, v in o.items()))
def test_ordinary_cnns_build_and_compare(options: dict[str, Any], tmp_path: Path) -> None:
    files = built(cnn(11, **options), tmp_path)
    pictures = folder(tmp_path / "pictures", options.get("size", 16), options.get("channels", 3))
    result = api.compare(files.folder, pictures, backends=["qonnx", "golden", "cpu"])
    assert result["values_differing"] == 0
    assert result["values_compared"] > 30_000
    label = onnx.load(files.lowered).graph.output[0].name
    rows = {(row["backend"], row["layer"]) for row in result["layers"]}
    assert {("qonnx", label), ("cpu", label)} <= rows


def largest_accumulator(graph: Any, op: str = "IntMvu") -> tuple[onnx.NodeProto, np.ndarray, int]:
    """The first product, where its largest accumulator on verification's pictures is, and it."""
    node = next(n for n in graph.graph.node if n.op_type == op)
    executor = GoldenExecutor(graph)
    pictures = extreme_pictures(*executor.shapes[executor.input][1:], noise=3)
    acc = run(graph, pictures, [node.output[0]])[node.output[0]]
    at = np.array(np.unravel_index(np.argmax(np.abs(acc)), acc.shape))
    return node, at, int(acc[tuple(at)])


@pytest.mark.parametrize("seed", [3, 4, 5])
def test_a_code_off_by_one_at_the_largest_accumulator_is_found(seed: int) -> None:
    proto = clean(cnn(seed, bits=4, depth=2, input_bits=None))
    graph = lower(proto)
    assert verify(proto, graph) > 10_000
    node, at, value = largest_accumulator(graph)
    assert abs(value) > 1000
    reader = next(n for n in graph.graph.node if node.output[0] in n.input)
    tensor = next(t for t in graph.graph.initializer if t.name == reader.input[1])
    table = numpy_helper.to_array(tensor).copy()
    row = table[at[-1]]
    # The code at that very accumulator, and at none beyond it, loses one step or gains one.
    if (row <= value).any():
        row[np.flatnonzero(row <= value)[-1]] = value + 1
    else:
        row[0] = value
    tensor.CopyFrom(numpy_helper.from_array(table, tensor.name))
    with pytest.raises(LoweringError, match="values differ, the first at"):
        verify(proto, graph)


def test_a_sum_off_by_one_step_is_no_rounding() -> None:
    proto = clean(cnn(7, bits=4, depth=1, input_bits=None, size=32))
    judge = Reference(proto)
    picture = np.full((1, 32, 32, 3), 255, dtype=np.uint8)
    node, tensors = next(iter(judge.walk(picture)))
    assert node.op_type == "Conv"
    exact = tensors[node.output[0]]
    assert exact.step is not None
    step = float(exact.step)
    at = np.unravel_index(np.argmax(np.abs(exact.codes)), exact.codes.shape)
    assert abs(exact.codes[at]) > 5000
    float32 = exact.values.astype(np.float32)
    # What a sum of 27 products in float32 may be off by, and more than a step's thousandth of it.
    float32[at] += np.float32(3e-3 * step)
    settled, wrong = settle(node, tensors, node.output[0], float32, proto.opset_import)
    assert not wrong.any()
    assert np.array_equal(settled, exact.values)
    for off in (-1, 1):
        float32[at] = np.float32(exact.values[at] + off * step)
        settled, wrong = settle(node, tensors, node.output[0], float32, proto.opset_import)
        assert np.argwhere(wrong).tolist() == [list(at)]
        assert settled[at] == float32[at]


@pytest.mark.parametrize("relu", [False, True])
def test_steps_of_twice_a_pixel_round_every_second_one_to_even(relu: bool, tmp_path: Path) -> None:
    """Steps of 2/255: every odd pixel lies on a border, and float32 rounds some to either side."""
    m = Maker(np.random.default_rng(0))
    scale = np.float32(2 / 255)
    x = m.quant(m.node("Relu", "x") if relu else "x", float(scale), 7, 0)
    x = m.node("Conv", x, m.weights((2, 1, 16, 16), 4, True), kernel_shape=[16, 16])
    files = built(m.model((16, 16, 1), m.node("Flatten", x, axis=1), [1, 2]), tmp_path)
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    (tmp_path / "ramp").mkdir()
    Image.fromarray(ramp).save(tmp_path / "ramp" / "ramp.png")
    result = api.compare(files.folder, tmp_path / "ramp", backends=["qonnx", "golden", "cpu"])
    assert result["values_differing"] == 0
    golden = run(files.lowered, ramp[None, :, :, None], "all")
    codes = next(v for k, v in golden.items() if k.endswith("Thresholding_out")).reshape(-1)
    assert codes.tolist() == [min(127, round(Fraction(p, 2))) for p in range(256)]
    float32 = np.rint(np.arange(256, dtype=np.float32) / np.float32(255) / scale)
    assert np.any(np.minimum(float32, 127) != codes), "float32 meets no border here"


def test_places_are_exact_but_for_quotients_of_small_integers() -> None:
    """A scale of twice a step, as float32 holds it, and one that nothing divides."""
    codes = np.arange(-300, 300)[None, None]
    halves, odd = np.float64(np.float32(2 / 255)), np.float64(np.float32(0.0371))
    scales = np.array([halves, odd]).reshape(1, 2, 1)
    exact = multiples(codes, Fraction(1, 255)) / odd
    found = places(Value(codes, Fraction(1, 255)), scales)
    assert np.array_equal(found, np.concatenate([codes / 2, exact], axis=1))
    assert np.array_equal(places(Value(codes, Fraction(1, 255)), scales[:, 1:]), exact)
    assert not np.array_equal(places(Value(codes / 255), scales[:, :1]), codes / 2)


def test_steps_that_are_no_floats_stay_exact() -> None:
    """98 steps of 1/49 are 2, which may be a quantiser's border."""
    m = np.arange(-3000, 3000)
    for divisor in (49, 255):
        assert np.array_equal(multiples(divisor * m, Fraction(1, 8 * divisor)), m / 8)
    assert not np.array_equal(49 * m * (1 / 392), m / 8), "as good by floats alone"


@pytest.mark.parametrize("value", [1.3, -0.5, np.nan, np.inf])
def test_what_is_no_code_is_told(value: float) -> None:
    pair = Boundary("t", "r", 0.5, False)
    assert pair.codes(np.array([[0.5, -1.0]])).reshape(-1).tolist() == [1, -2]
    with pytest.raises(ValueError, match=r"r: value .* at \(0, 1\) is no integer times 0.5"):
        pair.codes(np.array([[0.5, value / 2]]))


def tied() -> onnx.ModelProto:
    """Four logits; the second and the third add the same products in another order."""
    m = Maker(np.random.default_rng(2))
    x = m.quant("x", 0.00781243, 8, 1)
    x = m.node("Conv", x, m.weights((40, 1, 8, 8), 4, True), kernel_shape=[8, 8])
    x = m.activation(x, 40, 4, True, True)
    x = m.node("Concat", x, x, axis=1)
    row = m.rng.normal(0.15, 0.3, 80)
    order = [[0, 1], [0, 1], [1, 0], [1, 0]]
    rows = np.stack([row.reshape(2, 40)[o].reshape(-1) for o in order])
    rows[[0, 3]] = -np.abs(rows[[0, 3]])
    w = m.quant(m.constant(rows[:, :, None, None]), 0.0631048, 4, 1, narrow=1)
    x = m.node("Conv", x, w, kernel_shape=[1, 1])
    return m.model((8, 8, 1), m.node("Flatten", x, axis=1), [1, 4])


def test_equal_logits_are_no_difference(tmp_path: Path) -> None:
    files = built(tied(), tmp_path)
    pictures = folder(tmp_path / "pictures", 8, 1, count=12)
    result = api.compare(files.folder, pictures, backends=["qonnx", "golden", "cpu"])
    assert result["values_differing"] == 0
    noise = np.random.default_rng(3).integers(0, 256, (40, 8, 8, 1), dtype=np.uint8)
    found = run(files.lowered, noise, "all")
    logits = next(v for v in found.values() if v.shape[1:] == (1, 1, 4)).reshape(40, 4)
    assert np.array_equal(logits[:, 1], logits[:, 2])
    ties = logits[:, 1] == logits.max(axis=1)
    labels = found[onnx.load(files.lowered).graph.output[0].name].reshape(-1)
    assert ties.sum() > 20
    assert np.all(labels[ties & (logits[:, 0] < logits[:, 1])] == 1)


def test_another_network_in_the_build_is_a_difference(tmp_path: Path) -> None:
    files = built(cnn(3, depth=1), tmp_path)
    network = onnx.load(files.qonnx)
    tensor = next(t for t in network.graph.initializer if t.dims[1:] == [3, 3, 3])
    changed = -numpy_helper.to_array(tensor)
    tensor.CopyFrom(numpy_helper.from_array(changed, tensor.name))
    onnx.save(network, files.qonnx)
    pictures = folder(tmp_path / "pictures", 16, 3)
    result = api.compare(files.folder, pictures, backends=["qonnx", "golden"])
    assert result["values_differing"] > 0
    assert result["first_divergence"]["layer"].endswith("IntMvu_out")


def test_more_than_float32_rounds_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = built(cnn(3, depth=1), tmp_path)
    backend = Qonnx(opening(files))
    execute = backend._execute

    def off(node: onnx.NodeProto, tensors: Any) -> Any:
        found = execute(node, tensors)
        if node.op_type != "BatchNormalization":
            return found
        return {name: value * np.float32(1.001) for name, value in found.items()}

    monkeypatch.setattr(backend, "_execute", off)
    picture = np.full((1, 16, 16, 3), 90, dtype=np.uint8)
    with pytest.raises(CheckFailed, match=r"\(BatchNormalization\): .* more than float32") as told:
        backend.run(picture)
    assert "\n" not in str(told.value)
