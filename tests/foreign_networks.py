# SPDX-License-Identifier: Apache-2.0
"""Networks that andpop did not make, as their authors export them."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn


def export_cnv(path: Path) -> Path:
    """brevitas_examples' CNV_1W1A with random weights and lively BN, half of it negative."""
    from brevitas.export import export_qonnx
    from brevitas_examples.bnn_pynq.models import model_with_cfg

    torch.manual_seed(3)
    net, _ = model_with_cfg("cnv_1w1a", pretrained=False)
    net.train()
    with torch.no_grad():
        net(torch.rand(16, 3, 32, 32))
        for module in net.modules():
            if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
                module.weight.copy_(torch.randn_like(module.weight))
                module.bias.copy_(0.3 * torch.randn_like(module.bias))
    net.eval()
    example = torch.rand(1, 3, 32, 32)
    export_qonnx(net, example, export_path=str(path), opset_version=13, dynamo=False)
    return path
