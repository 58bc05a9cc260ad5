# SPDX-License-Identifier: Apache-2.0
"""The only door to ONNX: a frozen network in, one self-contained QONNX file out.

All tensors of the file are integer codes in float32 containers: pixels (UINT8), stream codes
(INT8), accumulators. Constants are the integers of the checkpoint; only the factors 2**-shift are
not whole. One 1-bit block, nodes in order (``Sub`` etc. have the constant second)::

    x -> Sub(threshold) -> BipolarQuant(scale 1) [-> Pad(-1)] -> Conv(weight +-1, pads 0) -> acc
    acc -> Mul(m) -> Add(b) [-> Add(Mul(shortcut, 2**k))] [-> Mul(2**-g)] -> Add(1/2)
        -> Quant(FLOOR, scale 1, 14 bits) = t -> Sub(zeta) = u
    u -> Mul(slope) -> Mul(2**-6) -> Floor = n;  GreaterOrEqual(u, 0) -> Where(_, u, n)
      -> Add(eta) -> Mul(2**-4) -> Add(1/2) -> Quant(FLOOR, scale 1, 8 bits)

with k = shortcutShift, g = preShift (no Mul where g = 0). conv1 and conv5 are
``Conv(integer weight) [-> Mul(2**-accShift) -> Add(1/2) -> Quant(FLOOR, scale 1, 16 bits)]`` and
then the same from ``Mul(m)``. One PA block, with N thresholds per channel and the levels beta::

    x [-> Mul(sign)] -> Unsqueeze(2) -> GreaterOrEqual(_, thresholds (C, N, 1, 1)) -> Cast(float)
        -> ReduceSum(2) = level codes -> Cast(int64) -> Gather(beta, _) -> Conv(alpha) = acc
    acc [-> Add(Mul(shortcut, 2**k))] [-> Mul(2**-k)] -> Add(1/2) -> Quant(FLOOR, scale 1, 8 bits)

or from ``acc`` on as behind conv1 (no Mul(sign) where every sign is +1). One k-bit activation, with
n signed thresholds per channel::

    acc -> Unsqueeze(2) -> GreaterOrEqual(_, thresholds (C, n, 1, 1)) -> Cast(float) -> Mul(steps)
        -> ReduceSum(2) -> Add(base) = codes

behind Conv (weight +-1 or 8 bits, zero pads) or ConvTranspose (2x2, stride 2). Pictures that a
network reflects at their borders have ``Pad`` in front and ``Slice`` before the last Conv. The tail
is ``ReduceSum -> Mul(2**-r) -> Add(1/2) -> Quant(8 bits) -> Gemm(weight, bias) -> Mul(logit
step)``, or 1x1 ``Conv(weight, bias) -> Mul(logit step)`` where every pixel has logits; everything
before the last ``Mul`` is an integer. Concat with shuffle is ``Concat -> Reshape(n,2,c,h,w) ->
Transpose(0,2,1,3,4) -> Reshape``; split is ``Split`` on axis 1.

Nodes and tensors are named after the module that made them. The file carries ONNX function bodies
for Quant and BipolarQuant, so that ONNX Runtime executes it too.
"""

from __future__ import annotations

import ast
import contextlib
import io
import logging
import re
import tempfile
import warnings
from pathlib import Path

import onnx
import torch
from brevitas.export import export_qonnx
from onnx import helper
from torch import nn

from .blocks.block import integer_blocks, tensor_name
from .checkpoint import replace_file
from .exact import exact_eval
from .grid import ACCUMULATOR_LIMIT, FLOAT32_EXACT_BITS

QONNX_DOMAIN = "qonnx.custom_op.general"
INPUT_NAME = "picture"
OUTPUT_NAME = "logits"
MOVES = ("MaxPool", "Pad", "Split", "Concat", "Reshape", "Transpose", "Slice", "DepthToSpace")
"""Ops that pass integers on without changing their datatype."""


class ExportError(ValueError):
    """A network that cannot be exported exactly."""


