# SPDX-License-Identifier: Apache-2.0
"""What a network reads of a picture: the raw pixel, pixel / 255, or one normalised by mean and std.

A network that is declared UINT8 reads 0..255. Any other file does not say it: what was assumed, or
asked for, is written into the network as metadata, and everything that feeds it reads it there.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from .factors import common_step
from .multi_threshold import OP as MULTI_THRESHOLD
from .qonnx_graph import LoweringError, QonnxGraph, multiples

METADATA = "andpop.pixels"
"""Model metadata key of the convention, JSON."""
RAW_FACTOR = 1 / 32
"""A factor up to here brings 0..255 down to single digits: whoever applies it wants raw pixels."""
SCALING = ("Add", "Sub", "Mul", "Div")


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
        if self.scale != 1:
            factor = self.factor
            whole = factor.numerator == 1
            scaled = f"pixel / {factor.denominator}" if whole else f"pixel * {self.scale:g}"
        if any(self.mean) or any(s != 1 for s in self.std):
            mean, std = (", ".join(f"{v:g}" for v in row) for row in (self.mean, self.std))
            scaled = f"({scaled} - mean {mean}) / std {std}"
        return f"input: {scaled} ({self.why})"

    def note(self, network: onnx.ModelProto) -> None:
        """Write the convention into a network."""
        props = {p.key: p.value for p in network.metadata_props}
        helper.set_model_props(network, {**props, METADATA: json.dumps(asdict(self))})


def pixels_of(network: onnx.ModelProto) -> Pixels:
    """Return what a network reads: as noted in it, as it declares, or as its first nodes tell."""
    for entry in network.metadata_props:
        if entry.key == METADATA:
            found = json.loads(entry.value)
            return Pixels(**{**found, "mean": tuple(found["mean"]), "std": tuple(found["std"])})
    return recognise(QonnxGraph(network))


def declares_raw(graph: QonnxGraph) -> bool:
    """Whether the input is declared UINT8."""
    return len(graph.inputs) == 1 and graph.datatype(graph.inputs[0].name) == "UINT8"


def recognise(graph: QonnxGraph) -> Pixels:
    """Return what a graph reads where nobody says it.

    Raw pixels where it is declared UINT8, where its first nodes divide by about 255 themselves,
    and where its first quantiser makes one code of all of 0..1: by steps of 1 or more, or by
    thresholds that all lie outside.
    Else pixel / 255, as torchvision's ToTensor gives.
    """
    if declares_raw(graph):
        return Pixels(why="declared UINT8")
    for picture in graph.inputs:
        readers = graph.consumers[picture.name]
        if readers and all(_scales_itself(graph, node, picture.name) for node in readers):
            return Pixels(why="the graph scales pixels itself")
    return Pixels(1 / 255, why="not declared UINT8: pixel / 255 assumed; else use --input-scale")


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
