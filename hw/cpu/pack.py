# SPDX-License-Identifier: Apache-2.0
"""Compile ``dataflow.onnx`` into a packed model for the CPU engine.

Nodes are lowered one by one, in graph order, to the steps of ``plan.py``. Fusion follows the
graph, not a network: padding and sliding window in front of a matrix product become its
addressing when nothing else reads them, copies of a stream become names of one tensor. What has
no fast step runs on a general one in 32 bits, with casts around it.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from google.protobuf.message import DecodeError
from pydantic import ValidationError

from ...quant import grid
from ...quant.card import PackedCard
from ..kernels.signed_thresholding.golden import encode, signed_thresholding
from . import plan as packed
from .checks import check
from .container import write
from .plan import DataType, ModelError, round_up

IntArray = npt.NDArray[np.int64]

INT8 = packed.STORAGE["i8"]
INT32 = packed.STORAGE["i32"]


@dataclass
class Node:
    """A node of the graph with its attributes as plain values."""

    name: str
    op: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def where(self) -> str:
        """How errors name the node."""
        return f"{self.name} ({self.op})"

    def get(self, name: str) -> Any:
        """Return an attribute; the contract has every attribute written out."""
        if name not in self.attributes:
            raise ModelError(
                f"{self.where}: attribute {name} is missing, expected as in dataflow.md"
            )
        return self.attributes[name]

    def ints(self, name: str, count: int) -> list[int]:
        """Return an attribute that is a list of ``count`` integers."""
        value = self.get(name)
        if not isinstance(value, list) or len(value) != count:
            raise ModelError(f"{self.where}: found {name} {value!r}, expected {count} integers")
        return [int(v) for v in value]

    def datatype(self, name: str) -> DataType:
        """Return an attribute that names a datatype."""
        return DataType.of(str(self.get(name)), self.where)


def _nodes(graph: onnx.GraphProto) -> list[Node]:
    nodes = []
    for i, proto in enumerate(graph.node):
        attributes: dict[str, Any] = {}
        for attribute in proto.attribute:
            value = onnx.helper.get_attribute_value(attribute)
            if isinstance(value, bytes):
                value = value.decode(errors="replace")
            elif not isinstance(value, (str, int, float)):
                value = list(value)
            attributes[attribute.name] = value
        op = proto.op_type.removesuffix("_rtl").removesuffix("_hls")
        name = proto.name or f"{op}_{i}"
        outputs = [o for o in proto.output if o]
        nodes.append(Node(name, op, [n for n in proto.input if n], outputs, attributes))
    return nodes


@dataclass
class Geometry:
    """Kernel, stride and border over a picture."""

    height: int
    width: int
    kernel_y: int = 1
    kernel_x: int = 1
    stride_y: int = 1
    stride_x: int = 1
    dilation_y: int = 1
    dilation_x: int = 1
    pad_top: int = 0
    pad_left: int = 0
    pad_bottom: int = 0
    pad_right: int = 0

    @property
    def out_height(self) -> int:
        """Rows of the result."""
        room = self.height + self.pad_top + self.pad_bottom
        return (room - self.dilation_y * (self.kernel_y - 1) - 1) // self.stride_y + 1

    @property
    def out_width(self) -> int:
        """Columns of the result."""
        room = self.width + self.pad_left + self.pad_right
        return (room - self.dilation_x * (self.kernel_x - 1) - 1) // self.stride_x + 1

    def padded(self, padding: list[int]) -> Geometry:
        """Set the border [top, left, bottom, right]; returns itself."""
        self.pad_top, self.pad_left, self.pad_bottom, self.pad_right = padding
        return self

    def attributes(self) -> dict[str, int]:
        """The attributes of a plan step."""
        return {name: int(getattr(self, name)) for name in packed.GEOMETRY}


class _Packer:
    """One lowering: the plan as it grows, and what is known about each tensor of the graph."""

    def __init__(self, graph: onnx.GraphProto, name: str, card: PackedCard | None) -> None:
        self.plan = packed.Plan(name, [], [], [], [], card)
        self.constants: dict[str, npt.NDArray[Any]] = {}
        self.graph = graph
        self.nodes = _nodes(graph)
        self.initializers = {i.name: i for i in graph.initializer}
        self.readers = Counter(n for node in self.nodes for n in node.inputs)
        self.readers.update(o.name for o in graph.output)
        self.producers = {o: node for node in self.nodes for o in node.outputs}
        self.index: dict[str, int] = {}
        self.types: dict[int, DataType] = {}
        self.casts: dict[tuple[int, str], int] = {}
        self.lookups: dict[tuple[int, bytes], int] = {}

    # Tensors

    def tensor(
        self, names: list[str], shape: list[int], datatype: DataType, storage: str | None = None
    ) -> int:
        """Add a tensor and return its index."""
        index = len(self.plan.tensors)
        storage = storage or datatype.storage
        self.plan.tensors.append(packed.Tensor(names, shape, datatype.name, storage))
        self.types[index] = datatype
        self.index.update(dict.fromkeys(names, index))
        return index

    def at(self, index: int) -> packed.Tensor:
        """Return a tensor of the plan."""
        return self.plan.tensors[index]

    def read(self, node: Node, position: int = 0) -> int:
        """Return the tensor behind a streamed input of a node."""
        if position >= len(node.inputs):
            raise ModelError(
                f"{node.where}: found {len(node.inputs)} inputs, expected more than {position}"
            )
        name = node.inputs[position]
        if name not in self.index:
            raise ModelError(
                f"{node.where}: input {name!r} is produced by no earlier node; sort the graph"
            )
        return self.index[name]

    def stored(self, index: int, storage: str) -> int:
        """Return the same integers in another storage, casting them at most once."""
        if self.at(index).storage == storage:
            return index
        if (index, storage) not in self.casts:
            source = self.at(index)
            cast = self.tensor([], source.shape, self.types[index], storage)
            self.step("cast", "cast", [index], [cast])
            self.casts[index, storage] = cast
        return self.casts[index, storage]

    def values(self, node: Node, index: int, table: IntArray) -> int:
        """Return the bytes that codes stand for, looking them up at most once."""
        if np.array_equal(table, np.arange(len(table))):
            return index
        key = (index, table.tobytes())
        if key not in self.lookups:
            out = self.tensor([], self.at(index).shape, DataType.of("UINT8", node.where))
            self.lookup(node, index, out, table)
            self.lookups[key] = out
        return self.lookups[key]

    def lookup(self, node: Node, index: int, out: int, table: IntArray) -> None:
        """Add the step that maps byte codes through a table."""
        padded = np.zeros(packed.BYTE_CODES, dtype=np.int64)
        padded[: len(table)] = table
        constants = {"table": padded.astype(np.uint8 if self.at(out).storage == "u8" else np.int32)}
        # As many as the codes' type has: a code without an entry gives 0 on every machine.
        levels = {"levels": min(self.types[index].high + 1, packed.BYTE_CODES)}
        self.step("lookup", node.name, [index], [out], levels, constants)

    def result(self, node: Node, shape: list[int], datatype: DataType, storage: str) -> int:
        """Add the tensor behind a node's only output, written by a step in ``storage``.

        Where the datatype's own storage is another one, the caller's tensor stays nameless and a
        cast follows when the node is done (see ``finish``).
        """
        self._one_output(node)
        named = storage == datatype.storage or storage == "i32" and node.op in ACCUMULATING
        return self.tensor(node.outputs if named else [], shape, datatype, storage)

    def finish(self, node: Node, index: int) -> None:
        """Give a node's output its own storage if its step wrote another one."""
        if self.at(index).names:
            return
        source = self.at(index)
        final = self.tensor(list(node.outputs), source.shape, self.types[index])
        self.step("cast", node.name, [index], [final])

    def _one_output(self, node: Node) -> None:
        if len(node.outputs) != 1:
            raise ModelError(f"{node.where}: found {len(node.outputs)} outputs, expected 1")

    # Steps and constants

    def step(
        self,
        op: str,
        node: str,
        inputs: list[int],
        outputs: list[int],
        attributes: Mapping[str, int] | None = None,
        constants: Mapping[str, npt.NDArray[Any]] | None = None,
    ) -> None:
        """Add a step; its constants are stored under the step's number."""
        names = []
        for key, array in (constants or {}).items():
            name = f"{len(self.plan.steps)}.{key}"
            self.constants[name] = array
            names.append(name)
        self.plan.steps.append(
            packed.Step(op, node, inputs, outputs, dict(attributes or {}), names)
        )

    def initializer(self, node: Node, position: int) -> IntArray:
        """Return an initializer's integers."""
        if position >= len(node.inputs) or node.inputs[position] not in self.initializers:
            raise ModelError(f"{node.where}: input {position} is no initializer, expected one")
        proto = self.initializers[node.inputs[position]]
        if proto.data_location == onnx.TensorProto.EXTERNAL:
            raise ModelError(f"{node.where}: input {position} lies outside the file; embed it")
        values = onnx.numpy_helper.to_array(proto).astype(np.float64)
        if not np.array_equal(values, np.rint(values)):
            raise ModelError(f"{node.where}: input {position} holds values that are not integers")
        return values.astype(np.int64)

    # Patterns

    def only_reader(self, name: str) -> bool:
        """Whether a tensor is read once and is no output of the graph."""
        return self.readers[name] == 1

    def window_of(self, node: Node) -> Node | None:
        """Return the sliding window in front of a product if nothing else reads it."""
        before = self.producers.get(node.inputs[0])
        if before is None or before.op != "ConvolutionInputGenerator":
            return None
        return before if self.only_reader(before.outputs[0]) else None

    def padding_of(self, window: Node) -> Node | None:
        """Return the padding in front of a sliding window if nothing else reads it."""
        before = self.producers.get(window.inputs[0])
        if before is None or before.op != "FMPadding":
            return None
        return before if self.only_reader(before.outputs[0]) else None

    def fused(self) -> set[str]:
        """Names of the first outputs of windows and paddings that products take in."""
        gone: set[str] = set()
        for node in self.nodes:
            if node.op in PRODUCTS and node.inputs:
                window = self.window_of(node)
                if window is not None and self._fusable(node):
                    gone.add(window.outputs[0])
                    padding = self.padding_of(window)
                    if padding is not None:
                        gone.add(padding.outputs[0])
        return gone

    def _fusable(self, node: Node) -> bool:
        """Whether a product has a convolution step (8-bit or 1-bit operands)."""
        if node.op != "IntMvu":
            return True
        weights = self.initializer(node, 1)
        return (
            node.datatype("inputDataType").storage in ("u8", "i8")
            and weights.size > 0
            and int(weights.min()) >= -128
            and int(weights.max()) <= 127
        )

    # The walk

    def run(self) -> None:
        """Lower the whole graph."""
        for value in self.graph.input:
            if value.name not in self.initializers:
                self._graph_input(value)
        gone = self.fused()
        for node in self.nodes:
            if node.op not in LOWERING:
                raise ModelError(
                    f"{node.where}: the CPU engine has no such op, expected one of "
                    f"{', '.join(sorted(LOWERING))}"
                )
            if not node.outputs or not node.inputs:
                raise ModelError(f"{node.where}: a node without input or output")
            if node.outputs[0] not in gone:
                LOWERING[node.op](self, node)
        for output in self.graph.output:
            if output.name not in self.index:
                raise ModelError(f"graph output {output.name!r} is produced by no node")
            self.plan.outputs.append(self.index[output.name])

    def _graph_input(self, value: onnx.ValueInfoProto) -> None:
        where = f"graph input {value.name!r}"
        shape = [int(d.dim_value) for d in value.type.tensor_type.shape.dim]
        if len(shape) < 2 or shape[0] != 1 or min(shape) < 1:
            raise ModelError(f"{where}: found shape {shape}, expected (1, ..., C)")
        datatype = DataType.of(self._declared(value.name), where)
        self.plan.inputs.append(self.tensor([value.name], shape[1:], datatype))

    def _declared(self, name: str) -> str:
        for annotation in self.graph.quantization_annotation:
            if annotation.tensor_name == name:
                for entry in annotation.quant_parameter_tensor_names:
                    if entry.key == "finn_datatype":
                        return str(entry.value)
        raise ModelError(f"tensor {name!r}: no datatype declared, expected a QONNX annotation")


