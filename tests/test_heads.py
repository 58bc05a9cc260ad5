# SPDX-License-Identifier: Apache-2.0
"""Heads of one channel: class, or mask, by the sign of the logit; checked by exact arithmetic."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import pytest
from andpop.flows import api
from andpop.flows.models import load
from andpop.hw.graph.builder import boundaries
from andpop.hw.graph.clean import clean
from andpop.hw.graph.executor import run
from andpop.hw.graph.lowering import LoweringError, lower
from andpop.hw.graph.reference import Reference, classes
from andpop.hw.graph.verify import verify
from foreign_cnn import Maker, cnn, save
from onnx import numpy_helper
from PIL import Image

SIDE = 6


def head(
    scale: float = 0.1,
    bias: float | None = None,
    offset: float | None = None,
    factor: float | None = None,
    last: str = "",
) -> onnx.ModelProto:
    """One logit: ((sum of w * codes) * step [+ bias]) [* factor] [+ offset], or its codes."""
    m = Maker(np.random.default_rng(4))
    x = m.quant("x", 1.0, 8, 0)
    half = m.rng.integers(-7, 8, (1, 1, SIDE // 2, SIDE)) * np.float32(scale)
    w = m.quant(m.constant(np.concatenate([half, -half], 2)), scale, 4, 1, narrow=1)
    added = [] if bias is None else [m.constant([bias])]
    x = m.node("Conv", x, w, *added, kernel_shape=[SIDE, SIDE])
    if factor is not None:
        x = m.node("Mul", x, m.constant(factor))
    if offset is not None:
        x = m.node("Add", x, m.constant(offset))
    if last == "unsigned":
        x = m.quant(x, 4.0, 4, 0)
    if last == "bipolar":
        x = m.node("BipolarQuant", x, m.constant(0.5))
    return m.model((SIDE, SIDE, 1), m.node("Flatten", x, axis=1), [1, 1])


def noise(count: int) -> np.ndarray:
    return np.random.default_rng(8).integers(0, 256, (count, SIDE, SIDE, 1), dtype=np.uint8)


@pytest.mark.parametrize(
    ("bias", "offset", "factor"),
    [
        (None, None, None),
        (None, 3.05, None),
        (None, -40.0, 0.25),
        (None, 0.5, -2.0),
        (None, None, -1.0),
        (-7.123, None, None),
        (12.34, 1.5, -0.3),
    ],
)
def test_class_is_the_sign_of_the_real_logit(
    bias: float | None, offset: float | None, factor: float | None
) -> None:
    proto = clean(head(bias=bias, offset=offset, factor=factor))
    graph = lower(proto)
    # Of 6 pictures: the quantised pixels, the logit, the class.
    assert verify(proto, graph) == 6 * (SIDE * SIDE + 2)
    pictures = noise(400)
    label = graph.graph.output[0].name
    found = run(graph, pictures, [label])[label].reshape(-1)
    weights = next(t for t in proto.graph.initializer if list(t.dims) == [1, 1, SIDE, SIDE])
    step = Fraction(float(np.float32(0.1)))
    w = np.rint(numpy_helper.to_array(weights) / np.float32(0.1)).astype(np.int64)[0, 0]
    sums = (pictures[..., 0].astype(np.int64) * w).sum(axis=(1, 2))
    a, b, c = (Fraction(float(np.float32(v))) for v in (factor or 1.0, offset or 0.0, bias or 0.0))
    by_hand = [int(a * (step * int(s) + c) + b >= 0) for s in sums]
    assert found.tolist() == by_hand
    assert 20 < sum(by_hand) < 380


def test_a_logit_of_zero_is_class_1() -> None:
    graph = lower(clean(head()))
    label = graph.graph.output[0].name
    black = np.zeros((1, SIDE, SIDE, 1), dtype=np.uint8)
    assert run(graph, black, [label])[label].item() == 1
    graph = lower(clean(head(offset=-1e-6)))
    assert run(graph, black, [graph.graph.output[0].name])[label].item() == 0


def test_a_sign_as_the_output() -> None:
    proto = clean(head(offset=-3.0, last="bipolar"))
    graph = lower(proto)
    verify(proto, graph)
    label = graph.graph.output[0].name
    pictures = noise(100)
    found = run(graph, pictures, [label])[label].reshape(-1)
    judge = Reference(proto)
    wanted = [classes(judge.run(p[None], [judge.output])[judge.output])[0] for p in pictures]
    assert found.tolist() == wanted
    assert 0 < sum(wanted) < 100


@pytest.mark.parametrize(
    ("options", "word"),
    [({"last": "unsigned"}, "always"), ({"offset": -1e6}, "never"), ({"offset": 1e6}, "always")],
)
def test_a_sign_that_never_changes_is_refused(options: dict[str, object], word: str) -> None:
    with pytest.raises(LoweringError, match=f"one channel that is {word} 0 or more"):
        lower(clean(head(**options)))


def test_one_logit_is_two_classes_everywhere(tmp_path: Path) -> None:
    path = save(head(offset=0.25), tmp_path / "net.onnx")
    api.build(path, tmp_path / "build", until="pack")
    model = load(tmp_path / "build")
    assert model.classes == ("0", "1")
    found, logits = model.run(noise(50))
    assert np.array_equal(found, logits[:, 1] > logits[:, 0])
    assert set(found.tolist()) == {0, 1}
    assert len(set(logits[:, 1].tolist())) > 20


def test_a_map_of_one_channel_is_a_mask(tmp_path: Path) -> None:
    proto = cnn(11, masks=True, outputs=1)
    api.build(save(proto, tmp_path / "net.onnx"), tmp_path / "build", until="pack")
    pictures = np.random.default_rng(1).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    found = load(tmp_path / "build").masks(pictures)
    judge = Reference(onnx.load(tmp_path / "build" / "model.qonnx.onnx"))
    values = [judge.run(p[None], [judge.output])[judge.output][0, 0] for p in pictures]
    assert np.array_equal(found, np.stack(values) >= 0)
    assert 0 < found.mean() < 1
    (tmp_path / "pictures").mkdir()
    Image.fromarray(pictures[0]).save(tmp_path / "pictures" / "a.png")
    result = api.compare(
        tmp_path / "build", tmp_path / "pictures", backends=["qonnx", "golden", "cpu"]
    )
    assert result["values_differing"] == 0


def test_verification_compares_the_logit() -> None:
    """A logit that is wrong and of the right sign is found."""
    proto = clean(head())
    graph = lower(proto)
    tensor = next(
        t
        for t in graph.graph.initializer
        if t.name.endswith("_IntMvu_weights") and len(t.dims) and t.dims[0] > 1
    )
    changed = numpy_helper.to_array(tensor).copy()
    changed[0] += 1
    tensor.CopyFrom(numpy_helper.from_array(changed, tensor.name))
    with pytest.raises(LoweringError, match=r"lowered to .*IntMvu_out"):
        verify(proto, graph)


@pytest.mark.parametrize(
    "options",
    [
        {"bias": -7.123},
        {"bias": 12.34, "offset": 1.5, "factor": -0.3},
        {"offset": -3.0, "last": "bipolar"},
        {"last": "unsigned"},
    ],
)
def test_a_logit_that_is_asked_for_leaves_as_an_integer(options: dict[str, object]) -> None:
    """Its boundary says what the integer stands for, whatever is behind it in the network."""
    proto = clean(head(**options))
    name = proto.graph.output[0].name
    graph = lower(proto, heads={name: "raw"})
    assert verify(proto, graph) > 0
    pair = next(b for b in boundaries(graph) if b.reference == name)
    pictures, judge = noise(20), Reference(proto)
    codes = run(graph, pictures)[graph.graph.output[0].name].reshape(-1)
    values = [judge.run(p[None], [name])[name].item() for p in pictures]
    seen = 2 * codes - 1 if pair.bipolar else codes
    offset = pair.offset[0] if pair.offset else 0.0
    np.testing.assert_allclose(pair.scale * seen + offset, values, rtol=1e-12, atol=1e-9)
    exact = pair.codes(np.array(values)[:, None])
    np.testing.assert_array_equal(exact.reshape(-1), codes)
