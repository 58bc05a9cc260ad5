# SPDX-License-Identifier: Apache-2.0
"""The counter against the published figures and against hand-computed layers."""

from __future__ import annotations

from typing import Any

import pytest
from andpop.flows import api
from andpop.models.build import build
from andpop.models.count import count
from andpop.quant.blocks.binary import BinaryBlock
from andpop.quant.blocks.epilogue import Epilogue

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
                "rsilu_channels": 0,
                "macs": 220_372_992 + 82_796_544,
                "bops": 220_372_992,
                "flops": 86_672_640,
                "ops": 90_115_968,
                "memory_bits": 1_466_496 + 32 * (208_590 + 2 * 4840),
                "weights": 1_466_496 + 208_590,
                "bn_parameters": 9680,
                "rsilu_parameters": 0,
            },
        ),
        (
            1,
            {
                "binary_weights": 1_466_496,
                "real_weights": 204_702,
                "bn_channels": 4840,
                "rsilu_channels": 0,
                "macs": 220_372_992 + 34_025_472,
                "bops": 220_372_992,
                "flops": 37_901_568,
                "ops": 41_344_896,
                "memory_bits": 1_466_496 + 32 * (204_702 + 2 * 4840),
                "weights": 1_466_496 + 204_702,
                "bn_parameters": 9680,
                "rsilu_parameters": 0,
            },
        ),
    ],
    ids=["rgb", "grey"],
)
def test_published_network_at_224(channels: int, expected: dict[str, Any]) -> None:
    found = count("bi-shufflenet", 224, 224, {"channels": channels}).as_dict()
    assert found == expected


@pytest.mark.parametrize(
    ("data", "row", "left", "right", "kernel", "ops"),
    ABLATION,
    ids=[f"{data}-{row}" for data, row, *_ in ABLATION],
)
def test_ablation_rows(
    data: str, row: str, left: tuple[int, ...], right: tuple[int, ...], kernel: int, ops: float
) -> None:
    channels = 3 if data == "MT" else 1
    config = {"channels": channels, "conv1_kernel": kernel, "left": left, "right": right}
    found = count("bi-shufflenet", 224, 224, config).ops
    assert abs(found / 1e7 / ops - 1) < 1e-3


@pytest.mark.parametrize(("size", "maps"), [(224, [56, 28, 14, 7]), (200, [50, 25, 13, 7])])
def test_stage_maps(size: int, maps: list[int]) -> None:
    heights = {layer.name: layer.height for layer in count("bi-shufflenet", size, size).layers}
    # The right branch starts at the unit's input resolution, the left one ends at its output's.
    assert [heights[f"stage{s}.0.right.0"] for s in (2, 3, 4)] == maps[:3]
    assert [heights[f"stage{s}.0.left.1"] for s in (2, 3, 4)] == maps[1:]
    assert heights["conv5"] == maps[3]


def test_layers_by_hand() -> None:
    layers = {
        layer.name: layer
        for layer in count("bi-shufflenet", 64, 32, {"channels": 3, "classes": 10}).layers
    }
    conv1 = layers["conv1"]
    assert (conv1.height, conv1.width, conv1.weights) == (32, 16, 3 * 24 * 81)
    assert conv1.flops == 3 * 24 * 81 * 512 + 3 * 24 * 512
    assert conv1.bops == 0
    left = layers["stage2.0.left.0"]
    assert (left.channels_out, left.height, left.width) == (24, 8, 4)
    assert left.bops == 24 * 24 * 25 * 32
    assert layers["classifier"].weights == 1024 * 10 + 10
    assert layers["classifier"].flops == 1024 * 10


def test_width_multiplier_scales_every_inner_layer() -> None:
    quarter = count("bi-shufflenet", 32, 32, {"width": 0.25})
    assert [quarter.layers[i].channels_out for i in (0, -2)] == [6, 256]
    assert quarter.binary_weights * 16 == count("bi-shufflenet", 32, 32).binary_weights


