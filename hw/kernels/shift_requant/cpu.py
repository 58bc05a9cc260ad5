# SPDX-License-Identifier: Apache-2.0
"""ShiftRequant on the CPU: one step, in 32 bits where they do."""

from __future__ import annotations

from ...cpu.ops import rounding
from ...cpu.packer import Lowering, Node, Packer
from ...cpu.plan import ModelError


def lower(p: Packer, node: Node) -> None:
    """Add the steps of a node."""
    inputs = [p.stored(p.read(node), "i32")]
    shape = p.at(inputs[0]).shape
    if bool(int(node.get("hasShortcut"))):
        inputs.append(p.read(node, 1))
        if p.at(inputs[1]).shape != shape:
            raise ModelError(
                f"{node.where}: found shortcut {p.at(inputs[1]).shape}, expected {shape}"
            )
    shift, shortcut_shift = int(node.get("shift")), int(node.get("shortcutShift"))
    if not 0 <= shift <= 62 or not 0 <= shortcut_shift <= 30:
        raise ModelError(
            f"{node.where}: found shift {shift} and shortcutShift {shortcut_shift}, "
            "expected 0..62 and 0..30"
        )
    rounding.requantise(p, node, inputs, shift, shortcut_shift, node.datatype("outputDataType"))


CPU = {"ShiftRequant": Lowering(lower)}
