# SPDX-License-Identifier: Apache-2.0
"""What a lowering knows so far, and what its patterns read and write."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, TypeVar

import numpy as np
import onnx
from qonnx.core.datatype import DataType

from ....quant.grid import IntArray, smallest_signed
from ..builder import DataflowBuilder, Stream
from ..factors import common_step
from ..pixels import SCALING, Pixels, check_channels
from ..plain_form import ends_graph
from ..qonnx_graph import FloatArray, LoweringError, QonnxGraph, per_channel
from ..threshold_pattern import joins

T = TypeVar("T")


@dataclass(frozen=True)
class Sum:
    """A sum of streams that is no stream itself."""

    terms: tuple[Stream, ...]
    nodes: tuple[onnx.NodeProto, ...]
    """Its nodes in the network, the last one first."""


@dataclass(frozen=True)
class Meaning:
    """What the integers of a stream's channels stand for, where that is not one scale for all."""

    factors: tuple[Fraction, ...]
    offsets: tuple[Fraction, ...]
    ordered: bool
    """Whether the integers of two channels are in the order of what they stand for."""


@dataclass(frozen=True)
class Bordered:
    """A stream with a border that only products read, which may be no code."""

    inner: Stream
    """Without the border; of which one code stands for 0, with ``zeros``."""
    pads: tuple[int, ...]
    """Top, left, bottom, right."""
    value: Fraction


