# SPDX-License-Identifier: Apache-2.0
"""Small networks as Brevitas and ONNX Runtime's own tools write them, in both dialects."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from andpop.hw.graph.clean import clean
from andpop.hw.graph.executor import run
from andpop.hw.graph.loader import load
from andpop.hw.graph.lowering import lower
from andpop.hw.graph.verify import verify
from torch import nn

SIDE = 12


def small(
    weight: Any,
    activation: Callable[[], nn.Module],
    *,
    bias: bool = False,
    bias_quant: Any = None,
    first: nn.Module | None = None,
    bits: int = 4,
) -> nn.Module:
    """Two blocks and a classifier over the whole map; normalisation where there is no bias."""
    import brevitas.nn as qnn
    from brevitas.quant import Int8WeightPerTensorFloat

    torch.manual_seed(1)
    own = {"weight_quant": weight, "weight_bit_width": bits, "bias": bias, "bias_quant": bias_quant}
    net = nn.Sequential(
        first or nn.Identity(),
        qnn.QuantConv2d(1, 4, 3, **own),
        nn.Identity() if bias else nn.BatchNorm2d(4),
        activation(),
        nn.MaxPool2d(2),
        qnn.QuantConv2d(4, 6, 3, padding=1, **own),
        nn.Identity() if bias else nn.BatchNorm2d(6),
        activation(),
        qnn.QuantConv2d(
            6, 5, 5, bias=False, weight_quant=Int8WeightPerTensorFloat, weight_bit_width=4
        ),
        nn.Flatten(),
    )
    net.train()
    with torch.no_grad():
        for _ in range(8):
            net(torch.rand(16, 1, SIDE, SIDE))
    return net.eval()


def relu(kind: str, bits: int = 4) -> Callable[[], nn.Module]:
    import brevitas.nn as qnn
    from brevitas import quant

    act = getattr(quant, kind)
    return lambda: qnn.QuantReLU(act_quant=act, bit_width=bits, return_quant_tensor=True)


def identity(kind: str, bits: int) -> Callable[[], nn.Module]:
    import brevitas.nn as qnn
    from brevitas import quant

    act = getattr(quant, kind)
    return lambda: qnn.QuantIdentity(act_quant=act, bit_width=bits, return_quant_tensor=True)


def network(kind: str) -> nn.Module:
    from brevitas import quant

    if kind == "per tensor":
        return small(quant.Int8WeightPerTensorFloat, relu("Uint8ActPerTensorFloat"))
    if kind == "per channel":
        return small(quant.Int8WeightPerChannelFloat, relu("Uint8ActPerTensorFloat"))
    if kind == "fixed point":
        return small(quant.Int8WeightPerTensorFixedPoint, relu("Uint8ActPerTensorFixedPoint"))
    if kind == "8 bits":
        return small(quant.Int8WeightPerTensorFloat, relu("Uint8ActPerTensorFloat", 8), bits=8)
    if kind == "signed":
        return small(quant.Int8WeightPerTensorFloat, identity("Int8ActPerTensorFloat", 4))
    if kind == "bias":
        return small(quant.Int8WeightPerTensorFloat, relu("Uint8ActPerTensorFloat"), bias=True)
    assert kind == "quantised bias and input"
    return small(
        quant.Int8WeightPerTensorFloat,
        relu("Uint8ActPerTensorFloat"),
        bias=True,
        bias_quant=quant.Int32Bias,
        first=identity("Uint8ActPerTensorFloat", 8)(),
    )


KINDS = (
    "per tensor", "per channel", "fixed point", "8 bits", "signed", "bias",
    "quantised bias and input",
)  # fmt: skip


def check(path: Path, layers: bool = True) -> None:
    """Lowered, of the classes the file as it is gives, and (``layers``) equal tensor by tensor.

    The file is executed in float32 by ONNX Runtime: an accumulator a rounding error away from a
    threshold may fall to the other side, so single pictures may differ in class.
    """
    ready = clean(load(path).model)
    graph = lower(ready)
    if layers:
        assert verify(ready, graph, noise=2) > 3000
    pictures = np.random.default_rng(0).integers(0, 256, (16, SIDE, SIDE, 1), dtype=np.uint8)
    classes = next(iter(run(graph, pictures).values())).reshape(-1)
    session = onnxruntime.InferenceSession(path)
    planes = (pictures.transpose(0, 3, 1, 2) / np.float32(255)).astype(np.float32)
    name = session.get_inputs()[0].name
    logits = np.concatenate([session.run(None, {name: p[None]})[0].reshape(1, -1) for p in planes])
    assert np.mean(classes == logits.argmax(axis=1)) >= 15 / 16


@pytest.mark.parametrize("kind", KINDS)
def test_brevitas_qcdq(kind: str, tmp_path: Path) -> None:
    from brevitas.export import export_onnx_qcdq

    example = torch.rand(1, 1, SIDE, SIDE)
    path = tmp_path / "net.onnx"
    export_onnx_qcdq(network(kind), example, export_path=str(path), opset_version=13, dynamo=False)
    ops = {n.op_type for n in onnx.load(path).graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= ops
    check(path, layers=kind != "8 bits")


@pytest.mark.parametrize(
    ("per_channel", "symmetric"), [(False, True), (True, True), (False, False)]
)
def test_onnx_runtime_qdq(per_channel: bool, symmetric: bool, tmp_path: Path) -> None:
    """8 bits after training, as ONNX Runtime's quantize_static writes them: signed and symmetric,
    or as by default unsigned with a zero point."""
    from onnxruntime import quantization

    torch.manual_seed(2)
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3), nn.ReLU(),
        nn.Conv2d(6, 5, 3), nn.Flatten(),
    ).eval()  # fmt: skip
    plain, path = tmp_path / "plain.onnx", tmp_path / "net.onnx"
    example = torch.rand(1, 1, SIDE, SIDE)
    torch.onnx.export(net, (example,), plain, opset_version=13, dynamo=False, input_names=["x"])

    class Reader(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            rng = np.random.default_rng(3)
            self.feeds = iter(
                [{"x": rng.random((1, 1, SIDE, SIDE), dtype=np.float32)} for _ in range(8)]
            )

        def get_next(self) -> Any:
            return next(self.feeds, None)

    quantization.quantize_static(
        plain,
        path,
        Reader(),
        quant_format=quantization.QuantFormat.QDQ,
        per_channel=per_channel,
        activation_type=getattr(quantization.QuantType, "QInt8" if symmetric else "QUInt8"),
        weight_type=quantization.QuantType.QInt8,
        extra_options={"ActivationSymmetric": symmetric},
    )
    check(path, layers=per_channel)


@pytest.mark.parametrize("kind", KINDS)
def test_brevitas_qonnx(kind: str, tmp_path: Path) -> None:
    from brevitas.export import export_qonnx

    example = torch.rand(1, 1, SIDE, SIDE)
    path = tmp_path / "net.onnx"
    export_qonnx(network(kind), example, export_path=str(path), opset_version=13, dynamo=False)
    network_read = clean(load(path).model)
    graph = lower(network_read)
    if kind != "8 bits":
        assert verify(network_read, graph, noise=2) > 3000
    assert [n.op_type for n in graph.graph.node].count("IntMvu") == 3
