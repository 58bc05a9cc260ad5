# SPDX-License-Identifier: Apache-2.0
"""Which nodes a SharedEngine may stand for: units of equal shape, one behind the other.

A unit splits its channels in two; the right half goes through 1-bit layers, each with its own input
as the shortcut; then both halves are shuffled.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from onnx import NodeProto, helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp

from ..fused import Fusion, chain_of
from .op import SharedEngine

LAYERS = (
    ("DuplicateStreams", "Thresholding", "FMPadding", "ConvolutionInputGenerator", "XnorMvu"),
    ("DuplicateStreams", "Thresholding", "XnorMvu"),
)
"""The nodes of a layer in front of its epilogue, which reads the fork's other output, too."""
FEWEST = 2
"""Units that one engine is worth."""


class _Layer(NamedTuple):
    nodes: tuple[NodeProto, ...]
    kernel: int
    shifts: Mapping[str, int]


class _Unit(NamedTuple):
    nodes: tuple[NodeProto, ...]
    shape: Mapping[str, Any]
    """What equal units have in common."""
    shifts: Mapping[str, list[int]]
    """What every layer has of its own."""

    @property
    def last(self) -> NodeProto:
        return self.nodes[-1]


def chains(model: ModelWrapper) -> dict[str, Fusion]:
    """Return the longest chains of equal units of a lowered graph, by what their names share."""
    found: dict[str, Fusion] = {}
    taken: set[str] = set()
    for node in model.graph.node:
        chain: list[_Unit] = []
        unit = None if node.name in taken else _unit(model, node)
        while unit is not None and (not chain or _equal(chain[0], unit)):
            chain.append(unit)
            reader = _reader(model, unit.last.output[0])
            unit = None if reader is None else _unit(model, reader)
        taken |= {n.name for u in chain for n in u.nodes}
        if len(chain) >= FEWEST:
            found[_name([u.last.name for u in chain], found)] = _fusion(chain)
    return found


def _fusion(chain: list[_Unit]) -> Fusion:
    nodes = tuple(node for unit in chain for node in unit.nodes)
    return Fusion(
        "SharedEngine_rtl",
        nodes,
        (nodes[0].input[0],),
        (nodes[-1].output[0],),
        _attributes(chain),
    )


def _attributes(chain: list[_Unit]) -> dict[str, Any]:
    """The op's attributes."""
    shifts = {n: [s for unit in chain for s in unit.shifts[n]] for n in chain[0].shifts}
    return {**chain[0].shape, **shifts, "Units": len(chain), "SIMD": 1, "PE": 1}


def _equal(unit: _Unit, other: _Unit) -> bool:
    """Whether one engine can compute both."""
    if unit.shape != other.shape:
        return False
    made = helper.make_node("SharedEngine", [], [], name="", **_attributes([unit, other]))
    return not SharedEngine(made).refusals()


def _name(nodes: list[str], known: Mapping[str, Any]) -> str:
    """The words with which all names begin, with a number where another chain has them."""
    words = []
    for same in zip(*(name.split("_") for name in nodes), strict=False):
        if len(set(same)) > 1:
            break
        words.append(same[0])
    first = "_".join(words) or nodes[0]
    name, count = first, 1
    while name in known:
        count += 1
        name = f"{first}-{count}"
    return name


