# SPDX-License-Identifier: Apache-2.0
"""StreamAbs on the CPU: an epilogue whose slope below 0 is -1."""

from __future__ import annotations

import numpy as np

from ...cpu.ops import rounding
from ...cpu.packer import Lowering, Node, Packer


def lower(p: Packer, node: Node) -> None:
    """Add the step of a node."""
    source = p.stored(p.read(node), "i32")
    channels = p.at(source).shape[-1]
    params = np.array([[1], [0], [0], [-1], [0]], dtype=np.int64).repeat(channels, axis=1)
    attributes = dict.fromkeys(rounding.EPILOGUE, 0)
    attributes |= {"acc_low": -(1 << 15), "acc_high": (1 << 15) - 1}
    attributes |= {"pre_low": -(1 << 15), "pre_high": (1 << 15) - 1}
    rounding.epilogue(p, node, [source], params, attributes, node.datatype("outputDataType"))


CPU = {"StreamAbs": Lowering(lower)}
