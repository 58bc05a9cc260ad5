# SPDX-License-Identifier: Apache-2.0
"""Brevitas quantisers of andpop: 1-bit and fixed-point weights, floor-rounding requantisers."""

from __future__ import annotations

import math
from collections.abc import Mapping

from brevitas.core.function_wrapper import TensorClamp
from brevitas.inject.enum import FloatToIntImplType, ScalingImplType
from brevitas.nn import QuantIdentity
from brevitas.quant.base import IntQuant, PerTensorPoTScaling8bit, SignedBinaryClampedConst
from brevitas.quant.fixed_point import Int8WeightPerTensorFixedPoint
from brevitas.quant.solver.act import ActQuantSolver
from brevitas.quant.solver.weight import WeightQuantSolver
from torch import Tensor

from .block import Boundary, IntegerBlock


class BinaryWeight(SignedBinaryClampedConst, WeightQuantSolver):
    """+-1 weights without a scale (BN absorbs it); +1 at 0, gradient clipped to |w| <= 1."""

    tensor_clamp_impl = TensorClamp
    scaling_const = 1.0


class BinaryAct(SignedBinaryClampedConst, ActQuantSolver):
    """Sign with +1 at 0, scale 1."""

    tensor_clamp_impl = TensorClamp
    min_val = -1.0
    max_val = 1.0


class FixedPointWeight(Int8WeightPerTensorFixedPoint):
    """Narrow signed weights with one power-of-two scale; 8 bits unless a layer says otherwise."""


def weight_frac(scale: Tensor) -> int:
    """Return the fraction bits of a power-of-two scale."""
    return -round(math.log2(float(scale.detach())))


class FloorFixedPointAct(IntQuant, PerTensorPoTScaling8bit, ActQuantSolver):
    """Signed fixed point with a constant power-of-two scale that rounds to minus infinity.

    FLOOR after adding half a step is the only way to say floor(x + 1/2) that Brevitas and QONNX
    understand alike; see Requant.
    """

    scaling_impl_type = ScalingImplType.CONST
    float_to_int_impl_type = FloatToIntImplType.FLOOR


class Requant(IntegerBlock):
    """Round half up to ``bits`` bits with ``frac_bits`` fraction bits, saturating.

    Args:
        frac_bits: fraction bits of the output grid; may be negative.
        bits: width of the signed output code.
    """

    def __init__(self, frac_bits: int, bits: int) -> None:
        super().__init__()
        self.bits = bits
        self.half_step = 2.0 ** -(frac_bits + 1)
        self.quant = QuantIdentity(
            act_quant=FloorFixedPointAct,
            bit_width=bits,
            scaling_init=2.0 ** (bits - 1 - frac_bits),
            return_quant_tensor=False,
        )

    def datatypes(self) -> Mapping[str, str]:
        return {"Quant_out": f"INT{self.bits}"}

    def boundaries(self) -> Mapping[str, Boundary]:
        return {"Quant_out": Boundary(self)}

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` on the output grid, same shape."""
        out: Tensor = self.quant(x + self.half_step)
        return out
