# SPDX-License-Identifier: Apache-2.0
"""Prepares somebody else's network for the lowering: shapes inferred, constants folded.

One walk over the nodes. Before anything is allocated, the size of every tensor and the work it
takes are known and bounded, so that neither a small file that unfolds to gigabytes nor one that
computes for hours gets far. Every node has passed `schema` before ONNX's C++ sees it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from .loader import ELEMENT_TYPES, MAX_ELEMENTS, ModelError
from .plain_form import bias_behind, changes_nothing, ends_graph, explicit_pads, with_bias
from .qdq import Computed, read
from .qonnx_graph import LoweringError, outputs_axis
from .schema import (
    FOLDED,
    LOWERED,
    QONNX_DOMAIN,
    QUANTISERS,
    check_attributes,
    check_inputs,
    check_quantiser,
)

FREE_ELEMENTS = 1 << 24
"""Elements that constants may unfold to, whatever the size of the file; beyond that four times
what the file stores."""
SHAPE_ELEMENTS = 1 << 12
"""Constants up to this size are shown to shape inference: they may be shapes."""
TOTAL_ELEMENTS = 1 << 29
"""Most elements of all computed tensors of one picture: verification holds them at once."""
TOTAL_WORK = 1 << 37
"""Most multiplications and moves for one picture: verification takes minutes at this bound."""
PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def clean(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Prepare somebody else's network for `lower`: batch 1, shapes inferred, constants folded.

    QONNX's IntQuant and the pairs QuantizeLinear, DequantizeLinear of ONNX become Quant. Names
    stay. The file must have come through `loader.load`.

    Raises:
        ModelError: the graph makes no sense, or is too large.
        LoweringError: names a node that makes no sense, or whose operator is not supported.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    return _Cleaning(copy).run()


class _Cleaning:
    """State of the walk: what is known of every tensor, and the nodes kept so far."""

    def __init__(self, proto: onnx.ModelProto) -> None:
        self.proto = proto
        graph = proto.graph
        self.constants: dict[str, TensorProto] = {t.name: t for t in graph.initializer}
        self.types: dict[str, onnx.TypeProto] = {
            t.name: helper.make_tensor_type_proto(t.data_type, t.dims) for t in graph.initializer
        }
        self.producer: dict[str, onnx.NodeProto] = {}
        self.nodes: list[onnx.NodeProto] = []
        self.alias: dict[str, str] = {}
        self.quantised: dict[tuple[object, ...], str] = {}
        self.readers: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.node:
            for name in dict.fromkeys(node.input):
                self.readers.setdefault(name, []).append(node)
        stored = sum(math.prod(t.dims) for t in graph.initializer)
        self.budget = FREE_ELEMENTS + 4 * stored
        self.elements = self.work = 0
        self.batch = 1
        self.opset = next((o.version for o in proto.opset_import if o.domain == ""), 0)

    def run(self) -> onnx.ModelProto:
        graph = self.proto.graph
        self._inputs()
        for node in graph.node:
            node.input[:] = [self.alias.get(name, name) for name in node.input]
            self._visit(node)
        for value in graph.output:
            value.name = self.alias.get(value.name, value.name)
        self._drop_unread()
        self._write()
        return self.proto

    def value(self, name: str) -> npt.NDArray[Any] | None:
        """Return a constant, or None if the tensor is computed."""
        return numpy_helper.to_array(self.constants[name]) if name in self.constants else None

    def shape(self, name: str) -> tuple[int, ...]:
        """Return a known tensor's shape."""
        return tuple(d.dim_value for d in self.types[name].tensor_type.shape.dim)

    def add_constant(self, stem: str, value: npt.NDArray[Any]) -> str:
        """Add a constant under a name nobody has, and return it."""
        name, count = stem, 0
        while name in self.types:
            count += 1
            name = f"{stem}_{count}"
        self._set_constant(name, value)
        return name

    def _set_constant(self, name: str, value: npt.NDArray[Any]) -> None:
        self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        self.types[name] = helper.make_tensor_type_proto(
            self.constants[name].data_type, value.shape
        )

    def _inputs(self) -> None:
        """Keep what is no constant; a batch that is left open, or another, becomes 1."""
        graph = self.proto.graph
        kept = [value for value in graph.input if value.name not in self.constants]
        del graph.input[:]
        graph.input.extend(kept)
        declared = {a.tensor_name: a for a in graph.quantization_annotation}
        for value in graph.input:
            tensor = value.type.tensor_type
            dims = list(tensor.shape.dim)
            if dims:
                self.batch = dims[0].dim_value
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
            self._bound(value.name, sizes, f"the graph input {value.name}")
            if value.name in declared:
                (entry,) = declared[value.name].quant_parameter_tensor_names
                if entry.value not in ("UINT8", "FLOAT32"):
                    raise ModelError(
                        f"the graph input {value.name} is declared {entry.value}, expected UINT8 "
                        "or no declaration: pictures have bytes of 0 to 255"
                    )
            self.types[value.name] = helper.make_tensor_type_proto(TensorProto.FLOAT, sizes)

    def _visit(self, node: onnx.NodeProto) -> None:
        missing = next((n for n in node.input if n and n not in self.types), None)
        if missing is not None:
            raise ModelError(
                f"the graph cannot be prepared: {node.name} ({node.op_type}) reads {missing}, "
                "which nothing in front of it computes"
            )
        constant = all(name in self.constants for name in node.input if name)
        if node.op_type in QUANTISERS or node.op_type == "IntQuant":
            self._quantiser(node)
        elif node.op_type not in LOWERED and not (
            node.op_type in FOLDED and (constant or node.op_type in ("Shape", "Size"))
        ):
            raise LoweringError(
                node, f"this op cannot be lowered; supported: Quant, BipolarQuant, {_list(LOWERED)}"
            )
        else:
            self._standard(node, constant)

    def _quantiser(self, node: onnx.NodeProto) -> None:
        """One form for QONNX's quantisers: Quant, with the names of modes that qonnx knows."""
        node.domain = QONNX_DOMAIN
        if node.op_type == "IntQuant":
            node.op_type = "Quant"
        for attribute in node.attribute:
            if attribute.name == "rounding_mode":
                mode = attribute.s.upper()
                attribute.s = b"DOWN" if mode == b"ROUND_TO_ZERO" else mode
        check_quantiser(node)
        shape = self.shape(node.input[0])
        for i, name in enumerate(node.input[1:], start=1):
            value = self.value(name)
            if i == 3 and value is not None and value.dtype.kind in "iu":
                value = value.astype(np.float32)
                node.input[i] = self.add_constant(f"{name}_float", value)
            if value is None or value.dtype != np.float32 or not np.isfinite(value).all():
                raise LoweringError(
                    node, f"its parameter {name} is no constant of finite float32 numbers"
                )
            if not _broadcasts(value.shape, shape):
                raise LoweringError(
                    node,
                    f"its parameter {name} has shape {value.shape}, expected one that broadcasts "
                    f"to {shape}",
                )
            if value.size > 1 and (value == value.flat[0]).all():
                one = value.reshape(-1)[:1].reshape(())
                node.input[i] = self.add_constant(f"{name}_one", one)
        scale = self.value(node.input[1])
        if scale is None or not (scale > np.finfo(np.float32).tiny).all():
            raise LoweringError(node, "found a scale that is not above 0, expected normal numbers")
        bits = self.value(node.input[3]) if node.op_type == "Quant" else np.float32(1)
        if bits is None or bits.size != 1 or not 1 <= bits <= 32 or bits != np.rint(bits):
            raise LoweringError(node, f"found {bits} bits, expected a whole number of 1 to 32")
        self._keep(node, [self.types[node.input[0]]])

    def _standard(self, node: onnx.NodeProto, constant: bool) -> None:
        check_attributes(node)
        schema = onnx.defs.get_schema(node.op_type, self.opset, "")
        check_inputs(node, schema, self.types)
        if node.op_type == "Reshape":
            self._unbatch(node)
        if node.op_type == "BatchNormalization":
            self._check_norm(node)
        types = self._infer(node, schema)
        if node.op_type in ("Shape", "Size"):
            self._known_shape(node)
        elif constant and node.op_type in FOLDED:
            self._fold(node, types)
        elif changes_nothing(
            node, self.types[node.input[0]].tensor_type.elem_type, self.value
        ) or self._joins_product(node):
            self.alias[node.output[0]] = node.input[0]
            self.types[node.output[0]] = types[0]
        elif node.op_type == "DequantizeLinear":
            self._dequantise(node)
        elif node.op_type == "Transpose" and self._is_weight(node.input[0]):
            self._transpose(node)
        else:
            if node.op_type in ("Conv", "MaxPool"):
                explicit_pads(
                    node, self.shape, [d.dim_value for d in types[0].tensor_type.shape.dim]
                )
            self._narrow_constants(node, types[0])
            self._keep(node, types)

    def _check_norm(self, node: onnx.NodeProto) -> None:
        channels = self.shape(node.input[0])[1:2]
        for name in node.input[1:]:
            value = self.value(name)
            if value is None or value.shape != channels or not np.isfinite(value).all():
                raise LoweringError(
                    node,
                    f"its parameter {name} has shape {self.shape(name)}, expected a constant of "
                    f"shape {channels}, all numbers finite",
                )
        if any(a.name in ("training_mode", "spatial") for a in node.attribute) and not all(
            a.i == (a.name == "spatial") for a in node.attribute if a.type == a.INT
        ):
            raise LoweringError(node, "normalises by other statistics than stored ones")

    def _infer(self, node: onnx.NodeProto, schema: onnx.defs.OpSchema) -> list[onnx.TypeProto]:
        """Return the types of a node's outputs, their sizes known and bounded."""
        names = [name for name in node.input if name]
        shown = {
            name: self.constants[name]
            for name in names
            if name in self.constants and math.prod(self.shape(name)) <= SHAPE_ELEMENTS
        }
        try:
            found = onnx.shape_inference.infer_node_outputs(
                schema,
                node,
                {name: self.types[name] for name in names},
                shown,
                opset_imports=[helper.make_opsetid("", self.opset)],
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
                raise LoweringError(
                    node, f"its output {name} has the element type {tensor.elem_type}"
                )
            sizes = [d.dim_value for d in tensor.shape.dim]
            self._bound(name, sizes, f"{node.name} ({node.op_type})")
            types.append(helper.make_tensor_type_proto(tensor.elem_type, sizes))
        return types

    def _bound(self, name: str, sizes: Sequence[int], where: str) -> None:
        if min(sizes, default=0) < 0 or math.prod(sizes) > MAX_ELEMENTS:
            raise ModelError(
                f"{where}: tensor {name} would have the shape {list(sizes)}, expected at most "
                f"{MAX_ELEMENTS} elements"
            )

    def _spend(self, node: onnx.NodeProto, outputs: Sequence[tuple[int, ...]]) -> None:
        """Take the elements a constant is made of and from off the budget."""
        parts = [self.shape(name) for name in node.input if name]
        self.budget -= sum(math.prod(shape) for shape in (*parts, *outputs))
        if self.budget < 0:
            raise ModelError(
                f"{node.name} ({node.op_type}): with its result of shape {list(outputs[0])} the "
                f"constants unfold to more than {FREE_ELEMENTS} elements beyond what the file "
                "stores; store them folded"
            )

    def _fold(self, node: onnx.NodeProto, types: Sequence[onnx.TypeProto]) -> None:
        """Replace a node of constants by its outputs, as ONNX Runtime computes them."""
        shapes = [tuple(d.dim_value for d in t.tensor_type.shape.dim) for t in types]
        self._spend(node, shapes)
        if node.op_type == "Div":
            divisor = self.value(node.input[1])
            # Whole numbers divided by 0, or the least by -1, stop the process.
            if divisor is None or (divisor.dtype.kind in "iu" and not (divisor > 0).all()):
                raise LoweringError(node, "divides whole numbers by others than positive ones")
        named = [(n, t) for n, t in zip(node.output, types, strict=True) if n]
        graph = helper.make_graph(
            [node],
            "constant",
            [],
            [helper.make_value_info(name, kind) for name, kind in named],
            initializer=[self.constants[n] for n in dict.fromkeys(node.input) if n],
        )
        opset = helper.make_opsetid("", self.opset)
        model = helper.make_model(graph, opset_imports=[opset], ir_version=8)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            session = onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
            values = session.run([name for name, _ in named], {})
        except Exception as error:  # Bindings of C++: their exceptions share no other base.
            why = " ".join(str(error).split())[:200]
            raise LoweringError(node, f"ONNX Runtime cannot compute it: {why}") from error
        for (name, _), value in zip(named, values, strict=True):
            self._set_constant(name, value)

    def _known_shape(self, node: onnx.NodeProto) -> None:
        shape = np.array(self.shape(node.input[0]), dtype=np.int64)
        given = {a.name: a.i for a in node.attribute}
        value = shape[given.get("start", 0) : given.get("end", len(shape))]
        self._set_constant(node.output[0], value if node.op_type == "Shape" else shape.prod())

    def _unbatch(self, node: onnx.NodeProto) -> None:
        """A shape that was written for the batch of the export holds 1 instead."""
        shape = self.value(node.input[1])
        if shape is not None and shape.size and 1 < self.batch == shape[0]:
            shape = shape.copy()
            shape[0] = 1
            node.input[1] = self.add_constant(node.input[1], shape)

    def _is_weight(self, name: str) -> bool:
        """Whether a tensor is a constant behind a quantiser."""
        node = self.producer.get(name)
        return node is not None and node.op_type in QUANTISERS and node.input[0] in self.constants

    def _transpose(self, node: onnx.NodeProto) -> None:
        """Quantised weights are turned around in front of their quantiser."""
        before = self.producer[node.input[0]]
        axes = list(range(len(self.shape(node.input[0]))))
        perm = next((list(a.ints) for a in node.attribute if a.name == "perm"), axes[::-1])
        if sorted(perm) != axes:
            raise LoweringError(node, f"found perm {perm}, expected an order of {axes}")
        inputs = []
        for name in before.input:
            value = self.value(name)
            turns = value is not None and value.ndim == len(self.shape(node.input[0]))
            if value is not None and (turns or name == before.input[0]):
                self._spend(node, [value.shape])
                name = self.add_constant(f"{name}_T", value.transpose(perm))
            elif value is not None and value.size > 1:
                raise LoweringError(
                    before, f"its parameter {name} has fewer axes than what it quantises"
                )
            inputs.append(name)
        turned = onnx.NodeProto()
        turned.CopyFrom(before)
        turned.name = node.name
        turned.input[:] = inputs
        turned.output[:] = node.output
        self._keep(turned, [self.types[inputs[0]]])

    def _dequantise(self, node: onnx.NodeProto) -> None:
        """Stored or computed codes times a scale: a Quant."""
        codes = node.input[0]
        element = self.types[codes].tensor_type.elem_type
        (output,) = node.output
        found = read(node, element, self.shape(codes), self.producer, self.value)
        if isinstance(found, Computed):
            source, bits, signed, narrow = found.source, found.bits, found.signed, found.narrow
        else:
            values = found.codes.astype(np.float32) * found.scale
            self._spend(node, [values.shape])
            if element == TensorProto.INT32 and values.ndim < 2:
                # A bias: float32 holds no Quant of its width.
                self._set_constant(output, values)
                return
            source, signed, narrow = self.add_constant(f"{codes}_values", values), True, False
            ends = int(found.codes.min(initial=0)), int(found.codes.max(initial=0))
            bits = max(2, 1 + max((-ends[0] - 1).bit_length(), ends[1].bit_length()))
        key = (source, found.scale.tobytes(), found.scale.shape, bits, signed, narrow)
        if isinstance(found, Computed) and key in self.quantised:
            # Each reader has a pair of its own in ONNX Runtime's files: one quantiser is enough.
            self.alias[output] = self.quantised[key]
            self.types[output] = self.types[self.quantised[key]]
            return
        self.quantised[key] = output
        made = helper.make_node(
            "Quant",
            [
                source,
                self.add_constant(f"{output}_scale", found.scale),
                self.add_constant(f"{output}_zero", np.zeros((), np.float32)),
                self.add_constant(f"{output}_bits", np.full((), bits, np.float32)),
            ],
            [output],
            name=node.name,
            domain=QONNX_DOMAIN,
            signed=int(signed),
            narrow=int(narrow),
            rounding_mode="ROUND",
        )
        self._keep(made, [self.types[source]])

    def _joins_product(self, node: onnx.NodeProto) -> bool:
        """Take an Add of one constant per logit as the bias of the product in front."""
        computed = next((n for n in node.input if n not in self.constants), "")
        product = self.producer.get(computed)
        bias = bias_behind(node, product, self.value, self.shape)
        outputs = [value.name for value in self.proto.graph.output]
        alone = len(self.readers.get(computed, ())) == 1 and computed not in outputs
        if product is None or bias is None or not alone:
            return False
        if not ends_graph(node.output[0], self.readers, outputs):
            return False
        with_bias(product, self.add_constant(f"{product.name}_bias", bias.astype(np.float32)))
        node.input[:] = [computed]
        return True

    def _narrow_constants(self, node: onnx.NodeProto, out: onnx.TypeProto) -> None:
        """A summand or factor that is the same for all pixels becomes one value per channel."""
        shape = tuple(d.dim_value for d in out.tensor_type.shape.dim)
        if node.op_type not in ("Add", "Sub", "Mul", "Div") or len(shape) != 4:
            return
        for i, name in enumerate(node.input):
            value = self.value(name)
            if value is None or self.shape(node.input[1 - i]) != shape:
                continue
            value = value.reshape((1,) * (4 - value.ndim) + value.shape)
            first = value[:, :, :1, :1]
            if first.size < value.size and (value == first).all():
                node.input[i] = self.add_constant(f"{name}_channel", first)

    def _keep(self, node: onnx.NodeProto, types: Sequence[onnx.TypeProto]) -> None:
        """Append a node; its outputs are computed for every picture, so their size counts."""
        for name, kind in zip(node.output, types, strict=True):
            if not name:
                continue
            self.types[name] = kind
            self.producer[name] = node
        sizes = [math.prod(self.shape(name)) for name in node.output if name]
        if node.input[0] not in self.constants and min(sizes) < 1:
            raise LoweringError(node, "its output is empty, expected at least one value")
        products = 1
        windows = 0
        if node.op_type in PRODUCTS:
            weight = self.shape(node.input[1])
            products = math.prod(weight) // max(1, weight[outputs_axis(node)] if weight else 1)
        if node.op_type == "Conv":
            windows = sizes[0] * products // max(1, self.shape(node.output[0])[1])
        self.elements += sum(sizes) + windows
        self.work += sum(sizes) * products
        if self.elements > TOTAL_ELEMENTS or self.work > TOTAL_WORK:
            raise ModelError(
                f"{node.name} ({node.op_type}): up to here one picture takes {self.work} "
                f"operations and {self.elements} values, expected at most {TOTAL_WORK} and "
                f"{TOTAL_ELEMENTS}; is this a network for an FPGA?"
            )
        self.nodes.append(node)

    def _drop_unread(self) -> None:
        """Drop what folding and joining of quantisers left without a reader."""
        graph = self.proto.graph
        read = {value.name for value in graph.output}
        kept = []
        for node in reversed(self.nodes):
            if read.intersection(node.output):
                read.update(node.input)
                kept.append(node)
        if not kept:
            raise ModelError(
                f"the graph output {graph.output[0].name} does not depend on the picture; export "
                "the network again"
            )
        self.nodes = kept[::-1]

    def _write(self) -> None:
        proto, graph = self.proto, self.proto.graph
        used = {name for node in self.nodes for name in node.input if name}
        made = [name for node in self.nodes for name in node.output if name]
        nodes = [onnx.NodeProto.FromString(n.SerializeToString()) for n in self.nodes]
        del graph.node[:], graph.initializer[:], graph.value_info[:]
        graph.node.extend(nodes)
        graph.initializer.extend(t for n, t in self.constants.items() if n in used)
        outputs = [value.name for value in graph.output]
        graph.value_info.extend(
            helper.make_value_info(name, self.types[name]) for name in made if name not in outputs
        )
        for value in graph.output:
            if value.name not in self.types or value.name in self.constants:
                raise ModelError(f"the graph output {value.name} is no computed tensor")
            value.type.CopyFrom(self.types[value.name])
        known = {*made, *(value.name for value in graph.input)}
        annotations = [a for a in graph.quantization_annotation if a.tensor_name in known]
        del graph.quantization_annotation[:]
        graph.quantization_annotation.extend(annotations)
        others = [o for o in proto.opset_import if o.domain != QONNX_DOMAIN]
        del proto.opset_import[:]
        proto.opset_import.extend([*others, helper.make_opsetid(QONNX_DOMAIN, 1)])


def _broadcasts(part: tuple[int, ...], whole: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(part, whole) == whole
    except ValueError:
        return False


def _list(names: Sequence[str]) -> str:
    return ", ".join(names)
