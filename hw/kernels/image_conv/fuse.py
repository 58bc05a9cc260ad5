# SPDX-License-Identifier: Apache-2.0
"""Where ImageConv takes the place of [FMPadding ->] ConvolutionInputGenerator -> IntMvu."""

from __future__ import annotations

from typing import Any

from onnx import NodeProto
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp

from ..fused import Fusion
from .op import misfit

MOST_CHANNELS = 4
"""Channels of a picture: columns of more are too wide to be read at once."""
MOST_WEIGHT_BITS = 8
"""Bits of a weight: bytes less a zero point may have 9."""


def match(model: ModelWrapper, node: NodeProto) -> Fusion | None:
    """Return the fusion that begins at a border or at a window of unsigned bytes."""
    nodes = [node]
    if node.op_type == "FMPadding_rtl":
        nodes += _follower(model, node, "ConvolutionInputGenerator_rtl")
    if nodes[-1].op_type == "ConvolutionInputGenerator_rtl":
        nodes += _follower(model, nodes[-1], "IntMvu_rtl")
    if nodes[-1].op_type != "IntMvu_rtl" or len(nodes) < 2:
        return None
    window, unit = (getCustomOp(n) for n in nodes[-2:])
    picture = node.input[0]
    attributes = _attributes(window, unit)
    attributes["ImgDim"] = [int(n) for n in model.get_tensor_shape(picture)[1:3]]
    border = len(nodes) == 3
    attributes["Padding"] = _numbers(getCustomOp(node), "Padding") if border else [0] * 4
    if (
        model.get_tensor_datatype(picture).name != "UINT8"
        or not 1 <= attributes["Channels"] <= MOST_CHANNELS
        or len(set(_numbers(window, "ConvKernelDim"))) != 1
        or len(set(_numbers(window, "Stride"))) != 1
        or _numbers(window, "Dilation") != [1, 1]
        or window.get_nodeattr("depthwise")
        or unit.weight_type().bitwidth() > MOST_WEIGHT_BITS
        or len(nodes[-1].input) != 2
        or misfit(
            *(attributes[name] for name in ("ImgDim", "Kernel", "Stride", "Padding")),
        )
    ):
        return None
    return Fusion("ImageConv_rtl", tuple(nodes), (picture,), (nodes[-1].output[0],), attributes)


def _attributes(window: Any, unit: Any) -> dict[str, Any]:
    """The attributes that follow from the window and the matrix-vector unit."""
    kernel, channels = _numbers(window, "ConvKernelDim")[0], int(window.get_nodeattr("IFMChannels"))
    return {
        "Channels": channels,
        "ColumnElements": kernel * channels,
        "Kernel": kernel,
        "Stride": _numbers(window, "Stride")[0],
        "OutDim": _numbers(window, "OFMDim"),
        "MH": int(unit.get_nodeattr("MH")),
        "SIMD": 1,
        "PE": 1,
        "weightDataType": unit.get_nodeattr("weightDataType"),
        "outputDataType": unit.get_nodeattr("outputDataType"),
    }


def _numbers(op: Any, name: str) -> list[int]:
    return [int(n) for n in op.get_nodeattr(name)]


def _follower(model: ModelWrapper, node: NodeProto, op_type: str) -> list[NodeProto]:
    """The one reader of a node, if it is of a type and nothing else sees the tensor between."""
    tensor = node.output[0]
    readers = model.find_consumers(tensor)
    shown = tensor in {value.name for value in model.graph.output}
    return list(readers) if not shown and [n.op_type for n in readers] == [op_type] else []