def export(net: nn.Module, height: int, width: int, channels: int, path: Path) -> None:
    """Write a frozen network as QONNX.

    Args:
        net: frozen network (``net.frozen`` is True).
        height: rows of the input picture.
        width: columns of the input picture.
        channels: channels of the input picture.
        path: file to write; replaced only when the new file is complete.

    Raises:
        ExportError: the network is not frozen, holds a block that hardware does not have, or a sum
            could exceed 2**24.
    """
    if not getattr(net, "frozen", False):
        raise ExportError("export: found a network that is not frozen; call freeze() before")
    for name, block in integer_blocks(net):
        if block.refusal:
            raise ExportError(f"{name}: {block.refusal}")
    example = torch.zeros(1, channels, height, width)
    check_bounds(net, example)
    proto = _trace(net, example)
    _finish(proto)
    _rename(proto.graph)
    _annotate(proto.graph, net)
    onnx.checker.check_model(proto)
    replace_file(path, proto.SerializeToString())


def check_bounds(net: nn.Module, example: torch.Tensor) -> None:
    """Refuse a frozen network one of whose sums could leave the integers float32 holds exactly.

    Args:
        net: frozen network.
        example: (1, C, H, W) picture; its size decides that of the pooled map.

    Raises:
        ExportError: names the layer, the quantity and the bound.
    """
    shapes = _input_shapes(net, example)
    for name, block in integer_blocks(net):
        for bound in block.bounds(shapes[name]):
            if bound.worst > ACCUMULATOR_LIMIT:
                raise ExportError(
                    f"{name}: {bound.what} can reach {bound.worst}, expected at most "
                    f"2**{FLOAT32_EXACT_BITS}; lower weight_bits, coefficient_bits or the width "
                    "of the network"
                )


def _input_shapes(net: nn.Module, example: torch.Tensor) -> dict[str, torch.Size]:
    """Return the shape of what enters every integer block, by the block's name."""
    found: dict[str, torch.Size] = {name: torch.Size() for name, _ in integer_blocks(net)}
    handles = [
        block.register_forward_pre_hook(
            lambda _, args, name=name: found.update({name: args[0].shape})
        )
        for name, block in integer_blocks(net)
    ]
    try:
        with exact_eval():
            net(example)
    finally:
        for handle in handles:
            handle.remove()
    return found


