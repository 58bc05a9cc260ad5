# SPDX-License-Identifier: Apache-2.0
"""Builds a dataflow graph node by node, in the form docs/03_reference/dataflow.md asks for.

The builder keeps what the contract wants everywhere: a shape and a datatype for every tensor,
integers only, unique readable names, one reader per stream (forks become DuplicateStreams), and a
list of layer boundaries that pairs tensors of this graph with tensors of the network it came from.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.util.basic import qonnx_make_model

from ...quant.grid import IntArray, container

DOMAIN = "finn.custom_op.fpgadataflow"
BOUNDARIES = "andpop.boundaries"
"""Model metadata key of the boundary list, JSON."""


@dataclass(frozen=True)
class Stream:
    """A tensor that streams between nodes.

    ``scale`` gives the value it stands for in the network it was lowered from: ``scale * code``,
    or ``scale * (2 * code - 1)`` for BINARY. Where ``levels`` is not empty, code j is an index:
    it stands for ``levels[j]``. Where ``plan`` is not empty, the network sees a vector: a map of
    this height, width and channels, one channel behind the other. The stream stays in the order of
    its pixels. A code is ``first`` less in the stream than in the network. Where ``zeros`` and
    ``factors`` are not empty, channel c stands for ``scale * factors[c] * (code - zeros[c])``.
    """

    name: str
    shape: tuple[int, ...]
    datatype: str
    scale: Fraction = Fraction(1)
    levels: tuple[int, ...] = ()
    plan: tuple[int, ...] = ()
    first: int = 0
    zeros: tuple[Fraction, ...] = ()
    factors: tuple[int, ...] = ()

    @property
    def channels(self) -> int:
        """Size of the last axis."""
        return self.shape[-1]

    @property
    def vectors(self) -> list[int]:
        """All axes but the last: ``numInputVectors``."""
        return list(self.shape[:-1])


@dataclass(frozen=True)
class Boundary:
    """One tensor of the dataflow graph and the same tensor in the network it came from."""

    tensor: str
    """Name in the dataflow graph, NHWC integer codes."""
    reference: str
    """Name in the network, NCHW (or NC) values."""
    scale: float
    bipolar: bool
    offset: Sequence[float] = ()
    """What the network adds to ``scale * code``, per channel: a bias that thresholds take in."""
    plan: Sequence[int] = ()
    """Height, width and channels of a map that the network sees as a vector; see `Stream`."""
    whole: bool = False
    """Of these: the tensor is a vector as well, of pixels behind one another."""
    scales: Sequence[float] = ()
    """A scale per channel in place of ``scale``, where channels differ."""

    def codes(self, values: npt.NDArray[Any]) -> IntArray:
        """Turn values of the network (N, C, H, W) or (N, C) into codes (N, H, W, C).

        Args:
            values: integers, or floats whose noise is float64's: `reference.Reference` gives them,
                and `float32.settle` brings those of float32 back to them.

        Raises:
            ValueError: a value is no code times the scale.
        """
        with np.errstate(all="ignore"):  # What is no number is told below.
            grid = self._grid(values)
            codes = np.rint(grid)
            off = np.abs(codes - grid)
        # A sum of n products that are multiples of a step is off by at most n * 2**-53 * sum|w||x|
        # in float64, in any order. Accumulators have at most 31 bits, so for n up to 2**20 that is
        # below 2**-2 steps; a wrong code is off by a whole one.
        wrong = ~(off <= 0.25)
        if wrong.any():
            where = tuple(int(i) for i in np.argwhere(wrong)[0])
            raise ValueError(
                f"{self.reference}: value {values[where]} at {where} is no integer times "
                f"{self.scales[where[1]] if self.scales else self.scale}, expected the codes of "
                f"{self.tensor}"
            )
        return self._as_stream(codes)

    def nearest(self, values: npt.NDArray[Any]) -> IntArray:
        """Turn values into the codes next to them, also those that are no codes."""
        return self._as_stream(np.rint(np.nan_to_num(self._grid(values))).clip(-(2**62), 2**62))

    def _grid(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        grid = np.asarray(values, dtype=np.float64)
        channels = (-1, *(1,) * (grid.ndim - 2))
        if self.offset:
            grid = grid - np.reshape(self.offset, channels)
        grid = grid / (np.reshape(self.scales, channels) if self.scales else self.scale)
        return (grid + 1) / 2 if self.bipolar else grid

    def _as_stream(self, codes: npt.NDArray[np.float64]) -> IntArray:
        """(N, C, H, W) or (N, C) -> (N, H, W, C)."""
        if self.plan:
            height, width, channels = self.plan
            codes = codes.reshape(-1, channels, height, width)
        elif codes.ndim == 2:
            codes = codes[:, :, None, None]
        found = codes.transpose(0, 2, 3, 1).astype(np.int64)
        return found.reshape(len(found), 1, 1, -1) if self.whole else found


def boundaries(model: onnx.ModelProto | ModelWrapper) -> list[Boundary]:
    """Return the layer boundaries a dataflow graph carries, in topological order."""
    proto = model.model if isinstance(model, ModelWrapper) else model
    for entry in proto.metadata_props:
        if entry.key == BOUNDARIES:
            return [Boundary(**fields) for fields in json.loads(entry.value)]
    return []


class DataflowBuilder:
    """Collects nodes and tensors; `finish` returns the graph."""

    def __init__(
        self,
        name: str,
        picture: str,
        shape: tuple[int, int, int, int],
        scale: Fraction = Fraction(1),
    ) -> None:
        self.name = name
        self.picture = Stream(picture, shape, "UINT8", scale)
        self._nodes: list[onnx.NodeProto] = []
        self._names: set[str] = {picture}
        self._shapes: dict[str, tuple[int, ...]] = {picture: shape}
        self._types: dict[str, str] = {picture: "UINT8"}
        self._initializers: list[TensorProto] = []
        self._boundaries: list[Boundary] = []

    @property
    def size(self) -> int:
        """Nodes so far."""
        return len(self._nodes)

    def ops(self, first: int = 0) -> tuple[str, ...]:
        """Types of the nodes so far, from number ``first`` on."""
        return tuple(node.op_type for node in self._nodes[first:])

    def add(
        self,
        op: str,
        where: str,
        inputs: Sequence[Stream],
        outputs: Sequence[tuple[tuple[int, ...], str]],
        attrs: Mapping[str, Any],
        constants: Mapping[str, tuple[IntArray, str]] | None = None,
        scale: Fraction = Fraction(1),
    ) -> list[Stream]:
        """Append a node.

        Args:
            op: op type of the contract.
            where: layer name; the node is called ``<where>_<op>``.
            inputs: streamed inputs.
            outputs: shape and datatype of every output.
            attrs: the op's attributes.
            constants: name suffix -> (integers, datatype), appended to the inputs in order.
            scale: what one step of the outputs stands for.

        Raises:
            ValueError: a constant is outside its datatype.
        """
        node, streams = self._make(op, where, inputs, outputs, attrs, constants or {}, scale)
        self._nodes.append(node)
        return streams

    def _make(
        self,
        op: str,
        where: str,
        inputs: Sequence[Stream],
        outputs: Sequence[tuple[tuple[int, ...], str]],
        attrs: Mapping[str, Any],
        constants: Mapping[str, tuple[IntArray, str]],
        scale: Fraction,
    ) -> tuple[onnx.NodeProto, list[Stream]]:
        name = self._unique(f"{where}_{op}")
        names = [s.name for s in inputs]
        for suffix, (value, datatype) in constants.items():
            names.append(self._constant(f"{name}_{suffix}", value, datatype))
        streams = []
        for i, (shape, datatype) in enumerate(outputs):
            tensor = self._unique(f"{name}_out{i}" if len(outputs) > 1 else f"{name}_out")
            self._shapes[tensor] = shape
            self._types[tensor] = datatype
            streams.append(Stream(tensor, shape, datatype, scale))
        node = helper.make_node(
            op,
            names,
            [s.name for s in streams],
            name=name,
            domain=DOMAIN,
            backend="fpgadataflow",
            **attrs,
        )
        return node, streams

    def boundary(
        self,
        stream: Stream,
        reference: str,
        offset: Sequence[float] = (),
        scales: Sequence[float] = (),
    ) -> None:
        """Note that ``stream`` holds the codes of the network's tensor ``reference``, which is
        ``offset`` (of each channel) more than they stand for; ``scales`` are those of channels
        that differ."""
        bipolar = stream.datatype == "BINARY"
        whole = stream.plan != stream.shape[1:] if stream.plan else False
        if stream.first:
            values = math.prod(stream.plan) if stream.plan else stream.channels
            offset = [float(stream.scale * stream.first)] * values
        self._boundaries.append(
            Boundary(
                stream.name,
                reference,
                float(stream.scale),
                bipolar,
                offset,
                stream.plan,
                whole,
                scales,
            )  # fmt: skip
        )

    def has_boundary(self, reference: str) -> bool:
        """Whether a stream is known to hold the network's tensor ``reference``."""
        return any(boundary.reference == reference for boundary in self._boundaries)

    def finish(self, *outputs: Stream) -> ModelWrapper:
        """Insert DuplicateStreams at forks and return the graph with its boundaries.

        An output that is read inside too, or given out twice, leaves as a copy of its own.
        """
        nodes, ends = self._without_forks([output.name for output in outputs])
        info = {
            name: helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))
            for name, shape in self._shapes.items()
        }
        graph = helper.make_graph(
            nodes,
            self.name,
            [info[self.picture.name]],
            [info[name] for name in ends],
            initializer=self._initializers,
            value_info=[v for n, v in info.items() if n not in {self.picture.name, *ends}],
        )
        for name, datatype in self._types.items():
            annotation = graph.quantization_annotation.add(tensor_name=name)
            annotation.quant_parameter_tensor_names.add(key="finn_datatype", value=datatype)
        proto = qonnx_make_model(graph, producer_name="andpop")
        text = json.dumps([asdict(b) for b in self._boundaries])
        helper.set_model_props(proto, {BOUNDARIES: text})
        return ModelWrapper(proto)

    def _without_forks(self, outputs: Sequence[str]) -> tuple[list[onnx.NodeProto], list[str]]:
        """Return the nodes with every stream that has several readers duplicated, and the tensors
        that leave the graph: whoever takes them is a reader like any node."""
        sink = onnx.NodeProto(input=outputs)
        constants = {t.name for t in self._initializers}
        readers: dict[str, list[tuple[onnx.NodeProto, int]]] = {}
        for node in (*self._nodes, sink):
            for i, name in enumerate(node.input):
                if name not in constants:
                    readers.setdefault(name, []).append((node, i))
        nodes: list[onnx.NodeProto] = []
        nodes.extend(self._fork(self.picture.name, self.picture.name, readers))
        for node in self._nodes:
            nodes.append(node)
            for name in node.output:
                if name not in readers:
                    raise ValueError(f"{node.name}: nobody reads its output {name}")
                nodes.extend(self._fork(name, node.name, readers))
        return nodes, list(sink.input)

    def _fork(
        self, name: str, where: str, readers: Mapping[str, list[tuple[onnx.NodeProto, int]]]
    ) -> list[onnx.NodeProto]:
        ends = readers[name]
        if len(ends) == 1:
            return []
        shape, datatype = self._shapes[name], self._types[name]
        node, copies = self._make(
            "DuplicateStreams",
            where,
            [Stream(name, shape, datatype)],
            [(shape, datatype)] * len(ends),
            {
                "NumChannels": shape[-1],
                "PE": 1,
                "NumOutputStreams": len(ends),
                "inputDataType": datatype,
                "numInputVectors": list(shape[:-1]),
            },
            {},
            Fraction(1),
        )
        for (reader, port), copy in zip(ends, copies, strict=True):
            reader.input[port] = copy.name
        return [node]

    def _constant(self, name: str, value: IntArray, datatype: str) -> str:
        dt = DataType[datatype]
        if value.size and not dt.min() <= value.min() <= value.max() <= dt.max():
            raise ValueError(f"{name}: found {value.min()}..{value.max()}, expected {datatype}")
        name = self._unique(name)
        self._initializers.append(onnx.numpy_helper.from_array(container(value), name))
        self._types[name] = datatype
        return name

    def _unique(self, name: str) -> str:
        fresh, count = name, 0
        while fresh in self._names:
            count += 1
            fresh = f"{name}_{count}"
        self._names.add(fresh)
        return fresh
