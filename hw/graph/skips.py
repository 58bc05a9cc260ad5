# SPDX-License-Identifier: Apache-2.0
"""Skips: what waits in front of a concat, and the least that has to wait there.

The bound follows from dependencies alone. Every op needs certain pixels of its input before a pixel
of its output can exist; passed on from the fork to the concat this says how many pixels of the skip
have been made, by any schedule, when pixel p comes the other way. Those the concat cannot have
taken yet are stored.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import NodeProto
from qonnx.core.modelwrapper import ModelWrapper

from ...quant.grid import IntArray
from ..kernels.ops import facts_of, op_of
from .fifo_sizing import FifoDepth
from .insert_streams import fifo_name


@dataclass(frozen=True)
class Skip:
    """An edge from a fork straight to a concat that the other copy reaches in a detour."""

    edge: str
    """Name of its FIFO."""
    consumer: str
    """The concat."""
    bound_pixels: int
    """The fewest pixels that any schedule must hold on it."""
    map_pixels: int
    """Pixels of the whole map."""
    pixel_bits: int
    """Bits of a pixel of all channels."""


def skips(model: ModelWrapper) -> list[Skip]:
    """Return the skips of a dataflow graph, in topological order."""
    writers = {name: node for node in model.graph.node for name in node.output}
    found = []
    for concat in model.graph.node:
        facts = facts_of(concat.op_type)
        if not (facts.joins_in_turn or facts.joins_together):
            continue
        for index, name in enumerate(concat.input):
            fork = writers.get(name)
            if fork is None or not facts_of(fork.op_type).forks:
                continue
            others = _needed(model, fork, concat, skip=name)
            if others is None:
                continue
            # Of a pixel a concat takes the channels of its first input first.
            taken = np.arange(others.size) + (facts.joins_in_turn and index == 0)
            _, h, w, c = model.get_tensor_shape(name)
            found.append(
                Skip(
                    fifo_name(fork.name, list(fork.output).index(name)),
                    concat.name,
                    max(0, int((others - taken).max())),
                    h * w,
                    c * int(model.get_tensor_datatype(name).bitwidth()),
                )
            )
    return found


def skip_table(model: ModelWrapper, fifos: Sequence[FifoDepth]) -> list[dict[str, Any]]:
    """Return the skips that wait in a FIFO beside it, as report.json lists them.

    Returns:
        One object per skip: edge (the FIFO's name), consumer, depth (words), bits, peak_bits
        (held at most; depths are those of memory blocks), bound_words, bound_bits (the least any
        schedule must hold), map_bits (the whole map).
    """
    sized = {f.name: f for f in fifos}
    table = []
    for skip in skips(model):
        fifo = sized.get(skip.edge)
        if fifo is None:  # the other way is the shorter one
            continue
        bound_bits = skip.bound_pixels * skip.pixel_bits
        table.append(
            {
                "edge": skip.edge,
                "consumer": skip.consumer,
                "depth": fifo.depth,
                "bits": fifo.bits,
                "peak_bits": fifo.peak * fifo.width,
                "bound_words": bound_bits // fifo.width,
                "bound_bits": bound_bits,
                "map_bits": skip.map_pixels * skip.pixel_bits,
            }
        )
    return table


def _needed(model: ModelWrapper, fork: NodeProto, concat: NodeProto, skip: str) -> IntArray | None:
    """Return how many pixels the fork has made when pixel p reaches ``concat`` the other way.

    None if nothing of the fork reaches it.
    """
    pixels = _pixels(model, fork.input[0])
    made: dict[str, IntArray] = {
        name: np.arange(1, pixels + 1) for name in fork.output if name != skip
    }
    for node in model.graph.node:
        known = [made[name] for name in node.input if name in made]
        if not known:
            continue
        before = np.max(known, axis=0)
        if node.name == concat.name:
            return before
        for name in node.output:
            last = op_of(node).last_needed(before.size, _pixels(model, name))
            # Pixels leave in order: none before the one in front of it.
            made[name] = np.maximum.accumulate(np.append(before, 0)[last])
    return None


def _pixels(model: ModelWrapper, name: str) -> int:
    return math.prod(model.get_tensor_shape(name)[1:-1])
