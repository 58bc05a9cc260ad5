# SPDX-License-Identifier: Apache-2.0
"""PA blocks: frozen = trained = the popcount definition, real twins, damaged integers refused."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch
from andpop.quant import grid
from andpop.quant.blocks import functions as fn
from andpop.quant.blocks import pa_functions as pa
from andpop.quant.blocks import pa_stream as tables
from andpop.quant.blocks.binary import BinaryBlock
from andpop.quant.blocks.block import check, fix_statistics, freeze, set_real
from andpop.quant.blocks.classifiers import Classifier
from andpop.quant.blocks.epilogue import Epilogue
from andpop.quant.blocks.fixed_point import PIXEL_RANGE, FixedPointBlock
from andpop.quant.blocks.pa import IntegerPaBlock, IntegerPaEpilogueBlock, PaBlock, PaEpilogueBlock
from andpop.quant.blocks.pa_conv import IntegerPaConv, PaConv
from andpop.quant.exact import exact_eval
from pa_bases import base_coefficients, bases
from torch import Tensor, nn

IntArray = npt.NDArray[np.int64]
Block = type[PaBlock] | type[PaEpilogueBlock]


def stream(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.randint(-128, 128, shape, generator=g).float() / 16


def integers(x: Tensor) -> IntArray:
    whole = x.detach().double().numpy()
    assert np.array_equal(whole, np.rint(whole))
    return whole.astype(np.int64)


def trained(kind: Block, m: int, n: int, levels: pa.Levels, stride: int = 2) -> nn.Module:
    """A block in evaluation mode with gammas of every sign and statistics of a few batches."""
    torch.manual_seed(m * 16 + n)
    block = kind(6, 9, 3, stride, m=m, n=n, levels=levels)
    with torch.no_grad():
        activation = block.conv.activation
        activation.gamma.normal_()
        activation.gamma[1] = 0
        activation.beta.normal_(std=0.5)
        for p in activation.levels.parameters():
            p.add_(torch.randn_like(p) * 0.3)
        for seed in range(3):
            block(stream((4, 6, 9, 8), seed))
    return block.eval()


@pytest.mark.parametrize("kind", [PaBlock, PaEpilogueBlock])
@pytest.mark.parametrize("levels", ["free", "linear"])
@pytest.mark.parametrize(("m", "n"), [(2, 1), (4, 5), (8, 7), (14, 15)])
def test_evaluation_fixed_statistics_and_frozen_give_the_same_bits(
    kind: Block, levels: pa.Levels, m: int, n: int
) -> None:
    block = trained(kind, m, n, levels)
    x, shortcut = stream((4, 6, 9, 8), 7), stream((4, 9, 5, 4), 8)
    frozen = block.to_integer()
    for s in (None, shortcut):
        with exact_eval():
            evaluated = block.eval()(x, s)
            codes = frozen(x * 16, None if s is None else s * 16)
            assert torch.count_nonzero(evaluated * 16 != codes) == 0
            fix_statistics(block)
            assert torch.equal(block.train()(x, s), evaluated)
        assert len(torch.unique(codes)) > 4
    check(frozen)
    check(block)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("m", "n"), [(2, 1), (4, 5), (8, 7), (14, 15)])
def test_frozen_block_is_the_popcount_definition(m: int, n: int, stride: int) -> None:
    block = trained(PaBlock, m, n, "free", stride).to_integer()
    assert isinstance(block, IntegerPaBlock)
    conv = block.conv
    x = stream((3, 6, 9, 8), 4) * 16
    codes = integers(x)
    sign, thresholds = integers(conv.activation.sign), integers(conv.activation.thresholds)
    level = np.zeros_like(codes)
    for i in range(n):
        level += sign[:, None, None] * codes >= thresholds[:, i, None, None]
    with exact_eval():
        assert np.array_equal(integers(conv.activation(x)), level)
        found = integers(conv(x))
        # Equation 19: T_i & V_j counted by convolutions of bits, borders 0.
        t = bases(conv.weight, -m // 2, m // 2)
        v = bases(torch.from_numpy(level), 0, n)
        a = base_coefficients(conv.alpha, m // 2)
        b = base_coefficients(conv.beta, 0)
        expected = np.zeros_like(found)
        for i in range(m):
            for j in range(n):
                count = nn.functional.conv2d(v[j].float(), t[i].float(), stride=stride, padding=1)
                expected += int(a[i]) * int(b[j]) * integers(count)
    assert np.count_nonzero(found != expected) == 0
    shortcut = np.random.default_rng(0).integers(-128, 128, found.shape)
    out = integers(block(x, torch.from_numpy(shortcut).float()))
    assert np.array_equal(out, grid.requantise(expected + (shortcut << block.shift), block.shift))
    assert found.size == 3 * 9 * (72 if stride == 1 else 20)


def test_epilogue_block_rounds_the_accumulator_to_16_bits() -> None:
    block = trained(PaEpilogueBlock, 8, 7, "free").to_integer()
    assert isinstance(block, IntegerPaEpilogueBlock)
    # 54 taps of at most 127 * 255 need 22 bits.
    assert block.epilogue.format.acc_shift == 6
    x = stream((3, 6, 9, 8), 4) * 16
    with exact_eval():
        acc, found = integers(block.conv(x)), integers(block(x))
    expected = grid.epilogue(
        acc.transpose(0, 2, 3, 1), integers(block.epilogue.params()), block.epilogue.format
    )
    assert np.array_equal(found.transpose(0, 2, 3, 1), expected)


def test_residual_passes_the_gradient_where_it_does_not_saturate() -> None:
    acc = torch.tensor([0.1, -9.0, 5.0, 7.9]).view(1, 4, 1, 1).requires_grad_()
    shortcut = torch.tensor([0.5, 0.0, 5.0, 0.0]).view(1, 4, 1, 1).requires_grad_()
    out = pa.residual(acc, shortcut)
    assert (out * 16).flatten().tolist() == [10, -128, 127, 126]
    out.sum().backward()
    assert acc.grad.flatten().tolist() == shortcut.grad.flatten().tolist() == [1, 0, 0, 1]


@pytest.mark.parametrize(("channels", "kernel", "bits"), [(256, 3, 8), (512, 3, 7), (2048, 1, 8)])
def test_coefficients_have_7_bits_where_there_are_many_taps(
    channels: int, kernel: int, bits: int
) -> None:
    conv = PaConv(channels, 2, kernel)
    assert conv.spec.bits == bits
    assert PaConv(channels, 2, kernel, coefficient_bits=5).spec.bits == 5
    target = IntegerPaConv(channels, 2, kernel, 1, 4, 5)
    conv.frozen_into(target)
    assert target.alpha.abs().max() <= (1 << (bits - 1)) - 1
    assert target.beta.max() <= (1 << bits) - 1


class Net(nn.Module):
    """One block of every kind."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = FixedPointBlock(1, 8, 3, 2, 8, PIXEL_RANGE, 0, 1024.0)
        self.binary = BinaryBlock(8, 8, 3)
        self.pa = PaBlock(8, 8, 3)
        self.bn = PaEpilogueBlock(8, 8, 1)
        self.classifier = Classifier(8, 5, 8)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = self.binary(x, x)
        x = self.pa(x, x)
        x = self.bn(x, x)
        out: Tensor = self.classifier(x)
        return out


