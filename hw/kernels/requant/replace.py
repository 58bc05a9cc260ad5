# SPDX-License-Identifier: Apache-2.0
"""Where thresholds rise or fall in equal steps: a product, a sum and a shift in their place."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from onnx import NodeProto
from qonnx.core.modelwrapper import ModelWrapper

from ....quant.affine_steps import MOST_INPUT_BITS, Affine, affine_of
from ....quant.digits import DIGIT_TYPE
from ....quant.grid import signed_bits
from ..base import Replacement
from ..facts import Stepped
from ..ops import op_of
from .golden import params

LEAST_STEPS = 3
"""Thresholds of a channel from which on it is tried."""


def instead(model: ModelWrapper, node: NodeProto) -> Replacement | None:
    """Return the requantiser that gives the codes of a node of thresholds, for every input."""
    op = op_of(node)
    stepped = op.stepped(model)
    if stepped is None or stepped.thresholds.shape[1] < LEAST_STEPS:
        return None
    source = model.get_tensor_datatype(node.input[0])
    if source.bitwidth() + (not source.signed()) > MOST_INPUT_BITS:
        return None  # Wires are as wide as the datatype, whatever comes on them.
    found = _affine(*_frozen(stepped), *reached(model, node.input[0]))
    if found is None:
        return None
    same = ("NumChannels", "PE", "inputDataType", "outputDataType")
    return Replacement(
        "Requant_rtl",
        {
            **{name: op.get_nodeattr(name) for name in same},
            "numInputVectors": [int(n) for n in op.get_nodeattr("numInputVectors")],
            "factorBits": _bits(found.factors),
            "summandBits": _bits(found.summands),
            "shift": found.shift,
            "first": found.first,
            "last": found.last,
        },
        {"params": (params(found.factors, found.summands), DIGIT_TYPE)},
    )


def reached(model: ModelWrapper, tensor: str) -> tuple[int, int]:
    """Return the smallest and largest integer of a stream, as far as the nodes in front tell."""
    datatype = model.get_tensor_datatype(tensor)
    ends = int(datatype.min()), int(datatype.max())
    producer = model.find_producer(tensor)
    if producer is None:
        return ends
    op = op_of(producer)
    if op.moves and not op.makes_borders:
        streams = [name for name in producer.input if model.get_initializer(name) is None]
        found = [reached(model, name) for name in streams]
        return min(low for low, _ in found), max(high for _, high in found)
    return op.reached(model) or ends


def _bits(values: Any) -> int:
    return max(2, signed_bits(int(np.abs(values).max())))


def _frozen(stepped: Stepped) -> tuple[tuple[int, ...], bytes, bytes, bytes]:
    thresholds, steps, base = (np.asarray(part, dtype=np.int64) for part in stepped)
    return thresholds.shape, thresholds.tobytes(), steps.tobytes(), base.tobytes()


@lru_cache(maxsize=256)
def _affine(
    shape: tuple[int, ...], thresholds: bytes, steps: bytes, base: bytes, low: int, high: int
) -> Affine | None:
    """See `affine_of`; the same nodes are asked about at every pace that is tried."""
    at, way = (np.frombuffer(part, dtype=np.int64).reshape(shape) for part in (thresholds, steps))
    return affine_of(at, way, np.frombuffer(base, dtype=np.int64), low, high)
