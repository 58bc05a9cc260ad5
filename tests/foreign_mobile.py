# SPDX-License-Identifier: Apache-2.0
"""Networks of brevitas_examples for images, as that package makes them: MobileNetV1,
ProxylessNAS mobile14 and ResNet18; random weights, and the average pool of a smaller picture."""

from __future__ import annotations

from pathlib import Path

import torch
from foreign_networks import export
from torch import nn

MOBILE = ("mobilenet_v1_4b", "proxylessnas_mobile14_4b", "proxylessnas_mobile14_4b5b")
"""MobileNetV1 at a quarter of its width and ProxylessNAS as they are."""


def export_mobile(name: str, path: Path, side: int = 64) -> Path:
    """The network of that name with an average pool over the whole of the last map.

    MobileNetV1 takes the width that its configuration allows: a quarter.
    """
    from configparser import ConfigParser
    from importlib.resources import files

    from brevitas_examples.imagenet_classification import models

    config = ConfigParser()
    config.read_string((files(models) / "cfg" / f"quant_{name}.ini").read_text())
    if config.has_option("MODEL", "WIDTH_SCALE"):
        config.set("MODEL", "WIDTH_SCALE", "0.25")
    torch.manual_seed(23)
    net = models.model_impl[config.get("MODEL", "ARCH")](config)
    net.final_pool.kernel_size = side // 32
    return export(net, torch.rand(4, 3, side, side), path)


def export_resnet18_4w4a(path: Path) -> Path:
    """ResNet18 as brevitas_examples has it for CIFAR-10."""
    from brevitas_examples.bnn_pynq.models import model_with_cfg

    torch.manual_seed(29)
    net, _ = model_with_cfg("resnet18_4w4a", pretrained=False)
    return export(net, torch.rand(4, 3, 32, 32), path)


def export_mobilenet_cut(path: Path, side: int = 16) -> Path:
    """The first layer of MobileNetV1 4b, two separable blocks, its average pool and classifier."""
    from brevitas_examples.imagenet_classification.models.mobilenetv1 import MobileNet

    torch.manual_seed(31)
    net = MobileNet(
        channels=[[8], [12], [16]], first_stage_stride=False, act_bit_width=4, weight_bit_width=4,
        round_average_pool=False, last_layer_bit_width=4, avg_pool_kernel_size=side // 4,
        num_classes=10,
    )  # fmt: skip
    return export(net, torch.rand(16, 3, side, side), path)


def export_proxyless_cut(path: Path, side: int = 16) -> Path:
    """ProxylessNAS mobile14 4b5b of two stages: a separable block, then a bottleneck of stride 2
    and one with a shortcut; its average pool and classifier."""
    from brevitas_examples.imagenet_classification.models.proxylessnas import ProxylessNAS

    torch.manual_seed(37)
    net: nn.Module = ProxylessNAS(
        channels=[[6], [8, 8]], residuals=[[1], [1, 1]], shortcuts=[[0], [0, 1]],
        kernel_sizes=[[3], [5, 3]], expansions=[[1], [3, 3]], init_block_channels=8,
        final_block_channels=16, bit_width=4, depthwise_bit_width=5,
        first_layer_weight_bit_width=8, hadamard_classifier=False, round_average_pool=False,
        num_classes=10,
    )  # fmt: skip
    net.final_pool.kernel_size = side // 4
    return export(net, torch.rand(16, 3, side, side), path)
