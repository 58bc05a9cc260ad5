# SPDX-License-Identifier: Apache-2.0
"""Prepares somebody else's network for the lowering: shapes inferred, constants folded.

One walk over the nodes. Before anything is allocated, the size of every tensor and the work it
takes are known and bounded, so that neither a small file that unfolds to gigabytes nor one that
computes for hours gets far. Every node has passed `schema` before ONNX's C++ sees it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper

from .clean_finn import average, expand, joins_thresholds, joins_weights, thresholds
from .clean_folding import fold, known_shape
from .clean_forms import max_of_map, other_names
from .clean_heads import (
    drop_constants,
    join_outputs,
    joins_product,
    leave_to_software,
    software_nodes,
)
from .clean_layout import channels_first, reads_last
from .clean_lines import line_to_map, map_shape
from .clean_order import keep_flattening
from .clean_quantisers import dequantise, folds_weights, is_weight, quantiser, transpose
from .clean_rows import as_map
from .clean_scales import scales_behind
from .clean_state import Cleaning
from .clean_sums import in_pairs
from .loader import CHANNELS_LAST_DOMAIN, ELEMENT_TYPES, ModelError
from .multi_threshold import OP as MULTI_THRESHOLD
from .pixels import declared as declared_type
from .plain_form import (
    changes_nothing,
    explicit_modes,
    explicit_pads,
    global_window,
    scales_of_sizes,
    transposed_pads,
)
from .qonnx_graph import LoweringError
from .schema import (
    FOLDED,
    LOWERED,
    QONNX_DOMAIN,
    QUANTISERS,
    SIDE,
    check_attributes,
    check_inputs,
)

SHAPE_ELEMENTS = 1 << 12
"""Constants up to this size are shown to shape inference: they may be shapes."""


def _raise(error: LoweringError) -> None:
    raise error


def clean(
    proto: onnx.ModelProto,
    refused: Callable[[LoweringError], None] = _raise,
    notes: list[str] | None = None,
) -> onnx.ModelProto:
    """Prepare somebody else's network for `lower`: batch 1, shapes inferred, constants folded.

    QONNX's IntQuant and the pairs QuantizeLinear, DequantizeLinear of ONNX become Quant. Names
    stay. The file must have come through `loader.load`.

    Args:
        proto: the network.
        refused: is told of a node that makes no sense or is not supported. Where it returns, the
            node stays as it is, if the size of its outputs can be told.
        notes: collects what is left to software, a line each.

    Raises:
        ModelError: the graph makes no sense, or is too large.
        LoweringError: names a node that makes no sense, or whose operator is not supported.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    expand(copy.graph)
    in_pairs(copy.graph)
    state = Cleaning(copy)
    graph = state.proto.graph
    _inputs(state)
    software = software_nodes(graph)
    state.behind = frozenset(software)
    for node in graph.node:
        try:
            if channels_first(state, node):
                continue
            node.input[:] = [state.alias.get(name, name) for name in node.input]
            if node.name in software:
                leave_to_software(state, node, [] if notes is None else notes)
            else:
                _visit(state, node)
        except LoweringError as error:
            refused(error)
            _keep_refused(state, node, error)
    drop_constants(state, [] if notes is None else notes)
    join_outputs(state, software)
    for step in (_drop_unread, other_names, _drop_unread, scales_behind):
        step(state)
    _write(state)
    return state.proto


