# SPDX-License-Identifier: Apache-2.0
"""PA quantisers: pieces, snapped coefficients, gradients of the surrogate, bases, folding."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from andpop.quant.blocks import pa_functions as pa
from andpop.quant.blocks import pa_stream as tables
from andpop.quant.blocks.pa_quantizers import PaAct, PaLevels, PaWeight
from brevitas.nn import QuantConv2d, QuantIdentity
from pa_bases import base_coefficients, bases
from torch import Tensor
from torch.nn import functional as F

STEP = 1e-6
TOLERANCE = 1e-8
"""Of a central difference over piecewise linear functions in float64."""


def spec(m: int = 4, n: int = 5, levels: pa.Levels = "free", bits: int = 8) -> pa.PaSpec:
    return pa.PaSpec(m, n, levels, bits)


def integral(x: Tensor, edges: list[float], slopes: list[float]) -> Tensor:
    """The continuous function with ``slopes[j]`` between ``edges[j-1]`` and ``edges[j]``."""
    out = slopes[0] * (x - edges[0]).clamp(max=0) + slopes[-1] * (x - edges[-1]).clamp(min=0)
    for j in range(1, len(edges)):
        out = out + slopes[j] * (x.clamp(edges[j - 1], edges[j]) - edges[j - 1])
    return out


# Weights -----------------------------------------------------------------------------------------


def lloyd_max(levels: int) -> list[float]:
    """Endpoints of the best quantiser of a unit Gaussian."""

    def mass(a: float, b: float) -> float:
        return 0.5 * (math.erf(b / math.sqrt(2)) - math.erf(a / math.sqrt(2)))

    def density(x: float) -> float:
        return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)

    y = np.linspace(-2, 2, levels)
    for _ in range(2000):
        t = [-9.0, *((y[1:] + y[:-1]) / 2), 9.0]
        y = np.array(
            [(density(a) - density(b)) / mass(a, b) for a, b in zip(t[:-1], t[1:], strict=True)]
        )
    return [float(u) for u in (y[1:] + y[:-1]) / 2]


def test_endpoints_follow_the_stated_rule() -> None:
    assert pa.ENDPOINTS[8] == (0.25, 0.5, 1.0, 1.5)
    assert tuple(pa.ENDPOINTS) == tuple(pa.UNIFORM_STEP) == tuple(pa.M_RANGE)
    for m in (2, 4, 6, 10, 12, 14):
        best = lloyd_max(m + 1)[m // 2 :]
        assert [round(16 * u) / 16 for u in best] == list(pa.ENDPOINTS[m]), m


@pytest.mark.parametrize(("m", "expected"), [(4, 0.283), (8, 0.187)])
def test_error_on_a_gaussian_is_the_published_one(m: int, expected: float) -> None:
    w = torch.randn(400_000, generator=torch.Generator().manual_seed(0)).double()
    value, _ = pa.pa_weight(w, spec(m), 0)
    assert abs(float((value - w).square().mean().sqrt()) - expected) < 0.002


@pytest.mark.parametrize("m", pa.M_RANGE)
def test_weights_take_the_means_of_half_open_pieces(m: int) -> None:
    w = torch.randn(7, 5, 3, 3, generator=torch.Generator().manual_seed(m))
    w.flatten()[:2] = torch.tensor([9.0, -9.0])
    value, frac = pa.pa_weight(w, spec(m), 6)
    std = float(w.double().std(correction=0))
    u = [-c * std for c in reversed(pa.ENDPOINTS[m])] + [c * std for c in pa.ENDPOINTS[m]]
    found = 0
    for i, (low, high) in enumerate(zip([-math.inf, *u], [*u, math.inf], strict=True)):
        inside = (w.double() >= low) & (w.double() < high)
        mean = float(w.double()[inside].mean()) if i != m // 2 else 0.0
        expected = math.floor(mean * 2.0**frac + 0.5)
        assert (value[inside] == expected * 2.0**-frac).all()
        assert abs(expected) <= 127
        found += int(inside.sum())
    assert found == w.numel()
    largest = float((value * 2.0**frac).abs().max())
    assert frac == pa.ACC_FRAC_MAX - 6 or largest > 63


@pytest.mark.parametrize("m", pa.M_RANGE)
def test_linear_weights_are_codes_times_a_power_of_two(m: int) -> None:
    w = torch.randn(4000, generator=torch.Generator().manual_seed(m)) * 0.1
    q = pa.quantise_weight(w, spec(m, levels="linear"), 1)
    best = pa.UNIFORM_STEP[m] * float(w.double().std(correction=0))
    assert abs(math.log2(2.0**-q.frac / best)) <= 0.5
    assert q.alpha.tolist() == list(range(-m // 2, m // 2 + 1))
    exact = torch.floor(w.double() * 2.0**q.frac + 0.5).clamp(-m // 2, m // 2)
    assert torch.equal(q.index - m // 2, exact.long())


@pytest.mark.parametrize("levels", ["free", "linear"])
@pytest.mark.parametrize("m", pa.M_RANGE)
def test_weight_gradient_is_that_of_equation_8(m: int, levels: pa.Levels) -> None:
    w = torch.randn(500, generator=torch.Generator().manual_seed(m)).double().requires_grad_()
    value, frac = pa.pa_weight(w, spec(m, levels=levels), 6)
    weight = torch.randn(500, generator=torch.Generator().manual_seed(9)).double()
    (value * weight).sum().backward()
    std = float(w.detach().std(correction=0))
    half = [c * std for c in pa.ENDPOINTS[m]]
    if levels == "linear":
        half = [(k + 0.5) * 2.0**-frac for k in range(m // 2)]
    u = [-e for e in reversed(half)] + half
    s = [(a + b) / 2 for a, b in zip(u[:-1], u[1:], strict=True)]
    q = pa.quantise_weight(w, spec(m, levels=levels), 6)
    alpha = [float(a) * 2.0**-frac for a in q.alpha]
    # Word for word: alpha_1..alpha_M without the zero piece, jumps at u_1..u_M.
    a = [math.nan, *alpha[: m // 2], *alpha[m // 2 + 1 :]]
    jumps = []
    for i in range(1, m + 1):
        if i < m // 2:
            jumps.append(a[i + 1] - a[i])
        elif i == m // 2:
            jumps.append(0 - a[i])
        elif i == m // 2 + 1:
            jumps.append(a[i])
        else:
            jumps.append(a[i] - a[i - 1])
    span = (s[-1] - s[0]) / (m - 2) if m > 2 else u[1] - u[0]
    slopes = [min(max(jump / span, 0.0), 2.0) for jump in jumps]
    assert max(slopes) > 0.5
    base = w.detach()
    up, down = (integral(base + d, s, slopes) for d in (STEP, -STEP))
    expected = (up - down) / (2 * STEP) * weight
    far = (base.unsqueeze(1) - torch.tensor(s)).abs().amin(1) > 2 * STEP
    assert far.sum() >= 499
    assert (w.grad - expected)[far].abs().max() < TOLERANCE


# Activations -------------------------------------------------------------------------------------


def levels_of(n: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Uneven endpoints and levels on the grid 2**-6."""
    g = torch.Generator().manual_seed(seed)
    v = (torch.rand(n, generator=g) * 0.5 + 0.1).double().cumsum(0) - 0.4
    beta = torch.randint(5, 30, (n,), generator=g).double().cumsum(0) / 64
    return v, beta


