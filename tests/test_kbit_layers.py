# SPDX-License-Identifier: Apache-2.0
"""k-bit blocks: frozen = trained = the definition, real twins, damaged integers refused."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch
from andpop.quant.blocks.block import check, fix_statistics, freeze, set_real
from andpop.quant.blocks.classifiers import PixelClassifier
from andpop.quant.blocks.fixed_point import PIXEL_RANGE
from andpop.quant.blocks.kbit import (
    BinaryKbitBlock,
    BinaryUpBlock,
    FixedPointKbitBlock,
    IntegerKbitConv,
)
from andpop.quant.blocks.kbit_activation import IntegerKbitActivation, KbitActivation
from andpop.quant.blocks.kbit_functions import top_level
from andpop.quant.exact import exact_eval
from torch import Tensor, nn

IntArray = npt.NDArray[np.int64]
KINDS: dict[str, Callable[[int], nn.Module]] = {
    "conv": lambda k: BinaryKbitBlock(6, 9, 3, k),
    "monotone": lambda k: BinaryKbitBlock(6, 9, 3, k, monotone=True),
    "up": lambda k: BinaryUpBlock(6, 9, k),
    "pixels": lambda k: FixedPointKbitBlock(6, 9, 3, 8, PIXEL_RANGE, 1024.0, k),
}


def codes(kind: str, k: int, seed: int = 0) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    top = 255 if kind == "pixels" else top_level(k)
    return torch.randint(0, top + 1, (4, 6, 8, 7), generator=g).float()


def integers(x: Tensor) -> IntArray:
    whole = x.detach().double().numpy()
    assert np.array_equal(whole, np.rint(whole))
    return whole.astype(np.int64)


def trained(kind: str, k: int) -> nn.Module:
    """A block in evaluation mode with gammas of every sign and statistics of a few batches."""
    torch.manual_seed(k)
    block = KINDS[kind](k)
    activation = block.activation
    with torch.no_grad():
        activation.gamma.normal_()
        activation.gamma[1] = 0
        activation.beta.normal_(mean=0.5)
        if activation.eta is not None:
            activation.zeta.normal_()
            activation.eta.uniform_(-0.3, 0.8)
        for seed in range(3):
            block(codes(kind, k, seed))
    return block.eval()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("k", [1, 2, 3, 4, 8])
def test_evaluation_fixed_statistics_and_frozen_give_the_same_bits(kind: str, k: int) -> None:
    block, x = trained(kind, k), codes(kind, k, 7)
    frozen = block.to_integer()
    with exact_eval():
        evaluated = block(x)
        assert torch.count_nonzero(evaluated != frozen(x)) == 0
        fix_statistics(block)
        assert torch.equal(block.train()(x), evaluated)
    levels = torch.unique(evaluated)
    assert len(levels) == min(1 << k, len(levels)) and len(levels) > min(1 << k, 30) // 2
    assert evaluated.numel() == 4 * 9 * 56 * (4 if kind == "up" else 1)
    check(frozen)


@pytest.mark.parametrize("kind", KINDS)
def test_frozen_block_is_the_float64_definition(kind: str) -> None:
    block, x = trained(kind, 4), codes(kind, 4, 3)
    frozen, activation = block.to_integer(), block.activation
    weight = frozen.weight.double()
    if kind == "up":
        acc = torch.nn.functional.conv_transpose2d(x.double(), weight, stride=2)
    else:
        acc = torch.nn.functional.conv2d(x.double(), weight, padding=1)
    scale = 1.0
    if kind == "pixels":
        scale = float(block.conv.quant_weight().scale.detach())

    def per_channel(v: Tensor) -> Tensor:
        return v.double().view(-1, 1, 1)

    rstd = (per_channel(activation.running_var) + activation.spec.eps).rsqrt()
    y = (acc * scale - per_channel(activation.running_mean)) * rstd
    y = y * per_channel(activation.gamma) + per_channel(activation.beta)
    if activation.zeta is not None:
        z = y - per_channel(activation.zeta)
        y = z * torch.sigmoid(z) + per_channel(activation.eta_in_use())
    expected = torch.floor(15 * y.clamp(0, 1) + 0.5)
    with exact_eval():
        found = frozen(x)
    assert np.count_nonzero(integers(found) != integers(expected)) == 0
    assert len(torch.unique(found)) == 16


def test_exported_form_counts_the_same_thresholds(monkeypatch: pytest.MonkeyPatch) -> None:
    frozen = trained("conv", 4).to_integer()
    x = codes("conv", 4, 5)
    with exact_eval():
        looked_up = frozen(x)
        monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
        assert torch.equal(frozen(x), looked_up)


def test_monotone_has_one_threshold_per_level_and_never_steps_down() -> None:
    block = trained("monotone", 4)
    with torch.no_grad():
        block.activation.eta.fill_(1.0)
    frozen = block.to_integer().activation
    assert frozen.thresholds.shape == (9, 15)
    rising = block.activation.gamma.detach() >= 0
    used = frozen.thresholds > -block.activation.limit
    assert (frozen.steps[rising][used[rising]] == 1).all()
    assert (frozen.steps[~rising][used[~rising]] == -1).all()
    assert trained("conv", 4).to_integer().activation.thresholds.shape == (9, 20)


def test_classifier_is_the_integer_one_times_its_step() -> None:
    torch.manual_seed(0)
    head = PixelClassifier(6, 3, 8, (0, 15), 0, 4)
    nn.init.normal_(head.conv.bias)
    x = codes("conv", 4)
    frozen = head.to_integer()
    with exact_eval():
        assert torch.equal(head(x), frozen(x) * 2.0**-frozen.logit_frac)
    assert np.abs(integers(frozen.weight)).max() <= 127
    assert frozen(x).shape == (4, 3, 8, 7)


def test_real_twin_has_real_weights_and_relu() -> None:
    for kind in KINDS:
        block = trained(kind, 4).train()
        set_real(block, True)
        y = block(codes(kind, 4))
        assert y.min() == 0 and len(torch.unique(y)) > 1000
    with pytest.raises(ValueError, match="has real weights"):
        freeze(nn.Sequential(block))


@pytest.mark.parametrize("k", [16, 32])
def test_wide_activations_run_and_do_not_freeze(k: int) -> None:
    block = BinaryKbitBlock(6, 9, 3, k)
    y = block(torch.rand(2, 6, 8, 7) * top_level(k))
    assert y.isfinite().all() and y.max() > 0
    assert block.eval()(torch.rand(2, 6, 8, 7)).isfinite().all()
    with pytest.raises(ValueError, match=rf"found k = {k}, expected 1..8"):
        freeze(nn.Sequential(block))


def test_parameters_that_are_not_finite_do_not_freeze() -> None:
    block = trained("conv", 4)
    with torch.no_grad():
        block.activation.eta[2] = torch.nan
    with pytest.raises(ValueError, match="0.activation.eta holds NaN"):
        freeze(nn.Sequential(block))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("steps", 0.0, "found 0, expected -1 or [+]1"),
        ("thresholds", 1e6, "in channel 0, expected non-decreasing"),
        ("base", 40.0, "found levels .*, expected 0..15"),
    ],
)
def test_damaged_integers_are_refused(name: str, value: float, message: str) -> None:
    block = trained("conv", 4).to_integer()
    assert isinstance(block, IntegerKbitConv)
    assert isinstance(block.activation, IntegerKbitActivation)
    block.activation.get_buffer(name).view(-1)[0] = value
    block.activation.refresh()
    with pytest.raises(ValueError, match=message):
        check(block)


def test_activation_learns_by_all_its_parameters() -> None:
    torch.manual_seed(1)
    activation = KbitActivation(3, 4, 40.0, 1000)
    (activation(torch.randn(2, 3, 8, 8) * 6, 0) ** 2).sum().backward()
    assert all(bool((p.grad != 0).all()) for p in activation.parameters())
