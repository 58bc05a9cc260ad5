# SPDX-License-Identifier: Apache-2.0
"""The same network in the dialects of qonnx and FINN: before and behind their conversions."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from andpop.flows import api
from andpop.hw.graph.clean import clean
from andpop.hw.graph.executor import run
from andpop.hw.graph.loader import load
from andpop.hw.graph.lowering import lower
from andpop.hw.graph.pixels import pixels_of
from andpop.hw.graph.qonnx_graph import LoweringError
from andpop.hw.graph.reference import Reference
from andpop.hw.graph.verify import verify
from foreign_graphs import QONNX, Net, first, head, refusal
from foreign_networks import export_cnv, export_fc, export_flattened_cnn, export_mobile_cnn
from onnx import save
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.transformation.infer_datatypes import InferDataTypes
from qonnx.transformation.infer_shapes import InferShapes
from test_fully_connected import check, draw

Form = Callable[[Path, Path], Path]


def _cleaned(file: Path) -> ModelWrapper:
    from qonnx.util.cleanup import cleanup_model

    return cleanup_model(ModelWrapper(str(file)))


def finn(file: Path, out: Path) -> Path:
    """FINN's conversion: activations are MultiThresholds, weights integers."""
    from finn.transformation.qonnx.convert_qonnx_to_finn import ConvertQONNXtoFINN

    _cleaned(file).transform(ConvertQONNXtoFINN()).save(str(out))
    return out


def streamlined(file: Path, out: Path) -> Path:
    """FINN's streamlining behind it: scales and normalisations lie in the thresholds."""
    from finn.transformation.streamline import Streamline

    ModelWrapper(str(finn(file, out))).transform(Streamline()).save(str(out))
    return out


def lowered(file: Path, out: Path) -> Path:
    """What FINN's build step of that name does: convolutions are products of windows, channels lie
    behind the pixels, products of signs count equal bits."""
    from finn.transformation.streamline import Streamline, absorb
    from finn.transformation.streamline.reorder import MakeMaxPoolNHWC
    from qonnx.transformation.bipolar_to_xnor import ConvertBipolarMatMulToXnorPopcount
    from qonnx.transformation.infer_data_layouts import InferDataLayouts
    from qonnx.transformation.lower_convs_to_matmul import LowerConvsToMatMul

    model = ModelWrapper(str(finn(file, out)))
    for step in (
        absorb.AbsorbSignBiasIntoMultiThreshold, Streamline, LowerConvsToMatMul, MakeMaxPoolNHWC,
        absorb.AbsorbTransposeIntoMultiThreshold, MakeMaxPoolNHWC,
        absorb.AbsorbConsecutiveTransposes, ConvertBipolarMatMulToXnorPopcount, Streamline,
        InferDataLayouts,
    ):  # fmt: skip
        model = model.transform(step())
    model.save(str(out))
    return out


def channels_last(file: Path, out: Path, of_input: bool = False) -> Path:
    """qonnx's channels_last."""
    from qonnx.transformation.channels_last import ConvertToChannelsLastAndClean

    turned = ConvertToChannelsLastAndClean(make_input_channels_last=of_input)
    _cleaned(file).transform(turned).save(str(out))
    return out


def channels_last_of_input(file: Path, out: Path) -> Path:
    return channels_last(file, out, True)


FORMS = (finn, streamlined, lowered, channels_last, channels_last_of_input)


def ops(graph: ModelWrapper) -> list[str]:
    return [node.op_type for node in graph.graph.node]


def logits(file: Path, pictures: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[Any], ModelWrapper]:
    """The exact logits of a file, which qonnx finds in it as well, and its hardware.

    float32 may cross a border of a quantiser: one picture in six may have other logits there.
    """
    ready = clean(load(file).model)
    graph = lower(ready)
    verify(ready, graph, noise=1)
    judge = Reference(ready)
    exact = np.stack(
        [judge.run(p[None], {judge.output})[judge.output].reshape(-1) for p in pictures]
    )
    model = ModelWrapper(str(file)).transform(InferShapes())
    if any(node.op_type == "Im2Col" for node in model.graph.node):
        model = model.transform(InferDataTypes())  # Its execution asks for them.
    name = model.graph.input[0].name
    fed = pictures.transpose(0, 3, 1, 2) / np.float32(255)
    if model.get_tensor_shape(name) != [1, *fed.shape[1:]]:
        fed = fed.transpose(0, 2, 3, 1)
    found = np.stack(
        [next(iter(execute_onnx(model, {name: p[None]}).values())).reshape(-1) for p in fed]
    )
    near = np.isclose(found, exact, atol=1e-3).all(axis=1)
    assert near.sum() >= len(pictures) - len(pictures) // 6, (found, exact)
    picked = next(iter(run(graph, pictures).values())).reshape(-1)
    np.testing.assert_array_equal(picked, exact.argmax(axis=1))
    return exact, graph