def _picture(p: _Packer, node: Node, index: int, size: list[int]) -> None:
    """Check that a tensor is a picture of the stated height and width."""
    shape = p.at(index).shape
    if len(shape) != 3 or shape[:2] != size:
        raise ModelError(f"{node.where}: found input {shape}, expected height and width {size}")


def _identity(p: _Packer, node: Node) -> None:
    index = p.read(node)
    p.at(index).names.extend(node.outputs)
    p.index.update(dict.fromkeys(node.outputs, index))


def _padding_geometry(p: _Packer, node: Node, index: int) -> Geometry:
    size = node.ints("ImgDim", 2)
    _picture(p, node, index, size)
    return Geometry(*size).padded(node.ints("Padding", 4))


def _set_window(node: Node, geometry: Geometry) -> None:
    """Add a ConvolutionInputGenerator to a geometry."""
    if int(node.get("depthwise")) != 0:
        raise ModelError(f"{node.where}: found depthwise 1, expected 0")
    size = node.ints("IFMDim", 2)
    padded = [
        geometry.height + geometry.pad_top + geometry.pad_bottom,
        geometry.width + geometry.pad_left + geometry.pad_right,
    ]
    if size != padded:
        raise ModelError(f"{node.where}: found IFMDim {size}, expected {padded}")
    geometry.kernel_y, geometry.kernel_x = node.ints("ConvKernelDim", 2)
    geometry.stride_y, geometry.stride_x = node.ints("Stride", 2)
    geometry.dilation_y, geometry.dilation_x = node.ints("Dilation", 2)
    if min(geometry.stride_y, geometry.stride_x) < 1:
        raise ModelError(f"{node.where}: found Stride {node.get('Stride')}, expected 1 or more")