def _inputs(state: Cleaning) -> None:
    """Keep what is no constant; a batch that is left open, or another, becomes 1."""
    graph = state.proto.graph
    kept = [value for value in graph.input if value.name not in state.constants]
    del graph.input[:]
    graph.input.extend(kept)
    declared = {a.tensor_name: a for a in graph.quantization_annotation}
    for value in graph.input:
        tensor = value.type.tensor_type
        dims = list(tensor.shape.dim)
        if dims:
            state.batch = dims[0].dim_value
            dims[0].Clear()
            dims[0].dim_value = 1
        sizes = [d.dim_value for d in dims]
        if tensor.elem_type != TensorProto.FLOAT or min(sizes, default=0) < 1:
            shown = [d.dim_param or d.dim_value for d in dims]
            raise ModelError(
                f"the graph input {value.name} has the element type {tensor.elem_type} and "
                f"shape {shown}, expected float32 (1) and fixed sizes; export the network for "
                "pictures of one size"
            )
        state.bound(value.name, sizes, f"the graph input {value.name}")
        if len(sizes) == 2:
            sizes = as_map(state, value.name, sizes)
            value.type.CopyFrom(helper.make_tensor_type_proto(TensorProto.FLOAT, sizes))
        if len(sizes) in (3, 4) and reads_last(graph, value.name):
            if len(sizes) == 3:
                sizes = [sizes[0], 1, *sizes[1:]]
                state.rows.add(value.name)
            sizes = [sizes[i] for i in (0, 3, 1, 2)]
            state.last.add(value.name)
            value.type.CopyFrom(helper.make_tensor_type_proto(TensorProto.FLOAT, sizes))
        if len(sizes) == 3:
            sizes = map_shape(sizes)
            state.lines.add(value.name)
            value.type.CopyFrom(helper.make_tensor_type_proto(TensorProto.FLOAT, sizes))
        if value.name in declared:
            (entry,) = declared[value.name].quant_parameter_tensor_names
            if entry.value != "FLOAT32" and declared_type(entry.value) is None:
                raise ModelError(
                    f"the graph input {value.name} is declared {entry.value}, expected a type of "
                    "at most 8 bits, such as UINT8, INT8, FIXED<8,3> or BIPOLAR, or no "
                    "declaration: inputs come as bytes; quantise it to 8 bits"
                )
        state.types[value.name] = helper.make_tensor_type_proto(TensorProto.FLOAT, sizes)


def _visit(state: Cleaning, node: onnx.NodeProto) -> None:
    missing = next((n for n in node.input if n and n not in state.types), None)
    if missing is not None:
        raise ModelError(
            f"the graph cannot be prepared: {node.name} ({node.op_type}) reads {missing}, "
            "which nothing in front of it computes"
        )
    constant = all(name in state.constants for name in node.input if name)
    if not constant:
        line_to_map(state, node)
        global_window(node, state.shape(node.input[0]))
    if node.op_type in QUANTISERS or node.op_type == "IntQuant":
        quantiser(state, node)
    elif node.op_type in (MULTI_THRESHOLD, "QuantAvgPool2d"):
        (thresholds if node.op_type == MULTI_THRESHOLD else average)(state, node)
    elif node.op_type not in LOWERED and not (
        node.op_type in FOLDED and (constant or node.op_type in ("Shape", "Size"))
    ):
        raise LoweringError(
            node, f"this op cannot be lowered; supported: Quant, BipolarQuant, {_list(LOWERED)}"
        )
    else:
        _standard(state, node, constant)


def _keep_refused(state: Cleaning, node: onnx.NodeProto, error: LoweringError) -> None:
    """Keep a node that nobody can lower, so that those behind it can be looked at.

    Raises:
        LoweringError: ``error``, where the size of its outputs cannot be told.
    """
    known = all(name in state.types for name in node.input if name)
    own = node.domain == QONNX_DOMAIN and node.op_type not in (*QUANTISERS, MULTI_THRESHOLD)
    if not known or own or node.domain == CHANNELS_LAST_DOMAIN:
        raise error
    quantises = node.domain == QONNX_DOMAIN
    types = (
        [state.types[node.input[0]]]
        if quantises
        else _infer(state, node, onnx.defs.get_schema(node.op_type, state.opset, ""))
    )
    state.keep(node, types)