def lively(*shape: int) -> npt.NDArray[np.uint8]:
    """Pictures of several brightnesses, with edges."""
    rng = np.random.default_rng(0)
    base = np.linspace(0, 200, shape[0]).reshape(-1, 1, 1, 1)
    edges = 55 * (np.indices(shape[1:]).sum(axis=0) // 4 % 2)
    return (rng.integers(0, 2, shape) * base + edges).astype(np.uint8)


@pytest.fixture(scope="module")
def cnn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_flattened_cnn(tmp_path_factory.mktemp("cnn") / "cnn.onnx")


@pytest.fixture(scope="module")
def tfc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_fc("tfc_1w1a", tmp_path_factory.mktemp("tfc") / "tfc.onnx")


@pytest.mark.parametrize("form", FORMS)
def test_a_small_cnn_is_the_same_in_every_dialect(form: Form, cnn: Path, tmp_path: Path) -> None:
    pictures = lively(6, 16, 16, 1)
    wanted, graph = logits(cnn, pictures)
    found, made = logits(form(cnn, tmp_path / "net.onnx"), pictures)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
    assert len(np.unique(found)) > 12
    assert ops(made) == ops(graph)


@pytest.mark.parametrize("form", [finn, streamlined, lowered])
def test_signs_are_the_same_in_every_dialect(form: Form, tfc: Path, tmp_path: Path) -> None:
    pictures = lively(6, 28, 28, 1)
    wanted, graph = logits(tfc, pictures)
    found, made = logits(form(tfc, tmp_path / "net.onnx"), pictures)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
    assert ops(made) == ops(graph)
    assert "XnorMvu" in ops(made)


@pytest.mark.sim
def test_what_finn_lowered_is_exact_on_every_backend(cnn: Path, tmp_path: Path) -> None:
    api.build(lowered(cnn, tmp_path / "net.onnx"), tmp_path / "build", target_cycles=4096)
    check(tmp_path / "build", draw(tmp_path / "pictures", (16, 16)), 4)


@pytest.mark.parametrize("form", [finn, channels_last])
def test_dialects_are_exact_on_the_cpu(form: Form, cnn: Path, tmp_path: Path) -> None:
    file = form(cnn, tmp_path / "net.onnx")
    api.build(file, tmp_path / "build", until="pack")
    pictures = draw(tmp_path / "pictures", (16, 16), 8)
    assert api.compare(tmp_path / "build", pictures, ("qonnx", "cpu"))["values_differing"] == 0


@pytest.mark.full
@pytest.mark.sim
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["cnv_1w1a", "cnv_2w2a"])
def test_cnv_is_exact_in_every_dialect(form: Form, name: str, tmp_path: Path) -> None:
    plain = export_cnv(tmp_path / "plain.onnx", name)
    file = form(plain, tmp_path / "net.onnx")
    pictures = lively(6, 32, 32, 3)
    np.testing.assert_allclose(
        logits(file, pictures)[0], logits(plain, pictures)[0], rtol=1e-5, atol=1e-5
    )
    api.build(file, tmp_path / "build", target_cycles=40_000, board="zcu104")
    check(tmp_path / "build", draw(tmp_path / "pictures", (32, 32, 3)), 4)


def counts(net: Net, x: str, rows: Any, out_dtype: str = "INT8", **attributes: Any) -> str:
    inputs = [x, net.constant(rows)]
    return net.op("MultiThreshold", inputs, QONNX, out_dtype=out_dtype, **attributes)


