# SPDX-License-Identifier: Apache-2.0
"""Residual networks that andpop did not make, as their authors export them."""

from __future__ import annotations

from pathlib import Path

import torch
from foreign_networks import export
from torch import Tensor, nn


def export_resnet8(path: Path, side: int = 16) -> Path:
    """Three stages of one QuantBasicBlock each, of brevitas_examples' ResNet18 4w4a; a fully
    connected layer reads the last map."""
    import brevitas.nn as qnn
    from brevitas_examples.bnn_pynq.models.resnet import QuantBasicBlock

    torch.manual_seed(11)
    four = {"act_bit_width": 4, "weight_bit_width": 4}
    relu = qnn.QuantReLU(bit_width=4, return_quant_tensor=True)
    net = nn.Sequential(
        qnn.QuantConv2d(3, 8, 3, padding=1, bias=False, weight_bit_width=8),
        nn.BatchNorm2d(8),
        relu,
        QuantBasicBlock(8, 8, shared_quant_act=relu, **four),
        QuantBasicBlock(8, 12, stride=2, **four),
        QuantBasicBlock(12, 16, stride=2, **four),
        nn.Flatten(),
        qnn.QuantLinear(16 * (side // 4) ** 2, 10, bias=False, weight_bit_width=8),
    )
    return export(net, torch.rand(32, 3, side, side), path)


class Strided(nn.Module):
    """A basic block with a 1x1 convolution as its shortcut, each with a quantiser of its own:
    signed codes of one scale and unsigned ones of another."""

    def __init__(self, inputs: int, outputs: int, bits: int = 4) -> None:
        import brevitas.nn as qnn

        super().__init__()
        four = {"bias": False, "weight_bit_width": 4}
        self.body = nn.Sequential(
            qnn.QuantConv2d(inputs, outputs, 3, stride=2, padding=1, **four),
            nn.BatchNorm2d(outputs),
            qnn.QuantReLU(bit_width=bits),
            qnn.QuantConv2d(outputs, outputs, 3, padding=1, **four),
            nn.BatchNorm2d(outputs),
            qnn.QuantIdentity(bit_width=bits),
        )
        self.shortcut = nn.Sequential(
            qnn.QuantConv2d(inputs, outputs, 1, stride=2, **four),
            nn.BatchNorm2d(outputs),
            qnn.QuantReLU(bit_width=bits),
        )
        self.relu = qnn.QuantReLU(bit_width=bits)

    def forward(self, x: Tensor) -> Tensor:
        total: Tensor = self.relu(self.body(x) + self.shortcut(x))
        return total


class PreActivated(nn.Module):
    """Blocks that read a sum by normalisation and quantiser, and add to the sum as it is; at the
    end three tensors are added."""

    def __init__(self, channels: int) -> None:
        import brevitas.nn as qnn

        super().__init__()
        self.shared = qnn.QuantIdentity(bit_width=4)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.BatchNorm2d(channels),
                qnn.QuantReLU(bit_width=3),
                qnn.QuantConv2d(channels, channels, 3, padding=1, bias=False, weight_bit_width=4),
                nn.BatchNorm2d(channels),
            )
            for _ in range(3)
        )
        self.last = nn.Sequential(nn.BatchNorm2d(channels), qnn.QuantReLU(bit_width=4))

    def forward(self, x: Tensor) -> Tensor:
        first, second, third = self.blocks
        x = self.shared(x)
        x = x + self.shared(first(x))
        x = x + self.shared(second(x)) + self.shared(third(x))
        found: Tensor = self.last(x)
        return found


def _framed(body: nn.Module, inputs: int, outputs: int, side: int) -> nn.Sequential:
    """A convolution in front and a fully connected layer behind."""
    import brevitas.nn as qnn

    return nn.Sequential(
        qnn.QuantConv2d(3, inputs, 3, padding=1, bias=False, weight_bit_width=4),
        nn.BatchNorm2d(inputs),
        qnn.QuantReLU(bit_width=4),
        body,
        nn.Flatten(),
        qnn.QuantLinear(outputs * side**2, 10, bias=False, weight_bit_width=4),
    )


def export_strided(path: Path, side: int = 8) -> Path:
    """One `Strided` block."""
    torch.manual_seed(13)
    net = _framed(Strided(6, 8), 6, 8, side // 2)
    return export(net, torch.rand(32, 3, side, side), path)


def export_preactivated(path: Path, side: int = 8) -> Path:
    """Three pre-activated blocks."""
    torch.manual_seed(17)
    return export(_framed(PreActivated(6), 6, 6, side), torch.rand(32, 3, side, side), path)


def export_resnet18(path: Path, side: int = 64, width: int = 16) -> Path:
    """The blocks of brevitas_examples' ResNet18 4w4a, at a quarter of its width; a fully connected
    layer reads the last map in place of its average pool."""
    import brevitas.nn as qnn
    from brevitas_examples.bnn_pynq.models.resnet import QuantBasicBlock

    torch.manual_seed(19)
    four = {"act_bit_width": 4, "weight_bit_width": 4}
    shared = qnn.QuantReLU(bit_width=4, return_quant_tensor=True)
    layers = [
        qnn.QuantConv2d(3, width, 3, padding=1, bias=False, weight_bit_width=8),
        nn.BatchNorm2d(width),
        shared,
    ]
    inputs = width
    for stage in range(4):
        for stride in (1 if stage == 0 else 2, 1):
            block = QuantBasicBlock(
                inputs, width << stage, stride=stride, shared_quant_act=shared, **four
            )
            layers.append(block)
            shared, inputs = block.relu_out, width << stage
    layers += [
        nn.Flatten(),
        qnn.QuantLinear(inputs * (side // 8) ** 2, 10, bias=False, weight_bit_width=8),
    ]
    return export(nn.Sequential(*layers), torch.rand(8, 3, side, side), path)
