# SPDX-License-Identifier: Apache-2.0
"""The only door for ONNX files from outside.

FINN and qonnx evaluate text found in a file (layout annotations, metadata) and import Python
modules named by node domains, so nothing may reach them before this loader has let it through:
one self-contained file, known operators only, plain names, no metadata but what the outputs are.
What the nodes say with these words is checked by `clean.clean`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import onnx
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message
from onnx import AttributeProto, TensorProto, helper

from .external_data import read_external
from .heads import KINDS, Kind, kinds_of, write_kinds
from .local_functions import inline
from .plain_names import rename, show

MAX_BYTES = 256 << 20
"""Largest file read."""
MAX_NODES = 20_000
"""Most nodes in a graph."""
MAX_ELEMENTS = 1 << 28
"""Most elements of any tensor, stored or computed."""
OPSETS = (7, onnx.defs.onnx_opset_version())
"""Oldest and newest version of ONNX's operators: before 7, broadcasting was something else."""

STANDARD_DOMAINS = ("", "ai.onnx")
CHANNELS_LAST_DOMAIN = "qonnx.custom_op.channels_last"
QONNX_DOMAINS = (
    "qonnx.custom_op.general", "onnx.brevitas", "finn.custom_op.general", "finn", "qonnx",
    "hawq2qonnx",
)  # fmt: skip
"""Of which qonnx, Brevitas, HAWQ and the converter of QKeras networks write their operators."""
QONNX_OPS = (
    "Quant", "IntQuant", "BipolarQuant", "Trunc", "MultiThreshold", "QuantAvgPool2d", "Im2Col",
    "MaxPoolNHWC", "XnorPopcountMatMul",
)  # fmt: skip
INSTEAD = {"FloatQuant": "; train with integer quantisers in the place of minifloats"}
"""What a user does in the place of an operator that is refused."""
CHANNELS_LAST_OPS = ("Conv", "MaxPool", "BatchNormalization")
ELEMENT_TYPES = (
    TensorProto.FLOAT,
    TensorProto.DOUBLE,
    TensorProto.FLOAT16,
    TensorProto.INT8,
    TensorProto.UINT8,
    TensorProto.INT16,
    TensorProto.UINT16,
    TensorProto.INT32,
    TensorProto.UINT32,
    TensorProto.INT64,
    TensorProto.UINT64,
    TensorProto.BOOL,
)
"""Element types that tensors may have."""
TEXT_BYTES = ("onnx.AttributeProto.s", "onnx.AttributeProto.strings")
"""Fields of bytes that hold text."""
DATATYPE = re.compile(
    r"(U?INT[1-9][0-9]?|BINARY|BIPOLAR|TERNARY|FLOAT32|FIXED<([1-9][0-9]?),([0-9][0-9]?)>)"
)


class ModelError(ValueError):
    """A model file that is refused, in one line."""


@dataclass
class LoadedModel:
    """A model that passed the door."""

    model: onnx.ModelProto
    renamed: dict[str, str] = field(default_factory=dict)
    """New name -> name found in the file, for every node and tensor that was renamed."""
    notes: list[str] = field(default_factory=list)
    """What was renamed or dropped, one line each."""


def load(path: Path | str) -> LoadedModel:
    """Read an ONNX file from outside.

    Names that are not plain words are replaced deterministically, metadata (but for
    `heads.KINDS`) and unknown annotations are dropped; both are told in ``notes``.

    Raises:
        ModelError: no such file, not ONNX, too large, no UTF-8, external data elsewhere, an unknown
            operator, domain or opset, a subgraph, or a graph that is not well formed.
    """
    path = Path(path)
    model = _parse(path)
    where = path.name
    if not model.graph.node:
        raise ModelError(f"{where}: found no nodes, expected an ONNX graph; export it again")
    if (count := len(model.graph.node)) > MAX_NODES:
        raise ModelError(f"{where}: found {count} nodes, expected at most {MAX_NODES}")
    _check_text(model, where)
    loaded = LoadedModel(model)
    _check_opset(model, where)
    _check_tensors(model, where, path.parent)
    _inline(loaded, where)
    _one_domain(model)
    _check_nodes(model.graph, where)
    _drop_functions(loaded)
    kinds = _kinds(model, where)
    _drop_metadata(loaded)
    names = rename(model, loaded.renamed, loaded.notes)
    write_kinds(model, {names.of(name): kind for name, kind in kinds.items()})
    _check_graph(model, where)
    _drop_unread(loaded)
    return loaded


