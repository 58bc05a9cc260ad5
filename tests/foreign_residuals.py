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
