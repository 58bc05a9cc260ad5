# SPDX-License-Identifier: Apache-2.0
"""What a network reads of a picture: the raw pixel, pixel / 255, or one normalised by mean and std.

A network that is declared UINT8 reads 0..255. Any other file does not say it: what was assumed, or
asked for, is written into the network as metadata, and everything that feeds it reads it there.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from ...quant.inputs import Rounding
from .factors import common_step
from .multi_threshold import OP as MULTI_THRESHOLD
from .qonnx_graph import LoweringError, QonnxGraph, multiples
from .reference_kernels import code_ends

METADATA = "andpop.pixels"
"""Model metadata key of the convention, JSON."""
READS = "andpop.reads"
"""The same of the file as it was found, before its first nodes were taken in."""
RAW_FACTOR = 1 / 32
"""A factor up to here brings 0..255 down to single digits: whoever applies it wants raw pixels."""
SCALING = ("Add", "Sub", "Mul", "Div")
MOVES = ("Reshape", "Flatten", "Transpose", "Identity", "Squeeze", "Unsqueeze")


MAX_CODE = 1 << 40
"""Integers that pixels become are smaller: their products with weights are exact in float64."""


def written(number: float) -> Fraction:
    """The number that a float stands for: a simple fraction or a decimal where it is the float next
    to one, itself where float32 holds it, as the constants of a file."""
    simple = Fraction(number).limit_denominator(10**6)
    if float(simple) == number:
        return simple
    return Fraction(number) if float(np.float32(number)) == number else Fraction(repr(number))


@dataclass(frozen=True)
class Pixels:
    """A network's input is ``(pixel * scale - mean) / std``, per channel."""

    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    """One value, or one per channel; so is ``std``."""
    std: tuple[float, ...] = (1.0,)
    why: str = ""
    """Where that is known from, in words."""
    rounding: Rounding = ""
    """How the network's first quantiser rounds, of which bytes are the codes ``first`` to ``last``,
    the least of them 0; empty where bytes are not."""
    first: int = 0
    last: int = 255

    @property
    def step(self) -> Fraction | None:
        """What one step of a pixel stands for; None where 0 is no pixel, or channels differ."""
        if any(self.mean) or len(set(self.std)) > 1:
            return None
        return self.factor / written(self.std[0])

    def lines(self, channels: int) -> list[tuple[Fraction, Fraction]]:
        """What one step of a pixel of each channel stands for, and the pixel that 0 stands for."""
        mean, std = (
            list(map(written, row * (channels if len(row) == 1 else 1)))
            for row in (self.mean, self.std)
        )
        if self.rounding:
            # Whole steps, which a float need not hold.
            mean = [round(self.mean[0] / self.scale) * self.factor] * channels
        return [(self.factor / s, m / self.factor) for m, s in zip(mean, std, strict=True)]

    def codes(self, pictures: npt.NDArray[Any]) -> tuple[npt.NDArray[np.float64], Fraction] | None:
        """Turn pixels (N, H, W, C) into integers (N, C, H, W) and what one step of them stands for;
        None where these would be no small integers."""
        lines = self.lines(pictures.shape[3])
        below = math.lcm(*(zero.denominator for _, zero in lines))
        factors, step = common_step([scale for scale, _ in lines])
        each = [below * factor for factor in factors]
        zeros = [n * zero for n, (_, zero) in zip(each, lines, strict=True)]
        if 255 * max(each) + max(map(abs, zeros)) >= MAX_CODE:
            return None
        planes = pictures.transpose(0, 3, 1, 2).astype(np.float64)
        numbers, offsets = (np.reshape(list(map(float, r)), (-1, 1, 1)) for r in (each, zeros))
        return planes * numbers - offsets, step / below

    @property
    def factor(self) -> Fraction:
        """The scale; 1/255 is meant as it is written, not as the float next to it."""
        inverse = round(1 / self.scale) if self.scale < 1 else 1
        return Fraction(1, inverse) if 1 / inverse == self.scale else Fraction(self.scale)

    def feed(self, pictures: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Turn pixels (N, H, W, C) into what the network reads, (N, C, H, W)."""
        exact = self.codes(pictures)
        if exact is not None:
            return multiples(*exact)
        planes = multiples(pictures.transpose(0, 3, 1, 2).astype(np.float64), self.factor)
        mean, std = (np.reshape(row, (-1, 1, 1)) for row in (self.mean, self.std))
        return (planes - mean) / std

    def describe(self) -> str:
        """The convention in words."""
        scaled = "raw pixels 0..255"
        if self.rounding or (any(self.mean) and len(self.mean) == 1 and not self.std[0] - 1):
            text = " * ".join(["byte", *([f"{self.scale:.9g}"] if self.scale != 1 else [])])
            less = f" - {self.mean[0]:.9g}" if any(self.mean) else ""
            return f"input: {text}{less} ({self.why})"
        if self.scale != 1:
            factor = self.factor
            whole = factor.numerator == 1
            scaled = f"pixel / {factor.denominator}" if whole else f"pixel * {self.scale:g}"
        if any(self.mean) or any(s != 1 for s in self.std):
            mean, std = (", ".join(f"{v:g}" for v in row) for row in (self.mean, self.std))
            scaled = f"({scaled} - mean {mean}) / std {std}"
        return f"input: {scaled} ({self.why})"

    def note(self, network: onnx.ModelProto, key: str = METADATA) -> None:
        """Write the convention into a network."""
        props = {p.key: p.value for p in network.metadata_props}
        helper.set_model_props(network, {**props, key: json.dumps(asdict(self))})


def noted(network: onnx.ModelProto, key: str = METADATA) -> Pixels | None:
    """Return what was noted in a network, None for nothing."""
    for entry in network.metadata_props:
        if entry.key == key:
            found = json.loads(entry.value)
            return Pixels(**{**found, "mean": tuple(found["mean"]), "std": tuple(found["std"])})
    return None


def pixels_of(network: onnx.ModelProto) -> Pixels:
    """Return what a network reads: as noted in it, as it declares, or as its first nodes tell."""
    return noted(network) or recognise(QonnxGraph(network))


def declared(datatype: str | None) -> Pixels | None:
    """Return what bytes stand for where an input is declared of a type of at most 8 bits; None for
    any other type. The least number is byte 0, of BIPOLAR byte 1 is 1."""
    why = f"declared {datatype}"
    if datatype in ("BIPOLAR", "TERNARY"):
        return Pixels(2.0 if datatype == "BIPOLAR" else 1.0, (1.0,), why=why)
    found = re.fullmatch(r"(UINT|INT|FIXED<)([1-9]\d?)(?:,(\d\d?)>)?", datatype or "")
    if datatype == "BINARY":
        return Pixels(why=why)
    if found is None or int(found[2]) > 8:
        return None
    step = 1.0
    if found[1] == "FIXED<":
        step = 2.0 ** (int(found[3]) - int(found[2]))
    below = 0 if found[1] == "UINT" else 1 << (int(found[2]) - 1)
    return Pixels(step, (below * step,), why=why)


def declared_of(graph: QonnxGraph) -> Pixels | None:
    """Return what the input is declared to be, None where it is not."""
    return declared(graph.datatype(graph.inputs[0].name)) if len(graph.inputs) == 1 else None


def recognise(graph: QonnxGraph) -> Pixels:
    """Return what a graph reads where nobody says it.

    Integers or fixed-point numbers as it is declared. Codes of its first quantiser where it reads
    no pictures: vectors, lines, other numbers of channels. Raw pixels where its first nodes divide
    by about 255 themselves, and where its first quantiser makes one code of all of 0..1: by steps
    of 1 or more, or by thresholds that all lie outside.
    Else pixel / 255, as torchvision's ToTensor gives.
    """
    known = declared_of(graph) or _codes(graph)
    if known is not None:
        return known
    for picture in graph.inputs:
        readers = graph.consumers[picture.name]
        if readers and all(_scales_itself(graph, node, picture.name) for node in readers):
            return Pixels(why="the graph scales pixels itself")
    return Pixels(1 / 255, why="not declared UINT8: pixel / 255 assumed; else use --input-scale")


def _codes(graph: QonnxGraph) -> Pixels | None:
    """Bytes as the codes of the quantiser that alone reads an input which is no picture."""
    if len(graph.inputs) != 1 or is_picture(graph.shape(graph.inputs[0].name)):
        return None
    return codes_of_first(graph)


def is_picture(shape: Sequence[int]) -> bool:
    """Whether an input (N, C, H, W) may be one that a picture file holds."""
    return len(shape) == 4 and shape[1] in (1, 3) and shape[2] > 1


def first_reader(graph: QonnxGraph) -> onnx.NodeProto | None:
    """The node that alone reads the input, behind those that move values only; None for several."""
    name = graph.inputs[0].name
    while True:
        readers = graph.consumers[name]
        if len(readers) != 1 or readers[0].input[0] != name:
            return None
        if readers[0].op_type not in MOVES:
            return readers[0]
        name = readers[0].output[0]


def codes_of_first(graph: QonnxGraph) -> Pixels | None:
    """What bytes stand for that are the codes of a Quant of at most 8 bits, which alone reads the
    input; None where there is none."""
    node = first_reader(graph)
    if node is None or node.op_type != "Quant":
        return None
    scale, zero, bits = (graph.scalar(value) for value in node.input[1:])
    given = graph.attributes(node)
    if scale is None or zero is None or bits is None or not 2 <= bits <= 8 or zero != round(zero):
        return None
    low, high = code_ends(bits, given.get("signed", 1), given.get("narrow", 1))
    if not -128 <= low <= 0 <= high <= 255:
        return None
    mode: Rounding = given.get("rounding_mode", "ROUND")
    why = f"codes of {node.name}, its least is byte 0"
    return Pixels(scale, ((zero - low) * scale,), (1.0,), why, mode, int(low), int(high))


def _scales_itself(graph: QonnxGraph, node: onnx.NodeProto, name: str) -> bool:
    factor = 1.0
    while True:
        if node.op_type in ("Quant", "IntQuant", "QuantizeLinear") and node.input[0] == name:
            step = graph.scalar(node.input[1])
            return factor <= RAW_FACTOR or (step is not None and factor == 1.0 and step >= 1)
        if node.op_type == MULTI_THRESHOLD:
            rows = graph.constant(node.input[1])
            # Of pixels / 255 it would make one code.
            outside = rows is not None and not ((rows > 0) & (rows <= 1)).any()
            return factor <= RAW_FACTOR or (factor == 1.0 and outside)
        if node.op_type not in (*SCALING, "Cast", "Identity", "Transpose"):
            return factor <= RAW_FACTOR
        if node.op_type in SCALING:
            operands = graph.operands(node)
            if operands is None or operands[0] != name:
                return factor <= RAW_FACTOR
            if node.op_type in ("Mul", "Div"):
                value = float(np.abs(operands[1]).max())
                factor *= value if node.op_type == "Mul" else 1 / max(value, 1e-30)
        name = node.output[0]
        readers = graph.consumers[name]
        if len(readers) != 1:
            return factor <= RAW_FACTOR
        (node,) = readers


def check_channels(pixels: Pixels, graph: QonnxGraph, channels: int) -> None:
    """Refuse a mean or std of another number of channels than the picture has.

    Raises:
        LoweringError: it has.
    """
    for label, row in (("mean", pixels.mean), ("std", pixels.std)):
        if len(row) not in (1, channels):
            raise LoweringError(
                graph.nodes[0],
                f"found {len(row)} values of --input-{label}, expected 1 or {channels}, one per "
                "channel of the picture",
            )
