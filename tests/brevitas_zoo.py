# SPDX-License-Identifier: Apache-2.0
"""Small networks in Brevitas' own words, a construct each, with lively normalisations."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

Shape = tuple[int, ...]


class Made(nn.Module):
    """A forward function over named parts."""

    def __init__(self, function: Callable[[Any, Tensor], Any], **parts: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x: Tensor) -> Any:
        return self.function(self, x)


def export(net: nn.Module, picture: Tensor, path: Path, how: str) -> None:
    """Write a network with one of Brevitas' exporters."""
    from brevitas.export import export_onnx_qcdq, export_qonnx

    write = {"qonnx": export_qonnx, "qcdq": export_onnx_qcdq}[how]
    with contextlib.redirect_stdout(io.StringIO()):
        write(net, picture, export_path=str(path), opset_version=13, dynamo=False)


def settled(net: nn.Module, shape: Shape) -> nn.Module:
    """Statistics of a batch; factors of both signs in the normalisations."""
    batch = torch.rand(32, *shape)
    norms = [m for m in net.modules() if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d))]
    with torch.no_grad():
        for norm in norms:
            norm.momentum = 1.0
        for _ in range(3):
            net.train()(batch)
        for norm in norms:
            norm.weight.copy_(torch.randn_like(norm.weight))
            norm.bias.copy_(0.3 * torch.randn_like(norm.bias))
    return net.eval()


def codes(bits: int = 4, **more: Any) -> nn.Module:
    import brevitas.nn as qnn

    return qnn.QuantIdentity(bit_width=bits, **more)


def relu(bits: int = 4, **more: Any) -> nn.Module:
    import brevitas.nn as qnn

    return qnn.QuantReLU(bit_width=bits, **{"return_quant_tensor": True, **more})


def conv(inputs: int, outputs: int, kernel: Any = 3, kind: str = "Conv2d", **more: Any) -> Any:
    import brevitas.nn as qnn

    given = {"bias": False, "weight_bit_width": 4, **more}
    return getattr(qnn, f"Quant{kind}")(inputs, outputs, kernel, **given)


def linear(inputs: int, outputs: int, **more: Any) -> nn.Module:
    import brevitas.nn as qnn

    return qnn.QuantLinear(inputs, outputs, **{"bias": False, "weight_bit_width": 4, **more})


def trunk(last: nn.Module | None = None, channels: int = 4) -> nn.Sequential:
    """8x8 pixels become 6x6 codes of 4 channels, or what ``last`` makes of them."""
    norm = nn.BatchNorm2d(channels)
    return nn.Sequential(
        codes(8, return_quant_tensor=True), conv(1, channels), norm, last or relu()
    )


def behind(*layers: nn.Module, last: nn.Module | None = None) -> nn.Module:
    return nn.Sequential(trunk(last), *layers)


def activated(function: nn.Module | Callable[[Tensor], Tensor]) -> nn.Module:
    """A function in front of a quantiser, and a convolution."""
    if not isinstance(function, nn.Module):
        called = function
        function = Made(lambda own, x: called(x))
    return behind(codes(), conv(4, 2, 1), last=function)


def line(*layers: nn.Module) -> nn.Module:
    """Lines of 2 channels and 16 samples become 14 of 4 channels."""
    return nn.Sequential(codes(8), conv(2, 4, kind="Conv1d"), nn.BatchNorm1d(4), *layers)


def classified(features: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), linear(features, 5))


def rows(*layers: nn.Module, factors: bool = False) -> nn.Module:
    """6 rows of 16 features, of which fully connected layers make 8 each."""
    if factors:
        layers[0].factors = nn.Parameter(torch.randn(8))
    return nn.Sequential(codes(8), linear(16, 8), codes(), *layers)


def focus(own: Any, x: Tensor) -> Tensor:
    parts = [x[:, :, i::2, j::2] for j in (0, 1) for i in (0, 1)]
    return own.end(torch.cat(parts, 1))


def halves(own: Any, x: Tensor) -> Tensor:
    first, second = own.trunk(x).chunk(2, 1)
    return own.end(torch.cat([second, first], 1))


def scaled_and_moved() -> nn.Module:
    import brevitas.nn as qnn
    from brevitas.quant import Int8WeightPerTensorFloat

    scale = qnn.QuantScaleBias(
        4, bias=True, runtime_shape=(1, -1, 1, 1), weight_quant=Int8WeightPerTensorFloat
    )
    with torch.no_grad():
        scale.weight.copy_(torch.randn(4))
        scale.bias.copy_(torch.randn(4))
    return behind(scale, codes(), conv(4, 2, 1))


