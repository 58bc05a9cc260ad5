# SPDX-License-Identifier: Apache-2.0
"""SignedThresholding on the CPU: codes that step up and down, and a table for other encodings."""

from __future__ import annotations

import numpy as np

from ...cpu.ops import thresholds as op
from ...cpu.packer import Lowering, Node, Packer
from ...cpu.plan import DataType, ModelError
from .golden import encode, signed_thresholding


def lower(p: Packer, node: Node) -> None:
    """Add the steps of a node."""
    index = p.read(node)
    source = p.at(index)
    count = int(node.get("numSteps"))
    thresholds, steps, base = (p.initializer(node, i) for i in (1, 2, 3))
    expected = (source.channels, count)
    if thresholds.shape != expected or steps.shape != expected or base.shape != expected[:1]:
        raise ModelError(
            f"{node.where}: found thresholds {thresholds.shape}, steps {steps.shape}, base "
            f"{base.shape}, expected {expected}, {expected}, {expected[:1]}"
        )
    if count < 1 or not np.isin(steps, (-1, 1)).all():
        raise ModelError(f"{node.where}: found no steps or others than -1 and +1")
    datatype = node.datatype("outputDataType")
    encoding = str(node.get("encoding"))
    levels = datatype.high.bit_length()
    try:
        words = encode(np.arange(levels + 1), encoding)
    except ValueError as error:
        raise ModelError(f"{node.where}: {error}") from error
    codes = datatype if encoding == "code" else DataType.of("UINT8", node.where)
    thresholds = op.within_input(p, node, index, thresholds)
    # Codes change at thresholds only.
    low, high = p.types[index].low, p.types[index].high
    reached = np.concatenate([thresholds.T.clip(low, high), np.full((1, source.channels), low)])
    seen = signed_thresholding(reached, thresholds, steps, base)
    limits = (codes.low, codes.high) if encoding == "code" else (0, levels)
    if seen.min() < limits[0] or seen.max() > limits[1]:
        raise ModelError(
            f"{node.where}: found codes {seen.min()}..{seen.max()}, "
            f"expected {limits[0]}..{limits[1]} for {datatype.name}"
        )
    storage = "u8" if codes.storage == "bits" else codes.storage
    if encoding == "code":
        out = p.result(node, source.shape, codes, storage)
        op.step_levels(p, node, index, out, thresholds, steps, base)
    else:
        code = p.tensor([], source.shape, codes, storage)
        op.step_levels(p, node, index, code, thresholds, steps, base)
        out = p.result(node, source.shape, datatype, "i32" if datatype.storage == "i32" else "u8")
        op.lookup(p, node, p.stored(code, "u8"), out, words)
    p.finish(node, out)


CPU = {"SignedThresholding": Lowering(lower)}
