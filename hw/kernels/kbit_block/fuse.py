# SPDX-License-Identifier: Apache-2.0
"""Which nodes a KbitBlock stands for: from the border to the thresholds of a k-bit layer."""

from __future__ import annotations

from onnx import NodeProto, helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp

from ..block_fusion import WINDOW, geometry, layer_from
from ..fused import Fusion
from .op import KbitBlock

INSIDE = tuple(f"{name}_rtl" for name in WINDOW)
"""What a layer never begins behind: its own border and window."""


def match(model: ModelWrapper, node: NodeProto) -> Fusion | None:
    """Find the layer that begins with ``node``."""
    found = layer_from(model, node, [], ["BinaryMvu", "SignedThresholding"])
    before = model.find_producer(node.input[0])
    if found is None or (before is not None and before.op_type in INSIDE):
        return None
    walk = geometry(model, found)
    product, thresholds = (getCustomOp(found[i]) for i in (-2, -1))
    if walk is None or thresholds.get_nodeattr("encoding") != "code":
        return None
    attributes = {
        **walk,
        "outputDataType": thresholds.get_nodeattr("outputDataType"),
        "accDataType": product.get_nodeattr("outputDataType"),
        "numSteps": thresholds.get_nodeattr("numSteps"),
    }
    tried = helper.make_node("KbitBlock", [], [], name=found[-1].name, **attributes)
    if KbitBlock(tried).refusals():
        return None
    return Fusion(
        "KbitBlock_rtl", tuple(found), (node.input[0],), tuple(found[-1].output), attributes
    )
