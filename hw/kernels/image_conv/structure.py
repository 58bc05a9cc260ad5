# SPDX-License-Identifier: Apache-2.0
"""What an image convolution is made of, part by part as its RTL has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..costs import Structure, loop_counts
from ..memory import LineMemory

if TYPE_CHECKING:
    from .op import ImageConv

RING_WORDS = 32
"""Words of columns between reader and product."""
RING_BITS = 5
FOUR = 4
"""Groups of elements among which a step's are chosen in one cycle."""
SHORTEST = 3
"""Flip-flops in a row that a tool makes a shift register of LUTs."""


def structure_of(conv: ImageConv, paired: bool) -> Structure:
    """Return what a convolution is made of, with a DSP block for two outputs or for one."""
    folding, shape, simd, pe = conv.folding(), conv.shape(), conv.number("SIMD"), conv.number("PE")
    elements, acc = conv.number("ColumnElements"), int(conv.get_output_datatype().bitwidth())
    bits = 8 * conv.number("Channels")
    rows, word, words = conv.rows_memory(), folding.lanes * acc, pe // folding.lanes
    weight_luts, weight_blocks = conv.weights_memory()
    weight_bits = (folding.steps * folding.passes - 1).bit_length()
    chunk = conv.chunk() if paired else simd
    groups = folding.columns * elements // simd
    halfway = groups > FOUR
    latency = simd + 4 + (chunk < simd) + halfway
    results = LineMemory(_results(folding.steps, words, latency), word, "lut")
    result_bits = (results.depth - 1).bit_length()
    row_columns = (shape.out_width - 1) * shape.stride + shape.kernel
    loops = loop_counts(
        (
            groups,
            -(-shape.kernel // folding.columns),
            folding.passes,
            shape.out_width,
            row_columns if folding.columns > 1 else 1,
        )
    )
    columns, pixels = (shape.width - 1).bit_length(), (shape.height - 1).bit_length()
    counts = {
        "one": 1,
        "loops": loops["loops"],
        "counters": loops["counters"],
        "picture": columns + pixels,
        "shown": shape.kernel * bits,
        "chosen": 8 * simd * _selecting(groups),
        "several": int(folding.columns > 1),
        "steps": weight_bits,
        "summed": pe * acc,
        "sent": word * _selecting(words),
        "results": result_bits,
        "word": word,
    }
    # Columns: the picture's counters, the pixel and the rows above it, the column.
    ffs: float = 2 * columns + pixels + 2 * shape.kernel + bits + shape.kernel * bits + 6
    ffs += rows.registers
    # The ring, the loops of a window, the elements of a step, each row's a cycle later.
    ffs += 3 * RING_BITS + 2 * (RING_BITS + 1) + loops["loops"] + loops["counters"]
    ffs += 3 * folding.columns + 2 if folding.columns > 1 else 0
    ffs += weight_bits + 2 + result_bits + 1 + 4 * simd * (simd + 1)
    if halfway:
        ffs += -(-groups // FOUR) * 8 * simd + (groups - 1).bit_length() - 2 + weight_bits
    row_width = pe * int(conv.weight_type().bitwidth())
    if weight_blocks:
        ffs += row_width * simd * (simd - 1) // 2
    else:
        ffs += simd * weight_bits
    # The marks of a step, the sums, what waits to be sent, the results.
    ffs += latency + pe * acc + 1 + word + 3 * result_bits + 2
    if words > 1:
        ffs += pe * acc + (words - 1).bit_length() + 1
    marks = 2 if folding.steps > 1 else 0
    lutram = rows.lutram + results.lutram + marks * -(-latency // 32)
    lutram += folding.columns * 4 * -(-8 * elements // 6)
    dsp = simd * pe
    if paired:
        dsp = simd * -(-pe // 2)
        flip_flops, moved, adders = _later_sums(simd, chunk)
        counts |= {"paired": pe // 2 * acc, "adders": adders * (pe // 2) * acc}
        ffs += flip_flops * (pe // 2) * acc
        if chunk < simd:  # an output alone waits as well
            ffs += pe % 2 * acc
        lutram += moved * (pe // 2) * acc
    return Structure(
        counts,
        luts=weight_luts + rows.select,
        ffs=ffs,
        lutram=lutram,
        bram18=rows.brams + weight_blocks,
        dsp=dsp,
        table="paired" if paired else "",
    )


def _selecting(parts: int) -> int:
    """LUTs that select one of so many bits, as far as a count needs it."""
    return -(-(parts - 1) // 3)


def _results(steps: int, words: int, latency: int) -> int:
    """Words of the buffer of results: those under way when a pass starts, and its own."""
    count, passes = words, 1
    while passes * steps <= steps + latency + words + 4:
        count += sum(steps + latency + 4 + word >= passes * steps for word in range(words))
        passes += 1
    return max(32, 1 << (count - 1).bit_length())


def _later_sums(simd: int, chunk: int) -> tuple[int, int, int]:
    """Of the sums of a pair's chunks per bit: flip-flops, LUTs as shift registers, adders."""
    chunks = -(-simd // chunk)
    if chunks == 1:
        return 0, 0, 0
    flip_flops, moved = 1, 0
    for c in range(1, chunks):
        end = min((c + 1) * chunk, simd)
        # Behind a sum of its own register; the last one stays where it is.
        waits = end - c * chunk
        if waits >= SHORTEST:
            moved += 1
        else:
            flip_flops += waits
    return flip_flops + 1, moved, chunks - 1
