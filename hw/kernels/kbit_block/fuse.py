# SPDX-License-Identifier: Apache-2.0
"""Which nodes a KbitBlock stands for: from the border to the thresholds of a k-bit layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from onnx import NodeProto, helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp

from ..fused import Fusion, chain_of
from .op import KbitBlock

CHAINS = (
    ("FMPadding", "ConvolutionInputGenerator", "BinaryMvu", "SignedThresholding"),
    ("ConvolutionInputGenerator", "BinaryMvu", "SignedThresholding"),
    ("BinaryMvu", "SignedThresholding"),
)
"""The nodes of a layer, one behind the other, each the only reader of the one before."""
INSIDE = ("FMPadding_rtl", "ConvolutionInputGenerator_rtl")
"""What a layer never begins behind: its own border and window."""


def match(model: ModelWrapper, node: NodeProto) -> Fusion | None:
    """Find the layer that begins with ``node``."""
    chain = next((found for names in CHAINS if (found := chain_of(model, node, names))), None)
    before = model.find_producer(node.input[0])
    if chain is None or (before is not None and before.op_type in INSIDE):
        return None
    attributes = _attributes(model, chain)
    if attributes is None:
        return None
    return Fusion(
        "KbitBlock_rtl", tuple(chain), (node.input[0],), tuple(chain[-1].output), attributes
    )


def _attributes(model: ModelWrapper, chain: Sequence[NodeProto]) -> dict[str, Any] | None:
    """The op's attributes, or None if its core cannot compute the layer."""
    ops = {n.op_type.removesuffix("_rtl"): getCustomOp(n) for n in chain}
    product, thresholds = ops["BinaryMvu"], ops["SignedThresholding"]
    shape = model.get_tensor_shape(chain[0].input[0])
    out = model.get_tensor_shape(chain[-1].output[0])
    if len(shape) != 4 or shape[0] != 1 or thresholds.get_nodeattr("encoding") != "code":
        return None
    window = ops.get("ConvolutionInputGenerator")
    if window is not None and (
        list(window.get_nodeattr("Dilation")) != [1, 1] or window.get_nodeattr("depthwise")
    ):
        return None
    attributes: dict[str, Any] = {
        "IFMChannels": shape[3],
        "OFMChannels": out[3],
        "SIMD": 1,
        "PE": 1,
        "IFMDim": list(shape[1:3]),
        "OFMDim": list(out[1:3]),
        "KernelDim": _numbers(window, "ConvKernelDim", [1, 1]),
        "Stride": _numbers(window, "Stride", [1, 1]),
        "Padding": _numbers(ops.get("FMPadding"), "Padding", [0, 0, 0, 0]),
        "inputDataType": model.get_tensor_datatype(chain[0].input[0]).name,
        "outputDataType": thresholds.get_nodeattr("outputDataType"),
        "accDataType": product.get_nodeattr("outputDataType"),
        "numSteps": thresholds.get_nodeattr("numSteps"),
    }
    tried = helper.make_node("KbitBlock", [], [], name=chain[-1].name, **attributes)
    return None if KbitBlock(tried).refusals() else attributes


def _numbers(op: Any, name: str, default: list[int]) -> list[int]:
    return default if op is None else [int(n) for n in op.get_nodeattr(name)]