def _fm_padding(p: _Packer, node: Node) -> None:
    index = p.read(node)
    geometry = _padding_geometry(p, node, index)
    source = p.at(index)
    shape = [geometry.out_height, geometry.out_width, source.channels]
    out = p.result(node, shape, p.types[index], source.storage)
    p.step("pad", node.name, [index], [out], geometry.attributes())
    p.finish(node, out)


def _stream_reflect_pad(p: _Packer, node: Node) -> None:
    index = p.read(node)
    geometry = _padding_geometry(p, node, index)
    source = p.at(index)
    shape = [geometry.out_height, geometry.out_width, source.channels]
    out = p.result(node, shape, p.types[index], source.storage)
    p.step("reflect", node.name, [index], [out], geometry.attributes())
    p.finish(node, out)


def _stream_crop(p: _Packer, node: Node) -> None:
    index = p.read(node)
    height, width = size = node.ints("ImgDim", 2)
    _picture(p, node, index, size)
    top, left, bottom, right = node.ints("Crop", 4)
    source = p.at(index)
    shape = [height - top - bottom, width - left - right, source.channels]
    out = p.result(node, shape, p.types[index], source.storage)
    p.step(
        "crop", node.name, [index], [out],
        {"height": height, "width": width, "top": top, "left": left, "bottom": bottom,
         "right": right},
    )  # fmt: skip
    p.finish(node, out)


def _pixel_interleave(p: _Packer, node: Node) -> None:
    index = p.read(node)
    datatype = p.types[index]
    height, width = size = node.ints("ImgDim", 2)
    _picture(p, node, index, size)
    channels = int(node.get("NumChannels"))
    if p.at(index).channels != 4 * channels:
        raise ModelError(
            f"{node.where}: found {p.at(index).channels} channels, expected 4 x {channels}"
        )
    if p.at(index).storage == "bits":
        index = p.stored(index, "u8")
    out = p.result(node, [2 * height, 2 * width, channels], datatype, p.at(index).storage)
    p.step("interleave", node.name, [index], [out], {"height": height, "width": width})
    p.finish(node, out)


def _sliding_window(p: _Packer, node: Node) -> None:
    index = p.read(node)
    datatype = p.types[index]
    if p.at(index).storage == "bits":
        index = p.stored(index, "u8")
    source = p.at(index)
    size = node.ints("IFMDim", 2)
    _picture(p, node, index, size)
    geometry = Geometry(*size)
    _set_window(node, geometry)
    channels = geometry.kernel_y * geometry.kernel_x * source.channels
    shape = [geometry.out_height, geometry.out_width, channels]
    out = p.result(node, shape, datatype, source.storage)
    p.step("windows", node.name, [index], [out], geometry.attributes())
    p.finish(node, out)


def _product_source(p: _Packer, node: Node, convolution: bool) -> tuple[int, Geometry, list[int]]:
    """Return a product's input tensor, its geometry, and the leading axes of its result."""
    window = p.window_of(node) if convolution else None
    if window is None:
        index = p.read(node)
        shape = p.at(index).shape
        # A product without a window is a 1x1 convolution over a picture of one row.
        return index, Geometry(1, math.prod(shape[:-1])), list(shape[:-1])
    padding = p.padding_of(window)
    if padding is None:
        index = p.read(window)
        geometry = Geometry(*window.ints("IFMDim", 2))
        _picture(p, window, index, [geometry.height, geometry.width])
    else:
        index = p.read(padding)
        geometry = _padding_geometry(p, padding, index)
    _set_window(window, geometry)
    return index, geometry, [geometry.out_height, geometry.out_width]


def _check_product(p: _Packer, node: Node, inputs: int, weights: IntArray) -> None:
    expected = (int(node.get("MW")), int(node.get("MH")))
    if weights.shape != expected or inputs != expected[0]:
        raise ModelError(
            f"{node.where}: found {inputs} inputs and weights {weights.shape}, "
            f"expected (MW, MH) = {expected}"
        )