def test_real_twin_trains_without_any_grid_and_cannot_freeze() -> None:
    torch.manual_seed(0)
    net = Net()
    x = torch.randint(0, 256, (8, 1, 16, 16)).float()
    quantised = net(x)
    set_real(net, True)
    outputs: list[Tensor] = []
    handles = [
        m.register_forward_hook(lambda _, args, out: outputs.append(out))
        for m in (net.stem, net.binary, net.pa, net.bn, net.classifier)
    ]
    real = net(x)
    assert len(outputs) == 5
    for out in outputs:
        assert not torch.equal(out * 256, (out * 256).round())
    for handle in handles:
        handle.remove()
    real.square().sum().backward()
    # A real twin has no endpoints and no levels; all its other parameters learn.
    idle = {name for name, p in net.named_parameters() if p.grad is None}
    assert idle == {f"{b}.conv.activation.levels.{p}" for b in ("pa", "bn")
                    for p in ("first", "gaps", "rises")}  # fmt: skip
    with pytest.raises(ValueError, match="stem has real weights"):
        freeze(net)
    assert isinstance(net.pa, PaBlock)
    set_real(net, False)
    assert torch.equal(net(x), quantised)
    assert not any(getattr(m, "real", False) for m in net.modules())


def test_real_epilogue_is_bn_shortcut_and_rprelu() -> None:
    torch.manual_seed(1)
    epilogue = Epilogue(4, 2.0, 100, gamma=1.0)
    epilogue.real = True
    with torch.no_grad():
        for p in epilogue.parameters():
            p.normal_()
        epilogue.running_mean.normal_()
    acc, shortcut = torch.randn(2, 4, 3, 3), torch.randn(2, 4, 3, 3)

    def column(v: Tensor) -> Tensor:
        return v.view(-1, 1, 1)

    e = epilogue.eval()
    normal = (acc - column(e.running_mean)) * column((e.running_var + e.eps).rsqrt())
    u = normal * column(e.gamma) + column(e.beta) + shortcut - column(e.zeta)
    expected = torch.where(u >= 0, u, column(e.slope) * u) + column(e.eta)
    assert torch.allclose(e(acc, shortcut, 3), expected, atol=1e-5)


