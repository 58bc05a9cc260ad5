# SPDX-License-Identifier: Apache-2.0
"""Lowers a cleaned QONNX graph to the integer dataflow graph, by patterns and exactly.

The nodes are visited in topological order. Nodes that begin or end a pattern (convolutions, pools,
quantisers, ...) become nodes of the dataflow graph; the arithmetic between them is claimed by the
pattern that contains it. What no pattern claims is an error that names the node. All integers are
read from the graph's constants; nothing is computed anew or rounded here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper

from ...quant.grid import accumulator_bounds, signed_bits
from ..kernels.base import IntArray
from ..kernels.signed_thresholding.golden import signed_thresholding
from .bisection import Levels, bisect, levels_of_table
from .builder import DataflowBuilder, Stream, smallest_signed, smallest_unsigned
from .epilogue_pattern import (
    EpiloguePattern,
    match_epilogue,
    match_residual,
    match_rounding,
    rounded,
)
from .pixels import Pixels, check_channels, pixels_of
from .qonnx_graph import (
    MAX_ACCUMULATOR,
    FloatArray,
    LoweringError,
    QonnxGraph,
    Steps,
    multiples,
    outputs_axis,
    per_channel,
    whole,
    whole_steps,
)
from .threshold_pattern import (
    COMPARISONS,
    MAX_BITS,
    MAX_VALUES,
    Comparisons,
    Table,
    check_values,
    evaluate,
    falling_channels,
    find_chain,
    find_quantiser,
    match_comparisons,
    responses,
    signed_steps,
    tabulate,
    thresholds,
    within,
)

ARITHMETIC = (*COMPARISONS, "Floor", "Where")
"""Ops that only patterns claim."""
SCALARS = ("Mul", "Add", "Sub", "Div")
"""Ops that scale and move logits."""
FLATTENINGS = ("Flatten", "Reshape", "Squeeze")
MAX_PIECES = 15
"""Most different weights of a convolution on level codes, zero among them: M = 14."""
MAX_LEVEL = (1 << MAX_BITS) - 1
"""Largest level code of an activation."""
MAX_HARDWARE_NODES = 2000
"""Most nodes of a dataflow graph: qonnx's and FINN's passes take time quadratic in them."""
MAX_TABULATED = 1 << 31
"""Most evaluations of elementwise nodes for all thresholds of a network: some minutes."""
WHOLE = 2.0**-20
"""How far float64 may take weights of up to 32 bits from whole steps."""


def lower(model: onnx.ModelProto | ModelWrapper | Path | str, name: str = "andpop") -> ModelWrapper:
    """Lower a QONNX network to a dataflow graph of abstract ops.

    Args:
        model: cleaned QONNX (shapes inferred, constants folded), NCHW, batch 1, as
            quant/export_qonnx.py writes it.
        name: name of the graph.

    Returns:
        The dataflow graph of docs/03_reference/dataflow.md, unfolded, with its layer boundaries
        (see `builder.boundaries`).

    Raises:
        LoweringError: a node cannot be lowered; names it, its op, why, and what is supported.
    """
    if isinstance(model, (str, Path)):
        model = onnx.load(model, load_external_data=False)
    proto = model.model if isinstance(model, ModelWrapper) else model
    return _Lowering(QonnxGraph(proto), name, pixels_of(proto)).run()


class _Lowering:
    """State of one run: streams found so far and the smallest and largest value that the channels
    of accumulators reach, nodes claimed, why others were passed over."""

    def __init__(self, graph: QonnxGraph, name: str, pixels: Pixels) -> None:
        self.graph = graph
        self.pixels = pixels
        if len(graph.inputs) != 1 or len(graph.outputs) != 1:
            raise LoweringError(
                graph.nodes[0],
                f"the graph has {len(graph.inputs)} inputs and {len(graph.outputs)} outputs, "
                "expected one picture and one row of logits",
            )
        picture = graph.inputs[0].name
        shape = graph.shape(picture)
        if len(shape) != 4 or shape[0] != 1 or min(shape) < 1:
            raise LoweringError(
                graph.nodes[0],
                f"the graph input {picture} has shape {shape}, expected (1, C, H, W)",
            )
        _, c, h, w = shape
        check_channels(pixels, graph, c)
        self.builder = DataflowBuilder(name, picture, (1, h, w, c), pixels.step or Fraction(1))
        self.streams: dict[str, Stream] = {}
        self.reached: dict[str, tuple[IntArray, IntArray]] = {}
        self.offset = Fraction(0)
        """What the one logit at the end is more than its stream."""
        self.claimed: set[str] = set()
        self.passed: dict[str, LoweringError] = {}
        self.tabulated = 0
        self.epilogues = self._find_epilogues()
        self.inside = {
            node.name
            for last, found in self.epilogues.items()
            for node in found.nodes
            if node.name != last
        }
        self._publish(self.builder.picture, picture)

    def run(self) -> ModelWrapper:
        for node in self.graph.nodes:
            if node.name in self.claimed or node.op_type in ARITHMETIC:
                continue
            handler = self.HANDLERS.get(node.op_type)
            if handler is None:
                supported = ", ".join([*self.HANDLERS, *ARITHMETIC])
                raise LoweringError(node, f"this op cannot be lowered; supported: {supported}")
            handler(self, node)
            if self.builder.size > MAX_HARDWARE_NODES:
                raise LoweringError(
                    node,
                    f"up to here the network becomes more than {MAX_HARDWARE_NODES} nodes of "
                    "hardware, expected fewer; is this a network for an FPGA?",
                )
        output = self._label_select()
        for node in self.graph.nodes:
            if node.name not in self.claimed:
                raise self.passed.get(
                    node.name,
                    LoweringError(
                        node,
                        "belongs to no supported pattern (BN + RPReLU epilogue, "
                        "RSign, rounding shift)",
                    ),
                )
        return self.builder.finish(output)

    # Bookkeeping

    def _publish(self, stream: Stream, reference: str, offset: Sequence[float] = ()) -> None:
        """``stream`` holds the network's tensor ``reference``, which is ``offset`` (of each
        channel) more.

        Raises:
            LoweringError: the network gives it another shape: an attribute was misread.
        """
        shape = self.graph.shape(reference)
        planes = (stream.shape[0], stream.shape[3], *stream.shape[1:3])
        if shape and shape not in (planes, planes[:2] if planes[2:] == (1, 1) else planes):
            raise LoweringError(
                self.graph.producer[reference],
                f"gives {reference} the shape {shape}, expected {planes} (NCHW) as its attributes "
                "are read here; use the plain form of this op",
            )
        self.streams[reference] = stream
        self.builder.boundary(stream, reference, offset)

    def _stream(self, node: onnx.NodeProto, index: int = 0, levels: bool = False) -> Stream:
        """Return the stream of a node's input; ``levels``: it may hold level codes.

        Raises:
            LoweringError: that tensor is no stream; names the node that makes it, if there is
                a reason on record for it.
        """
        name = node.input[index]
        self._scaled(name)
        if name in self.streams:
            found = self.streams[name]
            if found == self.builder.picture and self.pixels.step is None:
                raise LoweringError(
                    node,
                    f"reads the picture normalised by mean {self.pixels.mean} and std "
                    f"{self.pixels.std}, which are no integers; expected a quantiser of the input "
                    "in front",
                )
            if found.levels and not levels:
                raise LoweringError(
                    node, f"reads the level codes {found.name}, expected a convolution to do so"
                )
            return found
        producer = self.graph.producer.get(name)
        if producer is None:
            raise LoweringError(node, f"input {name} is a constant, expected a computed tensor")
        if producer.name in self.passed:
            raise self.passed[producer.name]
        raise LoweringError(
            producer,
            f"its result is wanted as integers by {node.name} ({node.op_type}), expected a "
            "quantised tensor there",
        )

    def _scaled(self, name: str) -> None:
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
        normalised = x == self.builder.picture and self.pixels.step is None
        if normalised or x.levels or x.datatype == "BINARY":
            return
        for node, factor in reversed(factors):
            x = replace(x, scale=x.scale * factor)
            self.streams[node.output[0]] = x
            self._claim(node)

    def _reach(self, x: Stream) -> tuple[IntArray, IntArray]:
        """Return the smallest and largest code (C,) of a stream, as far as they are known."""
        low, high = _limits(x.datatype)
        return self.reached.get(x.name, (np.full(x.channels, low), np.full(x.channels, high)))

    def _claim(self, *nodes: onnx.NodeProto) -> None:
        self.claimed.update(n.name for n in nodes)

    # Patterns

    def _bipolar_quant(self, node: onnx.NodeProto) -> None:
        """RSign becomes one threshold per channel, and so does any other chain to a sign."""
        if self.graph.constant(node.input[0]) is not None:
            return  # 1-bit weights: the convolution claims them.
        before = self.graph.producer.get(node.input[0])
        operands = self.graph.operands(before) if before is not None else None
        if before is None or operands is None or before.op_type != "Sub":
            self._quantise(node)
            return
        x = self.streams.get(operands[0])
        row = None
        if x is not None:
            row = per_channel(operands[1], x.channels, len(self.graph.shape(operands[0])))
        if x is None or row is None or not whole(row) or x.scale != 1.0 or x.datatype == "BINARY":
            self._quantise(node)
            return
        scale = self.graph.scalar(node.input[1])
        if scale != 1.0:
            raise LoweringError(node, f"found scale {scale}, expected 1 (BN absorbs it)")
        self._claim(before, node)
        table = row.astype(np.int64)[:, None]
        self._publish(self._thresholding(node, x, table, "BINARY", 0, Fraction(1)), node.output[0])

    def _quantise(self, node: onnx.NodeProto) -> None:
        """A chain of elementwise nodes from a stream to this quantiser: thresholds."""
        found = find_chain(self.graph, node, self.streams)
        if found is None:
            self._stream(node)
            raise LoweringError(node, "quantises no known stream")
        source, nodes = found
        x = self.streams[source]
        low, values = self._values(node, x)
        table = self._tabulate(nodes, x.channels, low, values)
        falls = falling_channels(table)
        if falls is None or falls.any():
            raise LoweringError(
                node,
                f"its output falls as {source} rises, expected a rising function; a negative "
                "factor is supported behind a convolution only",
            )
        self._claim(*nodes)
        self._publish(self._from_table(node, x, table), node.output[0])

    def _values(self, node: onnx.NodeProto, x: Stream) -> tuple[int, FloatArray]:
        """Return the smallest code of a stream and what the network sees for it and the next."""
        if x.datatype == "BINARY" or x.levels:
            raise LoweringError(
                node, f"quantises the {x.datatype} codes {x.name} again, expected an integer"
            )
        low, high = _limits(x.datatype)
        check_values(node, high - low + 1)
        codes = np.arange(low, high + 1)
        if x == self.builder.picture:
            pixels = np.broadcast_to(codes[None, :, None, None], (1, codes.size, 1, x.channels))
            return low, self.pixels.feed(pixels)[0, :, :, 0]
        return low, multiples(codes, x.scale)

    def _level_codes(self, node: onnx.NodeProto) -> None:
        """The sum over a channel's comparisons: signed thresholds give the level code."""
        exact = match_comparisons(self.graph, node)
        keeps = self.graph.attributes(node).get("keepdims", 1) != 0
        x = None if exact is None else self.streams.get(exact.source)
        if exact is not None and x is not None and x.scale == 1.0 and not keeps:
            self._compare(node, exact, x)
            return
        found = find_chain(self.graph, node, self.streams, COMPARISONS)
        if found is None or keeps:
            first = node
            while (before := self.graph.producer.get(first.input[0])) is not None:
                if before.op_type not in COMPARISONS:
                    break
                first = before
            self._stream(first)
            raise LoweringError(
                node,
                "sums over axis 2, expected x -> Unsqueeze(2) -> GreaterOrEqual(thresholds "
                "(C, N, 1, 1)) -> Cast [-> Mul(steps)] -> ReduceSum(axis 2, keepdims 0) [-> "
                "Add(base)] on a known stream",
            )
        source, nodes = found
        x = self.streams[source]
        low, values = self._values(node, x)
        sums = responses(self.graph, nodes, x.channels, values)
        if not ((sums >= 0) & (sums <= MAX_LEVEL)).all():
            raise LoweringError(
                node,
                f"counts {sums.min()}..{sums.max()}, expected 0..{MAX_LEVEL}: activations of 1 to "
                f"{MAX_BITS} bits become hardware",
            )
        codes = np.rint(sums).astype(np.int64)
        datatype = smallest_unsigned(self.graph.shape(node.input[0])[2])
        y = self._signed_thresholding(node, x, signed_steps(low, codes), datatype)
        self._claim(*nodes)
        self._publish(y, node.output[0])

    def _compare(self, node: onnx.NodeProto, found: Comparisons, x: Stream) -> None:
        """Comparisons with constants are signed thresholds as they are: nothing is evaluated."""
        if x.datatype == "BINARY" or x.levels:
            raise LoweringError(
                node, f"compares the {x.datatype} codes {x.name} again, expected an integer"
            )
        if np.isnan(found.thresholds).any() or not np.all(np.abs(found.steps) == 1):
            raise LoweringError(
                node,
                "found a threshold that is no number, or a step other than -1 and +1; freeze the "
                "network again",
            )
        steps, base = found.steps.astype(np.int64), self._integers(node, "base", found.base)
        least, _ = _limits(x.datatype)
        low, high = self._reach(x)
        constants = within(low, high, least, found.thresholds, steps, base)
        last = found.nodes[-1]
        name = last.output[0]
        seen = np.vstack([low, constants[0].T])
        levels = signed_thresholding(seen, *constants)
        datatype = self.graph.datatype(name)
        if found.counts:
            datatype = smallest_unsigned(steps.shape[1])
        elif datatype is None or not datatype.startswith("UINT"):
            datatype = smallest_unsigned(max(0, int(levels.max())))
        top = (1 << int(datatype.removeprefix("UINT"))) - 1
        if levels.min() < 0 or levels.max() > min(top, MAX_LEVEL):
            channel = int(np.argwhere((levels < 0) | (levels > min(top, MAX_LEVEL)))[0][1])
            raise LoweringError(
                last,
                f"channel {channel} has the levels {levels[:, channel].min()}.."
                f"{levels[:, channel].max()}, expected 0..{min(top, MAX_LEVEL)}: activations of 1 "
                f"to {MAX_BITS} bits become hardware",
            )
        self._claim(*found.nodes)
        self._publish(self._signed_thresholding(last, x, constants, datatype), name)

    def _signed_thresholding(
        self,
        node: onnx.NodeProto,
        x: Stream,
        constants: tuple[IntArray, IntArray, IntArray],
        datatype: str,
    ) -> Stream:
        thresholds, steps, base = constants
        base_type = smallest_signed(int(base.min()), int(base.max()))
        (y,) = self.builder.add(
            "SignedThresholding",
            layer_of(node),
            [x],
            [(x.shape, datatype)],
            {
                "NumChannels": x.channels,
                "PE": 1,
                "numSteps": thresholds.shape[1],
                "numInputVectors": x.vectors,
                "inputDataType": x.datatype,
                "weightDataType": x.datatype,
                "baseDataType": base_type,
                "outputDataType": datatype,
                "encoding": "code",
                "implementation": "auto",
            },
            {
                "thresholds": (thresholds, x.datatype),
                "steps": (steps, "BIPOLAR"),
                "base": (base, base_type),
            },
        )
        return y

    def _gather(self, node: onnx.NodeProto) -> None:
        """Level codes become values: the same stream, which now knows its codebook."""
        levels = self.graph.constant(node.input[0])
        cast = self.graph.producer.get(node.input[1])
        if levels is None or levels.ndim != 1 or cast is None or cast.op_type != "Cast":
            raise LoweringError(
                node, "expected Gather(constant levels (N+1,), Cast(level codes)) on axis 0"
            )
        if levels.size < 2 or self.graph.attributes(node).get("axis", 0) not in (0, -1):
            raise LoweringError(node, "expected two levels or more, on axis 0")
        x = self._stream(cast)
        fits = x.datatype == smallest_unsigned(levels.size - 1)
        if (
            not fits
            or not whole(levels)
            or levels[0] != 0
            or not 0 <= levels.min() <= levels.max() <= 255
        ):
            raise LoweringError(
                node,
                f"found the levels {levels.tolist()} for codes of {x.datatype}, expected integers "
                "0..255 that begin with 0, one per code",
            )
        self._claim(cast, node)
        self.streams[node.output[0]] = replace(x, levels=tuple(int(v) for v in levels))

    def _from_table(self, node: onnx.NodeProto, x: Stream, table: Table) -> Stream:
        levels, first = thresholds(table)
        return self._thresholding(node, x, levels, table.datatype, first, table.scale)

    def _thresholding(
        self,
        node: onnx.NodeProto,
        x: Stream,
        table: IntArray,
        datatype: str,
        first: int,
        scale: Fraction,
    ) -> Stream:
        # FINN compares saturated inputs where thresholds are narrower: never narrower.
        least, most = _limits(x.datatype)
        weight_type = x.datatype
        if table.min() < least or table.max() > most:
            bits = int(table.max()).bit_length()
            signed = smallest_signed(int(table.min()), int(table.max()))
            weight_type = signed if least < 0 else f"UINT{bits}"
        (y,) = self.builder.add(
            "Thresholding",
            layer_of(node),
            [x],
            [(x.shape, datatype)],
            {
                "NumChannels": x.channels,
                "PE": 1,
                "numSteps": table.shape[1],
                "inputDataType": x.datatype,
                "weightDataType": weight_type,
                "outputDataType": datatype,
                "ActVal": first,
                "numInputVectors": x.vectors,
            },
            {"thresholds": (table, weight_type)},
            scale,
        )
        return y

    def _pad(self, node: onnx.NodeProto) -> None:
        """Border of -1 around a 1-bit tensor: code 0. Or a reflected border."""
        x = self._stream(node)
        attributes = self.graph.attributes(node)
        if attributes.get("mode", "constant") == "reflect":
            self._reflect(node, x)
            return
        given = self.graph.parameter(node, 2, "value")
        computed = given is None and len(node.input) > 2 and node.input[2]
        if computed or (given is not None and given.size != 1):
            raise LoweringError(node, f"pads with {node.input[2:3]}, expected a constant number")
        value = 0.0 if given is None else float(given.reshape(()))
        wanted = -float(x.scale) if x.datatype == "BINARY" else 0.0
        if attributes.get("mode", "constant") != "constant" or value != wanted:
            raise LoweringError(
                node,
                f"pads {x.datatype} with {value} ({attributes.get('mode', 'constant')}), "
                f"expected the constant {wanted}: the only border whose code is 0",
            )
        border = self._border(node)
        self._claim(node)
        self._publish(self._padding(layer_of(node), x, border), node.output[0])

    def _border(self, node: onnx.NodeProto) -> list[int]:
        """Return [top, left, bottom, right] of a Pad."""
        pads = self.graph.parameter(node, 1, "pads")
        if len(node.input) > 3 and node.input[3]:
            raise LoweringError(node, "names the axes it pads, expected pads of all axes")
        if pads is None or pads.size != 8 or pads[[0, 1, 4, 5]].any() or pads.min() < 0:
            raise LoweringError(node, "expected constant pads of the two image axes, 0 or more")
        return [int(pads[i]) for i in (2, 3, 6, 7)]

    def _reflect(self, node: onnx.NodeProto, x: Stream) -> None:
        top, left, bottom, right = border = self._border(node)
        _, h, w, c = x.shape
        if max(top, bottom) >= h or max(left, right) >= w:
            raise LoweringError(
                node,
                f"reflects {border} rows and columns of a map of {h}x{w}, expected fewer than it "
                "has; use a larger picture",
            )
        (y,) = self.builder.add(
            "StreamReflectPad",
            layer_of(node),
            [x],
            [((1, h + top + bottom, w + left + right, c), x.datatype)],
            {
                "NumChannels": c,
                "SIMD": 1,
                "ImgDim": [h, w],
                "Padding": border,
                "inputDataType": x.datatype,
            },
            scale=x.scale,
        )
        self._claim(node)
        self._publish(y, node.output[0])

    def _slice(self, node: onnx.NodeProto) -> None:
        """Slices of the two image axes, one behind the other: one crop."""
        x = self._stream(node)
        _, h, w, _ = x.shape
        kept = {2: (0, h), 3: (0, w)}
        last = node
        while True:
            self._narrow(last, kept)
            self._claim(last)
            readers = self.graph.consumers[last.output[0]]
            if len(readers) != 1 or readers[0].op_type != "Slice":
                break
            (last,) = readers
        (top, bottom), (left, right) = kept[2], kept[3]
        y = self._cropped(layer_of(node), x, [top, left, h - bottom, w - right])
        self._publish(y, last.output[0])

    def _cropped(self, where: str, x: Stream, border: list[int]) -> Stream:
        """Take [top, left, bottom, right] rows and columns off a map."""
        top, left, bottom, right = border
        _, h, w, c = x.shape
        (y,) = self.builder.add(
            "StreamCrop",
            where,
            [x],
            [((1, h - top - bottom, w - left - right, c), x.datatype)],
            {
                "NumChannels": c,
                "SIMD": 1,
                "ImgDim": [h, w],
                "Crop": border,
                "inputDataType": x.datatype,
            },
            scale=x.scale,
        )
        return replace(y, levels=x.levels)

    def _narrow(self, node: onnx.NodeProto, kept: dict[int, tuple[int, int]]) -> None:
        """Apply a Slice to the rows (axis 2) and columns (axis 3) kept so far, [begin, end)."""
        found = [
            self._whole(node, i, name) for i, name in enumerate(("starts", "ends", "axes"), start=1)
        ]
        if found[2] is None:
            found[2] = list(range(len(found[0] or [])))
        if None in found or any(n and n not in self.graph.constants for n in node.input[1:]):
            raise LoweringError(node, "expected constant starts, ends and axes")
        starts, ends, axes = (row or [] for row in found)
        strides = self._whole(node, 4, "steps") or []
        sizes = self.graph.shape(node.input[0])
        all_kept = {
            axis % 4
            for axis, start, end in zip(axes, starts, ends, strict=True)
            if slice(start, end).indices(sizes[axis]) == (0, sizes[axis], 1)
        }
        if any(s != 1 for s in strides) or not {a % 4 for a in axes} <= kept.keys() | all_kept:
            raise LoweringError(
                node,
                f"slices the axes {axes} by steps of {strides or 1}, expected rows and columns "
                "(axes 2, 3) by steps of 1",
            )
        for axis, start, end in zip(axes, starts, ends, strict=True):
            if axis % 4 not in kept:
                continue
            low, high = kept[axis % 4]
            begin, stop, _ = slice(start, end).indices(high - low)
            if begin >= stop:
                raise LoweringError(node, f"keeps {start}..{end} of {high - low}, expected some")
            kept[axis % 4] = (low + begin, low + stop)

    def _whole(self, node: onnx.NodeProto, index: int, name: str) -> list[int] | None:
        """Return constant whole numbers: input ``index``, or in older opsets attribute ``name``.

        They are not turned into float64, which does not hold the 2**63 - 1 that stands for "to
        the end".
        """
        if len(node.input) > index and node.input[index]:
            value = self.graph.constants.get(node.input[index])
        else:
            given = self.graph.attributes(node).get(name)
            value = None if given is None else np.asarray(given, dtype=np.int64)
        return None if value is None else [int(v) for v in value.reshape(-1)]

    def _padding(self, where: str, x: Stream, pads: list[int]) -> Stream:
        top, left, bottom, right = pads
        _, h, w, c = x.shape
        (y,) = self.builder.add(
            "FMPadding",
            where,
            [x],
            [((1, h + top + bottom, w + left + right, c), x.datatype)],
            {
                "ImgDim": [h, w],
                "Padding": pads,
                "NumChannels": c,
                "SIMD": 1,
                "inputDataType": x.datatype,
                "numInputVectors": 1,
            },
            scale=x.scale,
        )
        return replace(y, levels=x.levels)

    def _conv(self, node: onnx.NodeProto) -> None:
        """Convolution: [padding] -> [sliding window] -> matrix-vector unit."""
        x = self._stream(node, levels=True)
        weight, scale = self._weights(node)
        attributes = self.graph.attributes(node)
        if weight.ndim != 4 or list(attributes.get("kernel_shape", weight.shape[2:])) != list(
            weight.shape[2:]
        ):
            raise LoweringError(
                node,
                f"found kernel_shape {attributes.get('kernel_shape')} and weights of shape "
                f"{weight.shape}, expected (outputs, inputs, *kernel_shape)",
            )
        if attributes.get("group", 1) != 1 or attributes.get("auto_pad", "NOTSET") != "NOTSET":
            raise LoweringError(
                node,
                f"found group {attributes.get('group', 1)}, auto_pad "
                f"{attributes.get('auto_pad', 'NOTSET')}, expected a dense convolution with "
                "explicit pads",
            )
        kernel = list(weight.shape[2:])
        stride = list(attributes.get("strides", [1, 1]))
        dilation = list(attributes.get("dilations", [1, 1]))
        pads = [int(p) for p in attributes.get("pads", [0, 0, 0, 0])]
        where = layer_of(node)
        if any(pads):
            if x.datatype == "BINARY":
                raise LoweringError(
                    node,
                    f"pads {pads} put 0 around a +-1 tensor, expected a Pad(-1) node in "
                    "front: 1-bit tensors have no 0",
                )
            x = self._padding(where, x, pads)
        if kernel != [1, 1] or stride != [1, 1]:
            x = self._windows(node, x, kernel, stride, dilation)
        matrix = weight.transpose(2, 3, 1, 0).reshape(-1, weight.shape[0])
        self._accumulate(node, x, matrix, scale)

    def _conv_transpose(self, node: onnx.NodeProto) -> None:
        """Transposed 2x2 convolution of stride 2: every pixel gives four, each by a product."""
        x = self._stream(node)
        weight, scale = self._weights(node)
        attributes = self.graph.attributes(node)
        plain: dict[str, Any] = {"group": 1, "auto_pad": "NOTSET", "strides": [2, 2]}
        plain |= {"pads": [0] * 4, "output_padding": [0, 0], "dilations": [1, 1]}
        plain |= {"output_shape": []}
        found = {k: attributes.get(k, v) for k, v in plain.items()}
        if weight.shape[2:] != (2, 2) or found != plain or len(node.input) > 2:
            raise LoweringError(
                node,
                f"found a kernel {weight.shape[2:]} with {len(node.input) - 2} biases and "
                f"{found}, expected 2x2 of stride 2, no bias, group "
                "or padding, and dilation 1",
            )
        matrix = weight.transpose(0, 2, 3, 1).reshape(len(weight), -1)
        self._claim(node)
        if scale.size > 1:
            raise LoweringError(node, "found one weight scale per output, expected one for all")
        # The accumulators are interleaved, not their codes: thresholds in front would cost four
        # times their memory, and this way every tensor of the network is one of the graph.
        acc = self._mvu(node, layer_of(node), x, matrix, x.scale * scale[0], None)
        self._publish(self._interleaved(layer_of(node), acc), node.output[0])

    def _interleaved(self, where: str, x: Stream) -> Stream:
        """(1, H, W, 4C), four pixels (dy, dx, c) in each -> (1, 2H, 2W, C)."""
        _, h, w, c = x.shape
        (y,) = self.builder.add(
            "PixelInterleave",
            where,
            [x],
            [((1, 2 * h, 2 * w, c // 4), x.datatype)],
            {"NumChannels": c // 4, "PE": 1, "ImgDim": [h, w], "inputDataType": x.datatype},
            scale=x.scale,
        )
        low, high = self._reach(x)
        self.reached[y.name] = (low.reshape(4, -1).min(axis=0), high.reshape(4, -1).max(axis=0))
        return y

    def _windows(
        self,
        node: onnx.NodeProto,
        x: Stream,
        kernel: list[int],
        stride: list[int],
        dilation: list[int],
    ) -> Stream:
        _, h, w, c = x.shape
        out, spare, steps = [], [], []
        for size, k, s, d in zip((h, w), kernel, stride, dilation, strict=True):
            extent = (k - 1) * d + 1
            if extent > size:
                raise LoweringError(
                    node,
                    f"kernel {kernel} does not fit the padded map {h}x{w}; use a larger picture",
                )
            out.append((size - extent) // s + 1)
            # FINN's generator loses count on an axis of one window with room for another behind
            # it, and takes no stride beyond the map: one window needs neither.
            alone = out[-1] == 1 and (size - extent >= extent or s > size)
            spare.append(size - extent if alone else 0)
            steps.append(1 if alone else s)
        if any(spare):
            x = self._cropped(layer_of(node), x, [0, 0, *spare])
            h, w = x.shape[1:3]
        (y,) = self.builder.add(
            "ConvolutionInputGenerator",
            layer_of(node),
            [x],
            [((1, *out, kernel[0] * kernel[1] * c), x.datatype)],
            {
                "ConvKernelDim": kernel,
                "Stride": steps,
                "Dilation": dilation,
                "IFMChannels": c,
                "IFMDim": [h, w],
                "OFMDim": out,
                "SIMD": 1,
                "parallel_window": 0,
                "depthwise": 0,
                "inputDataType": x.datatype,
                "outputDataType": x.datatype,
            },
            scale=x.scale,
        )
        return replace(y, levels=x.levels)

    def _weights(self, node: onnx.NodeProto) -> tuple[FloatArray, Steps]:
        """Return (integer weights, what one step stands for) of a convolution or product.

        The weights are an initializer of integers, or a quantiser of an initializer. A step is
        one number for all outputs, (1,), or one per output, (outputs,).
        """
        weight = self.graph.constant(node.input[1])
        if weight is not None:
            if not whole(np.rint(weight)):
                raise LoweringError(
                    node, f"found weights of more than {MAX_ACCUMULATOR} bits or no numbers"
                )
            return weight, np.array([Fraction(1)], dtype=object)
        quantiser = self.graph.producer.get(node.input[1])
        if (
            quantiser is None
            or quantiser.op_type not in ("BipolarQuant", "Quant")
            or self.graph.constant(quantiser.input[0]) is None
        ):
            raise LoweringError(node, "found computed weights, expected constants; fold them")
        scale = self.graph.constant(quantiser.input[1])
        if scale is None or not (scale > 0).all():
            raise LoweringError(quantiser, "found a scale that is computed or not above 0")
        self._claim(quantiser)
        codes = evaluate(self.graph, [quantiser], {})[quantiser.output[0]] / scale
        nearest = np.rint(codes)
        if not whole(nearest) or np.abs(codes - nearest).max(initial=0) > WHOLE:
            raise LoweringError(quantiser, "gives weights that are no integers times its scale")
        if (scale == scale.flat[0]).all():
            return nearest, np.array([Fraction(scale.flat[0])], dtype=object)
        axis = outputs_axis(node) % codes.ndim
        if scale.ndim != codes.ndim or scale.shape[axis] != scale.size:
            raise LoweringError(
                quantiser,
                f"found scales of shape {scale.shape}, expected one, or one per output along "
                f"axis {axis}",
            )
        return nearest, np.array([Fraction(s) for s in scale.flat], dtype=object)

    def _bias(self, node: onnx.NodeProto, outputs: int) -> FloatArray | None:
        """Return the bias (outputs,) of a convolution or product; None without one, or if it is
        0."""
        if len(node.input) < 3 or not node.input[2]:
            return None
        value = self.graph.constant(node.input[2])
        quantiser = self.graph.producer.get(node.input[2])
        if (
            quantiser is not None
            and quantiser.op_type == "Quant"
            and self.graph.constant(quantiser.input[0]) is not None
        ):
            self._claim(quantiser)
            value = evaluate(self.graph, [quantiser], {})[node.input[2]]
        bias = None if value is None else per_channel(value, outputs, 2)
        if bias is None or not np.isfinite(bias).all():
            raise LoweringError(node, "expected a constant bias, one finite value per output")
        return bias if bias.any() else None

    def _accumulate(
        self, node: onnx.NodeProto, x: Stream, matrix: FloatArray, scale: Steps
    ) -> None:
        """Lower a product, together with the quantiser behind it where thresholds do.

        Thresholds only count upwards: where a negative gamma turns the function around, the
        channel's weights change their sign, and so does its accumulator. They also take in what
        is no integer: a bias between two steps, or where products have none, and a step per
        channel.
        """
        self._claim(node)
        where, (accumulator,) = layer_of(node), node.output
        outputs = matrix.shape[1]
        step = x.scale * scale
        chain = find_quantiser(self.graph, accumulator)
        if chain and (step == 1).all() and rounded(self.graph, chain[-1]) == accumulator:
            chain = None
        if chain is None and step.size > 1:
            raise LoweringError(
                node,
                f"found one weight scale per output and no quantiser of at most {MAX_BITS} bits "
                "behind, expected one scale for all: its results are compared with one another as "
                "integers",
            )
        row = self._bias(node, outputs)
        offset = np.zeros(outputs) if row is None else row
        # In steps: what the product adds, and what thresholds take in instead.
        bias = whole_steps(offset, step[0]) if step.size == 1 else None
        if row is None or (bias is not None and x.datatype != "BINARY" and not x.levels):
            bias, offset = (None if row is None else bias), np.zeros(outputs)
        elif chain is not None or (outputs == 1 and self._ends_graph(accumulator)):
            bias = None
        else:
            bias, offset = offset / float(step[0]), np.zeros(outputs)
        moved = offset.tolist() if offset.any() else []
        if chain is None:
            if moved:
                self.offset = Fraction(moved[0])
            self._publish(self._mvu(node, where, x, matrix, step[0], bias), accumulator, moved)
            return
        low, high = _represented(x)
        ends = accumulator_bounds(matrix, low, high, 0 if bias is None else bias)
        limit = int(np.abs(ends).max())
        found = self._levels(chain, outputs, limit, step, offset)
        signs = np.where(found.falls, -1, 1)
        # The steps of channels that differ are the thresholds' alone.
        acc = self._mvu(
            node,
            where,
            x,
            matrix * signs,
            step[0] if step.size == 1 else Fraction(1),
            None if bias is None else bias * signs,
        )
        self._claim(*chain)
        if step.size == 1 and not found.falls.any():
            self._publish(acc, accumulator, moved)
        y = self._thresholding(
            chain[-1], acc, found.thresholds, found.datatype, found.first, found.scale
        )
        self._publish(y, chain[-1].output[0])

    def _levels(
        self,
        chain: list[onnx.NodeProto],
        channels: int,
        limit: int,
        step: Steps,
        offset: FloatArray,
    ) -> Levels:
        """Find where a chain reaches its codes over the integers -limit..limit, of which the
        network sees ``integer * step + offset``: step (1,) or (C,), offset (C,)."""

        def tabulate(integers: IntArray) -> Table:
            values = multiples(integers, step[:, None]) + offset[:, None]
            return self._tabulate(chain, channels, -limit, values)

        if 2 * limit < MAX_VALUES:
            return levels_of_table(chain[-1], tabulate(np.arange(-limit, limit + 1)))
        return bisect(self.graph, chain, channels, limit, tabulate)

    def _tabulate(
        self, chain: list[onnx.NodeProto], channels: int, low: int, values: FloatArray
    ) -> Table:
        """Tabulate a chain; all tables together are bounded, as each is."""
        self.tabulated += len(chain) * channels * values.shape[-1]
        if self.tabulated > MAX_TABULATED:
            raise LoweringError(
                chain[-1],
                f"the tables of quantisers up to here take {self.tabulated} evaluations, expected "
                f"at most {MAX_TABULATED}; use fewer bits or channels",
            )
        return tabulate(self.graph, chain, channels, low, values)

    def _mvu(
        self,
        node: onnx.NodeProto,
        where: str,
        x: Stream,
        matrix: FloatArray,
        scale: Fraction,
        bias: FloatArray | None,
    ) -> Stream:
        """A matrix (MW, MH) times the stream: XnorMvu on 1-bit tensors, PaMvu on level codes,
        BinaryMvu of weights -1 and +1 on unsigned codes, IntMvu on integers; ``scale`` is what one
        step of the result stands for."""
        mw, mh = matrix.shape
        if mw != x.channels:
            raise LoweringError(
                node, f"found weights for {mw} inputs, expected {x.channels} of {x.name}"
            )
        common = {"MW": mw, "MH": mh, "SIMD": 1, "PE": 1, "numInputVectors": x.vectors}
        shape = (*x.shape[:-1], mh)
        if x.datatype == "BINARY":
            if bias is not None or not _signs(matrix):
                raise LoweringError(
                    node,
                    "found a bias or weights other than -1 and +1 on a 1-bit tensor, "
                    "expected 1-bit weights without bias",
                )
            acc = f"INT{signed_bits(mw)}"
            (y,) = self.builder.add(
                "XnorMvu",
                where,
                [x],
                [(shape, acc)],
                {**common, "outputDataType": acc},
                {"weights": ((matrix > 0).astype(np.int64), "BINARY")},
                scale,
            )
            return y
        weights = self._integers(node, "weights", matrix)
        weight_type = smallest_signed(int(weights.min()), int(weights.max()))
        constants = {"weights": (weights, weight_type)}
        offset = np.zeros(mh, dtype=np.int64)
        if bias is not None:
            offset = self._integers(node, "bias", bias)
            constants["bias"] = (offset, smallest_signed(int(offset.min()), int(offset.max())))
        least_code, most_code = _represented(x)
        least, most = accumulator_bounds(weights, least_code, most_code, offset)
        acc = smallest_signed(int(least.min()), int(most.max()))
        if int(acc.removeprefix("INT")) > MAX_ACCUMULATOR:
            raise LoweringError(
                node,
                f"its accumulator reaches {int(least.min())}..{int(most.max())}, expected at most "
                f"{MAX_ACCUMULATOR} bits; use fewer weight bits or channels",
            )
        if x.levels:
            return self._pa_mvu(node, where, x, weights, acc, bias)
        op, attrs = "IntMvu", {**common, "inputDataType": x.datatype, "outputDataType": acc}
        if bias is None and least_code >= 0 and most_code <= MAX_LEVEL and _signs(weights):
            op, attrs["implementation"] = "BinaryMvu", "auto"
            constants = {"weights": ((weights > 0).astype(np.int64), "BINARY")}
        else:
            attrs["weightDataType"] = weight_type
        (y,) = self.builder.add(op, where, [x], [(shape, acc)], attrs, constants, scale)
        self.reached[y.name] = (least, most)
        return y

    def _pa_mvu(
        self,
        node: onnx.NodeProto,
        where: str,
        x: Stream,
        weights: IntArray,
        acc: str,
        bias: FloatArray | None,
    ) -> Stream:
        """Level codes times weight codes; the weights' codebook is the set of their values."""
        alpha = np.unique(np.append(weights, 0))
        if bias is not None or alpha.size > MAX_PIECES:
            found = "a bias" if bias is not None else f"{alpha.size} different weights"
            raise LoweringError(
                node,
                f"found {found} on level codes, expected at most {MAX_PIECES} different weights "
                "and no bias",
            )
        every = np.arange(alpha[0], alpha[-1] + 1)
        if _code_type(every) == _code_type(alpha):
            # Uniform levels with a gap nobody uses stay their own codes.
            alpha = every
        zero = int(np.searchsorted(alpha, 0))
        mw, mh = weights.shape
        code_type = _code_type(alpha)
        alpha_type = smallest_signed(int(alpha[0]), int(alpha[-1]))
        beta = np.array(x.levels, dtype=np.int64)
        beta_type = smallest_unsigned(int(beta.max()))
        (y,) = self.builder.add(
            "PaMvu",
            where,
            [x],
            [((*x.shape[:-1], mh), acc)],
            {
                "MW": mw,
                "MH": mh,
                "SIMD": 1,
                "PE": 1,
                "numInputVectors": x.vectors,
                "inputDataType": x.datatype,
                "weightDataType": code_type,
                "zero": zero,
                "alphaDataType": alpha_type,
                "betaDataType": beta_type,
                "outputDataType": acc,
                "implementation": "auto",
                "alphaValues": alpha.tolist(),
                "betaValues": beta.tolist(),
            },
            {
                "weights": (np.searchsorted(alpha, weights) - zero, code_type),
                "alpha": (alpha, alpha_type),
                "beta": (beta, beta_type),
            },
        )
        return y

    def _integers(self, node: onnx.NodeProto, what: str, value: FloatArray) -> IntArray:
        if not whole(value):
            raise LoweringError(
                node,
                f"found {what} that are not integers of at most {MAX_ACCUMULATOR} bits, expected "
                "integer codes (scale 1)",
            )
        return value.astype(np.int64)

    def _find_epilogues(self) -> dict[str, EpiloguePattern]:
        """Match every epilogue by its last node, before anything inside one is taken for more."""
        found = {}
        for node in self.graph.nodes:
            if node.op_type != "Quant":
                continue
            producer = self.graph.producer.get(rounded(self.graph, node))
            if producer is None or not (
                producer.op_type == "Where"
                or (producer.op_type == "Add" and self.graph.operands(producer) is not None)
            ):
                continue
            channels = self.graph.shape(node.output[0])[1]
            try:
                found[node.name] = match_epilogue(self.graph, node, channels)
            except LoweringError as error:
                self.passed[node.name] = error
        return found

    def _quant(self, node: onnx.NodeProto) -> None:
        """The end of an epilogue or of a residual sum; other Quants lie inside a pattern."""
        if self.graph.constant(node.input[0]) is not None or node.name in self.inside:
            return  # Weights: the convolution claims them.
        if node.name in self.epilogues:
            self._epilogue(node, self.epilogues[node.name])
            return
        try:
            found = match_residual(self.graph, match_rounding(self.graph, node))
        except LoweringError as error:
            self.passed[node.name] = error
            bits = self.graph.scalar(node.input[3])
            narrow = bits is not None and bits <= MAX_BITS
            if narrow and find_chain(self.graph, node, self.streams) is not None:
                self._quantise(node)
            elif bits is not None and bits > MAX_BITS and self.graph.scalar(node.input[1]) != 1:
                self.passed[node.name] = LoweringError(
                    node,
                    f"quantises to {bits:g} bits, expected at most {MAX_BITS}; more are supported "
                    "as integer codes of scale 1 behind a rounding shift or an epilogue only",
                )
            return
        if found.x not in self.streams:
            self.passed.setdefault(
                node.name,
                LoweringError(
                    node, "rounds a tensor outside of every supported pattern (epilogue, sum pool)"
                ),
            )
            return
        inputs = [self.streams[found.x]]
        if found.shortcut is not None:
            if found.shortcut not in self.streams:
                raise LoweringError(
                    node, f"the shortcut {found.shortcut} is no stream, expected a quantised tensor"
                )
            inputs.append(self.streams[found.shortcut])
        for x in inputs:
            if x.scale != 1.0 or x.levels or x.datatype == "BINARY" or x.shape != inputs[0].shape:
                raise LoweringError(
                    node,
                    f"its input {x.name} is {x.datatype} {x.shape} of scale {float(x.scale):g}, "
                    f"expected integer codes of shape {inputs[0].shape}",
                )
        self._claim(*found.nodes)
        datatype = f"INT{found.rounding.bits}"
        (y,) = self.builder.add(
            "ShiftRequant",
            layer_of(node),
            inputs,
            [(inputs[0].shape, datatype)],
            {
                "NumChannels": inputs[0].channels,
                "PE": 1,
                "numInputVectors": inputs[0].vectors,
                "inputDataType": inputs[0].datatype,
                "outputDataType": datatype,
                "shift": found.rounding.shift,
                "hasShortcut": len(inputs) - 1,
                "shortcutShift": found.shortcut_shift,
                "shortcutDataType": "".join(x.datatype for x in inputs[1:]),
            },
        )
        self._publish(y, node.output[0])

    def _epilogue(self, node: onnx.NodeProto, found: EpiloguePattern) -> None:
        conv = self.graph.producer[found.acc]
        acc = self.streams.get(found.acc)
        if acc is None:
            self.passed[node.name] = LoweringError(conv, "was not lowered, so neither its epilogue")
            return
        inputs = [acc]
        if found.shortcut is not None:
            if found.shortcut not in self.streams:
                raise LoweringError(
                    node, f"the shortcut {found.shortcut} is no stream, expected a quantised tensor"
                )
            inputs.append(self.streams[found.shortcut])
        out_type = f"INT{found.out_bits}"
        for x in inputs:
            if x.scale != 1.0:
                raise LoweringError(
                    node,
                    f"its input {x.name} has the scale {float(x.scale):g}, expected integer codes",
                )
        for x in inputs[1:]:
            if x.datatype != out_type or x.shape != acc.shape:
                raise LoweringError(
                    node,
                    f"the shortcut {found.shortcut} is {x.datatype} {x.shape}, expected "
                    f"{out_type} {acc.shape}",
                )
        self._claim(*found.nodes)
        params = smallest_signed(int(found.params.min()), int(found.params.max()))
        (y,) = self.builder.add(
            "Epilogue",
            layer_of(conv),
            inputs,
            [(acc.shape, out_type)],
            {
                "NumChannels": acc.channels,
                "PE": 1,
                "numInputVectors": acc.vectors,
                "accDataType": acc.datatype,
                "hasShortcut": len(inputs) - 1,
                "accShift": found.acc_shift,
                "shortcutShift": found.shortcut_shift,
                "preShift": found.pre_shift,
                "slopeShift": found.slope_shift,
                "outShift": found.out_shift,
                "accBits": found.acc_bits,
                "preBits": found.pre_bits,
                "outputDataType": out_type,
            },
            {"params": (found.params, params)},
        )
        self._publish(y, node.output[0])

    def _max_pool(self, node: onnx.NodeProto) -> None:
        x = self._stream(node)
        attributes = self.graph.attributes(node)
        if len(self.graph.shape(node.input[0])) != 4:
            raise LoweringError(node, "pools no map, expected one (1, C, H, W)")
        kernel = list(attributes["kernel_shape"])
        stride = list(attributes.get("strides", [1, 1]))
        pads = list(attributes.get("pads", [0, 0, 0, 0]))
        plain = attributes.get("auto_pad", "NOTSET") == "NOTSET"
        if not plain or len(node.output) > 1 or list(attributes.get("dilations", [1, 1])) != [1, 1]:
            raise LoweringError(
                node, "found auto_pad, dilation or indices, expected a plain max pool"
            )
        _, h, w, c = x.shape
        out, ends = [], []
        for axis, size in enumerate((h, w)):
            k, s, begin, end = kernel[axis], stride[axis], pads[axis], pads[axis + 2]
            room = size + begin + end - k
            n = room // s + 1
            # In ceil mode one more window starts, if it starts inside the map or its first border.
            if attributes.get("ceil_mode", 0) and room % s and n * s < size + begin:
                n += 1
            out.append(n)
            ends.append(max(0, (n - 1) * s + k - size - begin))
        (y,) = self.builder.add(
            "StreamMaxPool",
            layer_of(node),
            [x],
            [((1, *out, c), x.datatype)],
            {
                "NumChannels": c,
                "PE": 1,
                "ImgDim": [h, w],
                "KernelDim": kernel,
                "Stride": stride,
                "Padding": [pads[0], pads[1], *ends],
                "OutDim": out,
                "inputDataType": x.datatype,
            },
            scale=x.scale,
        )
        self._claim(node)
        self._publish(y, node.output[0])

    def _refuse_average(self, node: onnx.NodeProto) -> None:
        raise LoweringError(
            node,
            "average pooling has no exact integer form here; supported: MaxPool, and "
            "ReduceSum over the map with a rounding shift",
        )

    def _concat(self, node: onnx.NodeProto) -> None:
        """Concat of two tensors, or of two halves with a channel shuffle of two groups behind."""
        why = (
            "expected Concat of two tensors on axis 1, or of two equal halves -> "
            "Reshape(n,2,c,h,w) -> Transpose(0,2,1,3,4) -> Reshape(n,2c,h,w)"
        )
        if len(node.input) != 2 or self.graph.attributes(node)["axis"] not in (1, -3):
            raise LoweringError(node, why)
        left, right = self._stream(node, 0), self._stream(node, 1)
        shuffled = [n.op_type for n in self.graph.consumers[node.output[0]]] == ["Reshape"]
        same = (left.datatype, left.scale, left.vectors) == (
            right.datatype,
            right.scale,
            right.vectors,
        )
        if not same or (shuffled and left.channels != right.channels):
            raise LoweringError(
                node,
                f"found {left.datatype} {left.shape} of scale {float(left.scale):g} and "
                f"{right.datatype} {right.shape} of scale {float(right.scale):g}, expected "
                f"{'equal ones' if shuffled else 'one datatype, scale and picture size'}",
            )
        if not shuffled:
            self._plain_concat(node, left, right)
            return
        _, h, w, c = left.shape
        chain = [node]
        shapes = [(1, 2, c, h, w), (1, c, 2, h, w), (1, 2 * c, h, w)]
        for op, shape in zip(("Reshape", "Transpose", "Reshape"), shapes, strict=True):
            readers = self.graph.consumers[chain[-1].output[0]]
            if len(readers) != 1 or readers[0].op_type != op:
                raise LoweringError(node, why)
            (reader,) = readers
            if self.graph.shape(reader.output[0]) != shape:
                raise LoweringError(node, why)
            chain.append(reader)
        if self.graph.attributes(chain[2])["perm"] != [0, 2, 1, 3, 4]:
            raise LoweringError(node, why)
        (y,) = self.builder.add(
            "ShuffleConcat",
            layer_of(node),
            [left, right],
            [((1, h, w, 2 * c), left.datatype)],
            {
                "NumChannels": c,
                "PE": 1,
                "inputDataType": left.datatype,
                "numInputVectors": left.vectors,
            },
            scale=left.scale,
        )
        self._claim(*chain)
        self._publish(y, chain[-1].output[0])

    def _plain_concat(self, node: onnx.NodeProto, first: Stream, second: Stream) -> None:
        channels = [first.channels, second.channels]
        (y,) = self.builder.add(
            "StreamingConcat",
            layer_of(node),
            [first, second],
            [((*first.shape[:-1], sum(channels)), first.datatype)],
            {
                "SIMD": 1,
                "ChannelsPerStream": channels,
                "inputDataTypes": [first.datatype] * 2,
                "numInputVectors": first.vectors,
            },
            scale=first.scale,
        )
        self._claim(node)
        self._publish(y, node.output[0])

    def _split(self, node: onnx.NodeProto) -> None:
        x = self._stream(node)
        if self.graph.attributes(node).get("axis", 0) not in (1, -3):
            raise LoweringError(node, "splits another axis, expected axis 1 (channels)")
        sizes = [self.graph.shape(name)[1] for name in node.output]
        if sum(sizes) != x.channels:
            raise LoweringError(node, f"found parts of {sizes} channels, expected {x.channels}")
        for name in node.output:
            if not self.graph.consumers[name] and not self.graph.is_output(name):
                raise LoweringError(node, f"nobody reads its output {name}, expected all be read")
        parts = self.builder.add(
            "StreamingSplit",
            layer_of(node),
            [x],
            [((*x.shape[:-1], n), x.datatype) for n in sizes],
            {
                "SIMD": 1,
                "ChannelsPerStream": sizes,
                "inputDataType": x.datatype,
                "numInputVectors": x.vectors,
            },
            scale=x.scale,
        )
        self._claim(node)
        for part, name in zip(parts, node.output, strict=True):
            self._publish(part, name)

    def _reduce_sum(self, node: onnx.NodeProto) -> None:
        axes = self.graph.parameter(node, 1, "axes")
        if axes is not None and axes.tolist() == [2] and len(self.graph.shape(node.input[0])) == 5:
            self._level_codes(node)
            return
        x = self._stream(node)
        if axes is None or sorted(int(a) % 4 for a in axes.reshape(-1)) != [2, 3]:
            raise LoweringError(node, "sums over other axes, expected the constant axes 2 and 3")
        if x.datatype == "BINARY":
            raise LoweringError(node, f"sums the 1-bit tensor {x.name}, expected integers")
        _, h, w, c = x.shape
        low, high = _limits(x.datatype)
        # FINN's op sums unsigned codes to an unsigned number.
        least, most = low * h * w, high * h * w
        datatype = smallest_signed(least, most) if low < 0 else smallest_unsigned(most)
        (y,) = self.builder.add(
            "GlobalAccPool",
            layer_of(node),
            [x],
            [((1, 1, 1, c), datatype)],
            {
                "NumChannels": c,
                "PE": 1,
                "inputDataType": x.datatype,
                "numInputVectors": x.vectors,
            },
            scale=x.scale,
        )
        self._claim(node)
        self._publish(y, node.output[0])

    def _gemm(self, node: onnx.NodeProto) -> None:
        x = self._stream(node, levels=True)
        attributes = self.graph.attributes(node)
        if attributes.get("transA", 0) or {attributes.get(k, 1.0) for k in ("alpha", "beta")} != {
            1.0
        }:
            raise LoweringError(node, "found transA, alpha or beta, expected x @ W + bias")
        weight, scale = self._weights(node)
        matrix = weight.T if attributes.get("transB", 0) else weight
        self._accumulate(node, x, matrix, scale)

    def _mat_mul(self, node: onnx.NodeProto) -> None:
        x = self._stream(node, levels=True)
        weight, scale = self._weights(node)
        before = self.graph.shape(node.input[0])
        if weight.ndim != 2 or len(before) != 2:
            raise LoweringError(
                node,
                f"multiplies the last axis of a tensor of shape {before} by weights of shape "
                f"{weight.shape}, expected (1, C) by (C, outputs): flatten the map in front",
            )
        self._accumulate(node, x, weight, scale)

    def _reshape(self, node: onnx.NodeProto) -> None:
        """The four pixels (dy, dx, c) of each pixel beside each other; or a flattening.

        The first is Reshape(n,2,2,c,h,w) -> Transpose(0,3,4,1,5,2) -> Reshape(n,c,2h,2w).
        """
        x = self._stream(node)
        _, h, w, c = x.shape
        if self.graph.shape(node.output[0]) != (1, 2, 2, c // 4, h, w):
            self._flatten(node)
            return
        chain = [node]
        for op, shape in (
            ("Transpose", (1, c // 4, h, 2, w, 2)),
            ("Reshape", (1, c // 4, 2 * h, 2 * w)),
        ):
            readers = self.graph.consumers[chain[-1].output[0]]
            found = [(n.op_type, self.graph.shape(n.output[0])) for n in readers]
            if found != [(op, shape)]:
                raise LoweringError(node, f"is followed by {found}, expected {op} to {shape}")
            chain += readers
        if self.graph.attributes(chain[1])["perm"] != [0, 3, 4, 1, 5, 2]:
            raise LoweringError(chain[1], "found another order, expected perm 0,3,4,1,5,2")
        self._claim(*chain)
        self._publish(self._interleaved(layer_of(node), x), chain[-1].output[0])

    def _flatten(self, node: onnx.NodeProto) -> None:
        """(1, C, 1, 1) -> (1, C): the same stream."""
        if node.input[0] not in self.streams and self._ends_graph(node.input[0]):
            return  # Behind factors and offsets of the logits: what claims them claims it.
        x = self._stream(node)
        shape = self.graph.shape(node.output[0])
        if x.shape[:-1] != (1, 1, 1) or shape != (1, x.channels):
            raise LoweringError(
                node,
                f"turns a map {x.shape} (NHWC) into {shape}, expected the flattening of one "
                "pixel, a channel shuffle behind a Concat, or the interleaving of four pixels",
            )
        self._claim(node)
        self.streams[node.output[0]] = x

    def _ends_graph(self, name: str) -> bool:
        """Whether a tensor is the graph's output but for factors, offsets and a flattening."""
        while not self.graph.is_output(name):
            readers = self.graph.consumers[name]
            if len(readers) != 1 or readers[0].op_type not in (*SCALARS, *FLATTENINGS):
                return False
            name = readers[0].output[0]
        return not self.graph.consumers[name]

    def _label_select(self) -> Stream:
        """Argmax of the logits, of every pixel if there are several; of one, its sign.

        Factors and offsets behind them are dropped: a positive factor and an offset choose no
        other of several logits; of one logit they move the border between its classes.
        """
        name = self.graph.outputs[0].name
        last = self.graph.producer[name]
        single = self.graph.shape(name)[1:2] == (1,)
        # The output is factor * (tensor called name) + offset.
        factor, offset = Fraction(1), Fraction(0)
        while name not in self.streams and last.op_type in (*SCALARS, "Flatten", "Squeeze"):
            if last.op_type in ("Flatten", "Squeeze") and self.graph.shape(last.input[0])[2:] == (
                1,
                1,
            ):
                self._claim(last)
                name = last.input[0]
                last = self.graph.producer.get(name, last)
                continue
            operands = self.graph.operands(last)
            if operands is None or operands[1].size != 1:
                break
            number = Fraction(float(operands[1].reshape(())))
            if last.op_type in ("Add", "Sub"):
                offset += factor * number * (1 if last.op_type == "Add" else -1)
            elif number > 0 or (number and single):
                factor = factor * number if last.op_type == "Mul" else factor / number
            else:
                break
            self._claim(last)
            name = operands[0]
            last = self.graph.producer.get(name, last)
        if name not in self.streams:
            raise self.passed.get(
                last.name,
                LoweringError(last, "ends the graph, expected the logits of a Gemm or Conv"),
            )
        x = self.streams[name]
        if x.channels == 1:
            x = self._against_border(last, x, factor, offset + factor * self.offset)
        bits = 8 * -(-(x.channels - 1).bit_length() // 8)
        datatype = f"UINT{max(8, bits)}"
        (y,) = self.builder.add(
            "LabelSelect",
            "argmax",
            [x],
            [((*x.shape[:-1], 1), datatype)],
            {
                "Labels": x.channels,
                "PE": 1,
                "K": 1,
                "inputDataType": x.datatype,
                "outputDataType": datatype,
                "numInputVectors": x.vectors,
            },
        )
        return y

    def _against_border(
        self, node: onnx.NodeProto, x: Stream, factor: Fraction, offset: Fraction
    ) -> Stream:
        """One logit z, or a map of them, becomes two: (t, z), so that their argmax is 1 where
        ``factor * z + offset`` is 0 or more: t is the largest z of class 0, z negative if the
        factor is."""
        if x.levels:
            raise LoweringError(
                node, f"ends the graph with the level codes {x.name}, expected a logit"
            )
        factor *= x.scale
        sign = 1 if factor > 0 else -1
        border = math.ceil(-offset / abs(factor))
        low, high = (-1, 1) if x.datatype == "BINARY" else (int(r[0]) for r in self._reach(x))
        if sign < 0:
            low, high = -high, -low
        if not low < border <= high:
            raise LoweringError(
                node,
                f"ends the graph with one channel that is {'never' if high < border else 'always'} "
                "0 or more, so its sign tells no two classes apart; expected a logit of both "
                "signs, or one channel per class",
            )
        if x.datatype == "BINARY":
            return self._mvu(node, "sign", x, np.array([[-sign, sign]]), Fraction(1), None)
        bias = np.array([border - 1.0, 0.0])
        return self._mvu(node, "sign", x, np.array([[0.0, sign]]), Fraction(1), bias)

    HANDLERS: ClassVar[dict[str, Callable[[Any, onnx.NodeProto], None]]] = {
        "BipolarQuant": _bipolar_quant,
        "Pad": _pad,
        "Slice": _slice,
        "Conv": _conv,
        "ConvTranspose": _conv_transpose,
        "Quant": _quant,
        "Gather": _gather,
        "MaxPool": _max_pool,
        "AveragePool": _refuse_average,
        "GlobalAveragePool": _refuse_average,
        "ReduceMean": _refuse_average,
        "Concat": _concat,
        "Split": _split,
        "ReduceSum": _reduce_sum,
        "Gemm": _gemm,
        "MatMul": _mat_mul,
        "Reshape": _reshape,
        "Flatten": _flatten,
        "Squeeze": _flatten,
    }


def layer_of(node: onnx.NodeProto) -> str:
    """Return the layer a QONNX node belongs to, as a plain word.

    That is its name without ``_<OpType>[_<n>]`` and without Brevitas' inner modules.
    """
    stem, found, rest = node.name.rpartition(f"_{node.op_type}")
    layer = stem if found and stem and (not rest or rest[1:].isdigit()) else node.name
    layer = re.sub(r"(_quant)?_act_quant(_export_handler)?$", "", layer)
    return re.sub(r"\W", "_", layer)


def _code_type(alpha: IntArray) -> str:
    """Datatype of the signed codes of a codebook, ascending and with 0, which is code 0."""
    zero = int(np.searchsorted(alpha, 0))
    return smallest_signed(-zero, alpha.size - 1 - zero)


def _represented(x: Stream) -> tuple[int, int]:
    """Smallest and largest value the codes of a stream stand for, in steps of its scale."""
    if x.levels:
        return 0, max(x.levels)
    return (-1, 1) if x.datatype == "BINARY" else _limits(x.datatype)


def _signs(weights: IntArray | FloatArray) -> bool:
    """Whether all weights are -1 or +1."""
    return bool(np.all(np.abs(weights) == 1))


def _limits(datatype: str) -> tuple[int, int]:
    dt = DataType[datatype]
    return int(dt.min()), int(dt.max())