def _trace(net: nn.Module, example: torch.Tensor) -> onnx.ModelProto:
    """Run the exporter, quietly."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), exact_eval():
        warnings.simplefilter("ignore")
        level = logging.root.manager.disable
        logging.disable(logging.WARNING)
        try:
            file = Path(folder) / "raw.onnx"
            with contextlib.redirect_stdout(io.StringIO()):
                export_qonnx(
                    net,
                    args=(example,),
                    export_path=str(file),
                    dynamo=True,
                    optimize=True,
                    external_data=False,
                    input_names=[INPUT_NAME],
                    output_names=[OUTPUT_NAME],
                )
            return onnx.load(str(file))
        finally:
            logging.disable(level)


def _scope(node: onnx.NodeProto) -> str:
    """Return the module path a node came from, as an identifier."""
    for entry in node.metadata_props:
        if entry.key == "pkg.torch.onnx.name_scopes":
            scopes = [s for s in ast.literal_eval(entry.value)[:-1] if s]
            path = re.sub(
                r"(\.quant)?\.act_quant\.export_handler$", "", scopes[-1] if scopes else ""
            )
            return path.replace(".", "_") or "net"
    return "net"


def _rename(graph: onnx.GraphProto) -> None:
    """Name nodes, their outputs and their constants after the module; keep input and output.

    Nodes become ``<module>_<OpType>[_<n>]``, outputs ``<node>_out``, constants ``<node>_in<i>``. A
    constant that several nodes share is copied, so that each can be read where it is used.
    """
    used: dict[str, int] = {}
    tensors: dict[str, str] = {}
    for node in graph.node:
        base = f"{_scope(node)}_{node.op_type}"
        count = used.get(base, 0)
        used[base] = count + 1
        node.name = f"{base}_{count}" if count else base
        del node.metadata_props[:]
        for i, output in enumerate(node.output):
            if output != OUTPUT_NAME:
                tensors[output] = f"{node.name}_out{i}" if i else f"{node.name}_out"
    constants = {c.name: c for c in graph.initializer}
    del graph.initializer[:]
    for node in graph.node:
        for i, name in enumerate(node.input):
            constant = constants.get(name)
            if constant is None:
                node.input[i] = tensors.get(name, name)
                continue
            copy = graph.initializer.add()
            copy.CopyFrom(constant)
            copy.name = f"{node.name}_in{i}"
            node.input[i] = copy.name
        node.output[:] = [tensors.get(t, t) for t in node.output]
    for value in graph.value_info:
        value.name = tensors.get(value.name, value.name)


def _annotate(graph: onnx.GraphProto, net: nn.Module) -> None:
    """Declare the QONNX datatypes: picture, weights, codes, accumulators, quantised tensors."""
    stated = {
        tensor_name(name, tensor): datatype
        for name, block in integer_blocks(net)
        for tensor, datatype in block.datatypes().items()
    }
    types = {INPUT_NAME: "UINT8"}
    for node in graph.node:
        types.update((t, stated[t]) for t in (*node.input, *node.output) if t in stated)
        if node.op_type in MOVES:
            if node.input[0] not in types:
                raise ExportError(
                    f"{node.name}: found no datatype of {node.input[0]}, expected the block that "
                    "makes it to state it in datatypes()"
                )
            types.update((output, types[node.input[0]]) for output in node.output)
    for name, datatype in types.items():
        annotation = graph.quantization_annotation.add()
        annotation.tensor_name = name
        entry = annotation.quant_parameter_tensor_names.add()
        entry.key, entry.value = "finn_datatype", datatype


def _quant_function() -> onnx.FunctionProto:
    """Signed, non-narrow Quant that rounds by FLOOR."""
    nodes = [
        helper.make_node("Div", ["x", "scale"], ["scaled"]),
        helper.make_node("Add", ["scaled", "zero_point"], ["shifted"]),
        helper.make_node("Floor", ["shifted"], ["floored"]),
        helper.make_node("Constant", [], ["one"], value_float=1.0),
        helper.make_node("Constant", [], ["two"], value_float=2.0),
        helper.make_node("Sub", ["bits", "one"], ["magnitude_bits"]),
        helper.make_node("Pow", ["two", "magnitude_bits"], ["half_range"]),
        helper.make_node("Neg", ["half_range"], ["low"]),
        helper.make_node("Sub", ["half_range", "one"], ["high"]),
        helper.make_node("Max", ["floored", "low"], ["raised"]),
        helper.make_node("Min", ["raised", "high"], ["clipped"]),
        helper.make_node("Sub", ["clipped", "zero_point"], ["centred"]),
        helper.make_node("Mul", ["centred", "scale"], ["y"]),
    ]
    return helper.make_function(
        QONNX_DOMAIN,
        "Quant",
        ["x", "scale", "zero_point", "bits"],
        ["y"],
        nodes,
        [helper.make_opsetid("", 20)],
        ["signed", "narrow", "rounding_mode"],
    )


def _bipolar_function() -> onnx.FunctionProto:
    """Sign with +1 at 0, times scale."""
    nodes = [
        helper.make_node("Constant", [], ["zero"], value_float=0.0),
        helper.make_node("GreaterOrEqual", ["x", "zero"], ["positive"]),
        helper.make_node("Neg", ["scale"], ["negative"]),
        helper.make_node("Where", ["positive", "scale", "negative"], ["y"]),
    ]
    return helper.make_function(
        QONNX_DOMAIN, "BipolarQuant", ["x", "scale"], ["y"], nodes, [helper.make_opsetid("", 20)]
    )


def _finish(proto: onnx.ModelProto) -> None:
    """Check what the exporter produced, drop its notes and add the function bodies."""
    graph = proto.graph
    constants = {c.name for c in graph.initializer}
    for node in graph.node:
        if node.op_type == "Quant":
            found = {a.name: helper.get_attribute_value(a) for a in node.attribute}
            expected = {"signed": 1, "narrow": 0, "rounding_mode": b"FLOOR"}
            if found != expected:
                raise ExportError(f"{node.name}: found Quant {found}, expected {expected}")
        if constants.issuperset(node.input):
            raise ExportError(f"{node.name}: found a constant {node.op_type}, expected it folded")
        node.doc_string = ""
    kept = [i for i in graph.input if i.name not in constants]
    values = [v for v in graph.value_info if v.name not in constants]
    for field, items in ((graph.input, kept), (graph.value_info, values)):
        del field[:]
        field.extend(items)
    for item in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del item.metadata_props[:]
    del graph.metadata_props[:]
    del proto.metadata_props[:]
    graph.name = "andpop"
    proto.producer_name = "andpop"
    proto.producer_version = ""
    del proto.functions[:]
    proto.functions.extend([_quant_function(), _bipolar_function()])
