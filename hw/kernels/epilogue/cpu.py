# SPDX-License-Identifier: Apache-2.0
"""Epilogue on the CPU: one step, in 32 bits where they do."""

from __future__ import annotations

from ....quant import grid
from ...cpu.ops import rounding
from ...cpu.packer import Lowering, Node, Packer
from ...cpu.plan import ModelError

SHIFTS = {
    "acc_shift": "accShift",
    "shortcut_shift": "shortcutShift",
    "pre_shift": "preShift",
    "slope_shift": "slopeShift",
    "out_shift": "outShift",
}


def lower(p: Packer, node: Node) -> None:
    """Add the steps of a node."""
    inputs = [p.stored(p.read(node), "i32")]
    shape = p.at(inputs[0]).shape
    has_shortcut = bool(int(node.get("hasShortcut")))
    if len(node.inputs) != (3 if has_shortcut else 2):
        raise ModelError(
            f"{node.where}: found {len(node.inputs)} inputs with hasShortcut {int(has_shortcut)}, "
            f"expected {3 if has_shortcut else 2}"
        )
    params = p.initializer(node, len(node.inputs) - 1)
    if params.shape != (5, shape[-1]):
        raise ModelError(
            f"{node.where}: found parameters {params.shape}, expected (5, {shape[-1]})"
        )
    attributes = {name: int(node.get(theirs)) for name, theirs in SHIFTS.items()}
    if not all(0 <= shift <= 62 for shift in attributes.values()):
        raise ModelError(f"{node.where}: found shifts {attributes}, expected 0..62")
    for kind in ("acc", "pre"):
        bits = int(node.get(f"{kind}Bits"))
        if not 1 <= bits <= 32:
            raise ModelError(f"{node.where}: found {kind}Bits {bits}, expected 1..32")
        attributes[f"{kind}_low"], attributes[f"{kind}_high"] = grid.limits(bits)
    if has_shortcut:
        inputs.append(p.read(node, 1))
        if p.at(inputs[1]).shape != shape:
            raise ModelError(
                f"{node.where}: found shortcut {p.at(inputs[1]).shape}, expected {shape}"
            )
    rounding.epilogue(p, node, inputs, params, attributes, node.datatype("outputDataType"))


CPU = {"Epilogue": Lowering(lower)}