def pack_bits(weights: IntArray, taps: int) -> npt.NDArray[np.uint64]:
    """Return 1-bit weights (taps * C, MH), taps slowest, as (MH, words): taps start at a byte."""
    outputs = weights.shape[1]
    bits = weights.T.reshape(outputs, taps, -1).astype(np.uint8)
    data = np.packbits(bits, axis=-1, bitorder="little").reshape(outputs, -1)
    padded = np.zeros((outputs, round_up(data.shape[1], 8)), dtype=np.uint8)
    padded[:, : data.shape[1]] = data
    return padded.view("<u8").astype(np.uint64)


def as_type(values: IntArray, dtype: type) -> npt.NDArray[Any]:
    """Return integers, modulo the width of ``dtype``, in the order that their axes state."""
    return np.ascontiguousarray(values.astype(dtype))


def _xnor_mvu(p: _Packer, node: Node) -> None:
    index, geometry, leading = _product_source(p, node, True)
    if p.at(index).storage != "bits":
        raise ModelError(f"{node.where}: found {p.at(index).datatype} input, expected BINARY")
    weights = p.initializer(node, 1)
    taps = geometry.kernel_y * geometry.kernel_x
    _check_product(p, node, taps * p.at(index).channels, weights)
    if not np.isin(weights, (0, 1)).all():
        raise ModelError(f"{node.where}: found weights other than 0 and 1, expected BINARY")
    datatype = node.datatype("outputDataType")
    if datatype.low > -weights.shape[0] or datatype.high < weights.shape[0]:
        raise ModelError(
            f"{node.where}: outputDataType {datatype.name} does not hold +-{weights.shape[0]}"
        )
    out = p.result(node, [*leading, weights.shape[1]], datatype, "i32")
    constants = {"weights": pack_bits(weights, taps)}
    p.step("bit_convolution", node.name, [index], [out], geometry.attributes(), constants)
    p.finish(node, out)


def _binary_mvu(p: _Packer, node: Node) -> None:
    """Weights of one bit on codes: a product of bytes with -1 and +1."""
    index, geometry, leading = _product_source(p, node, True)
    datatype = p.types[index]
    if datatype.name == "BINARY" or datatype.low < 0 or datatype.high >= packed.BYTE_CODES:
        raise ModelError(
            f"{node.where}: found {datatype.name} input, expected codes of UINT1..UINT8"
        )
    bits = p.initializer(node, 1)
    _check_product(p, node, geometry.kernel_y * geometry.kernel_x * p.at(index).channels, bits)
    if not np.isin(bits, (0, 1)).all():
        raise ModelError(f"{node.where}: found weights other than 0 and 1, expected BINARY")
    weights = 2 * bits - 1
    low, high = grid.accumulator_bounds(weights, 0, datatype.high)
    target = node.datatype("outputDataType")
    if low.min() < target.low or high.max() > target.high:
        raise ModelError(
            f"{node.where}: outputDataType {target.name} does not hold {low.min()}..{high.max()}"
        )
    out = p.result(node, [*leading, weights.shape[1]], target, "i32")
    bias = np.zeros(weights.shape[1], dtype=np.int64)
    _int_convolution(p, node, index, out, geometry, weights, bias)


def _int_mvu(p: _Packer, node: Node) -> None:
    fast = p._fusable(node)
    index, geometry, leading = _product_source(p, node, fast)
    taps = geometry.kernel_y * geometry.kernel_x
    weights = p.initializer(node, 1)
    _check_product(p, node, taps * p.at(index).channels, weights)
    inputs, outputs = weights.shape
    bias = np.zeros(outputs, dtype=np.int64)
    if len(node.inputs) > 2:
        bias = p.initializer(node, 2).reshape(-1)
        if bias.shape != (outputs,):
            raise ModelError(f"{node.where}: found {bias.size} biases, expected {outputs}")
    datatype = node.datatype("outputDataType")
    source = p.types[index]
    low, high = grid.accumulator_bounds(weights, source.low, source.high, bias)
    if low.min() < INT32[0] or high.max() > INT32[1]:
        raise ModelError(f"{node.where}: its worst-case sums do not fit 32 bits")
    out = p.result(node, [*leading, outputs], datatype, "i32")
    if not fast:
        index = p.stored(index, "i32")
        constants = {"weights": as_type(weights.T, np.int32), "bias": as_type(bias, np.int32)}
        p.step("wide_product", node.name, [index], [out], {}, constants)
        p.finish(node, out)
        return
    storage = "u8" if source.storage == "bits" else source.storage
    if storage == "i32":
        raise ModelError(
            f"{node.where}: found {source.name} input, "
            f"expected inputDataType {node.get('inputDataType')}"
        )
    index = p.stored(index, storage)
    # The kernel multiplies unsigned codes: signed ones are read 128 higher. Its partial sums run
    # from the bias that takes this back over unsigned codes of the whole 8 bits.
    start = bias - 128 * weights.sum(axis=0) if p.at(index).storage == "i8" else bias
    low, high = grid.accumulator_bounds(weights, 0, 255, start)
    if min(low.min(), start.min()) < INT32[0] or max(high.max(), start.max()) > INT32[1]:
        raise ModelError(f"{node.where}: its partial sums do not fit 32 bits")
    _int_convolution(p, node, index, out, geometry, weights, bias)


def _int_convolution(
    p: _Packer,
    node: Node,
    index: int,
    out: int,
    geometry: Geometry,
    weights: IntArray,
    bias: IntArray,
) -> None:
    """Add the 8-bit product of a tensor in bytes with (MW, MH) weights."""
    constants = {"weights": as_type(weights.T, np.int8), "bias": as_type(bias, np.int32)}
    p.step("int_convolution", node.name, [index], [out], geometry.attributes(), constants)
    p.finish(node, out)


