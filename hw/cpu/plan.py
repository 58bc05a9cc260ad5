# SPDX-License-Identifier: Apache-2.0
"""The packed model file: its layout, and the checks that make a plan safe to run.

A ``.andpop`` file is a safetensors container. Its metadata hold one entry, ``andpop``: a JSON
object of ``format``, ``version`` and ``plan`` (tensors, steps, inputs, outputs, card). Its tensors
are the constants of the steps, already in the order in which the kernels of ``src/kernels.hpp``
read them. The same graph and card give the same bytes. The C++ engine trusts a plan that passed
``Plan.check``; nothing else may reach it.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ...quant import grid

METADATA = "andpop"
FORMAT = "andpop-packed"
VERSION = 1
SUFFIX = ".andpop"

BIT_LANES = 8
INT_LANES = 16
INT_DEPTH = 4
PARAM_LANES = 16
THRESHOLD_LANES = 64
"""Layout constants, the same as in src/kernels.hpp."""

BYTE_CODES = 256
"""Entries of a table over byte codes."""

MAX_LEVELS = 1 << 16
"""Thresholds per channel of a file that is still taken for a network."""

STORAGE = {"bits": (0, 1), "u8": (0, 255), "i8": (-128, 127), "i32": (-(1 << 31), (1 << 31) - 1)}
"""What an element of each storage can hold."""

MAX_TENSOR_BYTES = 1 << 30
MAX_WINDOW_BYTES = 1 << 22
MAX_FILE_BYTES = 1 << 31
MAX_HEADER_CHARS = 1 << 22
MAX_TENSORS = 10_000
MAX_AXIS = 1 << 24
"""Limits of a file that is still taken for a network."""

GEOMETRY = (
    "height", "width", "out_height", "out_width", "kernel_y", "kernel_x", "stride_y", "stride_x",
    "dilation_y", "dilation_x", "pad_top", "pad_left", "pad_bottom", "pad_right",
)  # fmt: skip
EPILOGUE = (
    "acc_shift", "shortcut_shift", "pre_shift", "slope_shift", "out_shift",
    "acc_low", "acc_high", "pre_low", "pre_high",
)  # fmt: skip


class ModelError(ValueError):
    """A model or its input cannot be used; the message is one line for the user."""


def round_up(value: int, unit: int) -> int:
    """Return the smallest multiple of ``unit`` not below ``value``."""
    return -(-value // unit) * unit


@dataclass(frozen=True)
class DataType:
    """An integer datatype of the graph: its name and range."""

    name: str
    low: int
    high: int

    @classmethod
    def of(cls, name: str, where: str) -> DataType:
        """Parse a QONNX datatype name: BINARY, INTn or UINTn, within 32 bits."""
        try:
            low, high = grid.limits(*grid.type_format(name))
        except ValueError:
            low, high = 0, 0
        if low == high or low < STORAGE["i32"][0] or high > STORAGE["i32"][1]:
            raise ModelError(
                f"{where}: found datatype {name!r:.40}, "
                "expected BINARY, INT1..INT32 or UINT1..UINT31"
            )
        return cls(name, low, high)

    @property
    def storage(self) -> str:
        """The narrowest storage that holds it."""
        for storage, (low, high) in STORAGE.items():
            if storage == "bits" and self.name != "BINARY":
                continue
            if low <= self.low and self.high <= high:
                return storage
        raise ModelError(f"datatype {self.name} does not fit 32 bits")


@dataclass(frozen=True)
class Tensor:
    """A tensor of one picture: ``shape`` without the batch axis, channels last.

    ``names`` are the tensors of the dataflow graph that carry these values (a stream and its
    copies); a tensor that only the plan needs has none.
    """

    names: list[str]
    shape: list[int]
    datatype: str
    storage: str

    @property
    def channels(self) -> int:
        """Size of the last axis."""
        return self.shape[-1]

    @property
    def pixels(self) -> int:
        """Elements of all other axes."""
        return math.prod(self.shape[:-1])

    @property
    def pixel_bytes(self) -> int:
        """Bytes of the channels of one pixel."""
        if self.storage == "bits":
            return round_up(self.channels, 8) // 8
        return self.channels * (4 if self.storage == "i32" else 1)

    @property
    def bytes(self) -> int:
        """Bytes of the tensor for one picture."""
        return self.pixels * self.pixel_bytes


@dataclass(frozen=True)
class Step:
    """One operation of the engine on tensors (by index) and constants (by name in the file)."""

    op: str
    node: str
    inputs: list[int]
    outputs: list[int]
    attributes: dict[str, int] = field(default_factory=dict)
    constants: list[str] = field(default_factory=list)


@dataclass
class Plan:
    """Everything but the constants: what the engine computes, in order."""

    name: str
    tensors: list[Tensor]
    steps: list[Step]
    inputs: list[int]
    outputs: list[int]
    card: dict[str, Any] | None = None

    def check(self, constants: Mapping[str, npt.NDArray[Any]]) -> None:
        """Check that every access of the engine stays inside its tensors and constants.

        Raises:
            ModelError: the plan contradicts itself or the constants; names the step.
        """
        if len(self.tensors) > MAX_TENSORS or len(self.steps) > MAX_TENSORS:
            raise ModelError(
                f"plan: found {len(self.tensors)} tensors and {len(self.steps)} steps, "
                f"expected at most {MAX_TENSORS} of each"
            )
        for i, tensor in enumerate(self.tensors):
            _check_tensor(i, tensor)
        if sum(t.bytes for t in self.tensors) > MAX_TENSOR_BYTES:
            raise ModelError(f"plan: its tensors need more than {MAX_TENSOR_BYTES} bytes a picture")
        written: set[int] = set()
        for i in self.inputs:
            self._write(i, written, "plan inputs")
            if not self.tensors[i].names:
                raise ModelError(f"plan inputs: tensor {i} has no name")
        if not self.inputs:
            raise ModelError("plan inputs: found none, expected at least 1")
        for step in self.steps:
            where = f"plan step {step.node!r:.80} ({step.op:.40})"
            if step.op not in CHECKS:
                raise ModelError(
                    f"{where}: unknown op, expected one of {', '.join(sorted(CHECKS))}; "
                    "pack the model again with this version"
                )
            for i in step.inputs:
                if i not in written:
                    raise ModelError(f"{where}: reads tensor {i}, which no earlier step writes")
            for i in step.outputs:
                self._write(i, written, where)
            missing = [name for name in step.constants if name not in constants]
            if missing:
                raise ModelError(f"{where}: constant {missing[0]!r:.80} is not in the file")
            site = Site(
                where,
                step,
                [self.tensors[i] for i in step.inputs],
                [self.tensors[i] for i in step.outputs],
                [constants[name] for name in step.constants],
            )
            CHECKS[step.op](site)
        for i in self.outputs:
            if i not in written:
                raise ModelError(f"plan: output tensor {i} is written by no step")

    def _write(self, tensor: int, written: set[int], where: str) -> None:
        if not 0 <= tensor < len(self.tensors):
            raise ModelError(f"{where}: found tensor {tensor}, expected 0..{len(self.tensors) - 1}")
        if tensor in written:
            raise ModelError(f"{where}: tensor {tensor} is written twice")
        written.add(tensor)


def _check_tensor(index: int, tensor: Tensor) -> None:
    if tensor.storage not in STORAGE:
        raise ModelError(
            f"plan tensor {index}: found storage {tensor.storage!r:.40}, "
            f"expected one of {', '.join(STORAGE)}"
        )
    DataType.of(tensor.datatype, f"plan tensor {index}")
    if not tensor.shape or not all(1 <= n <= MAX_AXIS for n in tensor.shape):
        raise ModelError(
            f"plan tensor {index}: found shape {tensor.shape!s:.80}, "
            f"expected sizes of 1..{MAX_AXIS}"
        )
    if tensor.bytes > MAX_TENSOR_BYTES:
        raise ModelError(
            f"plan tensor {index}: shape {tensor.shape!s:.80} needs {tensor.bytes} bytes, "
            f"expected at most {MAX_TENSOR_BYTES}"
        )


@dataclass(frozen=True)
class Site:
    """A step with its tensors and constants in reach, and the checks steps share."""

    where: str
    step: Step
    inputs: list[Tensor]
    outputs: list[Tensor]
    constants: list[npt.NDArray[Any]]

    def arity(self, inputs: tuple[int, ...], outputs: int, constants: int) -> None:
        """Check the number of inputs (one of ``inputs``), outputs and constants."""
        found = (len(self.inputs), len(self.outputs), len(self.constants))
        if found[0] not in inputs or found[1:] != (outputs, constants):
            raise ModelError(
                f"{self.where}: found {found[0]} inputs, {found[1]} outputs, {found[2]} constants, "
                f"expected {' or '.join(map(str, inputs))}, {outputs}, {constants}"
            )

    def attributes(self, names: tuple[str, ...]) -> list[int]:
        """Return the attributes in order; they must be exactly these."""
        if set(self.step.attributes) != set(names):
            raise ModelError(
                f"{self.where}: found attributes {sorted(self.step.attributes)!s:.300}, "
                f"expected {sorted(names)}"
            )
        return [self.step.attributes[n] for n in names]

    def within(self, name: str, low: int, high: int) -> None:
        """Check that an attribute lies in ``low..high``."""
        value = self.step.attributes[name]
        if not low <= value <= high:
            raise ModelError(f"{self.where}: found {name} {value}, expected {low}..{high}")

    def stores(self, tensor: Tensor, *storages: str) -> None:
        """Check a tensor's storage."""
        if tensor.storage not in storages:
            raise ModelError(
                f"{self.where}: found a tensor in {tensor.storage}, "
                f"expected {' or '.join(storages)}"
            )

    def size(self, tensor: Tensor, pixels: int, channels: int) -> None:
        """Check a tensor's size."""
        if (tensor.pixels, tensor.channels) != (pixels, channels):
            raise ModelError(
                f"{self.where}: found a tensor of {tensor.pixels} pixels x {tensor.channels} "
                f"channels, expected {pixels} x {channels}"
            )

    def same(self) -> None:
        """Check that all inputs and outputs have the size of the first input."""
        for tensor in (*self.inputs, *self.outputs):
            self.size(tensor, self.inputs[0].pixels, self.inputs[0].channels)

    def constant(self, index: int, shape: tuple[int, ...], dtype: type) -> None:
        """Check a constant's shape and type."""
        array = self.constants[index]
        if array.shape != shape or array.dtype != np.dtype(dtype):
            raise ModelError(
                f"{self.where}: constant {self.step.constants[index]!r:.80} is {array.dtype} "
                f"{array.shape}, expected {np.dtype(dtype)} {shape}"
            )

    def geometry(self) -> dict[str, int]:
        """Check kernel, stride, border and the sizes that follow from them; return them."""
        self.attributes(GEOMETRY)
        g = self.step.attributes
        for name in GEOMETRY:
            self.within(name, 0 if name.startswith("pad") else 1, MAX_AXIS)
        for axis, size, before, after in (
            ("y", "height", "pad_top", "pad_bottom"),
            ("x", "width", "pad_left", "pad_right"),
        ):
            extent = g[f"dilation_{axis}"] * (g[f"kernel_{axis}"] - 1) + 1
            room = g[size] + g[before] + g[after] - extent
            expected = room // g[f"stride_{axis}"] + 1
            if room < 0 or g[f"out_{size}"] != expected:
                raise ModelError(
                    f"{self.where}: found out_{size} {g[f'out_{size}']}, expected {expected} from "
                    f"{size} {g[size]}, border {g[before]}+{g[after]}, kernel {extent}"
                )
        padded = (g["height"] + g["pad_top"] + g["pad_bottom"]) * (
            g["width"] + g["pad_left"] + g["pad_right"]
        )
        window = g["kernel_y"] * g["kernel_x"]
        for what, pixels, limit in (
            ("picture with its border", padded, MAX_TENSOR_BYTES),
            ("window", window, MAX_WINDOW_BYTES),
        ):
            if pixels * self.inputs[0].pixel_bytes > limit:
                raise ModelError(f"{self.where}: its {what} needs more than {limit} bytes")
        self.size(self.inputs[0], g["height"] * g["width"], self.inputs[0].channels)
        return g


