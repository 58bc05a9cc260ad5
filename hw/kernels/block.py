# SPDX-License-Identifier: Apache-2.0
"""What fused blocks share that walk over a picture of words: geometry, steps, pace, constants."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np

from ...quant.grid import IntArray
from .facts import Geometry
from .fused import Fused
from .places import PLACES
from .walk import Ring, Walk, ring_of


class Block(Fused):
    """A layer of windows in one core, whose input lies in a ring of words that is read in place.

    A subclass says what it takes and how long an output pixel takes; see `Walk`.
    """

    lanes = {"SIMD": "IFMChannels", "PE": "OFMChannels"}
    places = dict.fromkeys(("rom", "line_ram"), PLACES[1:])
    registers_output = True
    registers_ready = True
    reads_ahead = True
    attributes = {
        "IFMChannels": ("i", True, 0),
        "OFMChannels": ("i", True, 0),
        "SIMD": ("i", True, 0),
        "PE": ("i", True, 0),
        "IFMDim": ("ints", True, []),
        "OFMDim": ("ints", True, []),
        "KernelDim": ("ints", True, []),
        "Stride": ("ints", True, []),
        "Padding": ("ints", True, []),
        "inputDataType": ("s", True, ""),
        "outputDataType": ("s", True, ""),
        "rom": ("s", False, "auto", set(PLACES)),
        "line_ram": ("s", False, "auto", set(PLACES)),
    }

    @abstractmethod
    def compute_cycles(self) -> int:
        """Cycles of an output pixel."""

    def input_lanes(self) -> int:
        """Channels of an input word."""
        return 1

    def sparing(self) -> bool:
        """See `ring_of`."""
        return False

    def numbers(self, name: str) -> tuple[int, ...]:
        """An attribute of several integers."""
        return tuple(int(n) for n in self.get_nodeattr(name))

    def number(self, name: str) -> int:
        """An attribute that is one integer."""
        return int(self.get_nodeattr(name))

    def last_needed(self, pixels_in: int, pixels_out: int) -> IntArray:
        """A window needs its last pixel, or that of the picture where it ends in the border."""
        (height, width), (rows, columns) = self.numbers("IFMDim"), self.numbers("OFMDim")
        (kernel_y, kernel_x), (stride_y, stride_x) = map(self.numbers, ("KernelDim", "Stride"))
        top, left, _, _ = self.numbers("Padding")
        return Geometry(
            np.minimum(np.arange(rows) * stride_y - top + kernel_y, height) - 1,
            np.minimum(np.arange(columns) * stride_x - left + kernel_x, width) - 1,
            width,
        ).last_needed()

    def inputs(self) -> int:
        """Inputs of a sum: MW of the matrix product."""
        return int(np.prod(self.numbers("KernelDim"))) * self.number("IFMChannels")

    def folds(self) -> int:
        """Groups of outputs."""
        return -(-self.number("OFMChannels") // self.number("PE"))

    def steps(self) -> int:
        """Steps of an output pixel: weight words."""
        return self.inputs() // self.number("SIMD") * self.folds()

    def walk(self, compute: int | None = None) -> Walk:
        """The geometry and the cycles of both ends; ``compute`` in place of `compute_cycles`."""
        (height, width), (rows, columns) = self.numbers("IFMDim"), self.numbers("OFMDim")
        kernel_y, kernel_x = self.numbers("KernelDim")
        stride_y, stride_x = self.numbers("Stride")
        top, left, _, _ = self.numbers("Padding")
        channels = self.number("IFMChannels")
        return Walk(
            height, width, rows, columns, kernel_y, kernel_x, stride_y, stride_x, top, left,
            channels // self.number("SIMD"), channels // self.input_lanes(),
            self.compute_cycles() if compute is None else compute,
        )  # fmt: skip

    def ring(self, compute: int | None = None) -> Ring:
        """The line memory and the pace that it allows; see `walk`."""
        return ring_of(self.walk(compute), self.sparing())

    def cycles(self) -> int:
        """The slower of reading and computing, or what the line memory allows."""
        return self.ring().cycles

    def geometry_refusals(self) -> list[str]:
        """Say why there is no such walk, one line each; empty where there is one."""
        top, left, bottom, right = self.numbers("Padding")
        kernel, stride, dim = (self.numbers(n) for n in ("KernelDim", "Stride", "IFMDim"))
        expected = tuple(
            (size + border - k) // s + 1
            for size, border, k, s in zip(
                dim, (top + bottom, left + right), kernel, stride, strict=True
            )
        )
        out = self.numbers("OFMDim")
        borders = zip((top, bottom, left, right), (*[kernel[0]] * 2, *[kernel[1]] * 2), strict=True)
        if out == expected and min(expected) >= 1 and all(b < k for b, k in borders):
            return []
        return [
            f"found OFMDim {out} of {dim}, kernel {kernel}, stride {stride}, padding "
            f"{(top, left, bottom, right)}, expected {expected} of at least 1 and borders "
            "narrower than the kernel"
        ]

    def walk_parameters(self) -> dict[str, int | str]:
        """The RTL parameters of the walk."""
        walk, ring = self.walk(), self.ring()
        return {
            "Channels": self.number("IFMChannels"),
            "Outputs": self.number("OFMChannels"),
            "Height": walk.height,
            "Width": walk.width,
            "OutHeight": walk.out_height,
            "OutWidth": walk.out_width,
            "KernelY": walk.kernel_y,
            "KernelX": walk.kernel_x,
            "StrideY": walk.stride_y,
            "StrideX": walk.stride_x,
            "PadTop": walk.pad_top,
            "PadLeft": walk.pad_left,
            "Simd": self.number("SIMD"),
            "Pe": self.number("PE"),
            "LineAddress": ring.address_bits,
            "Slack": ring.slack,
        }

    def constant(self, model: Any, index: int, shape: tuple[int, ...]) -> IntArray:
        """Return the integers of input ``index``.

        Raises:
            ValueError: it is no constant of ``shape``.
        """
        tensor = self.onnx_node.input[index]
        value = model.get_initializer(tensor)
        if value is None or value.shape != shape:
            found = "no initializer" if value is None else f"shape {value.shape}"
            raise ValueError(
                f"{self.onnx_node.name}: {tensor} has {found}, expected an initializer of shape "
                f"{shape}"
            )
        rounded: IntArray = np.rint(value).astype(np.int64)
        return rounded
