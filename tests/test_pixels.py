# SPDX-License-Identifier: Apache-2.0
"""What a network of somebody else reads of a pixel: found, said, stored, and checked by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from andpop.flows import api
from andpop.flows.config import BuildConfig, read_config
from andpop.flows.errors import UsageError
from andpop.flows.files import BuildFiles
from andpop.hw.graph import lowering
from andpop.hw.graph.clean import clean
from andpop.hw.graph.executor import run
from andpop.hw.graph.lowering import LoweringError, lower
from andpop.hw.graph.pixels import Pixels, pixels_of
from andpop.hw.graph.verify import verify
from foreign_cnn import Maker, cnn, save

Front = Callable[[Maker], str]
SIDE = 8
STEP = Fraction(1, 32)


def network(front: Front, channels: int = 1) -> onnx.ModelProto:
    """What ``front`` makes of the picture, quantised to 6 signed bits of 1/32, then two logits."""
    m = Maker(np.random.default_rng(1))
    x = m.quant(front(m), float(STEP), 6, 1)
    w = m.weights((2, channels, SIDE, SIDE), 4, False)
    x = m.node("Conv", x, w, kernel_shape=[SIDE, SIDE])
    return m.model((SIDE, SIDE, channels), m.node("Flatten", x, axis=1), [1, 2])


def declared(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The network with its input declared UINT8."""
    entry = proto.graph.quantization_annotation.add(tensor_name="x")
    entry.quant_parameter_tensor_names.add(key="finn_datatype", value="UINT8")
    return proto


def as_it_is(m: Maker) -> str:
    return "x"


def div_255(m: Maker) -> str:
    return m.node("Div", "x", m.constant(255))


def mul_255(m: Maker) -> str:
    return m.node("Mul", "x", m.constant(1 / 255))


def minus_half(m: Maker) -> str:
    return m.node("Div", m.node("Sub", "x", m.constant(127.5)), m.constant(127.5))


def minus_mean(m: Maker) -> str:
    return m.node("Div", m.node("Sub", "x", m.constant(0.5)), m.constant(0.25))


def by_hand(value: Callable[[int], Fraction]) -> list[int]:
    """Codes of all 256 pixels: nearest to value / STEP, ties to even, of 6 signed bits."""
    return [min(31, max(-32, round(value(p) / STEP))) for p in range(256)]


MUL = Fraction(float(np.float32(1 / 255)))
CASES: list[tuple[str, Front, bool, Callable[[int], Fraction]]] = [
    ("not declared", as_it_is, False, lambda p: Fraction(p, 255)),
    ("declared", div_255, True, lambda p: Fraction(p, 255)),
    ("div 255", div_255, False, lambda p: Fraction(p, 255)),
    ("mul 1/255", mul_255, False, lambda p: p * MUL),
    ("127.5", minus_half, False, lambda p: (p - Fraction(255, 2)) / Fraction(255, 2)),
    ("mean of 0..1", minus_mean, False, lambda p: (Fraction(p, 255) - Fraction(1, 2)) * 4),
]


def codes_of_all_pixels(proto: onnx.ModelProto, channel: int = 0) -> list[int]:
    """The input quantiser's codes of pixels 0..255."""
    graph = lower(proto)
    shape = (4, SIDE, SIDE, graph.get_tensor_shape("x")[-1])
    pixels = np.broadcast_to(np.arange(256, dtype=np.uint8).reshape(4, SIDE, SIDE, 1), shape)
    found = run(graph, np.ascontiguousarray(pixels), "all")
    codes = next(v for k, v in found.items() if k.endswith("Thresholding_out"))
    return codes[..., channel].reshape(-1).tolist()


