# SPDX-License-Identifier: Apache-2.0
"""PA quantisers: the trainable endpoints and levels, and Brevitas quantisers for any module.

``QuantConv2d(..., weight_quant=PaWeight, weight_m=8)`` and ``QuantIdentity(act_quant=PaAct, n=7)``
put PA into a module of Brevitas. Their outputs are ordinary quantised tensors: INT8 (weights) and
UINT8 (activations) with a power-of-two scale, of which only M+1 and N+1 values occur.
"""

from __future__ import annotations

import math

import torch
from brevitas.inject import ExtendedInjector
from brevitas.inject.enum import QuantType
from brevitas.proxy import ActQuantProxyFromInjector, WeightQuantProxyFromInjector
from torch import Tensor, nn
from torch.nn import functional as F

from . import pa_functions as pa
from .functions import round_to_grid
from .pa_checks import ordered


def _softplus_inverse(y: float) -> float:
    return math.log(math.expm1(y))


class PaLevels(nn.Module):
    """Endpoints v and levels beta of one activation, both increasing by construction.

    ``v = first, first + softplus(gaps[0]), ...`` and ``beta = softplus(rises[0]), + ...``; levels
    ``linear`` have no ``rises``: beta_j = j times a fixed power of two.

    Args:
        spec: constants of the layer.
    """

    rises: Tensor | None

    def __init__(self, spec: pa.PaSpec) -> None:
        super().__init__()
        self.spec = spec
        linear = spec.levels == "linear"
        self.frac = min(max(-round(math.log2(spec.step)), 0), pa.BETA_FRAC_MAX)
        self.step = 2.0**-self.frac if linear else spec.step
        rise = _softplus_inverse(self.step)
        self.first = nn.Parameter(torch.tensor([self.step / 2]))
        self.gaps = nn.Parameter(torch.full((spec.n - 1,), rise))
        free = None if linear else nn.Parameter(torch.full((spec.n,), rise))
        self.register_parameter("rises", free)

    def endpoints(self) -> Tensor:
        """Return (N,) increasing endpoints in float64."""
        gaps = F.softplus(self.gaps.double())
        return torch.cat((self.first.double(), gaps)).cumsum(0)

    def check_values(self, name: str) -> None:
        """Refuse endpoints that do not increase; see ``block.Checkable``."""
        ordered(f"{name}.endpoints", self.endpoints().view(1, -1), strictly=True)

    def levels(self) -> tuple[Tensor, int]:
        """Return (N,) levels snapped to the grid 2**-frac, and frac."""
        if self.rises is None:
            codes = torch.arange(1, self.spec.n + 1, device=self.first.device)
            return codes.to(self.first.dtype) * 2.0**-self.frac, self.frac
        beta = F.softplus(self.rises).cumsum(0)
        frac = pa.fraction_bits(float(beta.detach()[-1]), self.spec.beta_max, 0, pa.BETA_FRAC_MAX)
        return round_to_grid(beta, frac, 0.0, float(self.spec.beta_max)), frac


class PaWeightQuant(nn.Module):
    """Brevitas' core of ``PaWeight``: (value, scale, zero point, bit width) of latent weights."""

    def __init__(self, m: int, levels: pa.Levels, bit_width: int) -> None:
        super().__init__()
        self.spec = pa.PaSpec(m=m, levels=levels, bits=bit_width)

    def forward(self, weight: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Quantise; leaves alpha all fraction bits that no known beta needs."""
        value, frac = pa.pa_weight(weight, self.spec, 0)
        return value, *_format(value, frac, self.spec.bits)


class PaActQuant(nn.Module):
    """Brevitas' core of ``PaAct``: (value, scale, zero point, bit width) of real activations."""

    def __init__(self, n: int, levels: pa.Levels, bit_width: int) -> None:
        super().__init__()
        self.levels = PaLevels(pa.PaSpec(n=n, levels=levels, bits=bit_width))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Quantise with the current endpoints and levels."""
        values, frac = self.levels.levels()
        out = pa.pa_act(x, self.levels.endpoints(), values, self.levels.step)
        return out, *_format(out, frac, self.levels.spec.bits)


def _format(value: Tensor, frac: int, bits: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return scale, zero point and bit width as Brevitas wants them."""
    scale, zero_point, width = (value.new_tensor(v) for v in (2.0**-frac, 0.0, float(bits)))
    return scale, zero_point, width


class PaWeight(ExtendedInjector):
    """PA weights for ``weight_quant=``; options ``weight_m``, ``weight_levels``,
    ``weight_bit_width``."""

    proxy_class = WeightQuantProxyFromInjector
    tensor_quant = PaWeightQuant
    quant_type = QuantType.INT
    signed = True
    narrow_range = True
    m = 4
    levels = "free"
    bit_width = 8


class PaAct(ExtendedInjector):
    """PA activations for ``act_quant=``; options ``n``, ``levels``, ``bit_width`` (in a layer that
    has several quantisers with its prefix, such as ``input_n``)."""

    proxy_class = ActQuantProxyFromInjector
    tensor_quant = PaActQuant
    quant_type = QuantType.INT
    signed = False
    narrow_range = False
    n = 5
    levels = "free"
    bit_width = 8
