# SPDX-License-Identifier: Apache-2.0
"""Which nodes a PaBlock stands for: from the level codes to the rounding shift of a layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from onnx import NodeProto, helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp

from ..fused import Fusion, chain_of
from .op import PaBlock

CHAINS = (
    ("SignedThresholding", "FMPadding", "ConvolutionInputGenerator", "PaMvu", "ShiftRequant"),
    ("SignedThresholding", "ConvolutionInputGenerator", "PaMvu", "ShiftRequant"),
    ("SignedThresholding", "PaMvu", "ShiftRequant"),
)
"""The nodes of a layer, one behind the other, each the only reader of the one before."""
FORK = "DuplicateStreams"


def match(model: ModelWrapper, node: NodeProto) -> Fusion | None:
    """Find the layer that begins with ``node``: a SignedThresholding to level codes."""
    found = next((chain for names in CHAINS if (chain := chain_of(model, node, names))), None)
    if found is None:
        return None
    first, last = (getCustomOp(found[i]) for i in (0, -1))
    if first.get_nodeattr("encoding") != "code":
        return None
    x, shortcut = node.input[0], "none"
    nodes, inputs = list(found), [x]
    if last.get_nodeattr("hasShortcut"):
        if last.get_nodeattr("shortcutDataType") != last.get_nodeattr("outputDataType"):
            return None
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
    return Fusion("PaBlock_rtl", tuple(nodes), tuple(inputs), tuple(found[-1].output), attributes)


def _attributes(
    model: ModelWrapper, chain: Sequence[NodeProto], shortcut: str
) -> dict[str, Any] | None:
    """The op's attributes, or None if its core cannot compute the layer."""
    ops = {n.op_type.removesuffix("_rtl"): getCustomOp(n) for n in chain}
    first, product, last = ops["SignedThresholding"], ops["PaMvu"], ops["ShiftRequant"]
    shape = model.get_tensor_shape(chain[0].input[0])
    out = model.get_tensor_shape(chain[-1].output[0])
    if len(shape) != 4 or shape[0] != 1:
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
        "numSteps": first.get_nodeattr("numSteps"),
        "zero": product.get_nodeattr("zero"),
        "shift": last.get_nodeattr("shift"),
        "shortcut": shortcut,
        "shortcutShift": last.get_nodeattr("shortcutShift"),
        "inputDataType": model.get_tensor_datatype(chain[0].input[0]).name,
        "codeDataType": first.get_nodeattr("outputDataType"),
        "weightDataType": product.get_nodeattr("weightDataType"),
        "sumDataType": product.get_nodeattr("outputDataType"),
        "outputDataType": last.get_nodeattr("outputDataType"),
    }
    tried = helper.make_node("PaBlock", [], [], name=chain[-1].name, **attributes)
    return None if PaBlock(tried).refusals() else attributes


def _numbers(op: Any, name: str, default: list[int]) -> list[int]:
    return default if op is None else [int(n) for n in op.get_nodeattr(name)]
