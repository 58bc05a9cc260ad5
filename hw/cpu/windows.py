# SPDX-License-Identifier: Apache-2.0
"""Windows over pictures, and what a matrix product reads through them.

Padding and sliding window in front of a product become its addressing when nothing else reads
them: the product reads the picture itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .packer import IntArray, Node, Packer
from .plan import GEOMETRY, ModelError

PADDING = "FMPadding"
WINDOW = "ConvolutionInputGenerator"


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

    @property
    def taps(self) -> int:
        """Pixels of a window."""
        return self.kernel_y * self.kernel_x

    def padded(self, padding: list[int]) -> Geometry:
        """Set the border [top, left, bottom, right]; returns itself."""
        self.pad_top, self.pad_left, self.pad_bottom, self.pad_right = padding
        return self

    def attributes(self) -> dict[str, int]:
        """The attributes of a plan step."""
        return {name: int(getattr(self, name)) for name in GEOMETRY}


def check_picture(p: Packer, node: Node, index: int, size: list[int]) -> None:
    """Check that a tensor is a picture of the stated height and width."""
    shape = p.at(index).shape
    if len(shape) != 3 or shape[:2] != size:
        raise ModelError(f"{node.where}: found input {shape}, expected height and width {size}")


def bordered(p: Packer, node: Node, index: int) -> Geometry:
    """Return the geometry of a node that puts a border around a picture."""
    size = node.ints("ImgDim", 2)
    check_picture(p, node, index, size)
    return Geometry(*size).padded(node.ints("Padding", 4))


def set_window(node: Node, geometry: Geometry) -> None:
    """Add a sliding window to a geometry."""
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


def taken_in(p: Packer, node: Node) -> list[Node]:
    """Return the window in front of a product, and the padding in front of that, as far as they
    are there and nothing else reads them."""
    window = p.before(node, WINDOW)
    if window is None:
        return []
    padding = p.before(window, PADDING)
    return [window] if padding is None else [window, padding]


@dataclass(frozen=True)
class Source:
    """What a matrix product reads.

    Attributes:
        index: its input tensor.
        geometry: windows over that tensor.
        leading: axes of the result in front of its channels.
    """

    index: int
    geometry: Geometry
    leading: list[int]


def product_source(p: Packer, node: Node, reads_windows: bool = True) -> Source:
    """Return what a matrix product reads."""
    found = taken_in(p, node) if reads_windows else []
    if not found:
        index = p.read(node)
        shape = p.at(index).shape
        # A product without a window is a 1x1 convolution over a picture of one row.
        return Source(index, Geometry(1, math.prod(shape[:-1])), list(shape[:-1]))
    window, *padding = found
    if padding:
        index = p.read(padding[0])
        geometry = bordered(p, padding[0], index)
    else:
        index = p.read(window)
        geometry = Geometry(*window.ints("IFMDim", 2))
        check_picture(p, window, index, [geometry.height, geometry.width])
    set_window(window, geometry)
    return Source(index, geometry, [geometry.out_height, geometry.out_width])


def product_weights(p: Packer, node: Node, source: Source) -> IntArray:
    """Return the weights (MW, MH) of a matrix product."""
    weights = p.initializer(node, 1)
    inputs = source.geometry.taps * p.at(source.index).channels
    expected = (int(node.get("MW")), int(node.get("MH")))
    if weights.shape != expected or inputs != expected[0]:
        raise ModelError(
            f"{node.where}: found {inputs} inputs and weights {weights.shape}, "
            f"expected (MW, MH) = {expected}"
        )
    return weights


def binary_weights(p: Packer, node: Node, source: Source) -> IntArray:
    """Return the weights (MW, MH) of a matrix product, 0 for -1 and 1 for +1."""
    weights = product_weights(p, node, source)
    if not np.isin(weights, (0, 1)).all():
        raise ModelError(f"{node.where}: found weights other than 0 and 1, expected BINARY")
    return weights
