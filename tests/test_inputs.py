# SPDX-License-Identifier: Apache-2.0
"""Inputs that are no pictures: what bytes stand for, and files of the numbers themselves."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from andpop.flows import api
from andpop.flows.models import load as load_model
from andpop.hw.graph.pixels import Pixels, declared
from andpop.quant.inputs import ROUNDINGS, Reads
from andpop.quant.pictures import PictureError
from foreign_graphs import Net, save
from foreign_inputs import autoencoder, declare, layers, spotter, tagged, vector
from foreign_networks import export_mlp
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.transformation.infer_shapes import InferShapes
from test_fully_connected import check


def classes_of_file(path: Path, values: np.ndarray) -> list[int]:
    """What qonnx makes of a file that andpop never touched."""
    model = ModelWrapper(str(path)).transform(InferShapes())
    (given,), (output,) = model.graph.input, model.graph.output
    shape = [d.dim_value for d in given.type.tensor_type.shape.dim]
    found = [
        execute_onnx(model, {given.name: row.astype(np.float32).reshape(shape)})[output.name]
        for row in values
    ]
    return [int(row.item() >= 0 if row.size == 1 else np.argmax(row)) for row in found]


def built_and_asked(path: Path, values: np.ndarray, folder: Path, **options: Any) -> list[str]:
    """A build finds what the file finds in numbers as they are; returns its notes."""
    build = folder / "build"
    notes = list(map(str, api.build(path, build, until="pack", **options)["notes"]))
    np.save(folder / "x.npy", values)
    result = api.compare(build, folder / "x.npy", ("qonnx", "golden", "cpu"), count=6)
    assert result["values_differing"] == 0
    found = api.infer(build, folder / "x.npy")
    assert [int(p["class"]) for p in found["predictions"]] == classes_of_file(path, values)
    return [*notes, *found["notes"]]


@pytest.mark.parametrize(
    ("datatype", "low", "high", "step", "dtype"),
    [
        ("INT8", -128, 127, 1, np.int8),
        ("INT4", -8, 7, 1, np.int8),
        ("TERNARY", -1, 1, 1, np.int8),
        ("FIXED<8,3>", -128, 127, 1 / 32, np.float32),
        ("UINT4", 0, 15, 1, np.uint8),
        ("UINT8", 0, 255, 1, np.float32),
    ],
)
def test_inputs_of_declared_types_are_given_as_they_are(
    datatype: str, low: int, high: int, step: float, dtype: type, tmp_path: Path
) -> None:
    path = save(declare(vector(), datatype), tmp_path)
    codes = np.random.default_rng(0).integers(low, high + 1, (40, 16))
    codes[0], codes[1] = low, high
    notes = built_and_asked(path, (codes * step).astype(dtype), tmp_path)
    assert any(f"declared {datatype}" in note for note in notes)
    assert not any("rounded" in note for note in notes)


def test_bits_declared_bipolar_are_given_as_they_are(tmp_path: Path) -> None:
    """FINN's network for the security data set, as its notebook declares it."""
    path = export_mlp(tmp_path / "mlp.onnx", 20, 32, True)
    model = ModelWrapper(str(path))
    proto = model.model
    annotation = proto.graph.quantization_annotation.add(tensor_name=proto.graph.input[0].name)
    annotation.quant_parameter_tensor_names.add(key="finn_datatype", value="BIPOLAR")
    onnx.save(proto, path)
    bits = np.random.default_rng(0).integers(0, 2, (60, 20))
    built_and_asked(path, (2 * bits - 1).astype(np.int8), tmp_path)
    # Bytes are the bits.
    np.save(tmp_path / "bits.npy", bits.astype(np.uint8))
    pair = [api.infer(tmp_path / "build", tmp_path / f"{name}.npy") for name in ("x", "bits")]
    first, second = ([p["class"] for p in found["predictions"]] for found in pair)
    assert first == second


@pytest.mark.parametrize("scale", [0.0625, float(np.float32(0.0783))])
def test_what_a_network_quantises_itself_may_be_any_number(scale: float, tmp_path: Path) -> None:
    path = save(vector(first=True, scale=scale), tmp_path)
    values = np.random.default_rng(1).normal(0, 5, (60, 16)).astype(np.float32)
    values[0], values[1] = 1e6, -1e6
    notes = built_and_asked(path, values, tmp_path)
    assert any("codes of" in note for note in notes)


