# SPDX-License-Identifier: Apache-2.0
"""Bi-ShuffleNet: counts of the paper, frozen = trained = integers, every switch trains."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from andpop.models.bi_shufflenet import BiShuffleNet, DownUnit
from andpop.models.build import build
from andpop.quant import grid
from andpop.quant.blocks.binary import BinaryBlock, IntegerBinaryBlock
from andpop.quant.blocks.classifiers import pool_shift
from andpop.quant.blocks.epilogue import Epilogue
from andpop.quant.blocks.fixed_point import IntegerFixedPointBlock
from andpop.quant.blocks.moves import shuffle_concat
from andpop.quant.exact import exact_eval
from andpop.quant.grid import IntArray
from torch import Tensor, nn


def pictures(count: int, size: int, channels: int = 1, seed: int = 0) -> Tensor:
    """Noise, then all-0, all-255, checkerboard and stripes as the last four."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 256, (count, channels, size, size), generator=g).float()
    y = torch.arange(size)
    x[-4], x[-3] = 0.0, 255.0
    x[-2] = 255.0 * ((y[:, None] + y) % 2)
    x[-1] = 255.0 * (y[:, None] // 4 % 2)
    return x


def randomised(config: dict[str, Any], size: int, seed: int = 0) -> BiShuffleNet:
    """A network with every parameter off its initial value, some BN gammas negative, and the
    statistics of a few batches."""
    torch.manual_seed(seed)
    net = build("bi-shufflenet", config)
    assert isinstance(net, BiShuffleNet)
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, Epilogue):
                module.gamma.mul_(torch.rand_like(module.gamma) + 0.5)
                module.gamma[::5] *= -1
                module.gamma[2::5] *= 0.05
                for p in (module.beta, module.zeta, module.eta):
                    p.normal_(std=0.4)
                module.slope.uniform_(-0.1, 2.1)
            elif isinstance(module, BinaryBlock):
                module.threshold.normal_(std=0.3)
        net.classifier.linear.bias.normal_()
        for step in range(3):
            net(pictures(8, size, net.config.channels, seed=step))
    return net.eval()


def test_counts_of_the_published_network() -> None:
    for channels, real, total in ((3, 208_590, 1_703_078), (1, 204_702, 1_699_190)):
        net = build("bi-shufflenet", {"channels": channels})
        blocks = [m for m in net.modules() if isinstance(m, BinaryBlock)]
        assert sum(m.conv.weight.numel() for m in blocks) == 1_466_496
        linear = net.classifier.linear
        weights = [net.conv1.conv.weight, net.conv5.conv.weight, linear.weight, linear.bias]
        assert sum(w.numel() for w in weights) == real
        epilogues = [m for m in net.modules() if isinstance(m, Epilogue)]
        assert sum(m.channels for m in epilogues) == 4_840
        assert sum(p.numel() for p in net.parameters()) == total


@pytest.mark.parametrize(
    ("size", "maps"), [(224, (56, 28, 14, 7)), (200, (50, 25, 13, 7)), (100, (25, 13, 7, 4))]
)
def test_stage_maps(size: int, maps: tuple[int, ...]) -> None:
    net = build("bi-shufflenet", {"width": 0.25}).eval()
    seen: list[int] = []
    for module in (net.stage2, net.stage3, net.stage4):
        module.register_forward_hook(lambda _m, i, o: seen.extend((i[0].shape[2], o.shape[2])))
    with torch.no_grad():
        net(torch.zeros(1, 1, size, size))
    assert (seen[0], *seen[1::2]) == maps