@pytest.mark.parametrize(
    ("scale", "bias"),
    [(1.0, 0.0), (0.25, -0.5), (2.0, -3.0), (-1.0, 2.0), (0.5, 0.1), (1.0, 300.0)],
)
def test_thresholds_of_channels_in_any_order(scale: float, bias: float, tmp_path: Path) -> None:
    """Codes up and down, with a factor and a summand; steps between them where these want it."""
    net = Net(channels=3)
    weight = net.constant(net.rng.integers(-3, 4, (4, 3, 3, 3)))
    x = net.op("Mul", [net.op("Conv", ["x", weight], kernel_shape=[3, 3]), net.constant(0.125)])
    x = counts(net, x, net.rng.normal(0, 1, (4, 5)), out_scale=scale, out_bias=bias)
    # On the codes themselves: what lies on a threshold has reached it.
    x = counts(net, x, scale * np.array([[1, 3, 4]]) + bias)
    head(net, x, 4)
    save(net.model([1, 5]), tmp_path / "net.onnx")
    if bias in (0.1, 300.0):
        assert "MultiThreshold" in refusal(net.model([1, 5]), tmp_path)
        return
    pictures = lively(6, 8, 8, 3)
    assert len(np.unique(logits(tmp_path / "net.onnx", pictures)[0])) > 12


def test_bits_with_a_border_are_counted_where_they_are_equal(tmp_path: Path) -> None:
    """Windows of bits with a border of 0, which is no sign."""
    net = Net()
    weight = net.constant(net.rng.integers(-3, 4, (4, 1, 3, 3)))
    x = net.op("Conv", ["x", weight], kernel_shape=[3, 3])
    x = counts(net, x, net.rng.normal(0, 1, (4, 1)), "BINARY")
    x = net.op("Transpose", [x], perm=[0, 2, 3, 1])
    windows = {"stride": [1, 1], "kernel_size": [3, 3], "pad_amount": [1, 1, 1, 1]}
    x = net.op("Im2Col", [x], QONNX, input_shape="(1, 6, 6, 4)", **windows)
    bits = net.constant(net.rng.integers(0, 2, (36, 6)))
    x = net.op("XnorPopcountMatMul", [x, bits], QONNX)
    x = counts(net, x, 18 + net.rng.integers(-6, 7, (6, 3)), data_layout="NHWC")
    head(net, net.op("Transpose", [x], perm=[0, 3, 1, 2]), 6)
    model = ModelWrapper(net.model([1, 5]))
    model.set_tensor_datatype(bits, DataType["BINARY"])
    model.save(str(tmp_path / "net.onnx"))
    found, graph = logits(tmp_path / "net.onnx", lively(6, 8, 8, 1))
    assert len(np.unique(found)) > 12
    assert "FMPadding" in ops(graph)


def test_channels_behind_the_pixels_in_standard_words(tmp_path: Path) -> None:
    """An input (1, H, W, C), constants of channels, axes: as converted Keras networks have them."""
    net = Net(channels=3)
    net.shape = [1, 8, 8, 3]
    x = net.op("Mul", ["x", net.constant([0.5, 1.5, 1.0])])
    x = net.op("Transpose", [net.quant(x, 0.0625, signed=0)], perm=[0, 3, 1, 2])
    weight = net.quant(net.constant(net.weights(4, 3, 3, 3)), narrow=1)
    x = net.op("Conv", [x, weight], kernel_shape=[3, 3])
    x = net.op("Transpose", [x], perm=[0, 2, 3, 1])
    x = net.op("Add", [x, net.constant(net.rng.normal(0, 0.3, (1, 1, 4)))])
    x = net.quant(net.op("Relu", [x]), signed=0)
    x = net.op("Concat", [x, x], axis=-1)
    x = net.op("Pad", [x, net.constant([0, 1, 0, 0, 0, 0, 2, 0], np.int64)])
    # A product of every pixel's channels.
    weight = net.quant(net.constant(net.weights(8, 6)), narrow=1)
    x = net.quant(net.op("MatMul", [x, weight]), 0.5, signed=0)
    x = net.op("ReduceSum", [x, net.constant([1, 2], np.int64)], keepdims=0)
    net.op("MatMul", [x, net.quant(net.constant(net.weights(6, 5)), narrow=1)])
    save(net.model([1, 5]), tmp_path / "net.onnx")
    found, _ = logits(tmp_path / "net.onnx", lively(6, 8, 8, 3))
    assert len(np.unique(found)) > 12


