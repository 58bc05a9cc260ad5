# SPDX-License-Identifier: Apache-2.0
"""What the ``fuse.py`` of blocks share: layers of a window, a product and what comes behind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from onnx import NodeProto
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp

from .fused import Fusion, chain_of

WINDOW = ("FMPadding", "ConvolutionInputGenerator")
"""What makes windows of a picture; a layer may lack the border, or both."""
FORK = "DuplicateStreams"
Attributes = dict[str, Any]


def layer_from(
    model: ModelWrapper, node: NodeProto, before: Sequence[str], behind: Sequence[str]
) -> list[NodeProto] | None:
    """Return the nodes of a layer that begins with ``node``, each the only reader of the one
    before: ops ``before``, what there is of `WINDOW`, ops ``behind``; None where they are others.
    """
    for left_out in range(len(WINDOW) + 1):
        found = chain_of(model, node, (*before, *WINDOW[left_out:], *behind))
        if found is not None:
            return found
    return None


def geometry(model: ModelWrapper, chain: Sequence[NodeProto]) -> Attributes | None:
    """Return what a `Block` says of a layer's pictures and windows, with one lane at each end;
    None where it has no such walk."""
    ops = {n.op_type.removesuffix("_rtl"): getCustomOp(n) for n in chain}
    shape = model.get_tensor_shape(chain[0].input[0])
    out = model.get_tensor_shape(chain[-1].output[0])
    if len(shape) != 4 or shape[0] != 1:
        return None
    border, window = (ops.get(name) for name in WINDOW)
    if window is not None and (
        list(window.get_nodeattr("Dilation")) != [1, 1] or window.get_nodeattr("depthwise")
    ):
        return None
    return {
        "IFMChannels": shape[3],
        "OFMChannels": out[3],
        "SIMD": 1,
        "PE": 1,
        "IFMDim": list(shape[1:3]),
        "OFMDim": list(out[1:3]),
        "KernelDim": _numbers(window, "ConvKernelDim", [1, 1]),
        "Stride": _numbers(window, "Stride", [1, 1]),
        "Padding": _numbers(border, "Padding", [0, 0, 0, 0]),
        "inputDataType": model.get_tensor_datatype(chain[0].input[0]).name,
    }


def with_shortcut(
    model: ModelWrapper,
    op_type: str,
    chain: Sequence[NodeProto],
    has_shortcut: bool,
    attributes: Callable[[str], Attributes | None],
) -> Fusion | None:
    """Return the fusion of a layer whose last node may add a shortcut, its second input.

    Args:
        model: the graph.
        op_type: the RTL op.
        chain: the nodes of the layer.
        has_shortcut: whether the last node adds one.
        attributes: "none", "own" (the layer's own input) or "stream" -> the op's attributes, None
            where its core cannot compute the layer so.
    """
    x, last = chain[0].input[0], chain[-1]
    ways = [("none", list(chain), [x])]
    if has_shortcut:
        other = last.input[1]
        ways = [("stream", list(chain), [x, other])]
        fork = model.find_producer(x)
        if fork is not None and fork.op_type.startswith(FORK) and set(fork.output) == {x, other}:
            ways.insert(0, ("own", [fork, *chain], [fork.input[0]]))
    for shortcut, nodes, inputs in ways:
        found = attributes(shortcut)
        if found is not None:
            return Fusion(op_type, tuple(nodes), tuple(inputs), tuple(last.output), found)
    return None


def _numbers(op: Any, name: str, default: list[int]) -> list[int]:
    return default if op is None else [int(n) for n in op.get_nodeattr(name)]
