# SPDX-License-Identifier: Apache-2.0
"""PA blocks: a PA convolution, then residual or epilogue; trainable and as integers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor, nn

from ..grid import signed_bits
from . import functions as fn
from . import pa_functions as pa
from .block import Bound, Cost, IntegerBlock, Shifted, magnitude, shift_right
from .epilogue import Epilogue, IntegerEpilogue
from .pa_checks import whole_numbers
from .pa_conv import IntegerPaConv, PaConv
from .quantizers import Requant

EPILOGUE_OPS = 3
"""2 per batch-norm element and 1 per activation element behind a PA convolution."""


class PaBlock(nn.Module):
    """``PaConv`` -> + shortcut -> INT8 stream, without a BN of its own. Arguments as ``PaConv``."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        stride: int = 1,
        *,
        m: int = 4,
        n: int = 5,
        levels: pa.Levels = "free",
        coefficient_bits: int | None = None,
    ) -> None:
        super().__init__()
        self.real = False
        self.conv = PaConv(
            in_channels, out_channels, kernel, stride, m=m, n=n, levels=levels,
            coefficient_bits=coefficient_bits,
        )  # fmt: skip

    def forward(self, x: Tensor, shortcut: Tensor | None = None) -> Tensor:
        """Return the (N, C_out, H', W') stream."""
        acc, _ = self.conv(x)
        if self.real:
            return acc if shortcut is None else acc + shortcut
        return pa.residual(acc, shortcut)

    def cost(self) -> Cost:
        """See ``block.Countable``."""
        # Its batch norm stands in front; the papers count one behind every convolution.
        return self.conv.convolution_cost(len(self.conv.weight))

    def to_integer(self) -> IntegerPaBlock:
        """Return the frozen block."""
        block = IntegerPaBlock(*self.conv.integer_arguments())
        block.set_integers([self.conv.frozen_into(block.conv)])
        return block


class PaEpilogueBlock(nn.Module):
    """``PaConv`` -> accumulator rounded to 16 bits -> epilogue. Arguments as ``PaConv``."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        stride: int = 1,
        *,
        m: int = 4,
        n: int = 5,
        levels: pa.Levels = "free",
        coefficient_bits: int | None = None,
    ) -> None:
        super().__init__()
        self.real = False
        self.conv = PaConv(
            in_channels, out_channels, kernel, stride, m=m, n=n, levels=levels,
            coefficient_bits=coefficient_bits,
        )  # fmt: skip
        spec = self.conv.spec
        largest = (spec.m // 2 * spec.n) if levels == "linear" else spec.alpha_max * spec.beta_max
        worst = self.conv.taps * largest
        self.acc_shift = max(0, signed_bits(worst) - fn.ACC_BITS)
        self.epilogue = Epilogue(out_channels, 1.0, (worst >> self.acc_shift) + 1, gamma=0.3)

    def forward(self, x: Tensor, shortcut: Tensor | None = None) -> Tensor:
        """Return the (N, C_out, H', W') stream."""
        acc, frac = self.conv(x)
        frac -= self.acc_shift
        if self.acc_shift and not self.real:
            limit = float(1 << (fn.ACC_BITS - 1))
            acc = fn.round_to_grid(acc, frac, -limit, limit - 1)
        out: Tensor = self.epilogue(acc, shortcut, frac)
        return out

    def cost(self) -> Cost:
        """See ``block.Countable``."""
        return self.conv.convolution_cost(sum(self.conv.weight.shape[:2]), EPILOGUE_OPS)

    def to_integer(self) -> IntegerPaEpilogueBlock:
        """Return the frozen block."""
        block = IntegerPaEpilogueBlock(*self.conv.integer_arguments())
        frac = self.conv.frozen_into(block.conv) - self.acc_shift
        self.epilogue.frozen_into(block.epilogue, frac, self.acc_shift)
        return block


class IntegerPaBlock(Shifted):
    """``IntegerPaConv`` -> + shortcut -> INT8; ``shifts`` = fraction bits of the accumulator."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, stride: int, m: int, n: int
    ) -> None:
        super().__init__(1)
        self.conv = IntegerPaConv(in_channels, out_channels, kernel, stride, m, n)
        self.round_out = Requant(0, 8)
        self.shift = 0

    def refresh(self) -> None:
        self.shift = int(self.shifts[0]) - fn.STREAM_FRAC

    def bounds(self, shape: Sequence[int]) -> Iterator[Bound]:
        largest = magnitude(self.conv.accumulator_ends())
        yield Bound("accumulator", largest)
        shortcut = (-fn.STREAM_MIN << self.shift) + (1 << self.shift >> 1)
        yield Bound("accumulator with shortcut", largest + shortcut)

    def check_values(self, name: str) -> None:
        whole_numbers(f"{name}.shifts", self.shifts, fn.STREAM_FRAC, pa.ACC_FRAC_MAX)

    def forward(self, x: Tensor, shortcut: Tensor | None = None) -> Tensor:
        """INT8 codes (N, C_in, H, W) -> INT8 codes (N, C_out, H', W')."""
        total = self.conv(x)
        if shortcut is not None:
            total = total + (shortcut * 2.0**self.shift if self.shift else shortcut)
        out: Tensor = self.round_out(shift_right(total, self.shift))
        return out


class IntegerPaEpilogueBlock(IntegerBlock):
    """``IntegerPaConv`` -> ``IntegerEpilogue`` with an optional shortcut."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, stride: int, m: int, n: int
    ) -> None:
        super().__init__()
        self.conv = IntegerPaConv(in_channels, out_channels, kernel, stride, m, n)
        self.epilogue = IntegerEpilogue(out_channels)

    def bounds(self, shape: Sequence[int]) -> Iterator[Bound]:
        ends = self.conv.accumulator_ends()
        yield Bound("accumulator", magnitude(ends))
        yield from self.epilogue.bounds_behind(ends)

    def forward(self, x: Tensor, shortcut: Tensor | None = None) -> Tensor:
        """INT8 codes (N, C_in, H, W) -> INT8 codes (N, C_out, H', W')."""
        out: Tensor = self.epilogue(self.conv(x), shortcut)
        return out