def _codebook(p: _Packer, node: Node, position: int, name: str, storage: str) -> IntArray:
    """Return the values that codes stand for, a vector within 8 bits."""
    values = p.initializer(node, position)
    low, high = packed.STORAGE[storage]
    if values.ndim != 1 or not 1 <= values.size <= packed.BYTE_CODES:
        raise ModelError(
            f"{node.where}: found {name} of shape {values.shape}, "
            f"expected a vector of 1..{packed.BYTE_CODES} values"
        )
    if values.min() < low or values.max() > high:
        raise ModelError(
            f"{node.where}: found {name} {values.min()}..{values.max()}, expected {low}..{high}; "
            "snap the levels to 8 bits"
        )
    return values


def _pa_mvu(p: _Packer, node: Node) -> None:
    """The sum over bases is one product of values: every input code stands for one beta, every
    weight code for one alpha, and their bases are disjoint."""
    index, geometry, leading = _product_source(p, node, True)
    if p.types[index].low < 0 or p.types[index].high >= packed.BYTE_CODES:
        raise ModelError(
            f"{node.where}: found {p.types[index].name} input, expected codes of UINT1..UINT8"
        )
    codes = p.initializer(node, 1)
    _check_product(p, node, geometry.kernel_y * geometry.kernel_x * p.at(index).channels, codes)
    alpha = _codebook(p, node, 2, "alpha", "i8")
    beta = _codebook(p, node, 3, "beta", "u8")
    zero = int(node.get("zero"))
    if not 0 <= zero < len(alpha) or alpha[zero] != 0 or beta[0] != 0:
        raise ModelError(
            f"{node.where}: alpha[{zero}] and beta[0] must be there and be 0, "
            "for the zero piece and the border"
        )
    if codes.min() < -zero or codes.max() >= len(alpha) - zero:
        raise ModelError(
            f"{node.where}: found weight codes {codes.min()}..{codes.max()}, "
            f"expected {-zero}..{len(alpha) - zero - 1}"
        )
    weights = alpha[codes + zero]
    low, high = grid.accumulator_bounds(weights, 0, int(beta.max()))
    bits = grid.signed_bits(int(max(-low.min(), high.max())))
    if bits > MAX_ACCUMULATOR_BITS:
        raise ModelError(
            f"{node.where}: its accumulator needs {bits} bits, "
            f"expected at most {MAX_ACCUMULATOR_BITS}; use fewer coefficient bits"
        )
    datatype = node.datatype("outputDataType")
    out = p.result(node, [*leading, weights.shape[1]], datatype, "i32")
    values = p.values(node, p.stored(index, "u8"), beta)
    bias = np.zeros(weights.shape[1], dtype=np.int64)
    _int_convolution(p, node, values, out, geometry, weights, bias)


def _fits_32_bits(
    params: IntArray,
    shifts: Mapping[str, int],
    acc: tuple[int, int],
    shortcut: tuple[int, int] | None,
) -> bool:
    """Whether every intermediate of an epilogue fits int32, from the ranges of its inputs.

    Bounds are computed in Python integers: nothing overflows on the way.
    """

    def half(shift: int) -> int:
        return 1 << (shift - 1) if shift else 0

    m, b, zeta, slope, eta = (np.abs(row).astype(object) for row in params)
    largest = max(abs(acc[0]), abs(acc[1])) + half(shifts["acc_shift"])
    seen = [largest]
    if shifts["acc_shift"]:
        largest = max(-shifts["acc_low"], shifts["acc_high"])
    y = largest * m + b + half(shifts["pre_shift"])
    if shortcut is not None:
        y = y + (max(abs(shortcut[0]), abs(shortcut[1])) << shifts["shortcut_shift"])
    u = max(-shifts["pre_low"], shifts["pre_high"]) + zeta
    # The two slopes bound |v| by u and, before its shift, by u * slope.
    v = np.maximum(u, u * slope) + eta + half(shifts["out_shift"])
    seen += [*y, *u, *v]
    return (
        all(int(s) <= INT32[1] for s in seen)
        and max(value for name, value in shifts.items() if name.endswith("shift")) <= 30
    )


def _epilogue(p: _Packer, node: Node) -> None:
    acc = p.stored(p.read(node), "i32")
    shape = p.at(acc).shape
    has_shortcut = bool(int(node.get("hasShortcut")))
    if len(node.inputs) != (3 if has_shortcut else 2):
        raise ModelError(
            f"{node.where}: found {len(node.inputs)} inputs with hasShortcut {int(has_shortcut)}, "
            f"expected {3 if has_shortcut else 2}"
        )
    params = p.initializer(node, len(node.inputs) - 1)
    if params.shape != (5, shape[-1]):
        raise ModelError(
            f"{node.where}: found parameters {params.shape}, expected (5, {shape[-1]})"
        )
    shifts = {
        name: int(node.get(attribute))
        for name, attribute in (
            ("acc_shift", "accShift"),
            ("shortcut_shift", "shortcutShift"),
            ("pre_shift", "preShift"),
            ("slope_shift", "slopeShift"),
            ("out_shift", "outShift"),
        )
    }
    if not all(0 <= s <= 62 for s in shifts.values()):
        raise ModelError(f"{node.where}: found shifts {shifts}, expected 0..62")
    for kind in ("acc", "pre"):
        bits = int(node.get(f"{kind}Bits"))
        if not 1 <= bits <= 32:
            raise ModelError(f"{node.where}: found {kind}Bits {bits}, expected 1..32")
        shifts[f"{kind}_low"], shifts[f"{kind}_high"] = grid.limits(bits)
    datatype = node.datatype("outputDataType")
    inputs = [acc]
    if has_shortcut:
        inputs.append(p.read(node, 1))
        if p.at(inputs[1]).shape != shape:
            raise ModelError(
                f"{node.where}: found shortcut {p.at(inputs[1]).shape}, expected {shape}"
            )
    ranges = [(p.types[i].low, p.types[i].high) for i in inputs]
    fast = (
        datatype.name == "INT8"
        and all(p.at(i).storage == "i8" for i in inputs[1:])
        and _fits_32_bits(params, shifts, ranges[0], ranges[1] if has_shortcut else None)
    )
    if fast:
        out = p.result(node, shape, datatype, "i8")
        p.step("epilogue", node.name, inputs, [out], shifts, {"params": as_type(params, np.int32)})
        return
    shifts["out_low"], shifts["out_high"] = datatype.low, datatype.high
    inputs = [p.stored(i, "i32") for i in inputs]
    out = p.result(node, shape, datatype, "i32")
    p.step("wide_epilogue", node.name, inputs, [out], shifts, {"params": params})
    p.finish(node, out)