@pytest.mark.parametrize(
    ("width", "plan"),
    [(1.0, (24, 48, 96, 192, 1024)), (0.25, (6, 12, 24, 48, 256)), (0.5, (12, 24, 48, 96, 512))],
)
def test_width_scales_the_plan(width: float, plan: tuple[int, ...]) -> None:
    net = build("bi-shufflenet", {"width": width})
    assert isinstance(net, BiShuffleNet) and net.config.plan == plan


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"conv1_kernel": 8}, "odd kernel"),
        ({"left": []}, "one or more odd sizes"),
        ({"right": [4]}, "one or more odd sizes"),
        ({"channels": 2}, "config.channels"),
        ({"colour": 1}, "config.colour"),
    ],
)
def test_bad_configuration_is_named(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        build("bi-shufflenet", config)
    assert "\n" not in str(caught.value)


def test_shuffle_interleaves_the_halves() -> None:
    left, right = torch.randn(2, 3, 4, 5), torch.randn(2, 3, 4, 5)
    out = shuffle_concat(left, right)
    assert torch.equal(out[:, 0::2], left)
    assert torch.equal(out[:, 1::2], right)


SWITCHES: list[dict[str, Any]] = [
    {"left": (3,), "right": (3,), "conv1_kernel": 3, "shortcut_down": False,
     "shortcut_basic": False},
    {"left": (3,), "right": (3,), "conv1_kernel": 3, "shortcut_basic": False},
    {"left": (3,), "right": (5,), "conv1_kernel": 3, "shortcut_down": False},
    {"left": (5,), "right": (5,), "conv1_kernel": 5, "pool": "average"},
    {"left": (5,), "right": (5,), "conv1_kernel": 9},
    {"left": (3, 3), "right": (5,)},
    {"left": (3, 3), "right": (3, 3), "weight_bits": 4},
    {"conv1_kernel": 5, "head_bits": 4},
    {"channels": 3},
]  # fmt: skip


@pytest.mark.parametrize("switches", SWITCHES, ids=lambda s: ",".join(s))
def test_every_switch_trains_and_freezes_to_the_same_bits(switches: dict[str, Any]) -> None:
    config = {"width": 0.25, "classes": 4, **switches}
    torch.manual_seed(1)
    net = build("bi-shufflenet", config)
    x = pictures(8, 36, net.config.channels)
    nn.functional.cross_entropy(net(x), torch.arange(8) % 4).backward()
    for name, p in net.named_parameters():
        assert p.grad is not None and torch.isfinite(p.grad).all(), name
    assert sum(float(p.grad.abs().sum() > 0) for p in net.parameters()) > 0.9 * len(
        list(net.parameters())
    )
    net = randomised(config, 36)
    with exact_eval():
        before = net(x)
        net.freeze()
        assert net.frozen
        assert torch.count_nonzero(net(x) != before) == 0
        integers = net.integer_logits(x)
        assert torch.equal(integers, integers.round())
        assert torch.equal(integers * net.logit_step, before)
    assert len(torch.unique(before)) > 4


@pytest.mark.parametrize("size", [32, 50, 100])
def test_frozen_network_equals_the_trained_one_at_odd_sizes(size: int) -> None:
    net = randomised({"width": 0.25}, size, seed=2)
    x = pictures(6, size, seed=7)
    with exact_eval():
        before = net(x)
        net.freeze()
        assert torch.count_nonzero(net(x) != before) == 0


def convolve(x: IntArray, weight: IntArray, stride: int, border: int, fill: int) -> IntArray:
    """Integer convolution of (N, C, H, W), channels last out."""
    padded = np.pad(x, ((0, 0), (0, 0), (border,) * 2, (border,) * 2), constant_values=fill)
    k = weight.shape[2]
    windows = np.lib.stride_tricks.sliding_window_view(padded, (k, k), axis=(2, 3))
    windows = windows[:, :, ::stride, ::stride]
    return np.einsum("nchwyx,ocyx->nhwo", windows, weight)


def integers_of(x: Tensor) -> IntArray:
    value = x.detach().numpy().astype(np.int64)
    assert np.array_equal(value, x.detach().numpy())
    return value


def test_every_block_equals_the_integer_rules() -> None:
    net = randomised({"width": 0.25}, 50, seed=3)
    net.freeze()
    compared = differing = 0
    reference: dict[str, IntArray] = {}

    def check(name: str, found: Tensor, expected: IntArray) -> None:
        nonlocal compared, differing
        codes = integers_of(found.permute(0, 2, 3, 1))
        assert codes.shape == expected.shape, name
        compared += codes.size
        differing += int(np.count_nonzero(codes != expected))
        reference[name] = codes

    def hook(name: str, module: nn.Module, args: tuple[Tensor, ...], out: Tensor) -> None:
        x, weight = integers_of(args[0]), integers_of(module.weight)
        shortcut = None
        if isinstance(module, IntegerBinaryBlock):
            x = np.where(x >= integers_of(module.threshold), 1, -1)
            acc = convolve(x, weight, module.stride, module.border, -1)
            if len(args) > 1 and args[1] is not None:
                shortcut = integers_of(args[1].permute(0, 2, 3, 1))
        else:
            acc = convolve(x, weight, module.stride, module.border, 0)
        params = integers_of(module.epilogue.params())
        check(name, out, grid.epilogue(acc, params, module.epilogue.format, shortcut))

    for name, module in net.named_modules():
        if isinstance(module, (IntegerBinaryBlock, IntegerFixedPointBlock)):
            module.register_forward_hook(lambda m, a, o, name=name: hook(name, m, a, o))
    with exact_eval():
        logits = integers_of(net.integer_logits(pictures(6, 50, seed=8)))
    last = reference["conv5"]
    pooled = grid.requantise(last.sum((1, 2)), pool_shift(*last.shape[1:3]))
    head = net.classifier
    expected = pooled @ integers_of(head.weight).T + integers_of(head.bias)
    compared += expected.size
    differing += int(np.count_nonzero(expected != logits))
    print(f"{differing} of {compared} values differ over {len(reference)} blocks")
    assert len(reference) == 72
    assert compared > 100_000
    assert differing == 0


def test_largest_accumulators_stay_exact() -> None:
    net = randomised({"width": 0.25}, 32, seed=5)
    net.freeze()
    net.conv1.weight.fill_(127.0)
    net.conv1.weight[1] = -127.0
    x = torch.full((1, 1, 32, 32), 255.0)
    with exact_eval():
        acc = nn.functional.conv2d(x, net.conv1.weight, stride=2, padding=4)
        found = net.conv1(x)
    assert acc.abs().max() == 81 * 127 * 255
    params = integers_of(net.conv1.epilogue.params())
    codes = integers_of(acc.permute(0, 2, 3, 1))
    expected = grid.epilogue(codes, params, net.conv1.epilogue.format)
    assert np.array_equal(integers_of(found.permute(0, 2, 3, 1)), expected)


def test_fixed_statistics_train_what_evaluation_computes() -> None:
    net = randomised({"width": 0.25}, 32, seed=6)
    x = pictures(4, 32)
    with torch.no_grad():
        evaluated = net(x)
    net.freeze_bn()
    trained = net.train()(x)
    assert torch.equal(trained, evaluated)
    trained.sum().backward()
    assert net.conv1.epilogue.gamma.grad is not None
    with torch.no_grad():
        assert torch.equal(net.eval()(x), evaluated)


def test_nan_cannot_be_frozen() -> None:
    net = build("bi-shufflenet", {"width": 0.25})
    with torch.no_grad():
        net.stage2[1].right[0].conv.weight[0] = float("nan")
    with pytest.raises(ValueError, match="stage2.1.right.0.conv.weight holds NaN"):
        net.freeze()


def test_integer_logits_need_a_frozen_network() -> None:
    net = build("bi-shufflenet", {"width": 0.25})
    with pytest.raises(ValueError, match="call freeze"):
        net.integer_logits(torch.zeros(1, 1, 32, 32))


def test_few_steps_fit_a_few_pictures() -> None:
    torch.manual_seed(0)
    net = build("bi-shufflenet", {"width": 0.25, "classes": 2})
    y = torch.arange(8) % 2
    x = pictures(12, 32)[:8] * 0.5 + 100 * y.view(8, 1, 1, 1)
    optimiser = torch.optim.Adam(net.parameters(), lr=5e-3)
    losses = []
    for _ in range(25):
        loss = nn.functional.cross_entropy(net(x), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.3 * losses[0]


def test_exact_eval_restores_the_settings() -> None:
    torch.set_float32_matmul_precision("high")
    try:
        with exact_eval():
            assert torch.get_float32_matmul_precision() == "highest"
            assert not torch.is_grad_enabled()
        assert torch.get_float32_matmul_precision() == "high"
        assert torch.is_grad_enabled()
    finally:
        torch.set_float32_matmul_precision("highest")


def test_left_branch_alone_takes_the_pooled_shortcut() -> None:
    net = build("bi-shufflenet", {"width": 0.25, "shortcut_down": False})
    assert all(m.pool is None for m in net.modules() if isinstance(m, DownUnit))