def _parse(path: Path) -> onnx.ModelProto:
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise ModelError(f"{path}: found no regular file, expected an ONNX file")
        if size > MAX_BYTES:
            raise ModelError(
                f"{path.name}: found {size} bytes, expected at most {MAX_BYTES}; "
                "is this a network for an FPGA?"
            )
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot read the ONNX file: {error.strerror}") from error
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError as error:
        raise ModelError(f"{path.name}: found no ONNX model in the file, expected one") from error
    return model


def _check_text(message: Message, where: str) -> None:
    """Names and attributes of text must be UTF-8: the parser hands out anything else as bytes."""
    for descriptor, value in message.ListFields():
        parts = value if _repeated(descriptor) else [value]
        if descriptor.type == FieldDescriptor.TYPE_MESSAGE:
            for part in parts:
                _check_text(part, where)
        elif descriptor.type == FieldDescriptor.TYPE_STRING or descriptor.full_name in TEXT_BYTES:
            for part in parts:
                try:
                    bytes(part, "utf-8") if isinstance(part, str) else part.decode("utf-8")
                except UnicodeError as error:
                    raise ModelError(
                        f"{where}: {descriptor.full_name} holds {show(repr(part))}, expected "
                        "UTF-8; export the network again"
                    ) from error


def _repeated(descriptor: FieldDescriptor) -> bool:
    return bool(descriptor.label == FieldDescriptor.LABEL_REPEATED)


def _check_opset(model: onnx.ModelProto, where: str) -> None:
    for opset in model.opset_import:
        if opset.domain in STANDARD_DOMAINS:
            opset.domain = ""
    once = {(o.domain, o.version): o for o in model.opset_import}
    if len(once) < len(model.opset_import):
        kept = [onnx.OperatorSetIdProto.FromString(o.SerializeToString()) for o in once.values()]
        del model.opset_import[:]
        model.opset_import.extend(kept)
    found = [o.version for o in model.opset_import if o.domain == ""]
    if len(found) != 1 or not OPSETS[0] <= found[0] <= OPSETS[1]:
        raise ModelError(
            f"{where}: found the ONNX opsets {found}, expected one of {OPSETS[0]} to {OPSETS[1]}; "
            "export with opset 13, for instance"
        )


def _check_tensors(model: onnx.ModelProto, where: str, folder: Path) -> None:
    graph = model.graph
    if graph.sparse_initializer or model.training_info:
        raise ModelError(
            f"{where}: found sparse initializers or training information, expected neither; "
            "export the network for inference with dense weights"
        )
    room = MAX_BYTES
    for tensor in _tensors(model):
        try:
            room -= read_external(tensor, folder, room)
        except ValueError as error:
            raise ModelError(f"{where}: tensor {show(tensor.name)} {error}") from error
        if tensor.data_type not in ELEMENT_TYPES:
            raise ModelError(
                f"{where}: tensor {show(tensor.name)} has the element type {tensor.data_type}, "
                "expected numbers of 8 to 64 bits"
            )
        elements = 1
        for dim in tensor.dims:
            elements *= dim
            if dim < 0 or elements > MAX_ELEMENTS:
                raise ModelError(
                    f"{where}: tensor {show(tensor.name)} has shape {list(tensor.dims)}, "
                    f"expected at most {MAX_ELEMENTS} elements"
                )
        try:
            onnx.numpy_helper.to_array(tensor)
        except (ValueError, TypeError, KeyError) as error:
            raise ModelError(
                f"{where}: tensor {show(tensor.name)} holds no data of its type and shape "
                f"{list(tensor.dims)}; export it again"
            ) from error


def _tensors(model: onnx.ModelProto) -> Iterator[TensorProto]:
    """Every stored tensor: initializers and node attributes, of the graph and of functions."""
    yield from model.graph.initializer
    nodes = [*model.graph.node, *(n for f in model.functions for n in f.node)]
    for node in nodes:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors


def _one_domain(model: onnx.ModelProto) -> None:
    """QONNX's operators get its domain, which qonnx' own cleanup does not always import: QKeras
    networks come with some of them in none."""
    for node in model.graph.node:
        known = node.op_type in QONNX_OPS and not onnx.defs.has(node.op_type, "")
        if known and node.domain in (*QONNX_DOMAINS, *STANDARD_DOMAINS):
            node.domain = QONNX_DOMAINS[0]
    imported = {opset.domain for opset in model.opset_import}
    for domain in (QONNX_DOMAINS[0], CHANNELS_LAST_DOMAIN):
        if domain not in imported and any(n.domain == domain for n in model.graph.node):
            model.opset_import.append(helper.make_opsetid(domain, 1))