def test_depthwise_convolutions_that_finn_lowered(tmp_path: Path) -> None:
    """Their weights are filled up with 0."""
    plain = export_mobile_cnn(tmp_path / "plain.onnx")
    wanted, graph = logits(plain, lively(6, 16, 16, 3))
    found, made = logits(lowered(plain, tmp_path / "net.onnx"), lively(6, 16, 16, 3))
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
    assert ops(made) == ops(graph)
    assert ops(made).count("GroupedMvu") == 3


def test_an_average_of_finns_conversion(tmp_path: Path) -> None:
    """A shift of the sums of windows."""
    net = Net()
    weight = net.constant(net.rng.integers(-3, 4, (4, 1, 3, 3)))
    x = net.op("Conv", ["x", weight], kernel_shape=[3, 3])
    x = counts(net, x, np.linspace(-3, 3, 15)[None])
    average = {"kernel": 3, "stride": 3, "ibits": 4, "obits": 3, "signed": 0, "data_layout": "NCHW"}
    x = net.op("QuantAvgPool2d", [x], QONNX, **average)
    head(net, x, 4, 2)
    save(net.model([1, 5]), tmp_path / "net.onnx")
    pictures = lively(6, 8, 8, 1)
    assert len(np.unique(logits(tmp_path / "net.onnx", pictures)[0])) > 12


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"data_layout": "NHWC"}, "reads channels behind the pixels"),
        ({"out_scale": 0.0}, "found out_scale 0.0"),
        ({"rows": np.zeros((3, 2))}, "found thresholds of shape"),
        ({"rows": np.zeros((4, 256))}, "expected (1 or 4, n) of at most 255"),
        ({"more": 1}, "expected the attributes"),
    ],
)
def test_thresholds_that_are_refused(change: dict[str, Any], why: str, tmp_path: Path) -> None:
    net = Net()
    weight = net.constant(net.rng.integers(-3, 4, (4, 1, 3, 3)))
    x = net.op("Conv", ["x", weight], kernel_shape=[3, 3])
    head(net, counts(net, x, change.pop("rows", np.zeros((4, 2))), **change), 4)
    assert why in refusal(net.model([1, 5]), tmp_path)


def windows_of_relu(net: Net, x: str) -> str:
    x = net.op("Transpose", [x], perm=[0, 2, 3, 1])
    return net.op("Relu", [_windows(net, x)])


def windows_in_front(net: Net, x: str) -> str:
    return _windows(net, x)


def windows_of_ones(net: Net, x: str) -> str:
    x = net.op("Transpose", [x], perm=[0, 2, 3, 1])
    x = _windows(net, x, pad_amount=[1, 1, 1, 1], pad_value=1)
    return net.op("MatMul", [x, net.constant(net.weights(36, 9))])


def _windows(net: Net, x: str, **more: Any) -> str:
    shape = {"stride": [1, 1], "kernel_size": [3, 3], "input_shape": "(1,6,6,4)"}
    return net.op("Im2Col", [x], QONNX, **shape, **more)


@pytest.mark.parametrize(
    ("middle", "why"),
    [
        (windows_of_relu, "read by Relu, expected windows of two axes"),
        (windows_in_front, "reads channels behind the pixels"),
        (windows_of_ones, "pad_value 1"),
    ],
)
def test_windows_that_are_refused(
    middle: Callable[[Net, str], str], why: str, tmp_path: Path
) -> None:
    """Whether all nodes are looked at or not."""
    net = Net()
    middle(net, first(net))
    proto = net.model([1, 4, 4, 9])
    assert why in refusal(proto, tmp_path)
    with pytest.raises(LoweringError, match=why):
        clean(load(tmp_path / "net.onnx").model, lambda error: None)


@pytest.mark.parametrize(("ends", "raw"), [((20, 240), True), ((0.1, 0.9), False)])
def test_first_thresholds_tell_what_a_pixel_is(ends: tuple[float, float], raw: bool) -> None:
    net = Net()
    x = counts(net, "x", np.linspace(*ends, 7)[None])
    head(net, x, 1, 8)
    found = pixels_of(clean(net.model([1, 5])))
    assert found.step == (1 if raw else Fraction(1, 255))
