# SPDX-License-Identifier: Apache-2.0
"""Which nodes a BinaryBlock stands for: from the threshold to the epilogue of a 1-bit layer."""

from __future__ import annotations

from onnx import NodeProto, helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp

from ..block_fusion import Attributes, geometry, layer_from, with_shortcut
from ..fused import Fusion
from .op import BinaryBlock


def match(model: ModelWrapper, node: NodeProto) -> Fusion | None:
    """Find the layer that begins with ``node``: a Thresholding to one bit."""
    found = layer_from(model, node, ["Thresholding"], ["XnorMvu", "Epilogue"])
    if found is None:
        return None
    first, epilogue = (getCustomOp(found[i]) for i in (0, -1))
    if (
        first.get_nodeattr("outputDataType") != "BINARY"
        or first.get_nodeattr("numSteps") != 1
        or first.get_nodeattr("ActVal") != 0
        or epilogue.get_nodeattr("accShift") != 0
    ):
        return None
    walk = geometry(model, found)

    def attributes(shortcut: str) -> Attributes | None:
        """The op's attributes, or None if its core cannot compute the layer."""
        if walk is None:
            return None
        names = ("outputDataType", "shortcutShift", "preShift", "slopeShift", "outShift", "preBits")
        made = {**walk, "shortcut": shortcut, **{n: epilogue.get_nodeattr(n) for n in names}}
        tried = helper.make_node("BinaryBlock", [], [], name=found[-1].name, **made)
        return None if BinaryBlock(tried).refusals() else made

    has_shortcut = bool(epilogue.get_nodeattr("hasShortcut"))
    return with_shortcut(model, "BinaryBlock_rtl", found, has_shortcut, attributes)
