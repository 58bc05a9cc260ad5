# SPDX-License-Identifier: Apache-2.0
"""What is known of a network while it is prepared: its tensors, its nodes, what they cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from .heads import Software
from .loader import MAX_ELEMENTS, ModelError
from .qonnx_graph import LoweringError, outputs_axis

FREE_ELEMENTS = 1 << 24
"""Elements that constants may unfold to, whatever the size of the file; beyond that four times
what the file stores."""
TOTAL_ELEMENTS = 1 << 29
"""Most elements of all computed tensors of one picture: verification holds them at once."""
TOTAL_WORK = 1 << 37
"""Most multiplications and moves for one picture: verification takes minutes at this bound."""
PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


class Cleaning:
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
        self.lines: set[str] = set()
        """Tensors that the file has as (1, C, L): here (1, C, 1, L)."""
        self.software: dict[str, Software] = {}
        """What is left to software behind logits, by their names."""
        self.behind: frozenset[str] = frozenset()
        """Nodes behind logits that are left to software, by their names."""
        self.last: set[str] = set()
        """Tensors that the file has as (1, H, W, C): here (1, C, H, W)."""
        self.rows: set[str] = set()
        """Of these, tensors that the file has as (1, N, F), rows of features: here (1, F, 1, N)."""
        self.windows: dict[str, onnx.NodeProto] = {}
        """Tensors that are windows side by side, which a product reads."""
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
        self.set_constant(name, value)
        return name

    def set_constant(self, name: str, value: npt.NDArray[Any]) -> None:
        """A tensor is this constant from now on."""
        self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        self.types[name] = helper.make_tensor_type_proto(
            self.constants[name].data_type, value.shape
        )

    def bound(self, name: str, sizes: Sequence[int], where: str) -> None:
        """Refuse a tensor that is too large, before anything of it is allocated."""
        if min(sizes, default=0) < 0 or math.prod(sizes) > MAX_ELEMENTS:
            raise ModelError(
                f"{where}: tensor {name} would have the shape {list(sizes)}, expected at most "
                f"{MAX_ELEMENTS} elements"
            )

    def spend(self, node: onnx.NodeProto, outputs: Sequence[tuple[int, ...]]) -> None:
        """Take the elements a constant is made of and from off the budget."""
        parts = [self.shape(name) for name in node.input if name]
        self.budget -= sum(math.prod(shape) for shape in (*parts, *outputs))
        if self.budget < 0:
            raise ModelError(
                f"{node.name} ({node.op_type}): with its result of shape {list(outputs[0])} the "
                f"constants unfold to more than {FREE_ELEMENTS} elements beyond what the file "
                "stores; store them folded"
            )

    def keep(self, node: onnx.NodeProto, types: Sequence[onnx.TypeProto]) -> None:
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
            groups = next((a.i for a in node.attribute if a.name == "group"), 1)
            windows = sizes[0] * products * groups // max(1, self.shape(node.output[0])[1])
        self.elements += sum(sizes) + windows
        self.work += sum(sizes) * products
        if self.elements > TOTAL_ELEMENTS or self.work > TOTAL_WORK:
            raise ModelError(
                f"{node.name} ({node.op_type}): up to here one picture takes {self.work} "
                f"operations and {self.elements} values, expected at most {TOTAL_WORK} and "
                f"{TOTAL_ELEMENTS}; is this a network for an FPGA?"
            )
        self.nodes.append(node)