def _standard(state: Cleaning, node: onnx.NodeProto, constant: bool) -> None:
    check_attributes(node)
    schema = onnx.defs.get_schema(node.op_type, state.opset, "")
    check_inputs(node, schema, state.types)
    if node.op_type == "Reshape":
        _unbatch(state, node, 1)
    if node.op_type in ("Resize", "Upsample"):
        _unbatch(state, node, 3)
        _check_scales(state, node)
        explicit_modes(node, state.opset)
    if node.op_type == "BatchNormalization":
        _check_norm(state, node)
    types = _infer(state, node, schema)
    if joins_thresholds(state, node) or joins_weights(state, node):
        return
    if folds_weights(state, node, types):
        return
    constant = all(name in state.constants for name in node.input if name)
    if node.op_type in ("Shape", "Size"):
        known_shape(state, node)
    elif constant and node.op_type in FOLDED:
        fold(state, node, types)
    elif changes_nothing(
        node, state.types[node.input[0]].tensor_type.elem_type, state.value
    ) or joins_product(state, node):
        state.alias[node.output[0]] = node.input[0]
        state.types[node.output[0]] = types[0]
    elif node.op_type == "DequantizeLinear":
        dequantise(state, node)
    elif node.op_type == "Transpose" and is_weight(state, node.input[0]):
        transpose(state, node)
    elif node.op_type in ("GlobalMaxPool", "ReduceMax"):
        max_of_map(state, node)
    elif node.op_type in ("Reshape", "Flatten"):
        keep_flattening(state, node, types)
    else:
        if node.op_type in ("Conv", "MaxPool", "AveragePool"):
            explicit_pads(node, state.shape, [d.dim_value for d in types[0].tensor_type.shape.dim])
        if node.op_type == "ConvTranspose":
            sizes = [d.dim_value for d in types[0].tensor_type.shape.dim]
            transposed_pads(node, state.shape, sizes)
        if node.op_type == "Resize":
            sizes = [d.dim_value for d in types[0].tensor_type.shape.dim]
            scales = scales_of_sizes(node, state.shape(node.input[0]), sizes)
            if scales:
                value = np.array(scales, dtype=np.float32)
                node.input[2:] = [state.add_constant(f"{node.name}_scales", value)]
        _narrow_constants(state, node, types[0])
        state.keep(node, types)


def _check_norm(state: Cleaning, node: onnx.NodeProto) -> None:
    channels = state.shape(node.input[0])[1:2]
    for name in node.input[1:]:
        value = state.value(name)
        if value is None or value.shape != channels or not np.isfinite(value).all():
            raise LoweringError(
                node,
                f"its parameter {name} has shape {state.shape(name)}, expected a constant of "
                f"shape {channels}, all numbers finite",
            )
    if any(a.name in ("training_mode", "spatial") for a in node.attribute) and not all(
        a.i == (a.name == "spatial") for a in node.attribute if a.type == a.INT
    ):
        raise LoweringError(node, "normalises by other statistics than stored ones")


def _infer(
    state: Cleaning, node: onnx.NodeProto, schema: onnx.defs.OpSchema
) -> list[onnx.TypeProto]:
    """Return the types of a node's outputs, their sizes known and bounded."""
    names = [name for name in node.input if name]
    shown = {
        name: state.constants[name]
        for name in names
        if name in state.constants and math.prod(state.shape(name)) <= SHAPE_ELEMENTS
    }
    try:
        found = onnx.shape_inference.infer_node_outputs(
            schema,
            node,
            {name: state.types[name] for name in names},
            shown,
            opset_imports=[helper.make_opsetid("", state.opset)],
        )
    except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError) as error:
        why = " ".join(str(error).split())[:200]
        raise LoweringError(node, f"its shapes do not go together: {why}") from error
    types = []
    for name in node.output:
        tensor = found[name].tensor_type if name in found else onnx.TypeProto.Tensor()
        if name and (
            not tensor.HasField("shape")
            or not all(d.HasField("dim_value") for d in tensor.shape.dim)
        ):
            raise LoweringError(
                node, f"the size of its output {name} cannot be told; export with fixed sizes"
            )
        if name and tensor.elem_type not in ELEMENT_TYPES:
            raise LoweringError(node, f"its output {name} has the element type {tensor.elem_type}")
        sizes = [d.dim_value for d in tensor.shape.dim]
        state.bound(name, sizes, f"{node.name} ({node.op_type})")
        types.append(helper.make_tensor_type_proto(tensor.elem_type, sizes))
    return types


