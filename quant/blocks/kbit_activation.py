# SPDX-License-Identifier: Apache-2.0
"""k-bit activations: BN, RSiLU, clip and quantiser; trainable and as signed thresholds."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from . import functions as fn
from .block import Boundary, Mirrored
from .epilogue import EPS_FRACTION
from .kbit_functions import KbitSpec, kbit_activation, look_up_levels, top_level
from .signed_thresholds import FloatArray, SignedThresholds, derive, fold, threshold_count

HARDWARE_BITS = range(1, 9)
"""Bits of the codes that become integers."""
MONOTONE_MARGIN = 1.0 - 2.0**-20
"""Keeps eta below 0.5 / L, from where on RSiLU steps down, in float32 too."""


class KbitActivation(nn.Module):
    """BN -> RSiLU -> clip to [0, 1] -> k-bit quantiser, of an accumulator.

    Args:
        channels: channels of the accumulator.
        k: bits of the codes.
        nominal_variance: variance of the accumulator to be expected; sets eps.
        limit: largest |accumulator| in integer units, from shapes.
        rsilu: False for BN, clip and quantiser alone.
        monotone: hold eta below 0.5 / L, where the activation never steps down.
    """

    zeta: Tensor | None
    eta: Tensor | None

    def __init__(
        self,
        channels: int,
        k: int,
        nominal_variance: float,
        limit: int,
        *,
        rsilu: bool = True,
        monotone: bool = False,
    ) -> None:
        super().__init__()
        self.spec = KbitSpec(EPS_FRACTION * nominal_variance, k)
        self.limit = limit
        self.monotone = monotone
        self.real = False
        self.statistics_fixed = False
        self.gamma = nn.Parameter(torch.ones(channels))
        self.beta = nn.Parameter(torch.zeros(channels))
        zeta, eta = (nn.Parameter(torch.zeros(channels)) if rsilu else None for _ in range(2))
        self.register_parameter("zeta", zeta)
        self.register_parameter("eta", eta)
        self.running_mean: Tensor
        self.running_var: Tensor
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.full((channels,), float(nominal_variance)))

    @property
    def uses_batch(self) -> bool:
        """True while BN takes its statistics from the batch."""
        return self.training and not self.statistics_fixed

    @property
    def falling(self) -> bool:
        """True where the activation may step down."""
        return self.eta is not None and not self.monotone

    @property
    def rsilu_channels(self) -> int:
        """Channels with zeta and eta in use; a real block has a ReLU."""
        return 0 if self.zeta is None or self.real else self.zeta.numel()

    def eta_in_use(self) -> Tensor | None:
        """Return eta (C,), held where a monotone activation needs it."""
        if self.eta is None or not self.monotone:
            return self.eta
        return self.eta.clamp(max=0.5 / self.spec.top * MONOTONE_MARGIN)

    def forward(self, acc: Tensor, acc_frac: int) -> Tensor:
        """Return the codes of an accumulator on the grid 2**-acc_frac."""
        from_batch = self.uses_batch
        if self.real:
            return self._real_forward(acc)
        mean, var = self.running_mean, self.running_var
        codes = None
        if from_batch:
            with torch.no_grad():
                mean, var = fn.batch_statistics(acc)
                self.running_mean.lerp_(mean.to(self.running_mean.dtype), fn.BN_MOMENTUM)
                self.running_var.lerp_(var.to(self.running_var.dtype), fn.BN_MOMENTUM)
        elif self.spec.k in HARDWARE_BITS:
            codes = self._levels(acc, acc_frac)
        return kbit_activation(
            acc, self.gamma, self.beta, self.zeta, self.eta_in_use(), mean, var, self.spec,
            from_batch, codes,
        )  # fmt: skip

    def _real_forward(self, acc: Tensor) -> Tensor:
        y = F.batch_norm(
            acc, self.running_mean, self.running_var, self.gamma, self.beta, self.uses_batch,
            fn.BN_MOMENTUM, self.spec.eps,
        )  # fmt: skip
        return F.relu(y) * self.spec.top

    @torch.no_grad()
    def _levels(self, acc: Tensor, acc_frac: int) -> Tensor:
        derived = self.derive(acc_frac)
        sums = F.pad(torch.from_numpy(derived.steps).cumsum(1), (1, 0))
        sums = sums + torch.from_numpy(derived.base).view(-1, 1)
        thresholds = torch.from_numpy(derived.thresholds)
        scaled = acc * 2.0**acc_frac if acc_frac else acc
        return look_up_levels(scaled, thresholds.to(acc.device), sums.to(acc.device))

    def derive(self, acc_frac: int) -> SignedThresholds:
        """Return the thresholds of running statistics and parameters on integer accumulators."""
        function = fold(
            _float64(self.gamma),
            _float64(self.beta),
            _float64(self.running_mean),
            _float64(self.running_var),
            self.spec.eps,
            None if self.zeta is None else _float64(self.zeta),
            None if (eta := self.eta_in_use()) is None else _float64(eta),
            self.spec.top,
            acc_frac,
        )
        count = threshold_count(self.spec.top, self.falling)
        return derive(function, -self.limit, self.limit, count)

    def frozen_into(self, target: IntegerKbitActivation, acc_frac: int) -> None:
        """Write the thresholds into ``target``."""
        target.fill_thresholds(self.derive(acc_frac))


def _float64(value: Tensor) -> FloatArray:
    return value.detach().cpu().double().numpy()


class IntegerKbitActivation(Mirrored):
    """Level codes of accumulators: ``base + sum of steps where x >= thresholds``.

    Buffers ``thresholds`` (C, n), ascending, ``steps`` (C, n) of -1 and +1, ``base`` (C,).

    Args:
        channels: channels of the accumulator.
        k: bits of the codes.
        falling: False where the activation cannot step down.

    Raises:
        ValueError: ``k`` is more than hardware has.
    """

    thresholds: Tensor
    steps: Tensor
    base: Tensor
    sums: Tensor
    compared: Tensor
    taken: Tensor
    lowest: Tensor

    def __init__(self, channels: int, k: int, falling: bool) -> None:
        super().__init__()
        if k not in HARDWARE_BITS:
            raise ValueError(
                f"freeze: found k = {k}, expected 1..{HARDWARE_BITS[-1]}; "
                "train a network of narrower activations"
            )
        self.k = k
        count = threshold_count(top_level(k), falling)
        self.register_buffer("thresholds", torch.zeros(channels, count))
        self.register_buffer("steps", torch.ones(channels, count))
        self.register_buffer("base", torch.zeros(channels))
        self.register_buffer("sums", torch.zeros(channels, count + 1), persistent=False)
        # In the shapes of the exported operations: the exporter folds no large constants.
        self.register_buffer("compared", torch.zeros(channels, count, 1, 1), persistent=False)
        self.register_buffer("taken", torch.ones(channels, count, 1, 1), persistent=False)
        self.register_buffer("lowest", torch.zeros(channels, 1, 1), persistent=False)

    def refresh(self) -> None:
        self.sums.copy_(F.pad(self.steps.cumsum(1), (1, 0)) + self.base.view(-1, 1))
        self.compared.copy_(self.thresholds[..., None, None])
        self.taken.copy_(self.steps[..., None, None])
        self.lowest.copy_(self.base[..., None, None])

    def fill_thresholds(self, derived: SignedThresholds) -> None:
        """Fill the buffers with what ``signed_thresholds.derive`` found."""
        self.fill(**{name: torch.from_numpy(value) for name, value in vars(derived).items()})

    def datatypes(self) -> Mapping[str, str]:
        return {"Add_out": f"UINT{self.k}"}

    def boundaries(self) -> Mapping[str, Boundary]:
        return {"Add_out": Boundary(self)}

    def check_values(self, name: str) -> None:
        wrong = self.steps[self.steps.abs() != 1]
        if len(wrong):
            raise ValueError(f"{name}.steps: found {float(wrong[0]):g}, expected -1 or +1")
        fall = (self.thresholds.diff(dim=1) < 0).any(dim=1)
        if fall.any():
            c = int(fall.nonzero()[0])
            raise ValueError(
                f"{name}.thresholds: found {self.thresholds[c].tolist()} in channel {c}, "
                "expected non-decreasing values"
            )
        # Where neighbours are equal, the sum between them is never a level.
        ends = F.pad(self.thresholds.diff(dim=1) > 0, (0, 1), value=True)
        levels = self.sums[:, 1:][ends]
        low, high = float(levels.min()), float(levels.max())
        if low < 0 or high > top_level(self.k):
            raise ValueError(
                f"{name}: found levels {low:g}..{high:g} by its thresholds, steps and base, "
                f"expected 0..{top_level(self.k)}"
            )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) accumulators -> (N, C, H, W) codes."""
        if not torch.compiler.is_exporting():
            return look_up_levels(x, self.thresholds, self.sums)
        reached = x.unsqueeze(2) >= self.compared
        return (reached.to(x.dtype) * self.taken).sum(2) + self.lowest
