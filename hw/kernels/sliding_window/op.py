# SPDX-License-Identifier: Apache-2.0
"""FINN op of sliding_window: takes the place of FINN's ConvolutionInputGenerator_rtl."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import Any, NamedTuple

import numpy as np
from finn.custom_op.fpgadataflow.convolutioninputgenerator import ConvolutionInputGenerator

from ..base import RtlKernel, require_divisor
from ..costs import Structure, loop_counts
from ..facts import Facts, Geometry
from ..memory import (
    LineMemory,
    bram18_blocks,
    in_block_ram,
    lutram_cells,
    lutram_luts,
    styled_block,
)
from .golden import run

DEEP_WORDS, PART_WORDS = 128, 64
"""Words in LUTs above which a ring is a ``deep_memory``, and words of one of its parts."""


def _bits(length: int) -> int:
    """Bits of a counter of so many steps."""
    return (length - 1).bit_length()


def _differing(numbers: list[int]) -> int:
    """Bits in which some numbers differ."""
    return reduce(or_, (number ^ numbers[0] for number in numbers)).bit_count()


class Axis(NamedTuple):
    """Windows along one axis of the picture."""

    length: int
    kernel: int
    stride: int
    dilation: int

    @property
    def reach(self) -> int:
        """Steps from a window's first to its last."""
        return (self.kernel - 1) * self.dilation

    @property
    def windows(self) -> int:
        """Number of windows."""
        return (self.length - self.reach - 1) // self.stride + 1

    @property
    def start(self) -> int:
        """Where the last window starts."""
        return (self.windows - 1) * self.stride