def with_weights(kind: str, **more: Any) -> nn.Module:
    from brevitas import quant

    given = {"weight_quant": getattr(quant, kind), **more}
    return behind(conv(4, 6, **given), nn.BatchNorm2d(6), relu(3), classified(96))


def with_codes(kind: str, **more: Any) -> nn.Module:
    from brevitas import quant

    last = codes(8, act_quant=getattr(quant, kind), return_quant_tensor=True, **more)
    return behind(conv(4, 6, padding=1), nn.BatchNorm2d(6), relu(3), classified(216), last=last)


def with_bias(kind: str) -> nn.Module:
    from brevitas import quant

    given = {"bias": True, "bias_quant": getattr(quant, kind)}
    first = conv(4, 6, weight_quant=quant.Int8WeightPerChannelFloat, **given)
    return behind(first, relu(3), nn.Flatten(), linear(96, 5, **given))


def turned(padding: int, groups: int, dilation: int, stride: int) -> nn.Module:
    more = {"output_padding": padding, "groups": groups, "dilation": dilation, "stride": stride}
    up = conv(4, 4, kind="ConvTranspose2d", padding=1, **more)
    return behind(nn.MaxPool2d(2), up, nn.BatchNorm2d(4), relu(), conv(4, 2, 1), codes(8))


def truncated(**more: Any) -> nn.Module:
    import brevitas.nn as qnn

    return behind(qnn.TruncAvgPool2d(2, **more), classified(36), last=relu(6))


def averages() -> nn.Module:
    """QCDQ quantises them by a scale whose half they often are."""
    import brevitas.nn as qnn

    last = codes(5, return_quant_tensor=True)
    return behind(qnn.TruncAdaptiveAvgPool2d(2), classified(16), last=last)


def quantised_upsampling(**mode: Any) -> nn.Module:
    import brevitas.nn as qnn

    return behind(qnn.QuantUpsample(scale_factor=2, **mode), conv(4, 2), codes(8))


