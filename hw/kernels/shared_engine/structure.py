# SPDX-License-Identifier: Apache-2.0
"""What a shared engine is made of, part by part as its RTL has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..costs import Structure
from ..memory import bram18_blocks, rom_luts, selection
from .fields import FIELDS

if TYPE_CHECKING:
    from .op import SharedEngine


def structure_of(engine: SharedEngine) -> Structure:
    """Memories, counts and accumulators, epilogue, loops; see README."""
    simd, pe, channels = (engine.number(n) for n in ("SIMD", "PE", "NumChannels"))
    count_bits = max(layer.inputs for layer in engine.fields().layers).bit_length()
    fields = dict(zip(FIELDS, engine.field_bits(), strict=True))
    line, buffer, maps = engine.line_ram(), engine.map_ram(), engine.map_banks()
    roms = {name: getattr(engine, name)() for name in ("weight_rom", "param_rom")}
    blocks, luts, ffs = {}, 0, 0
    for name, (depth, width) in roms.items():
        if not engine.in_block(name):
            luts += rom_luts(depth, width)
            continue
        banks = engine.banks(name)
        blocks[name] = sum(bram18_blocks(words, width, read_only=True) for words in banks)
        luts += width * selection(len(banks))
        ffs += (len(banks) - 1) * width
    ffs += pe * simd + simd  # weights that were chosen, bits beside them
    if "param_rom" not in blocks:
        ffs += 2 * (fields["m"] + fields["b"])
    # Registers of both buffers' words, and of their addresses where they are in LUTs.
    address = (buffer.depth - 1).bit_length()
    ffs += 2 * sum(memory.width for memory in maps)
    ffs += 2 * ((0 if buffer.block else address) + 2 * (len(maps) - 1).bit_length())
    decoded = 0 if len(maps) == 1 else len(maps)
    select = sum(m.select for m in maps) + engine.bits() * selection(len(maps)) + decoded
    # A border is laid over a block RAM's word.
    border = simd if line.block and max(engine.numbers("Kernels")) > 1 else 0
    counts = {
        "one": 1,
        "products": pe * simd,
        "sums": pe * count_bits,
        "lanes": pe,
        "shifted": simd,
        "counted": count_bits,
        "mul": fields["m"],
        "bias": fields["b"],
        "bend": fields["zeta"] + fields["slope"] + fields["eta"],
        "out": engine.bits(),
        "address": address,
        "place": (2 * channels - 1).bit_length(),
        "line address": engine.line_address(),
        "rom addresses": sum((depth - 1).bit_length() for depth, _ in roms.values()),
    }
    return Structure(
        counts,
        luts=luts + border + line.select + 2 * select,
        ffs=ffs,
        lutram=line.lutram + 2 * sum(m.lutram for m in maps) + _delays(engine),
        bram18=sum(blocks.values()) + line.brams + 2 * sum(m.brams for m in maps),
        dsp=2,
    )


def _delays(engine: SharedEngine) -> int:
    """LUTs as shift registers: what travels beside the epilogue and the counts, bit by bit."""
    address = (engine.map_ram().depth - 1).bit_length()
    return address + sum(engine.field_bits()[2:]) + (4 if engine.number("PE") > 1 else 3)