def test_quantised_training_approaches_its_real_twin() -> None:
    """The surrogates point the right way: a PA layer learns a PA teacher."""
    torch.manual_seed(2)
    teacher, student = PaBlock(8, 8, 3, m=8, n=7), PaBlock(8, 8, 3, m=8, n=7)
    x = stream((64, 8, 6, 6)) / 4
    x = torch.floor(x * 16) / 16
    with torch.no_grad():
        target = teacher(x)
    optimizer = torch.optim.Adam(student.parameters(), lr=5e-3)
    losses = []
    threads = torch.get_num_threads()
    # So small a layer is fastest on one thread, on a busy machine by far.
    torch.set_num_threads(1)
    try:
        for _ in range(150):
            optimizer.zero_grad()
            loss = (student(x) - target).square().mean()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
    finally:
        torch.set_num_threads(threads)
    assert losses[-1] < 0.2 * losses[0]


# Damaged checkpoints -----------------------------------------------------------------------------


def set_to(name: str, index: int, value: float) -> Callable[[nn.Module], None]:
    def damage(block: nn.Module) -> None:
        block.get_buffer(name).view(-1)[index] = value

    return damage


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            set_to("conv.alpha", 4, 128.0),
            r"0\.conv\.alpha: found 128, expected whole .*-127\.\.127",
        ),
        (set_to("conv.alpha", 0, -128.0), r"alpha: found -128"),
        (set_to("conv.alpha", 2, 3.0), r"alpha: found 3 at index 2, expected 0"),
        (set_to("conv.beta", 5, 256.0), r"beta: found 256, expected whole numbers 0\.\.255"),
        (set_to("conv.beta", 1, -1.0), r"beta: found -1"),
        (set_to("conv.beta", 0, 7.0), r"beta: found 7 at index 0, expected 0"),
        (set_to("conv.weight", 5, 3.0), r"weight: found 3, expected whole numbers -2\.\.2"),
        (set_to("conv.activation.sign", 0, 2.0), r"sign: found 2, expected whole numbers -1\.\.1"),
        (set_to("conv.activation.thresholds", 7, float("nan")), r"thresholds: found nan"),
        (set_to("conv.activation.thresholds", 9, -129.0), r"thresholds: found -129"),
        (
            set_to("conv.activation.thresholds", 6, 129.0),
            r"thresholds: channel 1: found 129 before -?\d+, expected non-decreasing values",
        ),
        (set_to("shifts", 0, 40), r"0\.shifts: found 40, expected whole numbers 4\.\.18"),
    ],
)
def test_frozen_integers_outside_their_formats_are_named(
    damage: Callable[[nn.Module], None], message: str
) -> None:
    net = nn.Sequential(trained(PaBlock, 4, 5, "free").to_integer())
    state = {k: v.clone() for k, v in net.state_dict().items()}
    check(net)
    damage(net[0])
    damaged = {k: v.clone() for k, v in net.state_dict().items()}
    net.load_state_dict(state)
    check(net)
    net.load_state_dict(damaged)
    with pytest.raises(ValueError, match=message) as error:
        check(net)
    assert "\n" not in str(error.value)


def test_tables_of_impossible_length_are_named() -> None:
    with pytest.raises(ValueError, match="alpha: found M = 5, expected an even number"):
        check(nn.Sequential(IntegerPaConv(2, 2, 1, 1, 5, 5)))
    with pytest.raises(ValueError, match="beta: found N = 0, expected a number from 1 to 15"):
        check(nn.Sequential(IntegerPaConv(2, 2, 1, 1, 4, 0)))


def test_unordered_endpoints_of_a_trainable_network_are_named() -> None:
    net = nn.Sequential(PaBlock(2, 2, 3))
    check(net)
    with torch.no_grad():
        net[0].conv.activation.levels.gaps[2] = -1e4
    message = r"0\.conv\.activation\.levels\.endpoints: channel 0: found 1 before 1, expected incr"
    with pytest.raises(ValueError, match=message):
        check(net)
    with torch.no_grad():
        net[0].conv.activation.levels.gaps[2] = float("nan")
    with pytest.raises(ValueError, match="endpoints: found NaN"):
        check(net)


def test_stream_codes_of_the_activation_are_the_grid_of_the_streams() -> None:
    assert (tables.CODES, tables.THRESHOLD_MIN, tables.THRESHOLD_MAX) == (256, -128, 129)
    assert fn.STREAM_FRAC == 4
