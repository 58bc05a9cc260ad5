# SPDX-License-Identifier: Apache-2.0
"""What a build says in words: of its input, its outputs, its pictures, and what was left out."""

from __future__ import annotations

import json

import onnx
from qonnx.core.modelwrapper import ModelWrapper

from ..hw.graph.builder import boundaries
from ..hw.graph.heads import heads_of
from ..hw.graph.pixels import Pixels, codes_of_first, is_picture
from ..hw.graph.qonnx_graph import QonnxGraph
from ..quant.checkpoint import read_card
from .facts import reflection
from .files import BuildFiles
from .fitting import read_fit

MOST_LABELS = 16
"""Whose scales and offsets a note tells."""


def of_build(files: BuildFiles, size: tuple[int, int, int] | None) -> list[str]:
    """What a build does to pictures, in words; of somebody else's file also what it reads of a
    pixel, and what was left out of it; what was done to fit the board and to keep the pace."""
    found = read_fit(files.fit)
    said = [*_notes_of_pictures(files, size), *(found["notes"] if found else ())]
    if files.sizing.is_file():
        sized = json.loads(files.sizing.read_text(encoding="utf-8"))
        if sized["everywhere"]:
            said.append(
                "every edge has a FIFO, as those that the structure asks for failed: "
                f"{sized['everywhere']}"
            )
        if sized.get("late"):
            said.append(
                f"a frame takes {sized['interval']:,} cycles, not the {sized['stated']:,} of "
                f"{sized['slowest']}: rows that come in bursts keep it waiting"
            )
    return said


def _notes_of_pictures(files: BuildFiles, size: tuple[int, int, int] | None) -> list[str]:
    if not files.checkpoint.is_file():
        source = json.loads(files.source.read_text(encoding="utf-8"))
        said = [note for note in source["notes"] if not note.startswith("renamed ")]
        return [source["input"]["note"], *said]
    card = read_card(files.checkpoint)
    height, width = size[:2] if size else (card.input.height, card.input.width)
    return reflection(card.network, card.config, height, width)


def of_outputs(graph: ModelWrapper) -> list[str]:
    """Say what outputs stand for that leave as integers."""
    known = {boundary.reference: boundary for boundary in boundaries(graph)}
    notes = []
    for head in heads_of(graph.model):
        if head.kind not in ("raw", "map") or head.name not in known:
            continue
        found = known[head.name]
        steps, more = (list(row) for row in (found.scales or [found.scale], found.offset))
        if max(len(steps), len(more)) > MOST_LABELS:
            text = "with scales and offsets of each label, see andpop.boundaries in lowered.onnx"
        else:
            text = ", ".join(f"{value:.9g}" for value in steps)
            text += f" + {', '.join(f'{value:.9g}' for value in more)}" if any(more) else ""
            text = f"the network's own numbers are integer * {text}"
        notes.append(f"{head.name} leaves as integers: {text}")
    return notes


def of_input(network: onnx.ModelProto, pixels: Pixels) -> list[str]:
    """Say where inputs come from that no picture file holds, and what its first quantiser says
    of those that one might."""
    shape = [d.dim_value for d in network.graph.input[0].type.tensor_type.shape.dim]
    codes = codes_of_first(QonnxGraph(network))
    if is_picture(shape):
        assumed = pixels.scale == 1 / 255 and not any(pixels.mean)
        if codes is None or codes.first == 0 or shape[1] > 1 or not assumed:
            return []
        return [
            f"the first quantiser gives signed codes: if inputs are no pictures, --input-scale "
            f"{codes.scale!r} --input-mean {codes.mean[0]!r} makes bytes of all its codes"
        ]
    _, channels, *size = shape
    height, width = size or (1, 1)
    axes = [*size, channels] if height > 1 else [*size[1:], channels]
    return [
        f"no picture file holds an input of {height}x{width}x{channels} (HWC): give .npy files of "
        f"numbers 0..255, (N, {', '.join(map(str, axes))}), as --images; float32 and int8 are "
        "numbers that the network reads"
    ]
