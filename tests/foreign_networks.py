# SPDX-License-Identifier: Apache-2.0
"""Networks that andpop did not make, as their authors export them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

FULLY_CONNECTED = (
    "tfc_1w1a", "tfc_1w2a", "tfc_2w2a", "sfc_1w1a", "sfc_1w2a", "sfc_2w2a", "lfc_1w1a", "lfc_1w2a",
)  # fmt: skip
"""The fully connected networks of brevitas_examples: three layers of 64, 256 or 1024 units."""
FEATURES = 600
"""Bits that the network of the security data set reads."""


def export_cnv(path: Path, name: str = "cnv_1w1a") -> Path:
    """brevitas_examples' CNV with random weights and lively BN, half of it negative."""
    return _export_example(name, path, (3, 32, 32), 16)


def export_fc(name: str, path: Path) -> Path:
    """A fully connected network of brevitas_examples with random weights and lively BN."""
    return _export_example(name, path, (1, 28, 28), 256)


def _export_example(name: str, path: Path, shape: tuple[int, int, int], batch: int) -> Path:
    from brevitas_examples.bnn_pynq.models import model_with_cfg

    torch.manual_seed(3)
    net, _ = model_with_cfg(name, pretrained=False)
    return export(net, torch.rand(batch, *shape), path)


def export(net: nn.Module, batch: Tensor, path: Path) -> Path:
    """Give BN random statistics, half of its factors negative, and write QONNX."""
    from brevitas.export import export_qonnx

    net.train()
    with torch.no_grad():
        net(batch)
        for module in net.modules():
            if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
                module.weight.copy_(torch.randn_like(module.weight))
                module.bias.copy_(0.3 * torch.randn_like(module.bias))
    net.eval()
    export_qonnx(net, batch[:1], export_path=str(path), opset_version=13, dynamo=False)
    return path


