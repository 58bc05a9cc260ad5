# SPDX-License-Identifier: Apache-2.0
"""What the kernels share that put borders around a picture or cut them off."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from .base import Kernel, Stream, require_divisor


class Bordered(Kernel):
    """(1, H, W, C) in, (1, H', W', C) out, where borders make H' and W' larger or smaller.

    ``border_attribute`` names the node attribute that holds top, left, bottom, right; ``grows`` is
    1 where the output has the borders and -1 where the input has them.
    """

    attributes = {
        "NumChannels": ("i", True, 0),
        "SIMD": ("i", True, 0),
        "ImgDim": ("ints", True, []),
        "inputDataType": ("s", True, ""),
    }
    lanes = {"SIMD": "NumChannels"}
    border_attribute: ClassVar[str]
    grows: ClassVar[int]

    @abstractmethod
    def check_borders(self, borders: tuple[int, int, int, int], height: int, width: int) -> None:
        """Raise ValueError for borders that a picture of this size cannot have."""

    def borders(self) -> tuple[int, int, int, int]:
        """Rows and columns: top, left, bottom, right.

        Raises:
            ValueError: see ``check_borders``.
        """
        top, left, bottom, right = (int(n) for n in self.get_nodeattr(self.border_attribute))
        self.check_borders((top, left, bottom, right), *self.picture())
        return top, left, bottom, right

    def picture(self) -> tuple[int, int]:
        """Rows and columns of the input."""
        height, width = (int(n) for n in self.get_nodeattr("ImgDim"))
        return height, width

    def verify_node(self) -> None:
        """Raise ValueError for borders that the picture cannot have."""
        self.borders()

    def input_streams(self) -> list[Stream]:
        return [self._stream(*self.picture())]

    def output_streams(self) -> list[Stream]:
        height, width = self.picture()
        top, left, bottom, right = self.borders()
        return [
            self._stream(height + self.grows * (top + bottom), width + self.grows * (left + right))
        ]

    def folds(self) -> int:
        """Words of a pixel."""
        return int(self.get_nodeattr("NumChannels")) // int(self.get_nodeattr("SIMD"))

    def border_parameters(self) -> dict[str, int | str]:
        """What the RTL of both directions knows of picture and borders."""
        (rows, columns), (top, left, bottom, right) = self.picture(), self.borders()
        return {
            "Width": self.input_streams()[0].width,
            "Folds": self.folds(),
            "Rows": rows,
            "Columns": columns,
            "Top": top,
            "Left": left,
            "Bottom": bottom,
            "Right": right,
        }

    def _stream(self, height: int, width: int) -> Stream:
        channels, simd = int(self.get_nodeattr("NumChannels")), int(self.get_nodeattr("SIMD"))
        require_divisor(self.onnx_node.name, channels, "channels", "SIMD", simd)
        return Stream(self.get_nodeattr("inputDataType"), (1, height, width, channels), simd)