def _check_nodes(graph: onnx.GraphProto, where: str) -> None:
    for node in graph.node:
        standard = node.domain in STANDARD_DOMAINS and onnx.defs.has(node.op_type, "")
        qonnx = node.domain in QONNX_DOMAINS and node.op_type in QONNX_OPS
        last = node.domain == CHANNELS_LAST_DOMAIN and node.op_type in CHANNELS_LAST_OPS
        if not (standard or qonnx or last):
            raise ModelError(
                f"{where}: node {show(node.name)} has op {show(node.op_type)} of domain "
                f"{show(node.domain)}, expected an ONNX operator or QONNX's "
                f"{', '.join(QONNX_OPS)}{INSTEAD.get(node.op_type, '')}"
            )
        for attribute in node.attribute:
            if attribute.type in (
                AttributeProto.GRAPH,
                AttributeProto.GRAPHS,
                AttributeProto.SPARSE_TENSOR,
                AttributeProto.SPARSE_TENSORS,
                AttributeProto.TYPE_PROTO,
                AttributeProto.TYPE_PROTOS,
            ):
                raise ModelError(
                    f"{where}: node {show(node.name)} ({node.op_type}) holds a subgraph, sparse "
                    "tensor or type, expected a plain feed-forward graph"
                )


def _inline(loaded: LoadedModel, where: str) -> None:
    try:
        count = inline(loaded.model, (*STANDARD_DOMAINS, *QONNX_DOMAINS), MAX_NODES, MAX_BYTES)
    except ValueError as error:
        raise ModelError(f"{where}: {error}; export without functions") from error
    if count:
        loaded.notes.append(f"put {count} functions of the model in place of their calls")


def _drop_functions(loaded: LoadedModel) -> None:
    """Keep the bodies of QONNX's ops (ONNX Runtime needs them) if they use standard ops only."""
    model = loaded.model
    kept = [
        f
        for f in model.functions
        if f.domain in QONNX_DOMAINS
        and f.name in QONNX_OPS
        and all(
            n.domain in STANDARD_DOMAINS
            and onnx.defs.has(n.op_type, "")
            and not any(a.HasField("g") or a.graphs for a in n.attribute)
            for n in f.node
        )
    ]
    dropped = len(model.functions) - len(kept)
    if dropped:
        loaded.notes.append(f"dropped {dropped} model-local functions that nothing needs")
        del model.functions[:]
        model.functions.extend(kept)


def _kinds(model: onnx.ModelProto, where: str) -> dict[str, Kind]:
    try:
        return kinds_of(model)
    except ValueError as error:
        raise ModelError(f"{where}: {error}") from error


def _drop_metadata(loaded: LoadedModel) -> None:
    model, graph = loaded.model, loaded.model.graph
    values = [*graph.input, *graph.output, *graph.value_info]
    parts = [model, graph, *graph.node, *graph.initializer, *values, *model.functions]
    dropped = -sum(entry.key == KINDS for entry in model.metadata_props)
    for part in parts:
        dropped += len(part.metadata_props)
        del part.metadata_props[:]
        part.ClearField("doc_string")
    annotations = []
    for annotation in graph.quantization_annotation:
        for entry in annotation.quant_parameter_tensor_names:
            if entry.key == "finn_datatype" and _is_datatype(entry.value):
                kept = onnx.TensorAnnotation(tensor_name=annotation.tensor_name)
                kept.quant_parameter_tensor_names.add(key=entry.key, value=entry.value)
                annotations.append(kept)
            else:
                dropped += 1
    del graph.quantization_annotation[:]
    graph.quantization_annotation.extend(annotations)
    if dropped:
        loaded.notes.append(f"dropped {dropped} metadata entries and annotations")


def _is_datatype(text: str) -> bool:
    """Whether qonnx knows a name of a datatype, too."""
    found = DATATYPE.fullmatch(text)
    return found is not None and (found[2] is None or int(found[3]) < int(found[2]))


def _check_graph(model: onnx.ModelProto, where: str) -> None:
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise ModelError(
            f"{where}: the graph is not well formed: {str(error).splitlines()[0][:200]}"
        ) from error


def _drop_unread(loaded: LoadedModel) -> None:
    """Nodes whose results nobody reads change nothing."""
    graph = loaded.model.graph
    read = {value.name for value in graph.output}
    kept: list[onnx.NodeProto] = []
    unread: list[str] = []
    for node in reversed(graph.node):
        if read.intersection(filter(None, node.output)):
            read.update(node.input)
            kept.append(node)
        else:
            unread.append(f"{node.name} ({node.op_type})")
    if not unread:
        return
    if not kept:
        raise ModelError("no node computes the graph's output; export the network again")
    loaded.notes.append(
        f"ignored {len(unread)} nodes whose results nobody reads: {', '.join(unread[:-4:-1])}"
    )
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in reversed(kept)]
    del graph.node[:]
    graph.node.extend(nodes)