@pytest.mark.parametrize("n", pa.N_RANGE)
def test_activation_gradients_are_those_of_the_surrogate(n: int) -> None:
    step = spec(n=n).step
    v0, beta0 = levels_of(n, seed=n)
    a0 = torch.randn(600, generator=torch.Generator().manual_seed(n)).double() * 1.5
    weight = torch.randn(600, generator=torch.Generator().manual_seed(5)).double()
    a, v, beta = (t.clone().requires_grad_() for t in (a0, v0, beta0))
    out = pa.pa_act(a, v, beta, step)
    (out * weight).sum().backward()

    def forward(levels: Tensor) -> Tensor:
        """Equation 10, which is linear in the levels."""
        value = torch.zeros_like(a0)
        for i in range(n):
            upper = v0[i + 1] if i + 1 < n else math.inf
            value = torch.where((a0 >= v0[i]) & (a0 < upper), levels[i], value)
        return value

    assert torch.equal(out.detach(), forward(beta0))
    t = [float(x) for x in (v0[1:] + v0[:-1]) / 2] + [float(v0[-1]) + step]
    t = [2 * float(v0[0]) - t[0], *t]
    rise = beta0.diff(prepend=torch.zeros(1).double()) / step

    def smooth(x: Tensor, ends: Tensor) -> Tensor:
        """Every step of the forward pass as a ramp that moves with its endpoint."""
        total = torch.zeros_like(x)
        for i in range(n):
            low, high = t[i] - float(v0[i]), t[i + 1] - float(v0[i])
            total = total + rise[i] * ((x - ends[i]).clamp(low, high) - low)
        return total

    far = (a0.unsqueeze(1) - torch.tensor(t)).abs().amin(1) > 2 * STEP
    expected = (smooth(a0 + STEP, v0) - smooth(a0 - STEP, v0)) / (2 * STEP) * weight
    assert (a.grad - expected)[far].abs().max() < TOLERANCE
    assert far.sum() >= 599
    share = math.sqrt(n / 600)
    for i in range(n):
        shift = STEP * F.one_hot(torch.tensor(i), n).double()
        by_end = (smooth(a0, v0 + shift) - smooth(a0, v0 - shift)) / (2 * STEP) * weight
        assert abs(v.grad[i] - by_end.sum() * share) < TOLERANCE * 600
        by_level = (forward(beta0 + shift) - forward(beta0 - shift)) / (2 * STEP) * weight
        assert abs(beta.grad[i] - by_level.sum() * share) < TOLERANCE * 600