MAP = (1, 8, 8)
LINE = (2, 16)
NETWORKS: dict[str, tuple[Callable[[], nn.Module], Shape]] = {
    "channel scales": (lambda: with_weights("Int8WeightPerChannelFloat"), MAP),
    "powers of two": (lambda: with_weights("Int8WeightPerTensorFixedPoint"), MAP),
    "zero points": (lambda: with_weights("ShiftedUint8WeightPerTensorFloat"), MAP),
    "ternary": (lambda: with_weights("SignedTernaryWeightPerTensorConst"), MAP),
    "binary": (lambda: with_weights("SignedBinaryWeightPerTensorConst"), MAP),
    "2 bits, wide": (lambda: with_weights("Int8WeightPerTensorFloat", weight_narrow_range=False,
                                          weight_bit_width=2), MAP),  # fmt: skip
    "codes with a zero point": (lambda: with_codes("ShiftedUint8ActPerTensorFloat"), MAP),
    "fixed points": (lambda: with_codes("Int8ActPerTensorFixedPoint"), MAP),
    "signs of 1.7": (lambda: with_codes("SignedBinaryActPerTensorConst", min_val=-1.7,
                                        max_val=1.7), MAP),  # fmt: skip
    "bias of 8 bits": (lambda: with_bias("Int8BiasPerTensorFloatInternalScaling"), MAP),
    "bias of 32 bits": (lambda: with_bias("Int32Bias"), MAP),
    "8, 4 and 2 bits": (lambda: behind(relu(8), codes(4), codes(2), classified(144)), MAP),
    "transposed, groups": (lambda: turned(1, 2, 1, 2), MAP),
    "transposed, dilated": (lambda: turned(1, 1, 2, 2), MAP),
    "truncated": (lambda: truncated(bit_width=4, float_to_int_impl_type="floor"), MAP),
    "averages between two codes": (averages, MAP),
    "repeated": (lambda: quantised_upsampling(mode="nearest"), MAP),
    "line, halves of channels": (lambda: line(codes(), Made(lambda own, x: torch.cat(
        x.chunk(2, 1)[::-1], 1)), classified(56)), LINE),
    "QuantTensor at the end": (lambda: behind(conv(4, 3, 1), relu(8)), MAP),
    "QuantScaleBias": (scaled_and_moved, MAP),
    "halves of channels": (lambda: Made(halves, trunk=trunk(codes()), end=classified(144)), MAP),
    "every other pixel": (lambda: Made(lambda own, x: own.end(own.trunk(x)[:, :, 1::2, :5:3]),
                                       trunk=trunk(codes()), end=classified(24)), MAP),  # fmt: skip
    "pixels side by side": (lambda: Made(focus, end=nn.Sequential(
        conv(4, 4), nn.BatchNorm2d(4), relu(), classified(16))), MAP),  # fmt: skip
    "maximum of a map": (lambda: Made(lambda own, x: own.end(own.trunk(x).amax((2, 3))),
                                      trunk=trunk(codes()), end=linear(4, 5)), MAP),  # fmt: skip
    "celu": (lambda: activated(nn.CELU(0.7)), MAP),
    "selu": (lambda: activated(nn.SELU()), MAP),
    "logarithm of a sigmoid": (lambda: activated(nn.LogSigmoid()), MAP),
    "cube": (lambda: activated(lambda x: x**3), MAP),
    "bell": (lambda: activated(lambda x: torch.exp(-x * x)), MAP),
    "root": (lambda: activated(lambda x: torch.sqrt(x.abs() + 1)), MAP),
    "rounded": (lambda: activated(lambda x: torch.round(3 * x) / 3), MAP),
    "sign": (lambda: activated(torch.sign), MAP),
    "line, sigmoid": (lambda: line(nn.Sigmoid(), codes(), classified(56)), LINE),
    "line, prelu": (lambda: line(nn.PReLU(4), codes(), classified(56)), LINE),
    "line, repeated": (lambda: line(codes(), nn.Upsample(scale_factor=2), conv(4, 2, kind="Conv1d"),
                                    codes(8)), LINE),  # fmt: skip
    "line, interpolated": (lambda: line(codes(), nn.Upsample(scale_factor=2, mode="linear"),
                                        codes(), conv(4, 2, kind="Conv1d"), codes(8)), LINE),
}  # fmt: skip
ROWS = (6, 16)
NETWORKS |= {
    "rows": (lambda: rows(linear(8, 3, bias=True)), ROWS),
    "rows, factors": (lambda: rows(Made(lambda own, x: own.codes(x * own.factors),
                                        codes=codes(5)), linear(8, 3), factors=True), ROWS),
    "rows, flattened": (lambda: rows(nn.Flatten(), linear(48, 5)), ROWS),
    "rows, averaged": (lambda: rows(Made(lambda own, x: x.mean(1)), linear(8, 5)), ROWS),
    "rows of a map": (lambda: nn.Sequential(codes(8), linear(8, 5), relu(), linear(5, 3)),
                      (2, 6, 8)),
}  # fmt: skip
"""Fully connected layers of the last axis."""
ALSO_QCDQ = (
    "rows", "channel scales", "zero points", "codes with a zero point", "bias of 8 bits",
    "repeated", "QuantTensor at the end", "QuantScaleBias", "line, prelu",
    "averages between two codes",
)  # fmt: skip
"""Networks that are read in the other dialect as well. It has no words for signs, and rounds where
a TruncAvgPool2d drops bits."""


def network(name: str) -> tuple[nn.Module, Shape]:
    """A network by its name, and the shape of its input."""
    torch.manual_seed(4)
    make, shape = NETWORKS[name]
    return settled(make(), shape), shape


def interpolated() -> nn.Module:
    return quantised_upsampling(mode="bilinear", align_corners=False)


def squeeze_and_excite() -> nn.Module:
    gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), codes(8), conv(4, 4, 1), nn.Sigmoid(), codes())

    def forward(own: Any, x: Tensor) -> Tensor:
        x = own.trunk(x)
        return own.end(own.codes(x * own.gate(x)))

    return Made(forward, trunk=trunk(codes()), gate=gate, codes=codes(), end=classified(144))


def larger_of_two() -> nn.Module:
    other = nn.Sequential(conv(4, 4, padding=1), codes())

    def forward(own: Any, x: Tensor) -> Tensor:
        x = own.trunk(x)
        return own.end(torch.maximum(x, own.other(x)))

    return Made(forward, trunk=trunk(codes()), other=other, end=classified(144))


def relu_of_1_bit() -> nn.Module:
    return behind(classified(144), last=relu(1))


def float_weights() -> nn.Module:
    return behind(nn.Conv2d(4, 2, 1), last=codes())


def tanh_at_the_end() -> nn.Module:
    return behind(conv(4, 3, 1), nn.Tanh(), last=codes())


def some_channels() -> nn.Module:
    return Made(lambda own, x: own.end(own.trunk(x)[:, 1:3]), trunk=trunk(codes()),
                end=classified(72))  # fmt: skip
