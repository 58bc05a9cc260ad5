# SPDX-License-Identifier: Apache-2.0
"""Which nodes a PaBlock stands for: from the level codes to the rounding shift of a layer."""

from __future__ import annotations

from onnx import NodeProto, helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp

from ..block_fusion import Attributes, geometry, layer_from, with_shortcut
from ..fused import Fusion
from .op import PaBlock


def match(model: ModelWrapper, node: NodeProto) -> Fusion | None:
    """Find the layer that begins with ``node``: a SignedThresholding to level codes."""
    found = layer_from(model, node, ["SignedThresholding"], ["PaMvu", "ShiftRequant"])
    if found is None:
        return None
    first, product, last = (getCustomOp(found[i]) for i in (0, -2, -1))
    has_shortcut = bool(last.get_nodeattr("hasShortcut"))
    types = last.get_nodeattr("shortcutDataType"), last.get_nodeattr("outputDataType")
    if first.get_nodeattr("encoding") != "code" or (has_shortcut and types[0] != types[1]):
        return None
    walk = geometry(model, found)

    def attributes(shortcut: str) -> Attributes | None:
        """The op's attributes, or None if its core cannot compute the layer."""
        if walk is None:
            return None
        made = {
            **walk,
            "numSteps": first.get_nodeattr("numSteps"),
            "zero": product.get_nodeattr("zero"),
            "shift": last.get_nodeattr("shift"),
            "shortcut": shortcut,
            "shortcutShift": last.get_nodeattr("shortcutShift"),
            "codeDataType": first.get_nodeattr("outputDataType"),
            "weightDataType": product.get_nodeattr("weightDataType"),
            "sumDataType": product.get_nodeattr("outputDataType"),
            "outputDataType": last.get_nodeattr("outputDataType"),
        }
        tried = helper.make_node("PaBlock", [], [], name=found[-1].name, **made)
        return None if PaBlock(tried).refusals() else made

    return with_shortcut(model, "PaBlock_rtl", found, has_shortcut, attributes)