class ConvolutionInputGenerator_rtl(RtlKernel, ConvolutionInputGenerator):
    """Sliding windows, word by word or (``parallel_window``) each as one word."""

    lanes = {"SIMD": "IFMChannels"}
    places = {"ram_style": ("block", "distributed")}
    windows = True
    moves = True
    registers_output = True
    registers_ready = True
    outputs_are = "windows"
    golden = staticmethod(run)
    module = "sliding_window"
    sources = (
        "rtl/line_memory.sv",
        "rtl/deep_memory.sv",
        "rtl/output_register.sv",
        "rtl/loop_counter.sv",
        "rtl/stream_register.sv",
        "kernels/sliding_window/window_end.sv",
        "kernels/sliding_window/window_parallel.sv",
        "kernels/sliding_window/window_serial.sv",
        "kernels/sliding_window/sliding_window.sv",
    )

    def get_nodeattr_types(self) -> dict[str, Any]:
        return {
            **super().get_nodeattr_types(),
            # FINN's default is distributed, whatever the size
            "ram_style": ("s", False, "auto", {"auto", "block", "distributed", "ultra"}),
            # FINN's: pixels at once, which its RTL has no more than ours
            "M": ("i", False, 1, {1}),
        }

    def use_parallel_window_output(self) -> bool:
        """Whether a word is a whole window: FINN's name for it."""
        return bool(self.get_nodeattr("parallel_window"))

    def axes(self) -> tuple[Axis, Axis]:
        """The windows along the rows and along the columns.

        Raises:
            ValueError: a window larger than the picture, or an ``OFMDim`` that does not follow.
        """
        names = ("IFMDim", "ConvKernelDim", "Stride", "Dilation")
        values = [[int(n) for n in self.get_nodeattr(name)] for name in names]
        rows, columns = (Axis(*numbers) for numbers in zip(*values, strict=True))
        fits = all(min(axis) > 0 and axis.reach < axis.length for axis in (rows, columns))
        out = [int(n) for n in self.get_nodeattr("OFMDim")]
        if not fits or out != [rows.windows, columns.windows]:
            expected = f"OFMDim={[rows.windows, columns.windows]}" if fits else "a window inside"
            raise ValueError(
                f"{self.onnx_node.name}: found {', '.join(map(str, (rows, columns)))} and "
                f"OFMDim={out}, expected {expected}"
            )
        return rows, columns

    def verify_node(self) -> None:
        """Raise ValueError for what the RTL lacks."""
        node = self.onnx_node.name
        channels, simd = self.get_nodeattr("IFMChannels"), self.get_nodeattr("SIMD")
        require_divisor(node, channels, "channels", "SIMD", simd)
        self.axes()
        for name in ("depthwise", "dynamic_mode"):
            if self.get_nodeattr(name):
                raise ValueError(f"{node}: found {name}=1, expected 0")
        if self.use_parallel_window_output() and simd != channels:
            raise ValueError(
                f"{node}: found parallel_window=1 with SIMD={simd}, expected SIMD={channels}: "
                "all channels in a word"
            )
        self.block_ram()

    def geometry(self) -> Geometry:
        """A window needs its last pixel."""
        rows, columns = (np.arange(axis.windows) * axis.stride + axis.reach for axis in self.axes())
        return Geometry(rows, columns, int(self.get_nodeattr("IFMDim")[1]))

    def needs_full_rate(self, writer: Facts) -> bool:
        """A border, where windows are emitted element by element while they are read in bursts."""
        return writer.makes_borders and not self.get_nodeattr("parallel_window")

    def folds(self) -> int:
        """Words of a pixel."""
        return int(self.get_nodeattr("IFMChannels")) // int(self.get_nodeattr("SIMD"))

    def _words(self) -> tuple[int, int, int]:
        """Words of the ring: what a window spans, the steps inside a frame, the step to the next
        frame; see window_serial.sv."""
        (rows, columns), folds = self.axes(), self.folds()
        need = (rows.reach * columns.length + columns.reach + 1) * folds
        to_window = columns.stride if columns.windows > 1 else 0
        to_row = rows.stride * columns.length - columns.start if rows.windows > 1 else 0
        to_frame = (rows.length - rows.start) * columns.length - columns.start
        return need, max(to_window, to_row) * folds, to_frame * folds

    def _steps(self, depth: int) -> tuple[list[int], list[int]]:
        """Words that windows leave behind, and the steps of the reader's address around a ring; see
        window_serial.sv."""
        (rows, columns), folds = self.axes(), self.folds()
        to_window = columns.stride * folds
        to_row = (rows.stride * columns.length - columns.start) * folds
        to_frame = self._words()[2]
        reach = self._words()[0] - 1
        lefts = [to_frame, *[to_window] * (columns.windows > 1), *[to_row] * (rows.windows > 1)]
        moves = [left - reach for left in lefts]
        if rows.kernel > 1:
            moves.append((rows.dilation * columns.length - columns.reach - 1) * folds + 1)
        if columns.dilation > 1 and columns.kernel > 1:
            moves.append((columns.dilation - 1) * folds + 1)
        if folds > 1 or (columns.dilation == 1 and columns.kernel > 1):
            moves.append(1)
        return lefts, [move % depth for move in moves]

    def _step_bits(self) -> int:
        """Registers of the reader's next step and of the window's place; see window_serial.sv."""
        (rows, columns), folds = self.axes(), self.folds()
        apart = columns.dilation > 1
        there = (
            (folds if apart else columns.kernel * folds) > 1,
            apart and columns.kernel > 1,
            rows.kernel > 1,
            columns.windows > 1,
            rows.windows > 1,
            True,
        )
        codes = [code for code, found in enumerate(there) if found]
        # The bits of the code, then whether a window ends.
        bits = [[code >> bit & 1 for code in codes] for bit in range(3)] + [[c > 2 for c in codes]]
        places = (columns.windows > 1) + (rows.windows > 1)
        return len({tuple(bit) for bit in bits if len(set(bit)) > 1}) + places

    def block_ram(self) -> bool:
        """Whether the lines lie in block RAM: ``ram_style``, or for ``auto`` by their size.

        Raises:
            ValueError: ``ram_style`` is ``ultra``.
        """
        asked = styled_block(self.onnx_node.name, self.get_nodeattr("ram_style"))
        return in_block_ram(*self._least()) if asked is None else asked

    def _least(self) -> tuple[int, int]:
        """Least words of the memory, and their bits."""
        if self.use_parallel_window_output():
            rows, columns = self.axes()
            return columns.length, rows.reach * int(self.get_instream_width())
        need, step, _ = self._words()
        return max(2, need + step), int(self.get_instream_width())

    def memory(self) -> tuple[int, int]:
        """Words and bits of a word of the lines.

        A ring is as deep as the memory that holds its least is anyhow: the next frame comes earlier
        then; and a power of two, around which addresses count by themselves, where that is free.
        """
        least, width = self._least()
        if self.use_parallel_window_output():
            return least, width
        need, step, to_frame = self._words()
        most = max(least, need + to_frame)
        size = bram18_blocks if self.block_ram() else lutram_luts
        powers = [1 << n for n in range(1, (2 * most).bit_length())]
        return max(
            depth
            for depth in (least, most, *powers)
            if least <= depth <= 2 * most and size(depth, width) <= size(least, width)
        ), width

    def get_exp_cycles(self) -> int:
        """The words that come or those that leave; the latter wait for what a frame's last window
        left no room for."""
        (rows, columns), folds = self.axes(), self.folds()
        words = rows.length * columns.length * folds
        if self.use_parallel_window_output():
            return words
        need, _, to_frame = self._words()
        sent = rows.windows * columns.windows * rows.kernel * columns.kernel * folds
        return max(words, sent + max(0, to_frame - (self.memory()[0] - need)))

    def rtl_parameters(self) -> dict[str, int | str]:
        self.verify_node()
        rows, columns = self.axes()
        return {
            "Width": self.get_instream_width(),
            "Folds": self.folds(),
            "Rows": rows.length,
            "Columns": columns.length,
            "KernelY": rows.kernel,
            "KernelX": columns.kernel,
            "StrideY": rows.stride,
            "StrideX": columns.stride,
            "DilationY": rows.dilation,
            "DilationX": columns.dilation,
            "Parallel": int(self.use_parallel_window_output()),
            "Depth": self.memory()[0],
            "BlockRam": int(self.block_ram()),
        }

    def structures(self) -> dict[str, Structure]:
        """The lines, their addresses, the loops of a window and of a frame."""
        rows, columns = self.axes()
        depth, width = self.memory()
        block, address = self.block_ram(), (depth - 1).bit_length()
        counts: dict[str, float] = {"one": 1, "bits": int(self.get_instream_width())}
        if self.use_parallel_window_output():
            counts |= loop_counts((rows.length, columns.length))
            counts["ends"] = sum(
                max(axis.reach, axis.stride - 1).bit_length() for axis in (rows, columns)
            )
            counts["ending"] = sum(axis.reach > 0 or axis.stride > 1 for axis in (rows, columns))
            counts["address"] = address if rows.reach else 0
            window = rows.kernel * (columns.reach + 1) + 2
            ffs = window * counts["bits"] + 2 * counts["address"] + 3
            ffs += sum(counts[name] for name in ("loops", "counters", "ends", "ending"))
            table = "parallel"
        else:
            need, step, to_frame = self._words()
            folds, apart = self.folds(), columns.dilation > 1
            run = folds if apart else columns.kernel * folds
            counts |= loop_counts(
                (run, columns.kernel if apart else 1, rows.kernel, columns.windows, rows.windows)
            )
            counts["ahead"] = max(need, to_frame, depth).bit_length() + 1
            counts["room"] = (depth + max(to_frame, step) - 1).bit_length() + 1
            counts["address"] = address
            counts["wraps"] = 0 if depth & (depth - 1) == 0 else address
            lefts, moves = self._steps(depth)
            counts["left"] = reduce(or_, lefts).bit_count()
            counts["moves"] = _differing(moves)
            if counts["wraps"]:
                around = (2 << address) - 1
                counts["around"] = _differing([(move - depth) & around for move in moves])
            ffs = 2 * address + 3 + self._step_bits()
            ffs += sum(counts[name] for name in ("loops", "counters", "ahead", "room"))
            table = "serial"
        lines = LineMemory(depth, width, "block" if block else "lut") if depth > 1 else None
        if lines:
            counts["late" if block else "registers"] = width
            ffs += width
            if block and not self.use_parallel_window_output():
                ffs += 1
        deep = table == "serial" and not block and depth > DEEP_WORDS
        parts = [min(PART_WORDS, depth - at) for at in range(0, depth, PART_WORDS)] if deep else []
        if deep:  # a register behind every part, the number of one, and a register behind them
            ffs += len(parts) * width + (len(parts) - 1).bit_length() + 1
        return {
            "": Structure(
                counts,
                luts=lines.select if lines else 0,
                ffs=ffs,
                lutram=sum(lutram_cells(max(2, words), width) for words in parts)
                or (lines.lutram if lines else 0),
                bram18=lines.brams if lines else 0,
                table=table,
            )
        }


OPS = (ConvolutionInputGenerator_rtl,)