def test_keywords_are_found_in_maps_of_floats(tmp_path: Path) -> None:
    path = save(spotter(), tmp_path)
    values = np.random.default_rng(2).normal(0, 40, (20, 10, 49)).astype(np.float32)
    values = np.rint(values / np.float32(0.78)).clip(-128, 127) * np.float32(0.78)
    np.save(tmp_path / "own.npy", values[:, None])
    told = api.build(path, tmp_path / "first", until="source")["notes"]
    (hint,) = (note for note in map(str, told) if "--input-mean" in note)
    scale, mean = (hint.split(f"--input-{name} ")[1].split()[0] for name in ("scale", "mean"))
    built_and_asked(path, values, tmp_path, input_scale=scale, input_mean=mean)
    found = api.infer(tmp_path / "build", tmp_path / "own.npy")
    assert [int(p["class"]) for p in found["predictions"]] == classes_of_file(path, values)


@pytest.mark.full
@pytest.mark.sim
def test_a_network_of_keywords_is_exact_on_every_backend(tmp_path: Path) -> None:
    """At its own width, 256."""
    path = save(declare(spotter(256), "INT8"), tmp_path)
    api.build(path, tmp_path / "build", target_cycles=4096)
    values = np.random.default_rng(3).integers(-128, 128, (4, 490), dtype=np.int8)
    np.save(tmp_path / "x.npy", values.reshape(4, 1, 10, 49))
    check(tmp_path / "build", tmp_path / "x.npy", 4)


@pytest.mark.sim
def test_signed_numbers_are_exact_on_every_backend(tmp_path: Path) -> None:
    path = save(declare(vector(), "FIXED<8,3>"), tmp_path)
    api.build(path, tmp_path / "build", target_cycles=64)
    values = np.random.default_rng(3).integers(-128, 128, (4, 16)) / 32
    np.save(tmp_path / "x.npy", values)
    check(tmp_path / "build", tmp_path / "x.npy", 4)


def test_a_wide_quantiser_of_the_input_goes_where_bytes_pass_it(tmp_path: Path) -> None:
    """Fixed-point numbers of 16 bits, 6 of them whole: bytes of a coarser grid stay as they are."""
    net = Net(seed=4)
    net.shape = [1, 16]
    layers(net, net.quant("x", 2.0**-10, 16), (16, 12, 5), 4)
    path = save(net.model([1, 5]), tmp_path)
    values = np.random.default_rng(1).integers(-128, 128, (40, 16)) / 32
    grid = {"input_scale": "1/32", "input_mean": "4"}
    notes = built_and_asked(path, values.astype(np.float32), tmp_path, **grid)
    assert any("Quant_0 (Quant) of 16 bits leaves all numbers" in note for note in notes)
    for options in ({"input_scale": "0.1"}, {"input_scale": "1"}):
        with pytest.raises(ValueError, match=r"quantises to 16 bits, .*--input-scale, --input-m"):
            api.build(path, tmp_path / "other", until="source", **options)


def outputs_of_file(path: Path, values: np.ndarray, name: str) -> np.ndarray:
    model = ModelWrapper(str(path)).transform(InferShapes())
    rows = [execute_onnx(model, {"x": row[None].astype(np.float32)}, True)[name] for row in values]
    return np.concatenate(rows)


def test_numbers_leave_as_integers_that_a_note_explains(tmp_path: Path) -> None:
    path = save(autoencoder(12), tmp_path)
    values = np.random.default_rng(1).normal(0, 3, (30, 12)).astype(np.float32)
    built = api.build(path, tmp_path / "build", until="pack", outputs="numbers")
    (note,) = (n for n in map(str, built["notes"]) if "leaves as integers" in n)
    step, *offset = note.split("integer * ")[1].split(" + ")
    more = np.array([float(v) for v in offset[0].split(", ")]) if offset else 0.0
    np.save(tmp_path / "x.npy", values)
    result = api.compare(tmp_path / "build", tmp_path / "x.npy", ("qonnx", "golden", "cpu"))
    assert result["values_differing"] == 0
    model = load_model(tmp_path / "build")
    assert model.reads is not None
    found = model.engine.infer(model.reads.bytes_of(values.astype(np.float64)[:, None, None])[0])
    (integers,) = found.values()
    wanted = outputs_of_file(path, values, ModelWrapper(str(path)).graph.output[0].name)
    np.testing.assert_allclose(integers.reshape(30, 12) * float(step) + more, wanted, atol=1e-4)


