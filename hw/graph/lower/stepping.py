# SPDX-License-Identifier: Apache-2.0
"""Functions of one integer that rise and fall in unit steps: SignedThresholding."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import onnx

from ....quant.grid import IntArray, smallest_signed
from ..builder import Stream
from .state import Lowering, layer_of


def stepped(
    state: Lowering,
    node: onnx.NodeProto,
    x: Stream,
    constants: tuple[IntArray, IntArray, IntArray],
    datatype: str,
    scale: Fraction = Fraction(1),
) -> Stream:
    """Codes that rise and fall: ``constants`` are thresholds, steps and base, as `signed_steps`
    gives them; ``scale`` is what one step of the codes stands for."""
    thresholds, steps, base = constants
    base_type = smallest_signed(int(base.min()), int(base.max()))
    (y,) = state.builder.add(
        "SignedThresholding",
        layer_of(node),
        [x],
        [(x.shape, datatype)],
        {
            "NumChannels": x.channels,
            "PE": 1,
            "numSteps": thresholds.shape[1],
            "numInputVectors": x.vectors,
            "inputDataType": x.datatype,
            "weightDataType": x.datatype,
            "baseDataType": base_type,
            "outputDataType": datatype,
            "encoding": "code",
            "implementation": "auto",
        },
        {
            "thresholds": (thresholds, x.datatype),
            "steps": (steps, "BIPOLAR"),
            "base": (base, base_type),
        },
        scale,
    )
    return replace(y, plan=x.plan)