def _unit(model: ModelWrapper, node: NodeProto) -> _Unit | None:
    """The unit that begins with ``node``, or None."""
    shape = model.get_tensor_shape(node.input[0]) if node.input else None
    if not _is(node, "StreamingSplit") or shape is None or len(shape) != 4 or shape[0] != 1:
        return None
    channels = [int(c) for c in getCustomOp(node).get_nodeattr("ChannelsPerStream")]
    if channels != [shape[3] // 2] * 2:
        return None
    left, x = node.output
    layers: list[_Layer] = []
    while True:
        reader = _reader(model, x)
        if reader is None:
            return None
        if _is(reader, "ShuffleConcat"):
            break
        layer = _layer(model, reader)
        if layer is None:
            return None
        layers.append(layer)
        x = layer.nodes[-1].output[0]
    if not layers or list(reader.input) != [left, x]:
        return None
    common = _shape(shape, model.get_tensor_datatype(node.input[0]).name, layers)
    if common is None:
        return None
    own = {f"{n}s": [layer.shifts[n] for layer in layers] for n in ("preShift", "shortcutShift")}
    nodes = (node, *(n for layer in layers for n in layer.nodes), reader)
    constants = [t for n in nodes for t in n.input if model.get_initializer(t) is not None]
    # An engine reads three constants of each layer, in order.
    unit = _Unit(nodes, common, own)
    return unit if len(set(constants)) == 3 * len(layers) and _equal(unit, unit) else None


def _shape(shape: list[int], datatype: str, layers: list[_Layer]) -> dict[str, Any] | None:
    """What equal units have in common, or None where their layers differ in that."""
    common = ("slopeShift", "outShift", "preBits", "datatype")
    if any(layer.shifts[n] != layers[0].shifts[n] for layer in layers for n in common):
        return None
    if layers[0].shifts["datatype"] != int(datatype.removeprefix("INT") or 0):
        return None
    return {
        "NumChannels": shape[3] // 2,
        "IFMDim": [int(n) for n in shape[1:3]],
        "Kernels": [layer.kernel for layer in layers],
        "slopeShift": layers[0].shifts["slopeShift"],
        "outShift": layers[0].shifts["outShift"],
        "preBits": layers[0].shifts["preBits"],
        "inputDataType": datatype,
    }


def _layer(model: ModelWrapper, node: NodeProto) -> _Layer | None:
    """The layer that begins with ``node``, a fork, or None."""
    chain = next((found for names in LAYERS if (found := _chain(model, node, names))), None)
    if chain is None:
        return None
    epilogue = _reader(model, chain[-1].output[0])
    if epilogue is None or not _is(epilogue, "Epilogue") or len(node.output) != 2:
        return None
    first, last = getCustomOp(chain[1]), getCustomOp(epilogue)
    if (
        first.get_nodeattr("outputDataType") != "BINARY"
        or first.get_nodeattr("numSteps") != 1
        or first.get_nodeattr("ActVal") != 0
        or last.get_nodeattr("accShift") != 0
        or not last.get_nodeattr("hasShortcut")
        or list(epilogue.input[:2]) != [chain[-1].output[0], node.output[1]]
        or chain[1].input[0] != node.output[0]
    ):
        return None
    kernel = _kernel({n.op_type.removesuffix("_rtl"): getCustomOp(n) for n in chain})
    if kernel is None:
        return None
    names = ("preShift", "shortcutShift", "slopeShift", "outShift", "preBits")
    shifts = {name: int(last.get_nodeattr(name)) for name in names}
    shifts["datatype"] = int(str(last.get_nodeattr("outputDataType")).removeprefix("INT"))
    return _Layer((*chain, epilogue), kernel, shifts)


def _chain(model: ModelWrapper, node: NodeProto, names: tuple[str, ...]) -> list[NodeProto] | None:
    """The nodes of a layer, or None: a fork, whose first reader leads on to the product."""
    if not _is(node, names[0]):
        return None
    first = _reader(model, node.output[0])
    behind = None if first is None else chain_of(model, first, names[1:])
    return None if behind is None else [node, *behind]


def _kernel(ops: Mapping[str, Any]) -> int | None:
    """Rows and columns of a square window that keeps the picture's size, or None."""
    window, border = ops.get("ConvolutionInputGenerator"), ops.get("FMPadding")
    if window is None or border is None:
        return 1
    rows, columns = (int(n) for n in window.get_nodeattr("ConvKernelDim"))
    if (
        rows != columns
        or rows % 2 == 0
        or window.get_nodeattr("depthwise")
        or [int(n) for n in window.get_nodeattr("Stride")] != [1, 1]
        or [int(n) for n in window.get_nodeattr("Dilation")] != [1, 1]
        or [int(n) for n in border.get_nodeattr("Padding")] != [rows // 2] * 4
    ):
        return None
    return rows


def _reader(model: ModelWrapper, tensor: str) -> NodeProto | None:
    """The only reader of a tensor that stays inside the graph, or None."""
    readers = model.find_consumers(tensor)
    inside = tensor not in {value.name for value in model.graph.output}
    return readers[0] if inside and len(readers) == 1 else None


def _is(node: NodeProto, op: str) -> bool:
    return str(node.op_type).removesuffix("_rtl") == op