class Lowering:
    """State of one run.

    Attributes:
        graph: the network.
        pixels: what it reads of a picture.
        builder: the dataflow graph so far.
        streams: tensor of the network -> the stream that holds it.
        lines: tensor of the network -> the stream, of which 0 may be no code.
        bordered: tensor of the network -> the stream in it, and its border.
        sums: tensor of the network -> the streams that it is the sum of.
        no_sums: tensor of the network that adds what is no stream -> why it was passed over.
        reached: stream -> smallest and largest value (C,) its channels reach, where known.
        meanings: stream that leaves the graph -> what its channels stand for.
        claimed: nodes that have become hardware, by name.
        passed: node -> why it was passed over.
        tabulated: evaluations of elementwise nodes so far.
    """

    def __init__(self, graph: QonnxGraph, name: str, pixels: Pixels) -> None:
        self.graph = graph
        self.pixels = pixels
        outputs = [value.name for value in graph.outputs]
        if len(graph.inputs) != 1 or not outputs or len(set(outputs)) < len(outputs):
            raise LoweringError(
                graph.nodes[0],
                f"the graph has {len(graph.inputs)} inputs and the outputs {outputs}, expected "
                "one picture, and one output or several different ones",
            )
        picture = graph.inputs[0].name
        shape = graph.shape(picture)
        if len(shape) not in (2, 4) or shape[0] != 1 or min(shape) < 1:
            raise LoweringError(
                graph.nodes[0],
                f"the graph input {picture} has shape {shape}, expected a picture (1, C, H, W), "
                "a line (1, C, L) or a vector (1, features)",
            )
        c, h, w = shape[1:] if len(shape) == 4 else (shape[1], 1, 1)
        check_channels(pixels, graph, c)
        self.builder = DataflowBuilder(name, picture, (1, h, w, c), pixels.step or Fraction(1))
        self.streams: dict[str, Stream] = {}
        self.lines: dict[str, Stream] = {}
        self.bordered: dict[str, Bordered] = {}
        self.sums: dict[str, Sum] = {}
        self.no_sums: dict[str, LoweringError] = {}
        self.reached: dict[str, tuple[IntArray, IntArray]] = {}
        self.meanings: dict[str, Meaning] = {}
        self.claimed: set[str] = set()
        self.passed: dict[str, LoweringError] = {}
        self.tabulated = 0
        self._found: dict[Callable[[Lowering], Any], Any] = {}
        self.publish(self.builder.picture, picture)

    def publish(
        self,
        stream: Stream,
        reference: str,
        offset: Sequence[float] = (),
        scales: Sequence[float] = (),
    ) -> None:
        """``stream`` holds the network's tensor ``reference``, which is ``offset`` (of each
        channel) more; ``scales`` are those of channels that differ.

        Raises:
            LoweringError: the network gives it another shape: an attribute was misread.
        """
        shape = self.graph.shape(reference)
        planes = (stream.shape[0], stream.shape[3], *stream.shape[1:3])
        if stream.plan:
            planes = (1, math.prod(stream.plan))
        if shape and shape not in (planes, planes[:2] if planes[2:] == (1, 1) else planes):
            raise LoweringError(
                self.graph.producer[reference],
                f"gives {reference} the shape {shape}, expected {planes} (NCHW) as its attributes "
                "are read here; use the plain form of this op",
            )
        self.streams[reference] = stream
        self.builder.boundary(stream, reference, offset, scales)

    def stream(
        self,
        node: onnx.NodeProto,
        index: int = 0,
        levels: bool = False,
        flat: bool = False,
        shifted: bool = False,
    ) -> Stream:
        """Return the stream of a node's input; ``levels``: it may hold level codes; ``flat``: it
        may be a map that the network sees as a vector; ``shifted``: 0 may be no code.

        Raises:
            LoweringError: that tensor is no stream; names the node that makes it, if there is
                a reason on record for it.
        """
        name = node.input[index]
        self.scaled(name)
        line = self.line(name) if shifted else None
        if line is not None and (flat or not line.plan):
            return line
        before = self.graph.producer.get(name)
        if before is not None and before.op_type == "Neg" and name not in self.streams:
            self._negated(before)
        if name in self.streams:
            found = self.streams[name]
            if self.is_picture(found) and self.pixels.step is None:
                raise LoweringError(
                    node,
                    f"reads the picture normalised by mean {self.pixels.mean} and std "
                    f"{self.pixels.std}, which are no integers; expected a convolution or a "
                    "fully connected layer to read them, or a quantiser of the input in front",
                )
            if found.levels and not levels:
                raise LoweringError(
                    node, f"reads the level codes {found.name}, expected a convolution to do so"
                )
            if found.plan and not flat:
                raise LoweringError(
                    node,
                    f"reads {found.name}, a map {found.plan} (HWC) that was flattened, expected a "
                    "fully connected layer, or elementwise nodes and a quantiser of at most 8 "
                    "bits in front of one; move this node in front of the flattening",
                )
            return found
        producer = self.graph.producer.get(name)
        if producer is None:
            raise LoweringError(node, f"input {name} is a constant, expected a computed tensor")
        if producer.name in self.passed:
            raise self.passed[producer.name]
        raise joins(self.graph, producer) or LoweringError(
            producer,
            f"its result is wanted as integers by {node.name} ({node.op_type}), expected a "
            "quantised tensor there; put a quantiser of at most 8 bits between",
        )

    def multiple(
        self, node: onnx.NodeProto, x: Stream, factor: int, datatype: str, step: Fraction
    ) -> Stream:
        """The codes of a stream times an integer, each of which stands for ``step``."""
        (y,) = self.builder.add(
            "AddStreams",
            layer_of(node),
            [x],
            [(x.shape, datatype)],
            {
                "NumChannels": x.channels,
                "PE": 1,
                "numInputVectors": x.vectors,
                "inputDataTypes": [x.datatype],
                "factors": [factor],
                "outputDataType": datatype,
            },
            scale=step,
        )
        return y

    def _negated(self, node: onnx.NodeProto) -> None:
        """The codes of a stream with their sign changed."""
        x = self.stream(node)
        if x.datatype == "BINARY" or x.first or x.name in self.meanings:
            raise LoweringError(
                node, f"changes the sign of {x.datatype} codes with an offset, expected integers"
            )
        low, high = limits(x.datatype)
        datatype = smallest_signed(-high, -low)
        y = self.multiple(node, x, -1, datatype, x.scale)
        self.claim(node)
        self.publish(y, node.output[0])

    def scaled(self, name: str) -> None:
        """A stream times numbers above 0 is a stream: the same codes, of another step."""
        factors = []
        while name not in self.streams:
            node = self.graph.producer.get(name)
            operands = None if node is None else self.graph.operands(node)
            if node is None or operands is None or node.op_type not in ("Mul", "Div"):
                return
            name, number = operands
            if number.size != 1 or not 0 < number.flat[0] < math.inf:
                return
            factor = Fraction(float(number.flat[0]))
            factors.append((node, factor if node.op_type == "Mul" else 1 / factor))
        x = self.streams[name]
        normalised = self.is_picture(x) and self.pixels.step is None
        if normalised or x.levels or x.datatype == "BINARY":
            return
        for node, factor in reversed(factors):
            x = replace(x, scale=x.scale * factor)
            self.streams[node.output[0]] = x
            self.claim(node)

    def line(self, name: str) -> Stream | None:
        """A stream times numbers and more by numbers, one or one per channel, is a stream whose
        code for 0 may be none; None where it is a plain one, or none at all."""
        steps: list[tuple[onnx.NodeProto, FloatArray]] = []
        while name not in self.streams and name not in self.lines:
            node = self.graph.producer.get(name)
            operands = None if node is None else self.graph.operands(node)
            if node is None or operands is None or node.op_type not in SCALING:
                return None
            steps.append((node, operands[1]))
            name = operands[0]
        x = self.lines.get(name) or self.streams[name]
        normalised = not x.zeros and self.is_picture(x) and self.pixels.step is None
        if x.levels or x.datatype == "BINARY" or not (steps or normalised or x.zeros):
            return None
        count = x.plan[2] if x.plan else x.channels
        lines = [(x.scale * n, zero) for n, zero in zip(x.factors, x.zeros, strict=True)]
        if normalised:
            lines = self.pixels.lines(count)
        lines = lines or [(x.scale, Fraction(-x.first))] * count
        for node, number in reversed(steps):
            rows = per_channel(number, count, len(self.graph.shape(name)))
            scales = node.op_type in ("Mul", "Div")
            if rows is None or (x.plan and number.size > 1) or (scales and not rows.all()):
                return None
            if not np.isfinite(rows).all():
                return None
            numbers = [Fraction(value) for value in rows.tolist()]
            lines = [_moved(node.op_type, *line, n) for line, n in zip(lines, numbers, strict=True)]
        self.claim(*(node for node, _ in steps))
        counts, step = common_step([abs(scale) for scale, _ in lines])
        factors = tuple(n if s > 0 else -n for n, (s, _) in zip(counts, lines, strict=True))
        zeros = tuple(zero for _, zero in lines)
        return replace(x, scale=step, first=0, zeros=zeros, factors=factors)

    def is_picture(self, x: Stream) -> bool:
        """Whether a stream is the picture itself, flattened or not, and of the picture's scale."""
        return x.name == self.builder.picture.name and x.scale == self.builder.picture.scale

    def reach(self, x: Stream) -> tuple[IntArray, IntArray]:
        """Return the smallest and largest code (C,) of a stream, as far as they are known."""
        low, high = limits(x.datatype)
        return self.reached.get(x.name, (np.full(x.channels, low), np.full(x.channels, high)))

    def claim(self, *nodes: onnx.NodeProto) -> None:
        """These nodes are hardware now: nobody else lowers them."""
        self.claimed.update(n.name for n in nodes)

    def ends_graph(self, name: str) -> bool:
        """Whether a tensor is an output but for factors, offsets and a flattening."""
        outputs = [value.name for value in self.graph.outputs]
        return ends_graph(name, self.graph.consumers, outputs)

    def once(self, find: Callable[[Lowering], T]) -> T:
        """Return what ``find`` finds in the whole network, looked for at the first call only."""
        if find not in self._found:
            self._found[find] = find(self)
        found: T = self._found[find]
        return found


def _moved(op: str, scale: Fraction, zero: Fraction, number: Fraction) -> tuple[Fraction, Fraction]:
    """Scale and zero of ``scale * (code - zero)`` behind a node with a constant."""
    if op in ("Add", "Sub"):
        return scale, zero - (number if op == "Add" else -number) / scale
    return (scale * number if op == "Mul" else scale / number), zero


Handler = Callable[[Lowering, onnx.NodeProto], bool]
"""Lowers a node, and what else belongs to its pattern. It returns False where the node is not of
its kind: then the next handler of this op is asked."""


def layer_of(node: onnx.NodeProto) -> str:
    """Return the layer a QONNX node belongs to, as a plain word.

    That is its name without ``_<OpType>[_<n>]`` and without Brevitas' inner modules.
    """
    stem, found, rest = node.name.rpartition(f"_{node.op_type}")
    layer = stem if found and stem and (not rest or rest[1:].isdigit()) else node.name
    layer = re.sub(r"(_quant)?_act_quant(_export_handler)?$", "", layer)
    return re.sub(r"\W", "_", layer)


def limits(datatype: str) -> tuple[int, int]:
    """Return the smallest and the largest code of a datatype."""
    dt = DataType[datatype]
    return int(dt.min()), int(dt.max())
