# SPDX-License-Identifier: Apache-2.0
"""RSign: a sign of codes less whole numbers is one threshold per channel."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import onnx

from ..qonnx_graph import LoweringError, per_channel, whole
from .construct import Construct
from .state import Handler, Lowering
from .thresholds import thresholding


def sign(state: Lowering, node: onnx.NodeProto) -> bool:
    """Sub of one whole number per channel, then the sign: the numbers are the thresholds."""
    before = state.graph.producer.get(node.input[0])
    operands = state.graph.operands(before) if before is not None else None
    if before is None or operands is None or before.op_type != "Sub":
        return False
    x = state.streams.get(operands[0])
    row = None
    if x is not None:
        row = per_channel(operands[1], x.channels, len(state.graph.shape(operands[0])))
    if x is None or x.plan or row is None or not whole(row):
        return False
    if x.scale != 1.0 or x.datatype == "BINARY":
        return False
    scale = state.graph.scalar(node.input[1])
    if scale != 1.0:
        raise LoweringError(node, f"found scale {scale}, expected 1 (BN absorbs it)")
    state.claim(before, node)
    table = row.astype(np.int64)[:, None]
    y = thresholding(state, node, x, table, "BINARY", 0, Fraction(1))
    state.publish(y, node.output[0])
    return True


BUILDS = (
    Construct(
        ("BipolarQuant",),
        "sign of codes less whole numbers (RSign)",
        "integers of scale 1",
        ("thresholding",),
        "one number a channel",
    ),
)
HANDLERS: dict[str, Handler] = {"BipolarQuant": sign}
