# SPDX-License-Identifier: Apache-2.0
"""Fused autograd functions: values equal grid.py, gradients equal a plain composition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from andpop.quant import grid
from andpop.quant.blocks import functions as fn
from andpop.quant.blocks.classifiers import pool_shift
from andpop.quant.blocks.quantizers import BinaryWeight, Requant
from brevitas.nn import QuantConv2d
from torch import Tensor

TOLERANCE = 1e-12


def ste(value: Tensor, snapped: Tensor) -> Tensor:
    """``snapped`` with the gradient of ``value``."""
    return value + (snapped - value).detach()


def composed_epilogue(
    acc: Tensor,
    shortcut: Tensor | None,
    p: dict[str, Tensor],
    spec: fn.EpilogueSpec,
    mean: Tensor,
    var: Tensor,
) -> Tensor:
    """The epilogue as separate autograd operations."""
    multiplier = p["gamma"] * (var + spec.eps).rsqrt()
    k = fn.snap_epilogue(multiplier, p["beta"], mean, p["zeta"], p["slope"], p["eta"], spec)

    def column(v: Tensor) -> Tensor:
        return v.view(1, -1, 1, 1)

    m = ste(multiplier, k.m * 2.0**-k.m_frac)
    b = ste(p["beta"] - mean * m, k.b * 2.0 ** -(spec.acc_frac + k.m_frac))
    y = acc * column(m) + column(b)
    if shortcut is not None:
        y = y + shortcut
    t = ste(y, torch.floor(y * 256 + 0.5).clamp(-8192, 8191) / 256)
    u = t - column(ste(p["zeta"], k.zeta / 256))
    product = u * column(ste(p["slope"], k.slope / 64))
    v = torch.where(u >= 0, u, ste(product, torch.floor(product * 256) / 256))
    v = v + column(ste(p["eta"], k.eta / 256))
    code = torch.floor(v * 16 + 0.5).clamp(-128, 127)
    inside = (code > -128) & (code < 127)
    return torch.where(inside, ste(v, code / 16), code.detach() / 16)


def random_layer(
    seed: int, channels: int = 7
) -> tuple[Tensor, Tensor, dict[str, Tensor], fn.EpilogueSpec]:
    """Accumulators of a 1-bit layer, a stream, parameters with every sign, a spec."""
    g = torch.Generator().manual_seed(seed)
    shape = (3, channels, 5, 6)
    acc = torch.randint(-60, 61, shape, generator=g).double()
    shortcut = torch.randint(-128, 128, shape, generator=g).double() / 16
    p = {
        "gamma": torch.randn(channels, generator=g).double() * 2,
        "beta": torch.randn(channels, generator=g).double(),
        "zeta": torch.randn(channels, generator=g).double(),
        "slope": torch.rand(channels, generator=g).double() * 2.2 - 0.1,
        "eta": torch.randn(channels, generator=g).double() * 2,
    }
    return acc, shortcut, p, fn.EpilogueSpec(eps=0.6, acc_frac=0, acc_limit=60)


@pytest.mark.parametrize("from_batch", [True, False])
@pytest.mark.parametrize("with_shortcut", [True, False])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_fused_epilogue_has_the_gradients_of_the_composition(
    from_batch: bool, with_shortcut: bool, seed: int
) -> None:
    acc0, shortcut0, p0, spec = random_layer(seed)
    results = []
    for fused in (True, False):
        acc = acc0.clone().requires_grad_()
        shortcut = shortcut0.clone().requires_grad_() if with_shortcut else None
        p = {name: value.clone().requires_grad_() for name, value in p0.items()}
        if from_batch:
            mean, var = acc.mean((0, 2, 3)), acc.var((0, 2, 3), correction=0)
        else:
            mean, var = torch.linspace(-3, 3, 7).double(), torch.linspace(20, 900, 7).double()
        if fused:
            out = fn.fused_epilogue(
                acc, shortcut, **p, mean=mean.detach(), var=var.detach(), spec=spec,
                from_batch=from_batch,
            )  # fmt: skip
        else:
            out = composed_epilogue(acc, shortcut, p, spec, mean, var)
        weight = torch.randn(out.shape, generator=torch.Generator().manual_seed(9)).double()
        (out * weight).sum().backward()
        leaves = [acc, *p.values()] + ([shortcut] if shortcut is not None else [])
        gradients = [leaf.grad for leaf in leaves]
        assert all(g is not None and g.abs().max() > 0 for g in gradients)
        results.append((out.detach(), gradients))
    (out_a, grads_a), (out_b, grads_b) = results
    assert torch.equal(out_a, out_b)
    assert len(torch.unique(out_a)) > 20
    for a, b in zip(grads_a, grads_b, strict=True):
        assert (a - b).abs().max() <= TOLERANCE * max(1.0, float(b.abs().max()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_fused_epilogue_equals_the_integer_rules(dtype: torch.dtype) -> None:
    acc, shortcut, p, spec = random_layer(5)
    mean, var = fn.batch_statistics(acc)
    k = fn.snap_epilogue(
        p["gamma"] * (var + spec.eps).rsqrt(), p["beta"], mean, p["zeta"], p["slope"], p["eta"],
        spec,
    )  # fmt: skip
    out = fn.fused_epilogue(
        acc.to(dtype), shortcut.to(dtype), **p, mean=mean, var=var, spec=spec, from_batch=True
    )
    fmt = grid.EpilogueFormat(0, k.m_frac - 4, k.m_frac - 8)
    params = torch.stack([k.m, k.b, k.zeta, k.slope, k.eta]).numpy()
    codes = grid.epilogue(
        acc.permute(0, 2, 3, 1).numpy(), params, fmt, shortcut.permute(0, 2, 3, 1).numpy() * 16
    )
    found = (out.permute(0, 2, 3, 1).double().numpy() * 16).astype(np.int64)
    assert found.size == 630
    assert np.count_nonzero(found != codes) == 0


def test_snapped_integers_stay_within_the_formats() -> None:
    for scale in (1e-6, 1e-2, 1.0, 1e3):
        for acc_frac in (-7, 0, 9):
            spec = fn.EpilogueSpec(eps=0.1, acc_frac=acc_frac, acc_limit=24384)
            c = torch.linspace(-1, 1, 11)
            k = fn.snap_epilogue(c * scale, c * 1e6, c * 1e4, c * 1e3, c * 9, c * 1e3, spec)
            assert k.m.abs().max() <= min(511, fn.PRODUCT_MAX // 24384)
            assert k.b.abs().max() <= fn.B_MAX
            assert 8 <= k.m_frac + acc_frac <= 18
            assert (k.slope.min(), k.slope.max()) == (0, 127)
            assert (k.zeta.min(), k.eta.max()) == (-8192, 8191)


@pytest.mark.parametrize("acc_frac", [-7, 0, 5])
def test_bias_lies_on_the_grid_of_the_products(acc_frac: int) -> None:
    spec = fn.EpilogueSpec(eps=0.1, acc_frac=acc_frac, acc_limit=2000)
    c = torch.linspace(-1, 1, 11).double()
    k = fn.snap_epilogue(c, c.flip(0), 0.3 * c, c, c.abs(), c, spec)
    real = c.flip(0) - 0.3 * c * k.m * 2.0**-k.m_frac
    step = 2.0 ** -(acc_frac + k.m_frac)
    assert (k.b * step - real).abs().max() <= step / 2
    assert len(k.b.unique()) > 5


def test_rsign_is_plus_one_at_equality_and_has_the_quadratic_surrogate() -> None:
    gamma = torch.tensor([0.25, -0.5]).double().requires_grad_()
    x = torch.tensor([[0.25, -0.5], [0.1875, -0.5625], [0.75, 0.75]]).double()
    x = x.view(3, 2, 1, 1).requires_grad_()
    bit = fn.rsign_bit(x, gamma)
    assert bit.flatten().tolist() == [1, 1, 0, 0, 1, 1]
    (2 * bit - 1).sum().backward()
    distance = (x - gamma.view(1, 2, 1, 1)).detach().abs()
    expected = torch.where(distance < 1, 2 - 2 * distance, 0.0)
    assert torch.allclose(x.grad, expected, atol=TOLERANCE, rtol=0)
    assert torch.allclose(gamma.grad, -expected.sum((0, 2, 3)), atol=TOLERANCE, rtol=0)


def test_threshold_is_snapped_to_the_stream() -> None:
    snapped = fn.snap_threshold(torch.tensor([0.03, 0.04, -0.04, 99.0, -99.0]))
    assert snapped.tolist() == [0.0, 0.0625, -0.0625, 127 / 16, -8.0]


def test_binary_weight_equals_the_brevitas_quantiser_in_value_and_gradient() -> None:
    conv = QuantConv2d(5, 4, 3, bias=False, weight_quant=BinaryWeight)
    with torch.no_grad():
        conv.weight.copy_(torch.randn(4, 5, 3, 3) * 0.8)
        conv.weight[0, 0, 0, 0] = 0.0
    latent = conv.weight.detach().clone().requires_grad_()
    ours, theirs = fn.binary_weight(latent), conv.quant_weight().value
    assert torch.equal(ours, theirs)
    assert set(ours.unique().tolist()) == {-1.0, 1.0}
    weight = torch.randn(ours.shape)
    (ours * weight).sum().backward()
    (theirs * weight).sum().backward()
    assert torch.equal(latent.grad, conv.weight.grad)


@pytest.mark.parametrize("shift", [1, 4, 8, 11])
def test_requant_module_is_shift_round_with_saturation(shift: int) -> None:
    rng = np.random.default_rng(shift)
    codes = rng.integers(-(1 << 20), 1 << 20, 20_000)
    codes[:8] = [-(1 << shift) // 2, (1 << shift) // 2, -1, 0, 1, 3 << shift >> 1, -(1 << 20), 5]
    found = Requant(0, 8)(torch.from_numpy(codes).float() * 2.0**-shift).numpy()
    assert np.count_nonzero(found != grid.requantise(codes, shift)) == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_halves_round_up_in_numpy_and_in_training_alike(dtype: torch.dtype) -> None:
    halves = torch.arange(-9, 10).to(dtype) / 2
    expected = [-4, -4, -3, -3, -2, -2, -1, -1, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5]
    assert grid.round_half_up(halves).tolist() == expected
    assert grid.round_half_up(halves.numpy()).tolist() == expected
    # Multiples of 1/16, which both float types hold: exact in unbounded integers too.
    sixteenths = range(-320, 321)
    x = torch.tensor(sixteenths).to(dtype) / 16
    for frac_bits, low, high in ((3, -128, 127), (0, -2, 3), (-2, -8, 7), (4, 0, 9)):
        step = 16 if frac_bits >= 0 else 16 << -frac_bits
        codes = [(2 * v * (1 << max(0, frac_bits)) + step) // (2 * step) for v in sixteenths]
        expected = [min(max(code, low), high) for code in codes]
        found = grid.snap(x, frac_bits, low, high)
        assert found.dtype == dtype and found.tolist() == expected
        assert grid.snap(x.numpy(), frac_bits, low, high).tolist() == expected
        values = fn.round_to_grid(x, frac_bits, low, high)
        assert (values * 2.0**frac_bits).tolist() == expected
    assert torch.isnan(grid.snap(torch.tensor([torch.nan]), 2, -8, 7)).all()


@pytest.mark.parametrize(("low", "high"), [(0, 3), (-2, 1), (-3, 0)])
def test_bounds_of_sums_are_met_and_never_passed(low: int, high: int) -> None:
    rng = np.random.default_rng(3)
    weights, bias = rng.integers(-9, 10, (3, 20)), rng.integers(-50, 50, 20)
    inputs = np.stack(np.meshgrid(*[np.arange(low, high + 1)] * 3), axis=-1).reshape(-1, 3)
    sums = inputs @ weights + bias
    least, most = grid.accumulator_bounds(weights, low, high, bias)
    assert np.array_equal(least, sums.min(axis=0)) and np.array_equal(most, sums.max(axis=0))


def test_width_of_a_signed_type_is_the_smallest_that_holds_both_ends() -> None:
    for limit in (*range(1, 300), 32767, 32768, (1 << 30) - 1, 1 << 30):
        bits = grid.signed_bits(limit)
        low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
        assert low <= -limit and limit <= high
        assert limit > high // 2


def test_named_types_are_the_smallest_that_hold_a_range() -> None:
    for high in (*range(0, 70), 255, 256, 32767, 32768, 1 << 24):
        bits, signed = grid.type_format(grid.smallest_unsigned(high))
        assert not signed and high <= grid.limits(bits, signed)[1]
        assert bits == 1 or high > grid.limits(bits - 1, signed)[1]
        for low in (-high - 1, -high, -1, 0):
            bits, signed = grid.type_format(grid.smallest_signed(low, high))
            assert signed and bits == grid.signed_width(low, high)
            least, most = grid.limits(bits)
            assert least <= low and high <= most
            if bits > 2:
                least, most = grid.limits(bits - 1)
                assert low < least or high > most


def test_pool_shift_is_that_of_the_next_power_of_two() -> None:
    sizes = {(1, 1): 0, (1, 2): 1, (2, 2): 2, (3, 2): 3, (4, 4): 4, (7, 7): 6, (8, 8): 6, (9, 8): 7}
    assert {size: pool_shift(*size) for size in sizes} == sizes