def _check_scales(state: Cleaning, node: onnx.NodeProto) -> None:
    """Scales and sizes of no more than a border may be: shape inference multiplies by them."""
    given = [a.floats for a in node.attribute if a.name == "scales"]
    for name in filter(None, node.input[1:]):
        value = state.value(name)
        if value is None:
            raise LoweringError(
                node, f"reads {name}, which is computed, expected constants; fix the sizes"
            )
        given.append(value.reshape(-1).tolist())
    for number in (n for part in given for n in part):
        if not 0 <= number <= SIDE:
            raise LoweringError(node, f"found the scale or size {number}, expected 0..{SIDE}")


def _unbatch(state: Cleaning, node: onnx.NodeProto, index: int) -> None:
    """A shape that was written for the batch of the export holds 1 instead."""
    shape = state.value(node.input[index]) if len(node.input) > index else None
    if shape is not None and shape.size and 1 < state.batch == shape[0]:
        shape = shape.copy()
        shape[0] = 1
        node.input[index] = state.add_constant(node.input[index], shape)


def _narrow_constants(state: Cleaning, node: onnx.NodeProto, out: onnx.TypeProto) -> None:
    """A summand or factor that is the same for all pixels becomes one value per channel."""
    shape = tuple(d.dim_value for d in out.tensor_type.shape.dim)
    if node.op_type not in ("Add", "Sub", "Mul", "Div") or len(shape) != 4:
        return
    for i, name in enumerate(node.input):
        value = state.value(name)
        if value is None or state.shape(node.input[1 - i]) != shape:
            continue
        value = value.reshape((1,) * (4 - value.ndim) + value.shape)
        first = value[:, :, :1, :1]
        if first.size < value.size and (value == first).all():
            node.input[i] = state.add_constant(f"{name}_channel", first)


def _drop_unread(state: Cleaning) -> None:
    """Drop what folding and joining of quantisers left without a reader."""
    graph = state.proto.graph
    read = {value.name for value in graph.output}
    kept = []
    for node in reversed(state.nodes):
        if read.intersection(node.output):
            read.update(node.input)
            kept.append(node)
    if not kept:
        raise ModelError(
            f"the graph output {graph.output[0].name} does not depend on the picture; export "
            "the network again"
        )
    state.nodes = kept[::-1]


def _write(state: Cleaning) -> None:
    proto, graph = state.proto, state.proto.graph
    used = {name for node in state.nodes for name in node.input if name}
    made = [name for node in state.nodes for name in node.output if name]
    nodes = [onnx.NodeProto.FromString(n.SerializeToString()) for n in state.nodes]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.initializer.extend(t for n, t in state.constants.items() if n in used)
    outputs = [value.name for value in graph.output]
    graph.value_info.extend(
        helper.make_value_info(name, state.types[name]) for name in made if name not in outputs
    )
    for value in graph.output:
        if value.name not in state.types or value.name in state.constants:
            raise ModelError(f"the graph output {value.name} is no computed tensor")
        value.type.CopyFrom(state.types[value.name])
    known = {*made, *(value.name for value in graph.input)}
    annotations = [a for a in graph.quantization_annotation if a.tensor_name in known]
    del graph.quantization_annotation[:]
    graph.quantization_annotation.extend(annotations)
    others = [o for o in proto.opset_import if o.domain != QONNX_DOMAIN]
    del proto.opset_import[:]
    proto.opset_import.extend([*others, helper.make_opsetid(QONNX_DOMAIN, 1)])


def _list(names: Sequence[str]) -> str:
    return ", ".join(names)