@pytest.mark.full
@pytest.mark.sim
def test_an_autoencoder_is_exact_on_every_backend(tmp_path: Path) -> None:
    """Of 640 numbers, as MLPerf Tiny has it."""
    path = save(autoencoder(640), tmp_path)
    api.build(path, tmp_path / "build", target_cycles=2048, outputs="numbers")
    np.save(tmp_path / "x.npy", np.random.default_rng(1).normal(0, 3, (3, 640)).astype(np.float32))
    check(tmp_path / "build", tmp_path / "x.npy", 3)


def test_labels_that_hold_each_by_itself_are_not_picked_from(tmp_path: Path) -> None:
    path = save(tagged(), tmp_path)
    values = np.random.default_rng(1).normal(0, 3, (40, 16)).astype(np.float32)
    built = api.build(path, tmp_path / "build", until="pack")
    assert any("a label holds where its logit is 0 or more" in str(n) for n in built["notes"])
    model = load_model(tmp_path / "build")
    assert model.heads == ["raw"] and model.reads is not None
    found = model.engine.infer(model.reads.bytes_of(values.astype(np.float64)[:, None, None])[0])
    (integers,) = found.values()
    wanted = outputs_of_file(path, values, ModelWrapper(str(path)).graph.output[0].name)
    np.testing.assert_array_equal(integers.reshape(40, 5) >= 0, wanted >= 0.5)


def test_numbers_between_steps_are_rounded_and_said(tmp_path: Path) -> None:
    path = save(vector(), tmp_path)
    api.build(path, tmp_path / "build", until="pack", input_scale="1/32", input_mean="4")
    reads = load_model(tmp_path / "build").reads
    assert reads is not None and reads.scale == 1 / 32
    np.save(tmp_path / "x.npy", np.full((1, 16), 0.05))
    (note,) = api.infer(tmp_path / "build", tmp_path / "x.npy")["notes"]
    assert "rounded to the nearest that a byte stands for, the farthest by 0.40 of a step" in note
    for values, told in (
        (np.full((1, 16), 4.0), r"found 4, expected -4 to 3.96875, which bytes stand for; scale"),
        (np.full((1, 16), np.nan), "numbers that are not finite"),
        (np.full((1, 16), -1), r"expected 0..255; save numbers that the network reads as float32"),
    ):
        np.save(tmp_path / "x.npy", values)
        with pytest.raises(PictureError, match=told):
            api.infer(tmp_path / "build", tmp_path / "x.npy")


@pytest.mark.parametrize("mode", ["ROUND", "CEIL", "FLOOR", "UP", "DOWN", "HALF_UP", "HALF_DOWN"])
def test_codes_are_those_that_the_quantiser_gives(mode: Any) -> None:
    values = np.arange(-40, 40) / 8
    reads = Reads(0.5, [3.5], [1.0], mode, -7, 7)
    found, off = reads.bytes_of(values)
    np.testing.assert_array_equal(found, ROUNDINGS[mode](np.clip(values / 0.5, -7, 7)) + 7)
    assert off == 0 and found.dtype == np.uint8


def test_every_type_of_a_byte_has_its_least_number_at_0() -> None:
    for datatype, scale, mean in (
        ("UINT1", 1, 0), ("BINARY", 1, 0), ("BIPOLAR", 2, 1), ("INT2", 1, 2), ("INT8", 1, 128),
        ("FIXED<8,2>", Fraction(1, 64), 2), ("FIXED<6,6>", 1, 32),
    ):  # fmt: skip
        found = declared(datatype)
        assert found is not None and (found.scale, found.mean) == (scale, (mean,))
    for other in ("INT9", "UINT16", "FIXED<16,6>", "FLOAT32", None):
        assert declared(other) is None
    lines = Pixels(0.1, (12.7,), rounding="ROUND").lines(2)
    assert lines == [(Fraction(1, 10), Fraction(127))] * 2