@pytest.mark.parametrize("from_batch", [True, False])
@pytest.mark.parametrize("n", [1, 5, 15])
def test_fused_stream_has_the_gradients_of_bn_then_activation(from_batch: bool, n: int) -> None:
    g = torch.Generator().manual_seed(n)
    x0 = torch.randint(-128, 128, (3, 6, 5, 4), generator=g).double() / 16
    gamma0 = torch.randn(6, generator=g).double() * 2
    gamma0[2] = 0.0
    bias0 = torch.randn(6, generator=g).double()
    v0, beta0 = levels_of(n, seed=n)
    weight = torch.randn(x0.shape, generator=g).double()
    eps, step = 0.03, spec(n=n).step
    index = tables.stream_index(x0)
    mean, var = tables.stream_statistics(index, 6)
    if not from_batch:
        mean, var = torch.linspace(-2, 2, 6).double(), torch.linspace(1, 30, 6).double()
    results: list[tuple[Tensor, list[Tensor | None]]] = []
    for fused in (True, False):
        leaves = [t.clone().requires_grad_() for t in (x0, gamma0, bias0, v0, beta0)]
        x, gamma, bias, v, beta = leaves
        if fused:
            out = tables.pa_stream(
                x, index, gamma, bias, v, beta, mean, var, eps, step, from_batch
            )  # fmt: skip
        else:
            a = F.batch_norm(x, mean.clone(), var.clone(), gamma, bias, from_batch, 0.0, eps)
            out = pa.pa_act(a, v, beta, step)
        (out * weight).sum().backward()
        results.append((out.detach(), [leaf.grad for leaf in leaves]))
    (out_a, grads_a), (out_b, grads_b) = results
    assert torch.equal(out_a, out_b)
    assert len(torch.unique(out_a)) > min(n, 8)
    for fused_grad, grad in zip(grads_a, grads_b, strict=True):
        assert fused_grad is not None and grad is not None
        assert grad.abs().max() > 0
        assert (fused_grad - grad).abs().max() <= 1e-11 * max(1.0, float(grad.abs().max()))


