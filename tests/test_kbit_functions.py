# SPDX-License-Identifier: Apache-2.0
"""The fused k-bit activation against a composition of autograd operations, in float64."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from andpop.quant.blocks.kbit_functions import KbitSpec, kbit_activation
from torch import Tensor

SHAPE = (3, 5, 4, 6)


def operands(seed: int) -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    found = {"acc": 20 * draw(*SHAPE) + 5}
    found |= {name: draw(SHAPE[1]) for name in ("gamma", "beta", "zeta", "eta")}
    found["gamma"][1] = 0
    found["eta"] *= 0.3
    return {name: value.requires_grad_() for name, value in found.items()}


def composed(
    values: dict[str, Tensor], mean: Tensor, var: Tensor, spec: KbitSpec, rsilu: bool
) -> Tensor:
    """Equations 6 and 4 with the rounding as identity in the gradient."""
    v = {name: value if name == "acc" else value.view(-1, 1, 1) for name, value in values.items()}
    normal = (v["acc"] - mean.view(-1, 1, 1)) / (var.view(-1, 1, 1) + spec.eps).sqrt()
    y = v["gamma"] * normal + v["beta"]
    if rsilu:
        z = y - v["zeta"]
        y = z * torch.sigmoid(z) + v["eta"]
    if not spec.quantised:
        return y
    y = y.clamp(0, 1) * spec.top
    return y + (torch.floor(y + 0.5) - y).detach()


@pytest.mark.parametrize("rsilu", [True, False])
@pytest.mark.parametrize("from_batch", [True, False])
@pytest.mark.parametrize("k", [1, 2, 4, 8, 16, 32])
def test_value_and_gradients_are_those_of_the_composition(
    k: int, from_batch: bool, rsilu: bool
) -> None:
    spec = KbitSpec(0.7, k)
    values = operands(k)
    acc = values["acc"]
    if from_batch:
        var, mean = torch.var_mean(acc, (0, 2, 3), correction=0)
    else:
        mean, var = torch.randn(2, SHAPE[1], dtype=torch.float64) * 3
        var = var.abs() * 50
    used = {name: value for name, value in values.items() if rsilu or name not in ("zeta", "eta")}
    weight = torch.randn(SHAPE, dtype=torch.float64)
    expected = composed(values, mean, var, spec, rsilu)
    gradients = torch.autograd.grad((expected * weight).sum(), list(used.values()))
    found = kbit_activation(
        acc, values["gamma"], values["beta"], used.get("zeta"), used.get("eta"),
        mean.detach(), var.detach(), spec, from_batch,
    )  # fmt: skip
    assert (found - expected).abs().max() < 1e-12 * max(1, spec.top)
    fused = torch.autograd.grad((found * weight).sum(), list(used.values()))
    for name, ours, theirs in zip(used, fused, gradients, strict=True):
        scale = max(1.0, float(theirs.abs().max()))
        assert (ours - theirs).abs().max() < 1e-12 * scale, name
    assert len(gradients) == (5 if rsilu else 3)


def test_given_codes_are_the_result_and_leave_the_gradient() -> None:
    spec, values = KbitSpec(0.1, 4), operands(3)
    zeros = torch.zeros(SHAPE[1], dtype=torch.float64)
    activation = partial(
        kbit_activation, **values, mean=zeros, var=zeros + 400, spec=spec, from_batch=False
    )
    codes = torch.full(SHAPE, 7.0, dtype=torch.float64)
    free, given = activation(), activation(codes=codes)
    assert torch.equal(given, codes)
    ours = torch.autograd.grad(given.sum(), list(values.values()))
    theirs = torch.autograd.grad(free.sum(), list(values.values()))
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