def _thresholding(p: _Packer, node: Node) -> None:
    index = p.read(node)
    source = p.at(index)
    thresholds = p.initializer(node, 1)
    count = int(node.get("numSteps"))
    if thresholds.shape not in ((source.channels, count), (1, count)):
        raise ModelError(
            f"{node.where}: found thresholds {thresholds.shape}, "
            f"expected ({source.channels}, {count})"
        )
    # A threshold outside the input's range acts like the nearest one that is never or always met.
    # Lower ones need not be told apart from the lowest; higher ones need the value above the range.
    low, high = p.types[index].low, p.types[index].high
    if high == INT32[1]:
        raise ModelError(f"{node.where}: found INT32 input, expected at most INT31")
    thresholds = np.broadcast_to(thresholds, (source.channels, count)).clip(low, high + 1)
    base = int(node.get("ActVal"))
    datatype = node.datatype("outputDataType")
    if not datatype.low <= base <= base + count <= datatype.high:
        raise ModelError(
            f"{node.where}: outputDataType {datatype.name} does not hold {base}..{base + count}"
        )
    if source.storage == "i8" and datatype.name == "BINARY":
        bound = np.maximum(thresholds[:, 0] - 1, -128)
        always = thresholds[:, 0] == -128
        out = p.result(node, source.shape, datatype, "bits")
        constants = {
            "bound": as_type(bound, np.int8),
            "always": np.packbits(always, bitorder="little"),
        }
        p.step("sign", node.name, [index], [out], {}, constants)
        return
    index = p.stored(index, "i32")
    out = p.result(node, source.shape, datatype, "i32")
    p.step(
        "thresholds",
        node.name,
        [index],
        [out],
        {"steps": count, "base": base},
        {"thresholds": thresholds.astype(np.int32)},
    )
    p.finish(node, out)


def _signed_thresholding(p: _Packer, node: Node) -> None:
    index = p.read(node)
    source = p.at(index)
    count = int(node.get("numSteps"))
    thresholds, steps, base = (p.initializer(node, i) for i in (1, 2, 3))
    expected = (source.channels, count)
    if thresholds.shape != expected or steps.shape != expected or base.shape != expected[:1]:
        raise ModelError(
            f"{node.where}: found thresholds {thresholds.shape}, steps {steps.shape}, base "
            f"{base.shape}, expected {expected}, {expected}, {expected[:1]}"
        )
    if count < 1 or not np.isin(steps, (-1, 1)).all():
        raise ModelError(f"{node.where}: found no steps or others than -1 and +1")
    datatype = node.datatype("outputDataType")
    encoding = str(node.get("encoding"))
    levels = datatype.high.bit_length()
    try:
        words = encode(np.arange(levels + 1), encoding)
    except ValueError as error:
        raise ModelError(f"{node.where}: {error}") from error
    codes = datatype if encoding == "code" else DataType.of("UINT8", node.where)
    low, high = p.types[index].low, p.types[index].high
    if high == INT32[1]:
        raise ModelError(f"{node.where}: found INT32 input, expected at most INT31")
    # A threshold outside the input's range acts like the nearest one that is never or always met.
    thresholds = thresholds.clip(low, high + 1)
    # Codes change at thresholds only.
    reached = np.concatenate([thresholds.T.clip(low, high), np.full((1, source.channels), low)])
    seen = signed_thresholding(reached, thresholds, steps, base)
    limits = (codes.low, codes.high) if encoding == "code" else (0, levels)
    if seen.min() < limits[0] or seen.max() > limits[1]:
        raise ModelError(
            f"{node.where}: found codes {seen.min()}..{seen.max()}, "
            f"expected {limits[0]}..{limits[1]} for {datatype.name}"
        )
    storage = "u8" if codes.storage == "bits" else codes.storage
    if encoding == "code":
        out = p.result(node, source.shape, codes, storage)
    else:
        out = p.tensor([], source.shape, codes, storage)
    if storage != "i32" and source.storage == "i8":
        _levels(p, node, index, out, thresholds, steps, base)
    elif storage != "i32" and count <= MAX_COMPARED:
        _acc_levels(p, node, index, out, thresholds, steps, base)
    elif storage != "i32":
        _search_levels(p, node, index, out, thresholds, steps, base)
    else:
        constants = {"thresholds": thresholds, "steps": steps, "base": base}
        p.step(
            "wide_levels", node.name, [p.stored(index, "i32")], [out], {"steps": count},
            {name: values.astype(np.int32) for name, values in constants.items()},
        )  # fmt: skip
    if encoding != "code":
        index = p.stored(out, "u8")
        out = p.result(node, source.shape, datatype, "i32" if datatype.storage == "i32" else "u8")
        p.lookup(node, index, out, words)
    p.finish(node, out)


def _compared(
    thresholds: IntArray, steps: IntArray, base: IntArray, low: int, high: int
) -> dict[str, IntArray]:
    """Return thresholds for compare-and-add: x > bound, which no input is below."""
    # What is always reached has no bound below it: it goes into the base.
    always = thresholds <= low
    return {
        "bounds": np.where(always, high, thresholds - 1).T,
        "steps": steps.T,
        "base": base + (always * steps).sum(axis=1),
    }


