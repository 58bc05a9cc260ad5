# SPDX-License-Identifier: Apache-2.0
"""Networks of lines (1, C, L): 1-D convolutions over samples of a radio signal."""

from __future__ import annotations

from pathlib import Path

import torch
from foreign_networks import export
from torch import nn


def vgg10(channels: int = 64, dense: int = 128, classes: int = 24, stages: int = 7) -> nn.Module:
    """VGG10 of brevitas_radioml (RadioML 2018): convolutions of 3 samples, each with a max pool of
    2, and three fully connected layers; 8 bits for weights and activations."""
    import brevitas.nn as qnn
    from brevitas.inject.enum import ScalingImplType
    from brevitas.quant import Int8ActPerTensorFloat

    class InputQuantizer(Int8ActPerTensorFloat):
        bit_width = 8
        min_val = -2.0
        max_val = 2.0
        scaling_impl_type = ScalingImplType.CONST

    eight = {"weight_bit_width": 8, "bias": False}
    layers: list[nn.Module] = [qnn.QuantHardTanh(act_quant=InputQuantizer)]
    inputs = 2
    for _ in range(stages):
        layers += [
            qnn.QuantConv1d(inputs, channels, 3, padding=1, **eight),
            nn.BatchNorm1d(channels),
            qnn.QuantReLU(bit_width=8),
            nn.MaxPool1d(2),
        ]
        inputs = channels
    layers.append(nn.Flatten())
    for inputs in (channels * 8, dense):
        layers += [
            qnn.QuantLinear(inputs, dense, **eight),
            nn.BatchNorm1d(dense),
            qnn.QuantReLU(bit_width=8),
        ]
    layers.append(qnn.QuantLinear(dense, classes, weight_bit_width=8, bias=True))
    return nn.Sequential(*layers)


def export_vgg10(path: Path) -> Path:
    """VGG10 as published: 1024 samples of two channels."""
    torch.manual_seed(11)
    return export(vgg10(), 2 * torch.rand(16, 2, 1024) - 1, path)


def export_small_vgg10(path: Path) -> Path:
    """Three stages of 6 channels over 64 samples."""
    torch.manual_seed(11)
    return export(vgg10(6, 10, 5, stages=3), 2 * torch.rand(64, 2, 64) - 1, path)