# Table 7 of PA-Net, (memory in Mbit, Flops in 1e8), counted; the print is in counting.md.
TABLE_7: list[tuple[str, dict[str, Any], bool, float, float]] = [
    ("pa-resnet18", {"kind": "pa"}, False, 61.65, 6.736),
    ("pa-resnet34", {"kind": "pa"}, False, 102.29, 12.704),
    ("pa-resnet50", {"kind": "pa"}, False, 161.35, 14.349),
    ("pa-resnet18", {"kind": "real"}, False, 374.06, 18.141),
    ("pa-resnet34", {"kind": "real"}, False, 697.53, 36.638),
    ("pa-resnet50", {"kind": "real"}, False, 817.83, 38.580),
    ("pa-resnet18", {"kind": "1-bit"}, True, 33.51, 1.665),
    ("pa-resnet34", {"kind": "1-bit"}, True, 43.85, 1.966),
    ("pa-resnet50", {"kind": "1-bit"}, True, 176.85, 5.431),
]


@pytest.mark.parametrize(("network", "config", "real_down", "memory", "flops"), TABLE_7)
def test_table_7(
    network: str, config: dict[str, Any], real_down: bool, memory: float, flops: float
) -> None:
    found = count(network, 224, 224, config, real_down=real_down)
    assert found.memory_bits / 1e6 == pytest.approx(memory, abs=0.0051)
    assert found.ops / 1e8 == pytest.approx(flops, abs=5.1e-4)


def test_resnet18_by_known_sums() -> None:
    found = count("pa-resnet18", 224, 224)
    assert found.macs == 1_814_073_344
    assert found.binary_weights + found.real_weights + 2 * found.bn_channels == 11_689_512
    pa = [layer for layer in found.layers if layer.binary]
    outputs = sum(layer.channels_out * layer.height * layer.width for layer in pa)
    real = 64 * 147 * 112 * 112 + 512 * 1000
    assert found.bops == 20 * sum(layer.macs for layer in pa)
    assert found.flops == real + 15 * outputs
    assert found.memory_bits == 4 * found.binary_weights + 32 * (522_408 + 2 * 4800)


def test_pa_in_bi_shufflenet_changes_only_the_inner_layers() -> None:
    one = count("bi-shufflenet", 64, 64)
    pa = count("bi-shufflenet", 64, 64, {"pa": {"m": 8, "n": 7}})
    assert (pa.binary_weights, pa.real_weights, pa.macs) == (
        one.binary_weights,
        one.real_weights,
        one.macs,
    )
    assert pa.bops == 56 * one.bops
    inner = [layer for layer in one.layers if layer.binary]
    outputs = sum(layer.channels_out * layer.height * layer.width for layer in inner)
    assert pa.flops == one.flops + 3 * 7 * outputs
    assert pa.bn_channels == one.bn_channels + sum(layer.channels_in for layer in inner)


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
    net = build("bi-shufflenet", config)
    counted = count("bi-shufflenet", 64, 64, config)
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
        ({"network": "resnet"}, "found network 'resnet', expected one of: bi-shufflenet, pa-"),
        ({"height": 0}, "found height 0, expected 1 or more"),
        ({"config": {"right": (4,)}}, r"config.right: found kernels \(4,\), expected one or more"),
        ({"config": {"left": ()}}, r"config.left: found kernels \(\), expected one or more"),
        ({"config": {"width": 0.0}}, "config.width: found 0.0: Input should be greater than 0"),
        ({"config": {"pa": {"m": 3}}}, "config.pa.m: found M 3, expected an even number"),
        ({"real_down": True}, "found real_down with bi-shufflenet"),
        ({"network": "pa-resnet18", "real_down": True}, "with kind pa, expected 1-bit"),
        (
            {"network": "pa-resnet18", "config": {"kind": "real", "n": 7}},
            "found n with kind real, expected kind pa",
        ),
        (
            {"network": "pa-resnet-small", "config": {"depth": 9}},
            r"found depth 9, expected 2 \+ 3 k",
        ),
    ],
)
def test_refuses(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        count(**{"network": "bi-shufflenet", "height": 32, "width": 32, **arguments})
    assert "\n" not in str(caught.value)


def test_json_keys_are_the_documented_ones() -> None:
    assert list(api.count("pa-resnet-small", (128, 128, 1), {"m": 8, "n": 7})) == [
        "binary_weights",
        "real_weights",
        "bn_channels",
        "rsilu_channels",
        "macs",
        "bops",
        "flops",
        "ops",
        "memory_bits",
        "weights",
        "bn_parameters",
        "rsilu_parameters",
    ]


def test_u_binet_has_the_parameters_of_the_reference() -> None:
    found = api.count("u-binet", (224, 224, 1), {})
    assert found["weights"] == 7_756_130
    assert found["binary_weights"] == 7_755_776
    assert found["bn_parameters"] == 6_848
    assert found["rsilu_parameters"] == 5_888
