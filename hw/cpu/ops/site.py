# SPDX-License-Identifier: Apache-2.0
"""What the checks of all steps share: a step with its tensors, constants and ranges in reach."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..plan import (
    GEOMETRY,
    MAX_AXIS,
    MAX_TENSOR_BYTES,
    MAX_WINDOW_BYTES,
    STORAGE,
    ModelError,
    Step,
    Tensor,
)

Range = tuple[int, int]
"""The smallest and the largest value of a tensor."""

INT8 = STORAGE["i8"]
INT32 = STORAGE["i32"]
INT64 = (-(1 << 63), (1 << 63) - 1)
INT128 = (-(1 << 127), (1 << 127) - 1)


def union(*ranges: Range) -> Range:
    """Return the range of tensors that become one."""
    return min(low for low, _ in ranges), max(high for _, high in ranges)


@dataclass(frozen=True)
class Site:
    """A step with its tensors and constants in reach, and the checks steps share.

    ``ranges`` holds the smallest and the largest value of each input.
    """

    where: str
    step: Step
    inputs: list[Tensor]
    outputs: list[Tensor]
    constants: Mapping[str, npt.NDArray[Any]]
    ranges: list[Range]

    def arity(self, inputs: tuple[int, ...], outputs: int, constants: tuple[str, ...] = ()) -> None:
        """Check the number of inputs (one of ``inputs``) and of outputs, and that the constants
        are exactly these."""
        if len(self.inputs) not in inputs or len(self.outputs) != outputs:
            raise ModelError(
                f"{self.where}: found {len(self.inputs)} inputs, {len(self.outputs)} outputs, "
                f"expected {' or '.join(map(str, inputs))}, {outputs}"
            )
        if set(self.constants) != set(constants):
            raise ModelError(
                f"{self.where}: found constants {sorted(self.constants)!s:.300}, "
                f"expected {sorted(constants)}; pack the model again with this version"
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

    def picture(self, tensor: Tensor, height: int, width: int, channels: int) -> None:
        """Check the shape of a picture."""
        if tensor.shape != [height, width, channels]:
            raise ModelError(
                f"{self.where}: found a tensor of shape {tensor.shape}, "
                f"expected {[height, width, channels]}"
            )

    def along(self, first: Tensor, *others: Tensor) -> None:
        """Check that tensors have the axes of the first one, whatever their channels."""
        for tensor in others:
            if tensor.shape[:-1] != first.shape[:-1]:
                raise ModelError(
                    f"{self.where}: found a tensor of shape {tensor.shape}, "
                    f"expected {[*first.shape[:-1], tensor.channels]}"
                )

    def same(self) -> None:
        """Check that all inputs and outputs have the shape of the first input."""
        for tensor in (*self.inputs, *self.outputs):
            if tensor.shape != self.inputs[0].shape:
                raise ModelError(
                    f"{self.where}: found a tensor of shape {tensor.shape}, "
                    f"expected {self.inputs[0].shape}"
                )

    def constant(self, name: str, shape: tuple[int, ...], dtype: type) -> npt.NDArray[Any]:
        """Return a constant of this shape and type."""
        array = self.constants[name]
        if array.shape != shape or array.dtype != np.dtype(dtype):
            raise ModelError(
                f"{self.where}: constant {self.step.constants[name]!r:.80} is {array.dtype} "
                f"{array.shape}, expected {np.dtype(dtype)} {shape}"
            )
        return array

    def fits(self, what: str, low: int, high: int, limits: Range = INT32) -> None:
        """Check that values from ``low`` to ``high`` fit their integers."""
        if low < limits[0] or high > limits[1]:
            raise ModelError(
                f"{self.where}: its {what} reach {low}..{high}, "
                f"expected {limits[0]}..{limits[1]}; its constants are damaged, pack it again"
            )

    def geometry(self) -> dict[str, int]:
        """Check kernel, stride, border and the sizes of the pictures read and written.

        Returns:
            The attributes.
        """
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
        # A window of one pixel reads tensors of any axes; all others know rows and columns.
        sides = [g["height"], g["width"]]
        of_rows = (
            window > 1 or padded > math.prod(sides) or sides != [g["out_height"], g["out_width"]]
        )
        read, written = self.inputs[0], self.outputs[0]
        if of_rows:
            self.picture(read, g["height"], g["width"], read.channels)
            self.picture(written, g["out_height"], g["out_width"], written.channels)
        else:
            self.size(read, math.prod(sides), read.channels)
            self.along(read, written)
        return g


Check = Callable[[Site], list[Range]]
"""Checks a step and returns the ranges of its outputs."""
