# SPDX-License-Identifier: Apache-2.0
"""Networks that make maps larger: nearest repetition, transposed convolutions, pixel shuffles."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from andpop.flows import api
from andpop.hw.graph.clean import clean
from andpop.hw.graph.float32 import settle
from andpop.hw.graph.heads import write_kinds
from andpop.hw.graph.lowering import lower
from andpop.hw.graph.nodewise import Nodewise
from andpop.hw.graph.pixels import Pixels
from andpop.hw.graph.reference import Reference, execute
from andpop.hw.graph.reference_value import Value
from andpop.hw.graph.resizing import MODES, sources
from andpop.hw.graph.verify import verify
from foreign_graphs import Net, accepted, first, refusal
from foreign_networks import export_autoencoder, export_super_resolution, export_u_net
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import InferenceSession
from test_fully_connected import check, draw

NEAREST = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")


@pytest.mark.parametrize("mode", MODES)
def test_copies_are_those_of_the_operators_definition(mode: str) -> None:
    for rounding in NEAREST:
        for size, out in ((4, 8), (3, 9), (5, 8), (6, 3), (1, 4), (4, 1)):
            node = helper.make_node(
                "Resize", ["x", "", "", "sizes"], ["y"], mode="nearest", nearest_mode=rounding,
                coordinate_transformation_mode=mode,
            )  # fmt: skip
            graph = helper.make_graph(
                [node],
                "resize",
                [helper.make_tensor_value_info("x", TensorProto.FLOAT, [size])],
                [helper.make_tensor_value_info("y", TensorProto.FLOAT, [out])],
                [numpy_helper.from_array(np.array([out], dtype=np.int64), "sizes")],
            )
            opset = helper.make_opsetid("", 19)
            model = helper.make_model(graph, opset_imports=[opset], ir_version=8)
            session = InferenceSession(
                model.SerializeToString(), providers=["CPUExecutionProvider"]
            )
            (wanted,) = session.run(None, {"x": np.arange(size, dtype=np.float32)})
            found = sources(size, out, Fraction(out, size), mode, rounding)
            assert found == wanted.tolist(), (mode, rounding, size, out)


def upsampled(kind: str, opset: int, **way: Any) -> onnx.ModelProto:
    """Codes of 6x6 as 12x18 in the words of an opset; three channels per pixel."""
    net = Net()
    x = first(net)
    scales, none = net.constant(way.pop("scales", [1, 1, 2, 3])), net.constant(np.zeros(0))
    if kind == "attribute":
        x = net.op("Upsample", [x], mode="nearest", scales=[1.0, 1.0, 2.0, 3.0])
    elif kind in ("sizes", "empty"):
        sizes = net.constant([1, 4, 12, 18], np.int64)
        left_out = ["", ""] if kind == "sizes" else [none, net.constant(np.zeros(0))]
        x = net.op("Resize", [x, *left_out, sizes], **{"mode": "nearest", **way})
    elif opset < 11:
        x = net.op("Upsample" if opset < 10 else "Resize", [x, scales], mode="nearest")
    else:
        x = net.op("Resize", [x, none, scales], **{"mode": "nearest", **way})
    weight = net.quant(net.constant(net.weights(3, 4, 1, 1)), narrow=1)
    net.op("Conv", [x, weight], kernel_shape=[1, 1])
    return net.model([1, 3, 12, 18], opset)


@pytest.mark.parametrize(
    ("kind", "opset", "way"),
    [
        ("attribute", 7, {}),
        ("scales", 9, {}),
        ("scales", 10, {}),
        ("scales", 11, {}),
        ("scales", 12, {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}),
        ("sizes", 13, {}),
        ("empty", 11, {}),
        ("sizes", 13, {"nearest_mode": "round_prefer_ceil"}),
        ("scales", 13, {"mode": "linear"}),
        ("sizes", 13, {"mode": "linear", "coordinate_transformation_mode": "pytorch_half_pixel"}),
        ("sizes", 19, {"coordinate_transformation_mode": "half_pixel_symmetric"}),
        ("scales", 11, {"coordinate_transformation_mode": "tf_half_pixel_for_nn",
                        "nearest_mode": "floor"}),
    ],
)  # fmt: skip
def test_every_way_to_say_whole_factors(
    kind: str, opset: int, way: dict[str, Any], tmp_path: Path
) -> None:
    _, network, values = accepted(upsampled(kind, opset, **way), tmp_path)
    assert values > 10_000
    # ONNX Runtime takes the node alone, its constants fed.
    node = next(n for n in network.graph.node if n.op_type in ("Resize", "Upsample"))
    constants = {t.name: numpy_helper.to_array(t) for t in network.graph.initializer}
    feeds = {name: constants[name] for name in node.input if name in constants}
    feeds[node.input[0]] = np.ones((1, 4, 6, 6))
    assert Nodewise(network)(node, feeds)[node.output[0]].shape == (1, 4, 12, 18)


@pytest.mark.parametrize("mode", ["half_pixel", "pytorch_half_pixel", "asymmetric", "Upsample"])
@pytest.mark.parametrize("scale", [(2, 2), (3, 4), (1, 5), (6, 1)])
def test_linear_interpolation_is_that_of_onnx_runtime(scale: tuple[int, int], mode: str) -> None:
    net = Net(5, 4)
    scales = net.constant([1, 1, *scale])
    if mode == "Upsample":
        net.op("Upsample", ["x", scales], mode="linear")
    else:
        way = {"mode": "linear", "coordinate_transformation_mode": mode}
        net.op("Resize", ["x", net.constant(np.zeros(0)), scales], **way)
    proto = net.model([1, 1, 5 * scale[0], 4 * scale[1]], 9 if mode == "Upsample" else 13)
    session = InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    picture = net.rng.integers(0, 256, (1, 5, 4, 1), dtype=np.uint8)
    (wanted,) = session.run(None, {"x": picture.transpose(0, 3, 1, 2).astype(np.float32)})
    found = Reference(clean(proto), Pixels()).run(picture, {net.last})[net.last]
    assert np.allclose(found, wanted, rtol=1e-5, atol=1e-4)
    assert verify(clean(proto), lower(clean(proto), heads={net.last: "map"}), noise=2) > 0


def test_interpolation_of_float32_is_judged_by_its_rounding() -> None:
    """A hair beside the exact value is the exact one, more is a difference."""
    empty, scales = Value(np.zeros(0)), Value(np.array([1.0, 1.0, 3.0, 3.0]))
    x = Value(np.random.default_rng(0).integers(0, 256, (1, 2, 4, 5)).astype(float), Fraction(1, 7))
    half = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    node = helper.make_node("Resize", ["x", "roi", "scales"], ["y"], **half)
    opsets = [helper.make_opsetid("", 13)]
    (exact,) = execute(node, [x, empty, scales], opsets)
    tensors = {"x": x, "roi": empty, "scales": scales, "y": exact}
    near = exact.values.astype(np.float32) * np.float32(1 + 2**-22)
    settled, wrong = settle(node, tensors, "y", near, opsets)
    assert not wrong.any()
    np.testing.assert_array_equal(settled, exact.values)
    _, wrong = settle(node, tensors, "y", near + np.float32(0.01), opsets)
    assert wrong.all()


@pytest.mark.parametrize(
    ("way", "told"),
    [
        ({"mode": "cubic"}, "resizes by mode cubic, expected nearest or linear"),
        (
            {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
            "resizes by mode linear and align_corners, expected half_pixel",
        ),
        (
            {"coordinate_transformation_mode": "align_corners"},
            "makes 12x18 pixels of 6x6 by align_corners and round_prefer_floor, expected",
        ),
        (
            {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "ceil"},
            "by asymmetric and ceil, expected every pixel to be repeated equally often",
        ),
        ({"scales": [1, 1, 2, 1e9]}, "found the scale or size 1000000000.0, expected 0..65536"),
        ({"scales": [1, 1, 2, -1]}, "found the scale or size -1.0, expected 0..65536"),
        ({"scales": [1, 1, 60000, 60000]}, "expected at most 268435456 elements"),
    ],
)
def test_other_ways_are_refused(way: dict[str, Any], told: str, tmp_path: Path) -> None:
    assert told in refusal(upsampled("scales", 13, **way), tmp_path)


TRANSPOSED: list[dict[str, Any]] = [
    {"kernel": (3, 3), "pads": (1, 1, 1, 1), "more": (1, 1), "bias": True, "steps": True},
    {"kernel": (3, 3), "pads": (1, 1, 1, 1), "bias": True},
    {"kernel": (4, 4), "pads": (1, 1, 1, 1), "steps": True},
    {"kernel": (2, 2), "bias": True, "steps": True},
    {"kernel": (3, 5), "strides": (1, 1)},
    {"kernel": (3, 3), "strides": (3, 3), "end": True},
    {"kernel": (5, 4), "strides": (3, 2), "pads": (2, 1, 1, 2), "more": (2, 0), "bias": True},
    {"kernel": (1, 1)},
    {"kernel": (3, 3), "dilations": (2, 2)},
    {"kernel": (3, 3), "pads": (1, 1, 1, 1), "more": (1, 1), "group": 2, "steps": True},
    {"kernel": (4, 4), "strides": (4, 4), "size": (3, 5)},
    {"kernel": (2, 2), "strides": (3, 3), "pads": (2, 2, 2, 2), "more": (1, 1)},
]


def transposed(
    kernel: tuple[int, int],
    strides: tuple[int, int] = (2, 2),
    pads: tuple[int, ...] = (0, 0, 0, 0),
    more: tuple[int, int] = (0, 0),
    dilations: tuple[int, int] = (1, 1),
    group: int = 1,
    bias: bool = False,
    steps: bool = False,
    end: bool = False,
    size: tuple[int, int] = (8, 8),
) -> onnx.ModelProto:
    """A transposed convolution of six outputs, by default with a quantiser behind that falls in
    half of the channels; ``steps``: one weight scale per output."""
    net = Net(*size)
    x, outputs = first(net), 6
    scale = net.rng.uniform(0.05, 0.2, (1, outputs // group, 1, 1)) if steps else 0.1
    values = net.constant(net.weights(4, outputs // group, *kernel))
    inputs = [x, net.quant(values, scale, narrow=1)]
    if bias:
        inputs.append(net.constant(net.rng.uniform(-0.5, 0.5, outputs)))
    x = net.op(
        "ConvTranspose", inputs, kernel_shape=kernel, strides=strides, pads=pads,
        output_padding=more, dilations=dilations, group=group,
    )  # fmt: skip
    made = [
        s * (n - 3) + (k - 1) * d + 1 + o - a - b
        for s, n, k, d, o, a, b in zip(
            strides, size, kernel, dilations, more, pads[:2], pads[2:], strict=True
        )
    ]
    if end:
        return net.model([1, outputs, *made])
    falling = np.where(np.arange(outputs) % 2, -1, 1) * net.rng.uniform(0.5, 1.5, outputs)
    rows = [falling, *(net.rng.uniform(0.2, 0.9, outputs) for _ in range(3))]
    x = net.op("BatchNormalization", [x, *map(net.constant, rows)])
    weight = net.quant(net.constant(net.weights(3, outputs, 1, 1)), narrow=1)
    net.op("Conv", [net.quant(x), weight], kernel_shape=[1, 1])
    return net.model([1, 3, *made])


@pytest.mark.parametrize("form", TRANSPOSED, ids=range(len(TRANSPOSED)))
def test_transposed_convolutions_of_any_kernel_and_stride(
    form: dict[str, Any], tmp_path: Path
) -> None:
    assert accepted(transposed(**form), tmp_path)[2] > 500


@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET"])
@pytest.mark.parametrize("kernel", [[3, 3], [5, 2]])
def test_borders_that_are_told_otherwise(mode: str, kernel: list[int], tmp_path: Path) -> None:
    """As ONNX Runtime reads them."""
    net = Net()
    weight = net.constant(net.rng.integers(-3, 4, (1, 2, *kernel)))
    told = {"output_shape": [13, 12]} if mode == "NOTSET" else {"auto_pad": mode}
    net.op("ConvTranspose", ["x", weight], kernel_shape=kernel, strides=[2, 2], **told)
    size = {"NOTSET": [13, 12], "VALID": [14 + k for k in kernel]}.get(mode, [16, 16])
    proto = net.model([1, 2, *size])
    accepted(proto, tmp_path)
    session = InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    picture = net.rng.integers(0, 256, (1, 8, 8, 1), dtype=np.uint8)
    planes = picture.transpose(0, 3, 1, 2)
    (wanted,) = session.run(None, {"x": planes.astype(np.float32)})
    found = Reference(clean(proto), Pixels()).run(picture, {net.last})
    assert np.array_equal(found[net.last], wanted)


def shuffled(order: str, side: int, channels: int, moves: bool) -> onnx.ModelProto:
    """Four-bit codes whose channels become squares, by an op or the moves it stands for."""
    net = Net()
    inputs = channels * side**2
    weight = net.quant(net.constant(net.weights(inputs, 1, 3, 3)), narrow=1)
    x = net.norm(net.op("Conv", ["x", weight], kernel_shape=[3, 3]), inputs)
    x = net.quant(x, signed=0)
    if moves:
        parts = [side, side, channels] if order == "DCR" else [channels, side, side]
        axes = [0, 3, 4, 1, 5, 2] if order == "DCR" else [0, 1, 4, 2, 5, 3]
        x = net.op("Reshape", [x, net.constant([1, *parts, 6, 6], np.int64)])
        x = net.op("Transpose", [x], perm=axes)
        shape = [1, channels, 6 * side, 6 * side]
        x = net.op("Reshape", [x, net.constant(shape, np.int64)])
    else:
        x = net.op("DepthToSpace", [x], blocksize=side, mode=order)
    weight = net.quant(net.constant(net.weights(3, channels, 1, 1)), narrow=1)
    net.op("Conv", [x, weight], kernel_shape=[1, 1])
    return net.model([1, 3, 6 * side, 6 * side])


@pytest.mark.parametrize("moves", [False, True])
@pytest.mark.parametrize(
    ("order", "side", "channels"),
    [("DCR", 2, 3), ("CRD", 2, 3), ("CRD", 3, 2), ("DCR", 3, 1), ("CRD", 4, 1), ("DCR", 3, 2)],
)
def test_channels_become_squares(
    order: str, side: int, channels: int, moves: bool, tmp_path: Path
) -> None:
    assert accepted(shuffled(order, side, channels, moves), tmp_path)[2] > 5000


def test_a_shuffle_behind_a_concatenation(tmp_path: Path) -> None:
    net = Net()
    x = first(net)
    halves = helper.make_node("Split", [x], ["left", "right"], name="Split", axis=1)
    net.nodes.append(halves)
    x = net.op("Concat", ["right", "left"], axis=1)
    x = net.op("Reshape", [x, net.constant([1, 1, 2, 2, 6, 6], np.int64)])
    x = net.op("Transpose", [x], perm=[0, 1, 4, 2, 5, 3])
    x = net.op("Reshape", [x, net.constant([1, 1, 12, 12], np.int64)])
    weight = net.quant(net.constant(net.weights(3, 1, 1, 1)), narrow=1)
    net.op("Conv", [x, weight], kernel_shape=[1, 1])
    assert accepted(net.model([1, 3, 12, 12]), tmp_path)[2] > 5000


def as_map(path: Path) -> None:
    """Ask for the output as a map of integers."""
    proto = onnx.load(path)
    write_kinds(proto, {proto.graph.output[0].name: "map"})
    onnx.save(proto, path)


@pytest.mark.sim
@pytest.mark.parametrize(
    ("export", "size", "is_map"),
    [
        (lambda path: export_super_resolution(path, "nearest"), 8, True),
        (lambda path: export_super_resolution(path, "bilinear"), 8, True),
        (lambda path: export_super_resolution(path, "shuffle"), 8, True),
        (export_autoencoder, 16, True),
        (export_u_net, 12, False),
    ],
    ids=["nearest", "bilinear", "shuffle", "autoencoder", "u-net"],
)
def test_networks_with_larger_maps_are_exact_on_every_backend(
    export: Callable[[Path], Path], size: int, is_map: bool, tmp_path: Path
) -> None:
    file = export(tmp_path / "net.onnx")
    if is_map:
        as_map(file)
    api.build(file, tmp_path / "build", target_cycles=4096)
    check(tmp_path / "build", draw(tmp_path / "pictures", (size, size)), 4)


@pytest.mark.sim
def test_rare_forms_are_exact_on_every_backend(tmp_path: Path) -> None:
    """A shuffle of 3x3 with channels innermost, columns alone repeated, strides of 3 and 1."""
    net = Net(6, 6)
    weight = net.quant(net.constant(net.weights(18, 4, 1, 1)), narrow=1)
    x = net.norm(net.op("Conv", [first(net), weight], kernel_shape=[1, 1]), 18)
    x = net.op("DepthToSpace", [net.quant(x, signed=0)], blocksize=3)
    x = net.op("MaxPool", [x], kernel_shape=[3, 3], strides=[3, 3])
    scales = net.constant([1, 1, 1, 3])
    x = net.op("Resize", [x, net.constant(np.zeros(0)), scales], mode="nearest")
    weight = net.quant(net.constant(net.weights(2, 4, 4, 3)), narrow=1)
    x = net.op(
        "ConvTranspose", [x, weight], kernel_shape=[4, 3], strides=[3, 1], pads=[1, 1, 0, 1],
        output_padding=[1, 0],
    )  # fmt: skip
    rows = [[1.0, -1.0, 0.5, -0.5], [0.5] * 4, [0.1] * 4, [1.0] * 4]
    x = net.quant(net.op("BatchNormalization", [x, *map(net.constant, rows)]))
    weight = net.quant(net.constant(net.weights(3, 4, 1, 1)), narrow=1)
    net.op("Conv", [x, weight], kernel_shape=[1, 1])
    onnx.save(net.model([1, 3, 13, 12]), tmp_path / "net.onnx")
    api.build(tmp_path / "net.onnx", tmp_path / "build", target_cycles=1024)
    check(tmp_path / "build", draw(tmp_path / "pictures", (6, 6)), 4)