def test_stream_statistics_are_exact() -> None:
    x = torch.randint(-128, 128, (4, 3, 6, 5)).float() / 16
    mean, var = tables.stream_statistics(tables.stream_index(x), 3)
    channels = x.double().transpose(0, 1).flatten(1)
    assert torch.allclose(mean, channels.mean(1), rtol=0, atol=1e-14)
    assert torch.allclose(var, channels.var(1, correction=0), rtol=0, atol=1e-12)


def test_nan_in_a_stream_is_named() -> None:
    x = torch.zeros(1, 3, 4, 4)
    x[0, 1, 2, 3] = math.nan
    with pytest.raises(ValueError, match="found NaN in its input"):
        tables.stream_index(x)


def test_thresholds_equal_bn_and_comparison_on_every_code() -> None:
    g = torch.Generator().manual_seed(1)
    channels = 400
    gamma = torch.randn(channels, generator=g)
    gamma[::7] = 0.0
    bias, mean = (torch.randn(channels, generator=g) for _ in range(2))
    var = torch.rand(channels, generator=g) * 4
    v, _ = levels_of(5)
    folded = tables.fold_thresholds(gamma, bias, mean, var, 1e-3, v)
    assert set(folded.sign.unique().tolist()) == {-1.0, 0.0, 1.0}
    assert (folded.thresholds.diff(dim=1) >= 0).all()
    assert folded.thresholds.min() >= -128 and folded.thresholds.max() <= 129
    x = torch.arange(-128, 128).double() / 16
    normal = (x - mean.double().view(-1, 1)) / (var.double().view(-1, 1) + 1e-3).sqrt()
    a = gamma.double().view(-1, 1) * normal + bias.double().view(-1, 1)
    expected = torch.bucketize(a, v, right=True)
    found = tables.code_table(folded)
    assert found.numel() == channels * 256
    assert torch.count_nonzero(found != expected) == 0


def test_equality_reaches_the_endpoint_for_every_sign_of_gamma() -> None:
    gamma = torch.tensor([1.0, -1.0, 0.0, 0.0])
    bias = torch.tensor([0.0, 0.0, 0.5, 0.4375])
    folded = tables.fold_thresholds(
        gamma, bias, torch.zeros(4), torch.full((4,), 0.75), 0.25, torch.tensor([0.5]).double()
    )
    table = tables.code_table(folded)
    assert table[0].tolist() == [int(code >= 8) for code in range(-128, 128)]
    assert table[1].tolist() == [int(code <= -8) for code in range(-128, 128)]
    assert table[2].tolist() == [1] * 256
    assert table[3].tolist() == [0] * 256


@pytest.mark.parametrize("saturating", [-1e30, 1e30])
def test_unreachable_endpoints_give_thresholds_at_the_ends(saturating: float) -> None:
    for gamma, reached in ((1.0, saturating > 0), (-1.0, saturating > 0)):
        folded = tables.fold_thresholds(
            torch.tensor([gamma]), torch.tensor([saturating]), torch.zeros(1), torch.ones(1),
            0.0, torch.tensor([0.5]).double(),
        )  # fmt: skip
        assert folded.thresholds.item() == (-128 if reached else 129)
        assert tables.code_table(folded).unique().tolist() == [int(reached)]


# Levels ------------------------------------------------------------------------------------------


