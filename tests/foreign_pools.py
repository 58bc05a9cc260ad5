# SPDX-License-Identifier: Apache-2.0
"""Networks with average pools, as Brevitas exports them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from foreign_networks import export
from torch import nn

SIDE = 20


def lenet() -> nn.Module:
    """LeNet-5 with average pools and biases, narrow; behind the first pool codes are quantised
    again, behind the second they go on as sums."""
    import brevitas.nn as qnn

    layers: list[nn.Module] = [qnn.QuantIdentity(bit_width=8)]
    for inputs, outputs, behind in ((1, 4, [qnn.QuantIdentity(bit_width=6)]), (4, 6, [])):
        layers += [
            qnn.QuantConv2d(inputs, outputs, 5, bias=True, weight_bit_width=4),
            qnn.QuantReLU(bit_width=4),
            nn.AvgPool2d(2),
            *behind,
        ]
    layers.append(nn.Flatten())
    for inputs, outputs in ((24, 16), (16, 12)):
        layers += [
            qnn.QuantLinear(inputs, outputs, bias=True, weight_bit_width=4),
            qnn.QuantReLU(bit_width=4),
        ]
    layers.append(qnn.QuantLinear(12, 10, bias=True, weight_bit_width=4))
    return nn.Sequential(*layers)


def features(outputs: int, **quantiser: Any) -> list[nn.Module]:
    """Two convolutions; 7x7 pixels of 4 bits."""
    import brevitas.nn as qnn

    return [
        qnn.QuantIdentity(bit_width=8, return_quant_tensor=True),
        qnn.QuantConv2d(1, 4, 3, stride=2, bias=False, weight_bit_width=4),
        nn.BatchNorm2d(4),
        qnn.QuantReLU(bit_width=4, return_quant_tensor=True),
        qnn.QuantConv2d(4, outputs, 3, bias=False, weight_bit_width=4),
        nn.BatchNorm2d(outputs),
        qnn.QuantReLU(bit_width=4, return_quant_tensor=True),
    ]


def average_at_the_end() -> nn.Module:
    """The class is picked from averages of maps, quantised."""
    import brevitas.nn as qnn

    pool = nn.AdaptiveAvgPool2d(1)
    return nn.Sequential(*features(5), pool, nn.Flatten(), qnn.QuantIdentity(bit_width=8))


def truncated() -> nn.Module:
    """Brevitas' average pools that drop bits in place of dividing: of windows, of the map."""
    import brevitas.nn as qnn
    from brevitas.quant import TruncTo8bit

    return nn.Sequential(
        *features(4),
        qnn.TruncAvgPool2d(3, 2, trunc_quant=TruncTo8bit),
        qnn.QuantConv2d(4, 6, 2, bias=False, weight_bit_width=4),
        nn.BatchNorm2d(6),
        qnn.QuantReLU(bit_width=4, return_quant_tensor=True),
        qnn.TruncAdaptiveAvgPool2d(1),
        nn.Flatten(),
        qnn.QuantLinear(6, 5, bias=False, weight_bit_width=4),
    )


NETWORKS = {"lenet": lenet, "average_at_the_end": average_at_the_end, "truncated": truncated}


def export_pools(name: str, path: Path) -> Path:
    torch.manual_seed(13)
    return export(NETWORKS[name](), torch.rand(64, 1, SIDE, SIDE), path)