def _levels(
    p: _Packer,
    node: Node,
    index: int,
    out: int,
    thresholds: IntArray,
    steps: IntArray,
    base: IntArray,
) -> None:
    """Add the step that compares bytes."""
    compared = _compared(thresholds, steps, base, *INT8)
    constants = {
        "bounds": as_type(compared["bounds"], np.int8),
        "steps": as_type(compared["steps"], np.uint8),
        "base": as_type(compared["base"], np.uint8),
    }
    p.step("levels", node.name, [index], [out], {"steps": thresholds.shape[1]}, constants)


def _acc_levels(
    p: _Packer,
    node: Node,
    index: int,
    out: int,
    thresholds: IntArray,
    steps: IntArray,
    base: IntArray,
) -> None:
    """Add the step that compares accumulators."""
    low, high = p.types[index].low, p.types[index].high
    compared = _compared(thresholds, steps, base, low, high)
    constants = {name: as_type(values, np.int32) for name, values in compared.items()}
    index = p.stored(index, "i32")
    p.step("acc_levels", node.name, [index], [out], {"steps": thresholds.shape[1]}, constants)


def _search_levels(
    p: _Packer,
    node: Node,
    index: int,
    out: int,
    thresholds: IntArray,
    steps: IntArray,
    base: IntArray,
) -> None:
    """Add the step that searches an accumulator among its channel's thresholds."""
    order = np.argsort(thresholds, axis=1, kind="stable")
    sums = np.cumsum(np.take_along_axis(steps, order, 1), axis=1)
    constants = {
        "thresholds": as_type(np.take_along_axis(thresholds, order, 1), np.int32),
        "codes": as_type(np.pad(sums, ((0, 0), (1, 0))) + base[:, None], np.uint8),
    }
    index = p.stored(index, "i32")
    steps_there = {"steps": thresholds.shape[1]}
    p.step("search_levels", node.name, [index], [out], steps_there, constants)


def _stream_max_pool(p: _Packer, node: Node) -> None:
    index = p.read(node)
    source = p.at(index)
    size = node.ints("ImgDim", 2)
    _picture(p, node, index, size)
    kernel = node.ints("KernelDim", 2)
    stride = node.ints("Stride", 2)
    if min(stride) < 1:
        raise ModelError(f"{node.where}: found Stride {stride}, expected 1 or more")
    geometry = Geometry(*size, *kernel, *stride).padded(node.ints("Padding", 4))
    out_size = [geometry.out_height, geometry.out_width]
    if node.ints("OutDim", 2) != out_size:
        raise ModelError(f"{node.where}: found OutDim {node.get('OutDim')}, expected {out_size}")
    out = p.result(node, [*out_size, source.channels], p.types[index], source.storage)
    p.step("max_pool", node.name, [index], [out], geometry.attributes())
    p.finish(node, out)


def _streaming_split(p: _Packer, node: Node) -> None:
    source = p.read(node)
    datatype = p.types[source]
    channels = [int(c) for c in node.get("ChannelsPerStream")]
    if len(channels) != len(node.outputs) or sum(channels) != p.at(source).channels:
        raise ModelError(
            f"{node.where}: found ChannelsPerStream {channels} for {len(node.outputs)} outputs "
            f"and {p.at(source).channels} channels"
        )
    binary = p.at(source).storage == "bits"
    source = p.stored(source, "u8") if binary else source
    leading = p.at(source).shape[:-1]
    storage = p.at(source).storage
    outs = [
        p.tensor([] if binary else [name], [*leading, c], datatype, storage)
        for name, c in zip(node.outputs, channels, strict=True)
    ]
    p.step("split", node.name, [source], outs)
    if binary:
        for name, out in zip(node.outputs, outs, strict=True):
            final = p.tensor([name], p.at(out).shape, datatype)
            p.step("cast", node.name, [out], [final])


def _streaming_concat(p: _Packer, node: Node) -> None:
    inputs = [p.read(node, i) for i in range(len(node.inputs))]
    channels = [int(c) for c in node.get("ChannelsPerStream")]
    leading = p.at(inputs[0]).shape[:-1]
    datatype = p.types[inputs[0]]
    for index, expected in zip(inputs, channels, strict=False):
        if p.at(index).shape != [*leading, expected] or p.types[index] != datatype:
            raise ModelError(
                f"{node.where}: found {p.types[index].name} {p.at(index).shape}, "
                f"expected {datatype.name} {[*leading, expected]}"
            )
    if len(channels) != len(inputs):
        raise ModelError(
            f"{node.where}: found ChannelsPerStream {channels} for {len(inputs)} inputs"
        )
    storage = _shared_storage(p, inputs)
    inputs = [p.stored(i, storage) for i in inputs]
    out = p.result(node, [*leading, sum(channels)], datatype, storage)
    p.step("concat", node.name, inputs, [out])
    p.finish(node, out)


def _shared_storage(p: _Packer, inputs: list[int]) -> str:
    """The storage in which tensors of one datatype are joined byte by byte."""
    # An accumulator is kept wide whatever its datatype.
    if any(p.at(i).storage == "i32" for i in inputs):
        return "i32"
    storage = p.types[inputs[0]].storage
    return "u8" if storage == "bits" else storage


def _shuffle_concat(p: _Packer, node: Node) -> None:
    left, right = p.read(node, 0), p.read(node, 1)
    datatype = p.types[left]
    if p.types[right] != datatype or p.at(left).shape != p.at(right).shape:
        raise ModelError(
            f"{node.where}: found {datatype.name} {p.at(left).shape} and "
            f"{p.types[right].name} {p.at(right).shape}, expected the same of both"
        )
    storage = _shared_storage(p, [left, right])
    left, right = p.stored(left, storage), p.stored(right, storage)
    shape = [*p.at(left).shape[:-1], 2 * p.at(left).channels]
    out = p.result(node, shape, datatype, storage)
    p.step("shuffle", node.name, [left, right], [out])
    p.finish(node, out)