def test_levels_start_as_documented_and_stay_ordered() -> None:
    five = PaLevels(spec(n=5))
    assert torch.allclose(five.endpoints(), torch.tensor([0.2, 0.6, 1.0, 1.4, 1.8]).double())
    beta, frac = five.levels()
    assert frac == 6 and (beta * 64).tolist() == [26, 51, 77, 102, 128]
    with torch.no_grad():
        for p in five.parameters():
            p.normal_(std=3)
    assert (five.endpoints().diff() > 0).all()
    beta, frac = five.levels()
    codes = beta * 2.0**frac
    assert (codes.diff() >= 0).all() and codes.max() <= 255 and torch.equal(codes, codes.round())


def test_linear_levels_are_codes_times_a_power_of_two() -> None:
    for n in pa.N_RANGE:
        layer = PaLevels(spec(n=n, levels="linear"))
        beta, frac = layer.levels()
        assert (beta * 2.0**frac).tolist() == list(range(1, n + 1))
        assert "rises" not in layer.state_dict()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"m": 5}, "found M 5, expected an even number"),
        ({"m": 16}, "found M 16"),
        ({"n": 0}, "found N 0, expected a number from 1 to 15"),
        ({"n": 16}, "found N 16"),
        ({"bits": 3}, "found coefficient_bits 3"),
        ({"levels": "log"}, "found levels log, expected free or linear"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pa.PaSpec(**arguments)


# Brevitas ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("levels", ["free", "linear"])
def test_brevitas_modules_take_the_quantisers(levels: pa.Levels) -> None:
    conv = QuantConv2d(
        6, 4, 3, bias=False, weight_quant=PaWeight, weight_m=8, weight_levels=levels,
        input_quant=PaAct, input_n=7, input_levels=levels,
    )  # fmt: skip
    x = torch.randn(2, 6, 8, 8)
    weight = conv.quant_weight()
    value, frac = pa.pa_weight(conv.weight, spec(m=8, levels=levels), 0)
    assert torch.equal(weight.value, value)
    assert float(weight.scale) == 2.0**-frac and weight.is_valid and weight.signed
    conv(x).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in conv.parameters())
    act = QuantIdentity(act_quant=PaAct, n=3, levels=levels, return_quant_tensor=True)
    codes = act(x).int()
    assert codes.dtype == torch.uint8 and len(codes.unique()) == 4


# Bases -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_disjoint_and_nested_bases_give_the_same_sums(seed: int) -> None:
    rng = np.random.default_rng(seed)
    m, n = 2 * int(rng.integers(1, 8)), int(rng.integers(1, 16))
    alpha = torch.from_numpy(rng.integers(-127, 128, m + 1))
    beta = torch.from_numpy(rng.integers(0, 256, n + 1))
    alpha[m // 2] = beta[0] = 0
    w = torch.from_numpy(rng.integers(-m // 2, m // 2 + 1, (9, 200)))
    x = torch.from_numpy(rng.integers(0, n + 1, 200))
    expected = (alpha[w + m // 2] * beta[x]).sum(1)
    for nested in (False, True):
        t = bases(w, -m // 2, m // 2, nested)
        v = bases(x, 0, n, nested)
        a = base_coefficients(alpha, m // 2, nested)
        b = base_coefficients(beta, 0, nested)
        assert t.shape == (m, 9, 200) and v.shape == (n, 200)
        counts = torch.einsum("iok,jk->ijo", t, v)
        assert torch.equal(torch.einsum("i,j,ijo->o", a, b, counts), expected)
        if not nested:
            assert (counts.sum((0, 1)) <= 200).all()


def test_a_weight_on_an_endpoint_belongs_to_the_piece_above() -> None:
    # A standard deviation for which the endpoints are -1/2 and 1/2.
    w = torch.tensor([0.5, -0.5, 1.0, -1.0, 0.9, -0.9])
    found = pa.quantise_weight(w, pa.PaSpec(m=2, levels="linear"), 4)
    assert found.frac == 0
    assert (found.index - 1).tolist() == [1, 0, 1, -1, 1, -1]