def _bit_convolution(s: Site) -> None:
    s.arity((1,), 1, 1)
    g = s.geometry()
    s.stores(s.inputs[0], "bits")
    s.stores(s.outputs[0], "i32")
    channels = s.outputs[0].channels
    s.size(s.outputs[0], g["out_height"] * g["out_width"], channels)
    window = g["kernel_y"] * g["kernel_x"] * s.inputs[0].pixel_bytes
    words = round_up(window, 8) // 8
    s.constant(0, (round_up(channels, BIT_LANES) // BIT_LANES, words, BIT_LANES), np.uint64)


def _int_convolution(s: Site) -> None:
    s.arity((1,), 1, 2)
    g = s.geometry()
    s.stores(s.inputs[0], "u8", "i8")
    s.stores(s.outputs[0], "i32")
    channels = s.outputs[0].channels
    s.size(s.outputs[0], g["out_height"] * g["out_width"], channels)
    groups = round_up(g["kernel_y"] * g["kernel_x"] * s.inputs[0].channels, INT_DEPTH) // INT_DEPTH
    blocks = round_up(channels, INT_LANES) // INT_LANES
    s.constant(0, (blocks, groups, INT_LANES, INT_DEPTH), np.int8)
    s.constant(1, (blocks * INT_LANES,), np.int32)


def _wide_product(s: Site) -> None:
    s.arity((1,), 1, 2)
    s.attributes(())
    s.stores(s.inputs[0], "i32")
    s.stores(s.outputs[0], "i32")
    s.size(s.outputs[0], s.inputs[0].pixels, s.outputs[0].channels)
    s.constant(0, (s.inputs[0].channels, s.outputs[0].channels), np.int32)
    s.constant(1, (s.outputs[0].channels,), np.int32)


def _epilogue_tensors(s: Site, narrow: str) -> None:
    s.same()
    s.stores(s.inputs[0], "i32")
    s.stores(s.outputs[0], narrow)
    for shortcut in s.inputs[1:]:
        s.stores(shortcut, narrow)


def _epilogue(s: Site) -> None:
    s.arity((1, 2), 1, 1)
    s.attributes(EPILOGUE)
    _epilogue_tensors(s, "i8")
    for name in EPILOGUE:
        s.within(name, *((0, 30) if name.endswith("shift") else STORAGE["i32"]))
    s.constant(0, (5, round_up(s.inputs[0].channels, PARAM_LANES)), np.int32)


def _wide_epilogue(s: Site) -> None:
    s.arity((1, 2), 1, 1)
    names = (*EPILOGUE, "out_low", "out_high")
    s.attributes(names)
    _epilogue_tensors(s, "i32")
    for name in names:
        limit = 1 << 62
        s.within(name, *((0, 62) if name.endswith("shift") else (-limit, limit)))
    for kind in ("acc", "pre", "out"):
        if s.step.attributes[f"{kind}_low"] > s.step.attributes[f"{kind}_high"]:
            raise ModelError(f"{s.where}: {kind}_low lies above {kind}_high")
    s.constant(0, (5, s.inputs[0].channels), np.int64)


def _sign(s: Site) -> None:
    s.arity((1,), 1, 2)
    s.attributes(())
    s.same()
    s.stores(s.inputs[0], "i8")
    s.stores(s.outputs[0], "bits")
    lanes = round_up(s.inputs[0].channels, THRESHOLD_LANES)
    s.constant(0, (lanes,), np.int8)
    s.constant(1, (lanes // 8,), np.uint8)


def _thresholds(s: Site) -> None:
    s.arity((1,), 1, 1)
    steps, _ = s.attributes(("steps", "base"))
    s.within("steps", 1, MAX_LEVELS)
    s.within("base", -(1 << 30), 1 << 30)
    s.same()
    s.stores(s.inputs[0], "i32")
    s.stores(s.outputs[0], "i32")
    s.constant(0, (s.inputs[0].channels, steps), np.int32)


def _levels(s: Site) -> None:
    s.arity((1,), 1, 3)
    (count,) = s.attributes(("steps",))
    s.within("steps", 1, MAX_LEVELS)
    s.same()
    s.stores(s.inputs[0], "i8")
    s.stores(s.outputs[0], "u8", "i8")
    lanes = round_up(s.inputs[0].channels, THRESHOLD_LANES)
    s.constant(0, (count, lanes), np.int8)
    s.constant(1, (count, lanes), np.uint8)
    s.constant(2, (lanes,), np.uint8)


def _acc_levels(s: Site) -> None:
    s.arity((1,), 1, 3)
    (count,) = s.attributes(("steps",))
    s.within("steps", 1, MAX_LEVELS)
    s.same()
    s.stores(s.inputs[0], "i32")
    s.stores(s.outputs[0], "u8", "i8")
    lanes = round_up(s.inputs[0].channels, PARAM_LANES)
    s.constant(0, (count, lanes), np.int32)
    s.constant(1, (count, lanes), np.int32)
    s.constant(2, (lanes,), np.int32)


def _search_levels(s: Site) -> None:
    s.arity((1,), 1, 2)
    (bits,) = s.attributes(("bits",))
    s.within("bits", 1, (MAX_LEVELS - 1).bit_length())
    s.same()
    s.stores(s.inputs[0], "i32")
    s.stores(s.outputs[0], "u8", "i8")
    lanes = round_up(s.inputs[0].channels, PARAM_LANES)
    s.constant(0, (lanes, 1 << bits), np.int32)
    s.constant(1, (lanes, 1 << bits), np.uint8)


def _wide_levels(s: Site) -> None:
    s.arity((1,), 1, 3)
    (count,) = s.attributes(("steps",))
    s.within("steps", 1, MAX_LEVELS)
    s.same()
    s.stores(s.inputs[0], "i32")
    s.stores(s.outputs[0], "i32")
    channels = s.inputs[0].channels
    s.constant(0, (channels, count), np.int32)
    s.constant(1, (channels, count), np.int32)
    s.constant(2, (channels,), np.int32)


def _lookup(s: Site) -> None:
    s.arity((1,), 1, 1)
    s.attributes(("levels",))
    s.within("levels", 1, BYTE_CODES)
    s.same()
    s.stores(s.inputs[0], "u8")
    s.stores(s.outputs[0], "u8", "i32")
    # An entry for every byte there is: no code can reach behind the table.
    s.constant(0, (BYTE_CODES,), np.uint8 if s.outputs[0].storage == "u8" else np.int32)


def _cast(s: Site) -> None:
    s.arity((1,), 1, 0)
    s.attributes(())
    s.same()


def _max_pool(s: Site) -> None:
    s.arity((1,), 1, 0)
    g = s.geometry()
    s.stores(s.outputs[0], s.inputs[0].storage)
    s.size(s.outputs[0], g["out_height"] * g["out_width"], s.inputs[0].channels)
    for axis, size, before in (("y", "height", "pad_top"), ("x", "width", "pad_left")):
        s.within(f"dilation_{axis}", 1, 1)
        last = (g[f"out_{size}"] - 1) * g[f"stride_{axis}"] - g[before]
        if g[before] >= g[f"kernel_{axis}"] or last >= g[size]:
            raise ModelError(f"{s.where}: a window lies wholly in the border; make it narrower")


def _border(s: Site) -> dict[str, int]:
    """Check a picture that gets a border; returns its geometry."""
    s.arity((1,), 1, 0)
    g = s.geometry()
    s.stores(s.outputs[0], s.inputs[0].storage)
    for axis in ("y", "x"):
        for name in ("kernel", "stride", "dilation"):
            s.within(f"{name}_{axis}", 1, 1)
    s.size(s.outputs[0], g["out_height"] * g["out_width"], s.inputs[0].channels)
    return g


def _pad(s: Site) -> None:
    _border(s)


def _reflect(s: Site) -> None:
    g = _border(s)
    for name, size in (
        ("pad_top", g["height"]),
        ("pad_bottom", g["height"]),
        ("pad_left", g["width"]),
        ("pad_right", g["width"]),
    ):
        s.within(name, 0, size - 1)


def _crop(s: Site) -> None:
    s.arity((1,), 1, 0)
    names = ("height", "width", "top", "left", "bottom", "right")
    height, width, top, left, bottom, right = s.attributes(names)
    for name in ("height", "width"):
        s.within(name, 1, MAX_AXIS)
    for name, size in (("top", height), ("left", width), ("bottom", height), ("right", width)):
        s.within(name, 0, size - 1)
    rows, columns = height - top - bottom, width - left - right
    if min(rows, columns) < 1:
        raise ModelError(f"{s.where}: nothing is left of {height}x{width} pixels")
    s.stores(s.outputs[0], s.inputs[0].storage)
    s.size(s.inputs[0], height * width, s.inputs[0].channels)
    s.size(s.outputs[0], rows * columns, s.inputs[0].channels)


def _interleave(s: Site) -> None:
    s.arity((1,), 1, 0)
    height, width = s.attributes(("height", "width"))
    for name in ("height", "width"):
        s.within(name, 1, MAX_AXIS)
    s.stores(s.inputs[0], "u8", "i8", "i32")
    s.stores(s.outputs[0], s.inputs[0].storage)
    s.size(s.inputs[0], height * width, 4 * s.outputs[0].channels)
    s.size(s.outputs[0], 4 * height * width, s.outputs[0].channels)


def _windows(s: Site) -> None:
    s.arity((1,), 1, 0)
    g = s.geometry()
    for name in ("pad_top", "pad_left", "pad_bottom", "pad_right"):
        s.within(name, 0, 0)
    s.stores(s.inputs[0], "u8", "i8", "i32")
    s.stores(s.outputs[0], s.inputs[0].storage)
    channels = g["kernel_y"] * g["kernel_x"] * s.inputs[0].channels
    s.size(s.outputs[0], g["out_height"] * g["out_width"], channels)


def _split(s: Site) -> None:
    s.arity((1,), len(s.outputs), 0)
    s.attributes(())
    for tensor in s.outputs:
        s.stores(s.inputs[0], "u8", "i8", "i32")
        s.stores(tensor, s.inputs[0].storage)
        s.size(tensor, s.inputs[0].pixels, tensor.channels)
    if sum(t.channels for t in s.outputs) != s.inputs[0].channels:
        raise ModelError(
            f"{s.where}: found outputs of {[t.channels for t in s.outputs]} channels, "
            f"expected {s.inputs[0].channels} together"
        )


def _concat(s: Site) -> None:
    s.arity((max(len(s.inputs), 1),), 1, 0)
    s.attributes(())
    s.stores(s.inputs[0], "u8", "i8", "i32")
    for tensor in s.inputs:
        s.stores(tensor, s.inputs[0].storage)
        s.size(tensor, s.inputs[0].pixels, tensor.channels)
    s.stores(s.outputs[0], s.inputs[0].storage)
    s.size(s.outputs[0], s.inputs[0].pixels, sum(t.channels for t in s.inputs))


def _shuffle(s: Site) -> None:
    s.arity((2,), 1, 0)
    s.attributes(())
    for tensor in (*s.inputs, *s.outputs):
        s.stores(s.inputs[0], "u8", "i8", "i32")
        s.stores(tensor, s.inputs[0].storage)
    s.size(s.inputs[1], s.inputs[0].pixels, s.inputs[0].channels)
    s.size(s.outputs[0], s.inputs[0].pixels, 2 * s.inputs[0].channels)


def _sum_pool(s: Site) -> None:
    s.arity((1,), 1, 0)
    s.attributes(())
    s.stores(s.inputs[0], "u8", "i8", "i32")
    s.stores(s.outputs[0], "i32")
    s.size(s.outputs[0], 1, s.inputs[0].channels)


def _requantise(s: Site) -> None:
    s.arity((1, 2), 1, 0)
    s.attributes(("shift", "shortcut_shift"))
    s.within("shift", 0, 30)
    s.within("shortcut_shift", 0, 30)
    s.same()
    s.stores(s.inputs[0], "i32")
    for shortcut in s.inputs[1:]:
        s.stores(shortcut, "i8")
    s.stores(s.outputs[0], "i8")


def _shift(s: Site) -> None:
    s.arity((1, 2), 1, 0)
    names = ("low", "high", "shift", "shortcut_shift")
    low, high, *_ = s.attributes(names[: 2 + len(s.inputs)])
    s.within("shift", 0, 62)
    s.within("low", *STORAGE["i32"])
    s.within("high", low, STORAGE["i32"][1])
    if len(s.inputs) > 1:
        s.within("shortcut_shift", 0, 30)
    s.same()
    for tensor in (*s.inputs, *s.outputs):
        s.stores(tensor, "i32")


def _argmax(s: Site) -> None:
    s.arity((1,), 1, 0)
    s.attributes(())
    s.stores(s.inputs[0], "i32")
    s.stores(s.outputs[0], "i32")
    s.size(s.outputs[0], s.inputs[0].pixels, 1)


CHECKS: dict[str, Callable[[Site], None]] = {
    "bit_convolution": _bit_convolution,
    "int_convolution": _int_convolution,
    "wide_product": _wide_product,
    "epilogue": _epilogue,
    "wide_epilogue": _wide_epilogue,
    "sign": _sign,
    "thresholds": _thresholds,
    "levels": _levels,
    "acc_levels": _acc_levels,
    "search_levels": _search_levels,
    "wide_levels": _wide_levels,
    "lookup": _lookup,
    "cast": _cast,
    "max_pool": _max_pool,
    "pad": _pad,
    "reflect": _reflect,
    "crop": _crop,
    "interleave": _interleave,
    "windows": _windows,
    "split": _split,
    "concat": _concat,
    "shuffle": _shuffle,
    "sum_pool": _sum_pool,
    "requantise": _requantise,
    "shift": _shift,
    "argmax": _argmax,
}
"""The ops of a plan with their checks; src/steps.cpp holds the same list."""


def write(path: Path, plan: Plan, constants: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write a packed model; an existing file is replaced whole or not at all.

    Raises:
        ModelError: the plan does not pass its checks.
        OSError: the folder cannot be written.
    """
    plan.check(constants)
    header = json.dumps({"format": FORMAT, "version": VERSION, "plan": asdict(plan)})
    if len(header) > MAX_HEADER_CHARS:
        raise ModelError(
            f"{path}: its plan and card need {len(header)} characters, "
            f"expected at most {MAX_HEADER_CHARS}"
        )
    data = save({n: np.ascontiguousarray(a) for n, a in constants.items()}, {METADATA: header})
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        Path(name).chmod(0o666 & ~umask)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def read(path: Path) -> tuple[Plan, dict[str, npt.NDArray[Any]]]:
    """Read a packed model and check it.

    Raises:
        ModelError: the file is missing, truncated, of another kind or version, or inconsistent.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from error
    if size > MAX_FILE_BYTES:
        raise ModelError(f"{path}: found {size} bytes, expected at most {MAX_FILE_BYTES}")
    try:
        with safe_open(str(path), framework="np") as file:
            document = _header(path, file.metadata() or {})
            constants = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except ModelError:
        raise
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(
            f"{path}: not a packed model ({reason}); expected a complete {SUFFIX} file "
            "written by andpop build"
        ) from error
    try:
        plan = _parse(document)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ModelError(f"{path}: its plan cannot be read ({error}); pack it again") from error
    try:
        plan.check(constants)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    return plan, constants


def _header(path: Path, metadata: Mapping[str, str]) -> Any:
    """Return the plan's JSON after checking format and version."""
    text = metadata.get(METADATA, "{}")
    if len(text) > MAX_HEADER_CHARS:
        raise ModelError(
            f"{path}: found a header of {len(text)} characters, expected at most {MAX_HEADER_CHARS}"
        )
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelError(
            f"{path}: its header is no JSON ({error}); pack the model again"
        ) from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise ModelError(
            f"{path}: no packed model, expected format {FORMAT!r} in its header; "
            "checkpoints and graphs are packed by andpop build"
        )
    if header.get("version") != VERSION:
        raise ModelError(
            f"{path}: found packed version {header.get('version')!r:.40}, expected {VERSION}; "
            "pack the model again with this version of andpop"
        )
    return header.get("plan")


def _parse(document: Any) -> Plan:
    """Build a plan from JSON, refusing every value of another type."""

    def text(value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError(f"found {value!r:.40}, expected text")
        return value

    def number(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"found {value!r:.40}, expected an integer")
        return value

    def items(value: Any, read_one: Callable[[Any], Any]) -> list[Any]:
        if not isinstance(value, list):
            raise ValueError(f"found {value!r:.40}, expected a list")
        return [read_one(v) for v in value]

    def tensor(value: Any) -> Tensor:
        return Tensor(
            items(value["names"], text),
            items(value["shape"], number),
            text(value["datatype"]),
            text(value["storage"]),
        )

    def step(value: Any) -> Step:
        return Step(
            text(value["op"]),
            text(value["node"]),
            items(value["inputs"], number),
            items(value["outputs"], number),
            {text(k): number(v) for k, v in value["attributes"].items()},
            items(value["constants"], text),
        )

    card = document["card"]
    if card is not None and not isinstance(card, dict):
        raise ValueError(f"found card {card!r:.40}, expected an object")
    return Plan(
        text(document["name"]),
        items(document["tensors"], tensor),
        items(document["steps"], step),
        items(document["inputs"], number),
        items(document["outputs"], number),
        card,
    )