class Signs(nn.Module):
    """As FINN wraps that network for its export: bits come in as -1 and +1, so leaves the class."""

    def __init__(self, net: nn.Module) -> None:
        import brevitas.nn as qnn
        from brevitas.core.quant import QuantType

        super().__init__()
        self.net = net
        self.sign = qnn.QuantIdentity(
            quant_type=QuantType.BINARY, scaling_impl_type="const", bit_width=1,
            min_val=-1.0, max_val=1.0,
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.sign(self.net((x + torch.tensor([1.0])) / 2.0))


def export_mlp(path: Path, features: int = FEATURES, hidden: int = 64, signs: bool = False) -> Path:
    """FINN's network for the security data set: 2-bit layers with bias, BN, Dropout and a ReLU of
    2 bits; 600 bits in, one logit out. Random weights.

    With ``signs`` bits come in as -1 and +1 and the class leaves as such.
    """
    import brevitas.nn as qnn

    torch.manual_seed(5)
    layers: list[nn.Module] = []
    for inputs in (features, hidden, hidden):
        layers += [
            qnn.QuantLinear(inputs, hidden, bias=True, weight_bit_width=2),
            nn.BatchNorm1d(hidden),
            nn.Dropout(0.5),
            qnn.QuantReLU(bit_width=2),
        ]
    net = nn.Sequential(*layers, qnn.QuantLinear(hidden, 1, bias=True, weight_bit_width=2))
    bits = (torch.rand(256, features) < 0.5).float()
    return export(Signs(net), 2 * bits - 1, path) if signs else export(net, bits, path)


def export_flattened_cnn(path: Path) -> Path:
    """Two convolutions of LeNet's kind, a map of 6x5x5 flattened, two fully connected layers."""
    import brevitas.nn as qnn

    torch.manual_seed(7)
    four = {"bias": False, "weight_bit_width": 4}
    net = nn.Sequential(
        qnn.QuantIdentity(bit_width=8),
        qnn.QuantConv2d(1, 4, 3, **four),
        nn.BatchNorm2d(4),
        qnn.QuantReLU(bit_width=4),
        nn.MaxPool2d(2),
        qnn.QuantConv2d(4, 6, 3, **four),
        nn.BatchNorm2d(6),
        qnn.QuantReLU(bit_width=2),
        nn.Flatten(),
        qnn.QuantLinear(150, 20, **four),
        nn.BatchNorm1d(20),
        qnn.QuantReLU(bit_width=4),
        qnn.QuantLinear(20, 10, **four),
    )
    for module in net.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            module.momentum = 1.0  # The statistics of the one batch: else all codes are 0.
    return export(net, torch.rand(64, 1, 16, 16), path)


def export_mobile_cnn(path: Path) -> Path:
    """Separable blocks as MobileNetV1 has them, strides 1 and 2: weights and activations of 4 bits,
    a first layer and a classifier of 8 bits. Random weights."""
    import brevitas.nn as qnn

    torch.manual_seed(11)
    layers: list[nn.Module] = [
        qnn.QuantIdentity(bit_width=8),
        qnn.QuantConv2d(3, 8, 3, stride=2, padding=1, bias=False, weight_bit_width=8),
        nn.BatchNorm2d(8),
        qnn.QuantReLU(bit_width=4),
    ]
    for inputs, outputs, stride in ((8, 16, 1), (16, 24, 2), (24, 24, 1)):
        for conv, width in (
            (
                qnn.QuantConv2d(
                    inputs, inputs, 3, stride=stride, padding=1, groups=inputs, bias=False,
                    weight_bit_width=4,
                ),
                inputs,
            ),
            (qnn.QuantConv2d(inputs, outputs, 1, bias=False, weight_bit_width=4), outputs),
        ):  # fmt: skip
            layers += [conv, nn.BatchNorm2d(width), qnn.QuantReLU(bit_width=4)]
    layers += [nn.Flatten(), qnn.QuantLinear(24 * 16, 10, bias=False, weight_bit_width=8)]
    return export(nn.Sequential(*layers), torch.rand(64, 3, 16, 16), path)


def export_grouped_cnn(path: Path) -> Path:
    """Depthwise with two outputs of a channel; 5x5 with dilation 2; four groups of four channels,
    two groups of eight. Weights of 4, 3, 4 and 2 bits."""
    import brevitas.nn as qnn

    torch.manual_seed(13)
    layers: list[nn.Module] = [
        qnn.QuantIdentity(bit_width=8),
        qnn.QuantConv2d(3, 8, 3, stride=2, padding=1, bias=False, weight_bit_width=8),
        nn.BatchNorm2d(8),
        qnn.QuantReLU(bit_width=4),
    ]
    for inputs, outputs, groups, kernel, dilation, bits in (
        (8, 16, 8, 3, 1, 4),
        (16, 16, 16, 5, 2, 3),
        (16, 16, 4, 3, 1, 4),
        (16, 16, 2, 3, 1, 2),
    ):
        layers += [
            qnn.QuantConv2d(
                inputs, outputs, kernel, padding=dilation * (kernel // 2), dilation=dilation,
                groups=groups, bias=False, weight_bit_width=bits,
            ),
            nn.BatchNorm2d(outputs),
            qnn.QuantReLU(bit_width=4),
        ]  # fmt: skip
    layers += [nn.Flatten(), qnn.QuantLinear(16 * 64, 10, bias=False, weight_bit_width=4)]
    return export(nn.Sequential(*layers), torch.rand(64, 3, 16, 16), path)


def _four_bits(inputs: int, outputs: int, kernel: int = 3, **more: Any) -> nn.Module:
    import brevitas.nn as qnn

    padding = more.pop("padding", kernel // 2)
    kind = more.pop("kind", qnn.QuantConv2d)
    return kind(inputs, outputs, kernel, padding=padding, bias=False, weight_bit_width=4, **more)


def export_super_resolution(path: Path, way: str) -> Path:
    """quant_espcn of four bits: the pixels of 8x8 become 16x16, by repetition ("nearest") or
    interpolation ("bilinear") and a convolution, or by a pixel shuffle ("shuffle")."""
    import brevitas.nn as qnn

    torch.manual_seed(11)
    tail = (
        [_four_bits(6, 4), nn.PixelShuffle(2)]
        if way == "shuffle"
        else [nn.Upsample(scale_factor=2, mode=way), _four_bits(6, 1)]
    )
    net = nn.Sequential(
        _four_bits(1, 8, 5),
        nn.BatchNorm2d(8),
        qnn.QuantReLU(bit_width=4),
        _four_bits(8, 6),
        nn.BatchNorm2d(6),
        qnn.QuantReLU(bit_width=4),
        *tail,
        qnn.QuantReLU(bit_width=8),
    )
    return export(net, torch.rand(16, 1, 8, 8), path)


def export_autoencoder(path: Path) -> Path:
    """Two halvings by stride, two nearest doublings."""
    import brevitas.nn as qnn

    torch.manual_seed(12)
    layers: list[nn.Module] = [qnn.QuantIdentity(bit_width=8)]
    for inputs, outputs, stride in ((1, 6, 2), (6, 8, 2)):
        layers += [_four_bits(inputs, outputs, stride=stride), nn.BatchNorm2d(outputs)]
        layers += [qnn.QuantReLU(bit_width=4)]
    for inputs, outputs in ((8, 6), (6, 4)):
        layers += [nn.Upsample(scale_factor=2, mode="nearest"), _four_bits(inputs, outputs)]
        layers += [nn.BatchNorm2d(outputs), qnn.QuantReLU(bit_width=4)]
    net = nn.Sequential(*layers, _four_bits(4, 1, 1), qnn.QuantReLU(bit_width=8))
    return export(net, torch.rand(16, 1, 16, 16), path)


class UNet(nn.Module):
    """One halving and one 3x3 transposed convolution of stride 2, beside a skip."""

    def __init__(self) -> None:
        import brevitas.nn as qnn

        super().__init__()
        up = {"kind": qnn.QuantConvTranspose2d, "stride": 2, "padding": 1, "output_padding": 1}
        self.down = nn.Sequential(_four_bits(1, 6), nn.BatchNorm2d(6), qnn.QuantReLU(bit_width=4))
        self.deep = nn.Sequential(
            nn.MaxPool2d(2), _four_bits(6, 8), nn.BatchNorm2d(8), qnn.QuantReLU(bit_width=4)
        )
        self.up = nn.Sequential(_four_bits(8, 6, **up), nn.BatchNorm2d(6))
        self.relu = qnn.QuantReLU(bit_width=4, return_quant_tensor=False)
        self.common = qnn.QuantIdentity(bit_width=4, signed=False)
        self.end = _four_bits(12, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        skip = self.down(x)
        up = self.relu(self.up(self.deep(skip)))
        return self.end(torch.cat([self.common(skip), self.common(up)], dim=1))


def export_u_net(path: Path) -> Path:
    """A small U-Net with random weights."""
    torch.manual_seed(13)
    return export(UNet(), torch.rand(16, 1, 12, 12), path)