def _global_acc_pool(p: _Packer, node: Node) -> None:
    index = p.read(node)
    source, datatype = p.at(index), p.types[index]
    low, high = datatype.low * source.pixels, datatype.high * source.pixels
    if low < INT32[0] or high > INT32[1]:
        raise ModelError(f"{node.where}: sums of {source.pixels} pixels do not fit 32 bits")
    signed = low < 0
    bits = 1 + max((-low - 1).bit_length(), high.bit_length()) if signed else high.bit_length()
    name = f"{'INT' if signed else 'UINT'}{max(1, bits)}"
    if source.storage == "bits":
        index = p.stored(index, "u8")
    shape = [1] * (len(source.shape) - 1) + [source.channels]
    out = p.result(node, shape, DataType(name, low, high), "i32")
    p.step("sum_pool", node.name, [index], [out])


def _shift_requant(p: _Packer, node: Node) -> None:
    inputs = [p.stored(p.read(node), "i32")]
    shape = p.at(inputs[0]).shape
    if bool(int(node.get("hasShortcut"))):
        inputs.append(p.read(node, 1))
        if p.at(inputs[1]).shape != shape:
            raise ModelError(
                f"{node.where}: found shortcut {p.at(inputs[1]).shape}, expected {shape}"
            )
    shift, shortcut_shift = int(node.get("shift")), int(node.get("shortcutShift"))
    if not 0 <= shift <= 62 or not 0 <= shortcut_shift <= 30:
        raise ModelError(
            f"{node.where}: found shift {shift} and shortcutShift {shortcut_shift}, "
            "expected 0..62 and 0..30"
        )
    datatype = node.datatype("outputDataType")
    shifts = (0, shortcut_shift)
    largest = sum(
        max(-p.types[i].low, p.types[i].high) << s for i, s in zip(inputs, shifts, strict=False)
    )
    if (
        datatype.name == "INT8"
        and all(p.at(i).storage == "i8" for i in inputs[1:])
        and shift <= 30
        and largest + (1 << shift) <= INT32[1]
    ):
        out = p.result(node, shape, datatype, "i8")
        attributes = {"shift": shift, "shortcut_shift": shortcut_shift}
        p.step("requantise", node.name, inputs, [out], attributes)
        return
    attributes = {"shift": shift, "low": datatype.low, "high": datatype.high}
    if len(inputs) > 1:
        attributes["shortcut_shift"] = shortcut_shift
    inputs = [p.stored(i, "i32") for i in inputs]
    out = p.result(node, shape, datatype, "i32")
    p.step("shift", node.name, inputs, [out], attributes)
    p.finish(node, out)


def _label_select(p: _Packer, node: Node) -> None:
    if int(node.get("K")) != 1:
        raise ModelError(f"{node.where}: found K {node.get('K')}, expected 1")
    index = p.stored(p.read(node), "i32")
    source = p.at(index)
    shape = [*source.shape[:-1], 1]
    out = p.result(node, shape, DataType("UINT31", 0, source.channels - 1), "i32")
    p.step("argmax", node.name, [index], [out])


MAX_ACCUMULATOR_BITS = 31
"""The widest accumulator of a PaMvu, on every backend."""

PRODUCTS = {"XnorMvu", "BinaryMvu", "IntMvu", "PaMvu"}
"""Matrix products, which take in the window and the padding in front of them."""

ACCUMULATING = PRODUCTS | {"GlobalAccPool", "LabelSelect"}
"""Ops whose outputs stay in 32 bits whatever their datatype."""

MAX_COMPARED = 63
"""Thresholds up to here are compared one by one; more are searched."""

LOWERING: dict[str, Callable[[_Packer, Node], None]] = {
    "FMPadding": _fm_padding,
    "ConvolutionInputGenerator": _sliding_window,
    "StreamReflectPad": _stream_reflect_pad,
    "StreamCrop": _stream_crop,
    "PixelInterleave": _pixel_interleave,
    "XnorMvu": _xnor_mvu,
    "BinaryMvu": _binary_mvu,
    "IntMvu": _int_mvu,
    "Epilogue": _epilogue,
    "PaMvu": _pa_mvu,
    "Thresholding": _thresholding,
    "SignedThresholding": _signed_thresholding,
    "StreamMaxPool": _stream_max_pool,
    "DuplicateStreams": _identity,
    "StreamingDataWidthConverter": _identity,
    "StreamingFIFO": _identity,
    "StreamingSplit": _streaming_split,
    "StreamingConcat": _streaming_concat,
    "ShuffleConcat": _shuffle_concat,
    "GlobalAccPool": _global_acc_pool,
    "ShiftRequant": _shift_requant,
    "LabelSelect": _label_select,
}


def fused_tensors(model: onnx.ModelProto) -> set[str]:
    """Return the tensors of a graph that the engine never stores: the windows that a matrix
    product takes in, and the padded pictures in front of them."""
    return _Packer(model.graph, "", None).fused()


def compile_graph(
    model: onnx.ModelProto, name: str, card: dict[str, Any] | None
) -> tuple[packed.Plan, dict[str, npt.NDArray[Any]]]:
    """Compile a dataflow graph in memory.

    Raises:
        ModelError: the graph holds an op, attribute or datatype outside the contract, or the card
            is another network's.
    """
    try:
        parsed = None if card is None else PackedCard.model_validate(card)
    except ValidationError as error:
        raise ModelError(f"card: {packed.explain(error)}") from error
    packer = _Packer(model.graph, name, parsed)
    packer.run()
    check(packer.plan, packer.constants)
    return packer.plan, packer.constants


def pack(
    model: onnx.ModelProto | str | os.PathLike[str],
    card: dict[str, Any] | None,
    out: str | os.PathLike[str],
) -> Path:
    """Pack a dataflow graph for the CPU engine.

    Args:
        model: ``dataflow.onnx`` or the graph in memory.
        card: the checkpoint's card as JSON has it with the checkpoint's SHA-256, see
            ``PackedCard``, kept in the file for those who run it (class names, resize filter);
            None where there is none.
        out: file to write, ``<name>.andpop``; replaced whole or not at all.

    Returns:
        The path written.

    Raises:
        ModelError: the graph is outside the contract; names the node. Or the card is no card, or
            another network's.
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
    plan, constants = compile_graph(model, name, card)
    write(path, plan, constants)
    return path
