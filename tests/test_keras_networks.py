# SPDX-License-Identifier: Apache-2.0
"""Networks of QKeras, as hls4ml's users have them, on every backend."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from andpop.flows import api
from andpop.hw.graph.loader import load
from foreign_graphs import QONNX, Net, first, head, refusal, save
from foreign_keras import (
    KerasNet,
    digits,
    jet_tagger,
    residual,
    street_numbers,
    unflattened,
)
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.transformation.infer_shapes import InferShapes
from test_fully_connected import check

BYTES = {"input_scale": "1"}


def inputs(folder: Path, *shape: int) -> Path:
    values = np.random.default_rng(0).integers(0, 256, (4, *shape), dtype=np.uint8)
    values[2], values[3] = 0, 255
    np.save(folder / "x.npy", values)
    return folder / "x.npy"


def classes_of_file(proto: onnx.ModelProto, values: np.ndarray) -> list[int]:
    """What qonnx makes of a file that andpop never touched."""
    for node in proto.graph.node:
        node.domain = QONNX if node.op_type == "Quant" else ""
    model = ModelWrapper(proto).transform(InferShapes())
    found = [
        execute_onnx(model, {"x": row[None].astype(np.float32)})[proto.graph.output[0].name]
        for row in values
    ]
    return [int(np.argmax(row)) for row in found]


@pytest.mark.parametrize(
    ("made", "shape"),
    [
        (digits, (12, 12, 1)), (street_numbers, (16, 16, 3)), (jet_tagger, (16,)),
        (residual, (8, 8, 3)), (unflattened, (100,)),
    ],
)  # fmt: skip
def test_networks_of_qkeras_are_exact_on_the_cpu(
    made: Callable[[], onnx.ModelProto], shape: tuple[int, ...], tmp_path: Path
) -> None:
    """And find the classes that qonnx finds in the file itself."""
    built = api.build(save(made(), tmp_path), tmp_path / "build", until="pack", **BYTES)
    assert any("is left to software" in note for note in built["notes"])
    images = inputs(tmp_path, *shape)
    result = api.compare(tmp_path / "build", images, ("qonnx", "golden", "cpu"))
    assert result["values_differing"] == 0
    found = api.infer(tmp_path / "build", images)["predictions"]
    assert [int(row["class"]) for row in found] == classes_of_file(made(), np.load(images))


@pytest.mark.sim
def test_the_jet_tagger_is_exact_on_every_backend(tmp_path: Path) -> None:
    api.build(save(jet_tagger(), tmp_path), tmp_path / "build", target_cycles=256, **BYTES)
    check(tmp_path / "build", inputs(tmp_path, 16), 4)


@pytest.mark.full
@pytest.mark.sim
@pytest.mark.parametrize(
    ("made", "shape"), [(digits, (12, 12)), (street_numbers, (16, 16, 3)), (residual, (8, 8, 3))]
)
def test_convolutions_of_qkeras_are_exact_on_every_backend(
    made: Callable[[], onnx.ModelProto], shape: tuple[int, ...], tmp_path: Path
) -> None:
    api.build(save(made(), tmp_path), tmp_path / "build", target_cycles=2048)
    check(tmp_path / "build", inputs(tmp_path, *shape), 4)


@pytest.mark.parametrize(
    "domain", ["", "qonnx", "finn", "finn.custom_op.general", "onnx.brevitas", "hawq2qonnx"]
)
def test_quantisers_are_known_by_every_domain_they_were_written_with(
    domain: str, tmp_path: Path
) -> None:
    net = Net()
    head(net, first(net), 4)
    proto = net.model([1, 5])
    for node in proto.graph.node:
        node.domain = domain if node.domain == QONNX else ""
    del proto.opset_import[1:]
    model = load(save(proto, tmp_path)).model
    assert {node.domain for node in model.graph.node if node.op_type == "Quant"} == {QONNX}
    assert {opset.domain for opset in model.opset_import} == {"", QONNX}


def test_a_scale_that_float32_does_not_hold_is_refused(tmp_path: Path) -> None:
    net = KerasNet()
    parameters = [net.constant(0.1, np.float64), net.constant(0, np.int64), net.constant(4)]
    head(net, first(net, lambda x: net.op("Quant", [x, *parameters], signed=0, narrow=0)), 4)
    told = refusal(net.model([1, 5]), tmp_path)
    assert "of float64 that float32 does not hold; store it as float32" in told


def test_float_weights_are_refused_by_what_they_lack(tmp_path: Path) -> None:
    net = KerasNet()
    net.op("MatMul", [net.op("Flatten", [first(net)]), net.constant(net.weights(144, 5))])
    assert "that no quantiser makes, expected a Quant of 1 to 8" in refusal(
        net.model([1, 5]), tmp_path
    )


def test_minifloats_are_refused_with_what_to_do(tmp_path: Path) -> None:
    net = Net()
    head(net, first(net, lambda x: net.op("FloatQuant", [x], QONNX)), 4)
    told = refusal(net.model([1, 5]), tmp_path)
    assert "has op 'FloatQuant'" in told and "train with integer quantisers" in told
