# SPDX-License-Identifier: Apache-2.0
"""Compile ``lowered.onnx`` into a packed model for the CPU engine.

Nodes are lowered one by one, in graph order, to the steps of ``plan.py``: each by what its kernel's
``cpu.py`` says. Fusion follows the graph, not a network: padding and
sliding window in front of a matrix product become its addressing when nothing else reads them,
copies of a stream become names of one tensor. What has no fast step runs on a general one in 32
bits, with casts around it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy.typing as npt
import onnx
from google.protobuf.message import DecodeError
from pydantic import ValidationError

from ...quant.card import PackedCard
from ...quant.inputs import Reads
from .. import kernels
from ..graph.heads import Software, heads_of
from ..graph.pixels import READS, noted
from . import plan as packed
from .check import check
from .container import write
from .packer import Graph, Lowering, Node, Packer
from .plan import DataType, ModelError
from .windows import taken_in


@cache
def lowerings() -> dict[str, Lowering]:
    """Return how the nodes of every op become steps; fused kernels have none."""
    found: dict[str, Lowering] = {}
    for kernel in kernels.KERNELS:
        name = f"{kernels.__name__}.{kernel}.cpu"
        if find_spec(name) is not None:
            found |= import_module(name).CPU
    return found


def _graph(proto: onnx.GraphProto) -> Graph:
    nodes = []
    for i, node in enumerate(proto.node):
        op = node.op_type.removesuffix("_rtl").removesuffix("_hls")
        attributes = {a.name: _attribute(a) for a in node.attribute}
        inputs, outputs = ([name for name in names if name] for names in (node.input, node.output))
        nodes.append(Node(node.name or f"{op}_{i}", op, inputs, outputs, attributes))
    initializers = {tensor.name: _reader(tensor) for tensor in proto.initializer}
    return Graph(nodes, [output.name for output in proto.output], initializers)


def _attribute(proto: onnx.AttributeProto) -> Any:
    value = onnx.helper.get_attribute_value(proto)
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value if isinstance(value, (str, int, float)) else list(value)


def _reader(proto: onnx.TensorProto) -> Callable[[], npt.NDArray[Any]]:
    def read() -> npt.NDArray[Any]:
        if proto.data_location == onnx.TensorProto.EXTERNAL:
            raise ModelError("lies outside the file; embed it")
        values: npt.NDArray[Any] = onnx.numpy_helper.to_array(proto)
        return values

    return read


def _fused(p: Packer) -> set[str]:
    """Return the outputs of the windows and paddings that products take in."""
    gone: set[str] = set()
    for node in p.graph.nodes:
        found = taken_in(p, node) if node.op in lowerings() and node.inputs else []
        if found and lowerings()[node.op].reads_windows(p, node):
            gone.update(before.outputs[0] for before in found)
    return gone


def _lower(proto: onnx.GraphProto, p: Packer) -> None:
    """Lower a whole graph."""
    for value in proto.input:
        if value.name not in p.graph.initializers:
            _graph_input(proto, value, p)
    gone = _fused(p)
    for node in p.graph.nodes:
        if node.op not in lowerings():
            raise ModelError(
                f"{node.where}: the CPU engine has no such op, expected one of "
                f"{', '.join(sorted(lowerings()))}"
            )
        if not node.outputs or not node.inputs:
            raise ModelError(f"{node.where}: a node without input or output")
        if node.outputs[0] not in gone:
            lowerings()[node.op].lower(p, node)
    for name in p.graph.outputs:
        if name not in p.index:
            raise ModelError(f"graph output {name!r} is produced by no node")


def _heads(model: onnx.ModelProto, p: Packer) -> list[packed.Head]:
    """Return the heads of a graph that was lowered, by the tensors of the plan."""
    try:
        heads = heads_of(model)
    except ValueError as error:
        raise ModelError(str(error)) from error
    for head in heads:
        if head.logits and head.logits not in p.index:
            raise ModelError(f"head {head.name!r}: its logits {head.logits!r} are in no tensor")
    return [
        packed.Head(
            h.name,
            h.kind,
            p.index[h.tensor],
            p.index[h.logits] if h.logits else None,
            *(() if h.software is None else _behind(h.software)),
        )
        for h in heads
    ]


def _reads(model: onnx.ModelProto) -> Reads | None:
    found = noted(model, READS)
    if found is None:
        return None
    mean, std = list(found.mean), list(found.std)
    return Reads(found.scale, mean, std, found.rounding, found.first, found.last)


def _behind(software: Software) -> tuple[Any, ...]:
    factors, offsets = list(software.factors), list(software.offsets)
    return software.function, software.best, factors, offsets


def _graph_input(proto: onnx.GraphProto, value: onnx.ValueInfoProto, p: Packer) -> None:
    where = f"graph input {value.name!r}"
    shape = [int(d.dim_value) for d in value.type.tensor_type.shape.dim]
    if len(shape) < 2 or shape[0] != 1 or min(shape) < 1:
        raise ModelError(f"{where}: found shape {shape}, expected (1, ..., C)")
    datatype = DataType.of(_declared(proto, value.name), where)
    p.plan.inputs.append(p.tensor([value.name], shape[1:], datatype))


def _declared(proto: onnx.GraphProto, name: str) -> str:
    for annotation in proto.quantization_annotation:
        if annotation.tensor_name == name:
            for entry in annotation.quant_parameter_tensor_names:
                if entry.key == "finn_datatype":
                    return str(entry.value)
    raise ModelError(f"tensor {name!r}: no datatype declared, expected a QONNX annotation")


def fused_tensors(model: onnx.ModelProto) -> set[str]:
    """Return the tensors of a graph that the engine never stores: the windows that a matrix
    product takes in, and the padded pictures in front of them."""
    return _fused(Packer(_graph(model.graph), "", None))


def compile_graph(
    model: onnx.ModelProto,
    name: str,
    card: dict[str, Any] | None,
    classes: Sequence[str] | None = None,
) -> tuple[packed.Plan, dict[str, npt.NDArray[Any]]]:
    """Compile a dataflow graph in memory.

    Raises:
        ModelError: the graph holds an op, attribute or datatype outside the contract, or the card
            or the names are another network's.
    """
    try:
        parsed = None if card is None else PackedCard.model_validate(card)
    except ValidationError as error:
        raise ModelError(f"card: {packed.explain(error)}") from error
    packer = Packer(_graph(model.graph), name, parsed)
    _lower(model.graph, packer)
    packer.plan.outputs = _heads(model, packer)
    packer.plan.classes = None if classes is None else list(classes)
    packer.plan.reads = _reads(model)
    check(packer.plan, packer.constants)
    return packer.plan, packer.constants


def pack(
    model: onnx.ModelProto | str | os.PathLike[str],
    card: dict[str, Any] | None,
    out: str | os.PathLike[str],
    classes: Sequence[str] | None = None,
) -> Path:
    """Pack a dataflow graph for the CPU engine.

    Args:
        model: ``lowered.onnx`` or the graph in memory.
        card: the checkpoint's card as JSON has it with the checkpoint's SHA-256, see
            ``PackedCard``, kept in the file for those who run it (class names, resize filter);
            None where there is none.
        out: file to write, ``<name>.andpop``; replaced whole or not at all.
        classes: names of the classes of a network without a card, in the order of its logits;
            None leaves them numbers.

    Returns:
        The path written.

    Raises:
        ModelError: the graph is outside the contract; names the node. Or the card is no card, or
            another network's, as names may be.
        OSError: the file cannot be written.
    """
    path = Path(out)
    if not isinstance(model, onnx.ModelProto):
        source = Path(model)
        try:
            model = onnx.load(str(source), load_external_data=False)
        except (OSError, DecodeError, ValueError) as error:
            raise ModelError(f"{source}: not a readable ONNX file ({error})") from error
    # A file's name may hold bytes that are no UTF-8; what stands in the file is text.
    name = os.fsencode(path.name.removesuffix(packed.SUFFIX)).decode(errors="replace")
    plan, constants = compile_graph(model, name, card, classes)
    write(path, plan, constants)
    return path
