# SPDX-License-Identifier: Apache-2.0
"""Which nodes a BinaryBlock stands for: from the threshold to the epilogue of a 1-bit layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from onnx import NodeProto, helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp

from ..fused import Fusion, chain_of
from .op import BinaryBlock

CHAINS = (
    ("Thresholding", "FMPadding", "ConvolutionInputGenerator", "XnorMvu", "Epilogue"),
    ("Thresholding", "ConvolutionInputGenerator", "XnorMvu", "Epilogue"),
    ("Thresholding", "XnorMvu", "Epilogue"),
)
"""The nodes of a layer, one behind the other, each the only reader of the one before."""
FORK = "DuplicateStreams"


def match(model: ModelWrapper, node: NodeProto) -> Fusion | None:
    """Find the layer that begins with ``node``: a Thresholding to one bit."""
    found = next((chain for names in CHAINS if (chain := chain_of(model, node, names))), None)
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
    x, shortcut = node.input[0], "none"
    nodes, inputs = list(found), [x]
    if epilogue.get_nodeattr("hasShortcut"):
        other = found[-1].input[1]
        fork = model.find_producer(x)
        own = fork is not None and fork.op_type.startswith(FORK)
        if own and set(fork.output) == {x, other}:
            nodes, inputs, shortcut = [fork, *found], [fork.input[0]], "own"
        else:
            inputs, shortcut = [x, other], "stream"
    attributes = _attributes(model, found, shortcut)
    if attributes is None and shortcut == "own":
        nodes, inputs = list(found), [x, found[-1].input[1]]
        attributes = _attributes(model, found, "stream")
    if attributes is None:
        return None
    return Fusion(
        "BinaryBlock_rtl", tuple(nodes), tuple(inputs), tuple(found[-1].output), attributes
    )


def _attributes(
    model: ModelWrapper, chain: Sequence[NodeProto], shortcut: str
) -> dict[str, Any] | None:
    """The op's attributes, or None if its core cannot compute the layer."""
    ops = {n.op_type.removesuffix("_rtl"): getCustomOp(n) for n in chain}
    epilogue = ops["Epilogue"]
    shape = model.get_tensor_shape(chain[0].input[0])
    out = model.get_tensor_shape(chain[-1].output[0])
    if len(shape) != 4 or shape[0] != 1:
        return None
    window = ops.get("ConvolutionInputGenerator")
    if window is not None and (
        list(window.get_nodeattr("Dilation")) != [1, 1] or window.get_nodeattr("depthwise")
    ):
        return None
    border = ops.get("FMPadding")
    attributes: dict[str, Any] = {
        "IFMChannels": shape[3],
        "OFMChannels": out[3],
        "SIMD": 1,
        "PE": 1,
        "IFMDim": list(shape[1:3]),
        "OFMDim": list(out[1:3]),
        "KernelDim": _numbers(window, "ConvKernelDim", [1, 1]),
        "Stride": _numbers(window, "Stride", [1, 1]),
        "Padding": _numbers(border, "Padding", [0, 0, 0, 0]),
        "shortcut": shortcut,
        "inputDataType": model.get_tensor_datatype(chain[0].input[0]).name,
        "outputDataType": epilogue.get_nodeattr("outputDataType"),
    }
    for name in ("shortcutShift", "preShift", "slopeShift", "outShift", "preBits"):
        attributes[name] = epilogue.get_nodeattr(name)
    tried = helper.make_node("BinaryBlock", [], [], name=chain[-1].name, **attributes)
    return None if BinaryBlock(tried).refusals() else attributes


def _numbers(op: Any, name: str, default: list[int]) -> list[int]:
    return default if op is None else [int(n) for n in op.get_nodeattr(name)]
