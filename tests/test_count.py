# SPDX-License-Identifier: Apache-2.0
"""The counter against the published figures and against hand-computed layers."""

from __future__ import annotations

from typing import Any

import pytest
from andpop.models.build import build
from andpop.models.count import count
from andpop.quant.layers import BinaryBlock, Epilogue

# (data set, row, left, right, conv1 kernel, OPs in 1e7 by the counting convention of the paper).
ABLATION: list[tuple[str, str, tuple[int, ...], tuple[int, ...], int, float]] = [
    ("MT", "I", (3,), (3,), 3, 2.236),
    ("MT", "II", (3,), (3,), 3, 2.236),
    ("MT", "III", (3,), (3,), 3, 2.236),
    ("MT", "IV", (3,), (5,), 3, 2.416),
    ("MT", "V", (5,), (5,), 3, 2.450),
    ("MT", "VI", (5,), (5,), 3, 2.450),
    ("MT", "VII", (5,), (5,), 5, 3.895),
    ("MT", "VIII", (5,), (5,), 9, 8.953),
    ("MT", "IX", (3, 3), (5,), 9, 9.035),
    ("MT", "X", (5,), (3, 3), 9, 9.012),
    ("MT", "XI", (3, 3), (3, 3), 9, 9.093),
    ("NEU", "I", (3,), (3,), 3, 1.694),
    ("NEU", "II", (3,), (3,), 3, 1.694),
    ("NEU", "III", (3,), (5,), 3, 1.874),
    ("NEU", "IV", (5,), (5,), 3, 1.908),
    ("NEU", "V", (5,), (5,), 5, 2.390),
    ("NEU", "VI", (5,), (5,), 9, 4.076),
    ("NEU", "VII", (3, 3), (5,), 9, 4.158),
    ("NEU", "VIII", (5,), (3, 3), 9, 4.134),
    ("NEU", "IX", (3, 3), (3, 3), 9, 4.216),
]


@pytest.mark.parametrize(
    ("channels", "expected"),
    [
        (
            3,
            {
                "binary_weights": 1_466_496,
                "real_weights": 208_590,
                "bn_channels": 4840,
                "bops": 220_372_992,
                "flops": 86_672_640,
                "ops": 90_115_968,
                "memory_bits": 1_466_496 + 32 * (208_590 + 2 * 4840),
            },
        ),
        (
            1,
            {
                "binary_weights": 1_466_496,
                "real_weights": 204_702,
                "bn_channels": 4840,
                "bops": 220_372_992,
                "flops": 37_901_568,
                "ops": 41_344_896,
                "memory_bits": 1_466_496 + 32 * (204_702 + 2 * 4840),
            },
        ),
    ],
    ids=["rgb", "grey"],
)
def test_published_network_at_224(channels: int, expected: dict[str, Any]) -> None:
    assert count("bi-shufflenet", 224, 224, channels).as_dict() == expected


@pytest.mark.parametrize(
    ("data", "row", "left", "right", "kernel", "ops"),
    ABLATION,
    ids=[f"{data}-{row}" for data, row, *_ in ABLATION],
)
def test_ablation_rows(
    data: str, row: str, left: tuple[int, ...], right: tuple[int, ...], kernel: int, ops: float
) -> None:
    channels = 3 if data == "MT" else 1
    found = count(
        "bi-shufflenet", 224, 224, channels, conv1_kernel=kernel, left=left, right=right
    ).ops
    assert abs(found / 1e7 / ops - 1) < 1e-3


@pytest.mark.parametrize(("size", "maps"), [(224, [56, 28, 14, 7]), (200, [50, 25, 13, 7])])
def test_stage_maps(size: int, maps: list[int]) -> None:
    heights = {layer.name: layer.height for layer in count("bi-shufflenet", size, size).layers}
    # The right branch starts at the unit's input resolution, the left one ends at its output's.
    assert [heights[f"stage{s}.0.right1"] for s in (2, 3, 4)] == maps[:3]
    assert [heights[f"stage{s}.0.left2"] for s in (2, 3, 4)] == maps[1:]
    assert heights["conv5"] == maps[3]


def test_layers_by_hand() -> None:
    layers = {layer.name: layer for layer in count("bi-shufflenet", 64, 32, 3, 10).layers}
    conv1 = layers["conv1"]
    assert (conv1.height, conv1.width, conv1.weights) == (32, 16, 3 * 24 * 81)
    assert conv1.flops == 3 * 24 * 81 * 512 + 3 * 24 * 512
    assert conv1.bops == 0
    left = layers["stage2.0.left1"]
    assert (left.channels_out, left.height, left.width) == (24, 8, 4)
    assert left.bops == 24 * 24 * 25 * 32
    assert layers["fc"].weights == 1024 * 10 + 10
    assert layers["fc"].flops == 1024 * 10


def test_width_multiplier_scales_every_inner_layer() -> None:
    quarter = count("bi-shufflenet", 32, 32, width_multiplier=0.25)
    assert [quarter.layers[i].channels_out for i in (0, -2)] == [6, 256]
    assert quarter.binary_weights * 16 == count("bi-shufflenet", 32, 32).binary_weights


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"channels": 3, "classes": 10},
        {"left": (3, 3), "right": (5,), "conv1_kernel": 3},
        {"width": 0.25},
        {"width": 0.3, "right": (3,)},
        {"width": 1.5},
    ],
)
def test_weights_are_those_of_the_trainable_network(config: dict[str, Any]) -> None:
    switches = dict(config)
    net = build("bi-shufflenet", config)
    counted = count(
        "bi-shufflenet",
        64,
        64,
        switches.pop("channels", 1),
        switches.pop("classes", 6),
        width_multiplier=switches.pop("width", 1.0),
        **switches,
    )
    blocks = [m for m in net.modules() if isinstance(m, BinaryBlock)]
    epilogues = [m for m in net.modules() if isinstance(m, Epilogue)]
    real = [net.conv1.conv.weight, net.conv5.conv.weight, *net.classifier.linear.parameters()]
    assert counted.binary_weights == sum(b.conv.weight.numel() for b in blocks)
    assert counted.real_weights == sum(p.numel() for p in real)
    assert counted.bn_channels == sum(e.channels for e in epilogues)
    shapes = [tuple(b.conv.weight.shape) for b in blocks]
    binary = [layer for layer in counted.layers if layer.binary]
    assert [(b.channels_out, b.channels_in, b.kernel, b.kernel) for b in binary] == shapes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"network": "resnet"}, "found network 'resnet', expected 'bi-shufflenet'"),
        ({"height": 0}, "found height 0, expected 1 or more"),
        ({"right": (4,)}, r"found right \[4\], expected odd kernels"),
        ({"left": ()}, r"found left \[\], expected odd kernels"),
        ({"width_multiplier": 0.0}, "found width multiplier 0, expected a number above 0"),
    ],
)
def test_refuses(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        count(**{"network": "bi-shufflenet", "height": 32, "width": 32, **arguments})