@pytest.mark.parametrize(
    ("front", "raw", "value"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_pixels_are_read_as_computed_by_hand(
    front: Front, raw: bool, value: Callable[[int], Fraction]
) -> None:
    proto = network(front)
    proto = clean(declared(proto) if raw else proto)
    assert codes_of_all_pixels(proto) == by_hand(value)
    assert verify(proto, lower(proto)) > 0


def test_verification_feeds_pixels_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lowering that takes another scale is refused, whatever it writes into its graph."""
    proto = clean(network(as_it_is))
    monkeypatch.setattr(lowering, "pixels_of", lambda _: Pixels(1 / 256))
    graph = lower(proto)
    with pytest.raises(LoweringError, match="values differ"):
        verify(proto, graph)


def test_first_products_of_pixels_are_checked_too(monkeypatch: pytest.MonkeyPatch) -> None:
    proto = clean(cnn(2, depth=1, input_bits=None))
    monkeypatch.setattr(lowering, "pixels_of", lambda _: Pixels(1 / 256))
    graph = lower(proto)
    with pytest.raises(LoweringError, match=r"Conv_t\d+ \(Conv\): "):
        verify(proto, graph)


def test_mean_and_std_per_channel(tmp_path: Path) -> None:
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    path = save(network(as_it_is, channels=3), tmp_path / "net.onnx")
    result = api.build(
        path,
        tmp_path / "build",
        until="pack",
        input_mean="0.485, 0.456,0.406",
        input_std="0.229,0.224,0.225",
    )
    said = "input: (pixel / 255 - mean 0.485, 0.456, 0.406) / std 0.229, 0.224, 0.225"
    assert result["notes"] == [f"{said} (as the options say)"]
    files = BuildFiles(tmp_path / "build")
    for c in range(3):
        found = codes_of_all_pixels(onnx.load(files.qonnx), c)
        assert found == by_hand(
            lambda p, c=c: (Fraction(p, 255) - Fraction(mean[c])) / Fraction(std[c])
        )


@pytest.mark.parametrize(
    ("options", "front", "said", "stored"),
    [
        ({}, as_it_is, "pixel / 255 (not declared UINT8: ", {"scale": 1 / 255}),
        ({}, div_255, "raw pixels 0..255 (the graph scales pixels itself)", {"scale": 1.0}),
        ({"input_scale": "1/255"}, div_255, "pixel / 255 (as the options", {"scale": 1 / 255}),
        ({"input_scale": "1"}, as_it_is, "raw pixels 0..255 (as", {"scale": 1.0}),
        ({"input_std": "2"}, as_it_is, "(pixel / 255 - mean 0) / std 2 (as", {"std": [2.0]}),
    ],
)
def test_convention_is_said_and_stored(
    options: dict[str, str], front: Front, said: str, stored: dict[str, Any], tmp_path: Path
) -> None:
    out = tmp_path / "build"
    path = save(network(front), tmp_path / "net.onnx")
    result = api.build(path, out, until="pack", **options)
    assert result["notes"][0].startswith(f"input: {said}")
    kept = json.loads((out / "source.json").read_text())["input"]
    assert {key: kept[key] for key in stored} == stored
    network_reads = pixels_of(onnx.load(out / "model.qonnx.onnx"))
    assert {key: kept[key] for key in ("scale", "why")} == {
        "scale": network_reads.scale,
        "why": network_reads.why,
    }
    again = api.build(path, out, until="pack", **options)
    assert all(step["skipped"] for step in again["steps"])
    assert again["notes"] == result["notes"]


def test_a_build_with_another_scale_is_made_anew(tmp_path: Path) -> None:
    path = save(network(as_it_is), tmp_path / "net.onnx")
    out = tmp_path / "build"
    first = api.build(path, out, until="pack")
    before = (out / "model.andpop").read_bytes()
    second = api.build(path, out, until="pack", input_scale="1/128")
    assert not second["steps"][0]["skipped"]
    assert first["notes"] != second["notes"]
    assert (out / "model.andpop").read_bytes() != before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_scale": "0"}, "input_scale: found 0, expected numbers above 0"),
        ({"input_scale": "1,2"}, "input_scale: found 1,2, expected one number"),
        ({"input_scale": "1/0"}, "input_scale: found '1/0', expected numbers such as 1/255"),
        ({"input_scale": "nan"}, "found 'nan', expected numbers such as 1/255"),
        ({"input_scale": "inf"}, "found 'inf', expected numbers"),
        ({"input_scale": "1e-400"}, "input_scale: found 0, expected numbers above 0"),
        ({"input_mean": "1e400"}, "found '1e400', expected numbers"),
        ({"input_std": "0.2,-1,1"}, "input_std: found -1, expected numbers above 0"),
        ({"input_mean": "a,b"}, "found 'a,b', expected numbers"),
        ({"input_mean": "9" * 5000}, "expected numbers"),
        ({"input_mean": [0.1, "x"]}, "expected numbers"),
    ],
)
def test_numbers_that_are_none_are_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as told:
        read_config(None, options)
    assert message in str(told.value)
    assert "\n" not in str(told.value)


def test_build_yaml_gives_numbers_and_lists(tmp_path: Path) -> None:
    file = tmp_path / "build.yaml"
    file.write_text("input_scale: 1\ninput_mean: [0.5, 0.25, 0]\ninput_std: 1/4\n")
    assert read_config(file, {}).pixels == Pixels(
        1.0, (0.5, 0.25, 0.0), (0.25,), "as the options say"
    )
    assert not BuildConfig().asks_for_pixels


@pytest.mark.parametrize(
    ("proto", "options", "message"),
    [
        (
            declared(network(div_255)),
            {"input_scale": "1/255"},
            "says itself what it reads .declared UINT8",
        ),
        (network(as_it_is), {"input_mean": "0.1,0.2"}, "found 2 values of --input-mean, expected"),
        (
            cnn(2, depth=1, input_bits=None, size=SIDE),
            {"input_std": "0.229,0.224,0.225"},
            r"one code stands for \[50400, 51525, 51296\] times a common step: .* use one std for",
        ),
    ],
)
def test_conventions_that_cannot_be_are_refused(
    proto: onnx.ModelProto, options: dict[str, str], message: str, tmp_path: Path
) -> None:
    path = save(proto, tmp_path / "net.onnx")
    with pytest.raises(ValueError, match=message) as told:
        api.build(path, tmp_path / "build", until="pack", **options)
    assert "\n" not in str(told.value)
    assert not (tmp_path / "build").exists()
