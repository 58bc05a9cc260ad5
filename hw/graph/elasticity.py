# SPDX-License-Identifier: Apache-2.0
"""Find the edges of a dataflow graph that need a FIFO: where streams meet again, and where words
come or go in bursts that would cost the stated interval.

Everything else moves in step: a node that writes hands its word to the node that reads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from onnx import GraphProto, NodeProto
from qonnx.core.modelwrapper import ModelWrapper

from ...quant.grid import IntArray
from ..kernels.ops import facts_of, op_of

BUSY = 0.97
"""Share of the interval that nodes in step may take: what is beyond is not in this model."""
NODE_DELAY = 1e-4
"""Frames that a word takes through a node beside what the node has to wait for."""
FEW = 3
"""Pixels that wait beside a burst, and rows of pictures."""
PIXELS = 4096
"""Pixels of a map beyond which several are looked at as one."""


def elastic_edges(model: ModelWrapper, interval: int) -> set[str]:
    """Return the tensors whose edges need a FIFO.

    Args:
        model: folded dataflow graph whose nodes are all RTL ops.
        interval: cycles per frame that are to be kept.
    """
    return _Edges(model, interval).find()


def expected_waiting(model: ModelWrapper) -> dict[str, int]:
    """Return about how many values wait in each FIFO, by tensor, before a simulation says it.

    Args:
        model: folded dataflow graph whose nodes are all RTL ops.
    """
    interval = max(int(op_of(node).get_exp_cycles()) for node in model.graph.node)
    return _Edges(model, interval).waiting()


def joining(graph: GraphProto) -> set[str]:
    """Return the names of the nodes that read more than one stream."""
    constants = {t.name for t in graph.initializer}
    return {n.name for n in graph.node if sum(i not in constants for i in n.input if i) > 1}


@dataclass(frozen=True)
class _Run:
    """Nodes in a row that need other pixels than they make: a border and its window."""

    nodes: tuple[NodeProto, ...]
    needed: IntArray
    """For each pixel out, the last pixel in that must have come."""
    pixels: int
    """Pixels in."""
    leaving: float
    """Frames that the words of a pixel take to leave, one per cycle."""

    def frame(self, reader: float, writer: float) -> float:
        """The time of a frame, in step with a writer and a reader that take the given times.

        While a pixel waits to be read, none is taken that its successors alone need. Its words
        leave behind the last pixel that it needs.
        """
        step = max(1, self.pixels // PIXELS)
        needed = self.needed[step - 1 :: step] // step
        pixels = max(self.pixels // step, int(needed[-1]) + 1)
        fresh = np.diff(needed, prepend=-1) * (writer / pixels)
        rest = (pixels - 1 - int(needed[-1])) * (writer / pixels)
        each = reader / needed.size
        taken = made = before = 0.0
        for _ in range(3):
            before = made
            for time in fresh.tolist():
                if time:
                    taken = max(taken, made) + time
                made = max(made + each, taken + self.leaving)
            if rest:
                taken = max(taken, made) + rest
        return made - before


class _Edges:
    """The search, over one graph."""

    def __init__(self, model: ModelWrapper, interval: int) -> None:
        self._model = model
        self._interval = interval
        self._constants = {t.name for t in model.graph.initializer}
        self._ops = {n.name: op_of(n) for n in model.graph.node}
        self._readers = {
            name: node for node in model.graph.node for name in node.input if self._streams(name)
        }
        self._writers = {name: node for node in model.graph.node for name in node.output}
        self._busy = {
            n.name: int(self._ops[n.name].get_exp_cycles()) / interval for n in model.graph.node
        }
        self._found: set[str] = set()
        self._waits: dict[str, tuple[float, int]] = {}
        self._rows: dict[str, float] = {}
        """Share of a row and a few pixels that wait on an edge beside a run."""
        self._leaving: set[str] = set()
        """Edges on which a pixel waits to be read, all whose words come at its end."""

    def waiting(self) -> dict[str, int]:
        """Values that wait: the frames until the last input of a join comes, and a pixel in each
        node on its way; beside a burst a few pixels, of pictures a few rows. In front of a border
        a row waits, less where that has time to spare; behind windows a row where these are quicker
        than their reader, else nothing."""
        found = {}
        for name in self.find():
            shape = [int(n) for n in self._model.get_tensor_shape(name)]
            frames, nodes = self._waits.get(name, (0.0, 0))
            pixel = shape[-1]
            burst = pixel if name in self._leaving else FEW * pixel
            # A line has no rows: one pixel behind the other stands beside its border.
            row = shape[2] if shape[1] > 1 else 0
            if name == self._model.graph.input[0].name:
                burst *= max(1, row)
            elif name in self._waits:
                burst = 0
            elif name in self._rows:
                burst = round(self._rows[name] * (FEW + row)) * pixel
            found[name] = round(frames * math.prod(shape)) + nodes * pixel + burst
        return found

    def find(self) -> set[str]:
        self._find_early()
        self._find_leaving()
        for run in self._runs():
            self._relieve(run)
        return self._found

    def _find_early(self) -> None:
        """At each join, every input but the one that comes last waits for it."""
        delay = {self._model.graph.input[0].name: 0.0}
        passed = dict.fromkeys(delay, 0)
        for node in self._model.graph.node:
            ins = self._inputs(node)
            # A node stores what it needs of an input before the first pixel leaves.
            ready = {name: delay[name] + self._first(node, name) for name in ins}
            last = max(ins, key=lambda name: ready[name])
            self._found |= set(ins) - {last}
            for name in set(ins) - {last}:
                nodes = max(0, passed[last] - passed[name])
                self._waits[name] = ready[last] - ready[name], nodes
            start = ready[last] + NODE_DELAY
            in_turn = not facts_of(node.op_type).forks
            for port, name in enumerate(node.output):
                # Of each pixel the first output takes its share first.
                share = port / len(node.output) / self._pixels(last) if in_turn else 0.0
                delay[name] = start + share
                passed[name] = passed[last] + 1

    def _find_leaving(self) -> None:
        """Behind a node whose words leave at the end of a pixel alone, where its readers take
        longer for them than it can wait."""
        for node in self._model.graph.node:
            share, own = self._ops[node.name].leaving(), self._busy[node.name]
            name = node.output[0]
            if share == 1 or name in self._found or name not in self._readers:
                continue
            taken = own * (1 - share) + max(own * share, self._downstream(name))
            if taken > max(BUSY, own):
                self._found.add(name)
                self._leaving.add(name)

    def _runs(self) -> list[_Run]:
        runs: list[_Run] = []
        seen: set[str] = set()
        for node in self._model.graph.node:
            if node.name in seen or not self._bursts(node):
                continue
            chain, needed = [node], self._in_order(self._needed(node, self._inputs(node)[0]))
            while True:
                name = chain[-1].output[0]
                after = self._readers.get(name)
                if after is None or name in self._found or not self._bursts(after):
                    break
                further = self._needed(after, name)
                needed = self._in_order(np.where(further < 0, -1, needed[further]))
                chain.append(after)
            seen |= {n.name for n in chain}
            words = int(np.prod(self._ops[chain[-1].name].get_folded_output_shape()[:-1]))
            leaving = words / self._interval / needed.size
            runs.append(_Run(tuple(chain), needed, self._pixels(self._inputs(node)[0]), leaving))
        return runs

    def _relieve(self, run: _Run) -> None:
        """Put a FIFO on the edge in front of a run or behind it, if one is needed."""
        before, after = self._inputs(run.nodes[0])[0], run.nodes[-1].output[0]
        own = max(self._busy[node.name] for node in run.nodes)
        writer = max(own, 0.0 if before in self._found else self._upstream(before))
        reader = max(own, 0.0 if after in self._found else self._downstream(after))
        if run.frame(reader, writer) <= max(BUSY, own):
            return
        # The narrower side first; both where one is not enough.
        choices = [(self._bits(before), before, (reader, own))]
        if after in self._readers:
            choices.append((self._bits(after), after, (own, writer)))
        choices.sort(key=lambda choice: choice[:2])
        enough = [c for c in choices if run.frame(*c[2]) <= max(1.0, own)]
        self._found |= {name for _, name, _ in (enough[:1] or choices)}
        if any(self._pixels(n.output[0]) > self._pixels(self._inputs(n)[0]) for n in run.nodes):
            self._rows[before] = min(1.0, own)
        self._rows[after] = int(reader > own)

    def _upstream(self, name: str) -> float:
        """The busiest of the nodes that write ``name`` in step, to the next FIFO or run."""
        node = self._writers.get(name)
        if node is None:
            return 0.0
        busy = self._busy[node.name]
        if self._bursts(node):
            return busy
        others = [i for i in self._inputs(node) if i not in self._found]
        return max([busy, *map(self._upstream, others)])

    def _downstream(self, name: str) -> float:
        """The busiest of the nodes that read ``name`` in step, to the next FIFO or run."""
        node = self._readers.get(name)
        if node is None:
            return 0.0
        busy = self._busy[node.name]
        if self._bursts(node):
            return busy
        others = [o for o in node.output if o not in self._found]
        return max([busy, *map(self._downstream, others)])

    def _bursts(self, node: NodeProto) -> bool:
        """Whether a node reads or writes no words for longer than a pixel, and stores few."""
        op = self._ops[node.name]
        ins = self._inputs(node)
        if len(ins) != 1 or len(node.output) != 1 or op.reads_ahead:
            return False
        moves = op.geometry() is not None
        return moves or self._pixels(ins[0]) != self._pixels(node.output[0])

    def _needed(self, node: NodeProto, name: str) -> IntArray:
        needed: IntArray = self._ops[node.name].last_needed(
            self._pixels(name), self._pixels(node.output[0])
        )
        return needed

    def _first(self, node: NodeProto, name: str) -> float:
        """The frames of an input that must have come before the first pixel leaves. Of several
        inputs, a window is one of the first."""
        pixels = self._pixels(name)
        if name != self._inputs(node)[0] and pixels == self._pixels(node.output[0]):
            return 0.0
        return max(0, int(self._needed(node, name)[0])) / pixels

    @staticmethod
    def _in_order(needed: IntArray) -> IntArray:
        """Pixels leave in order: none before the one in front of it."""
        ordered: IntArray = np.maximum.accumulate(needed)
        return ordered

    def _inputs(self, node: NodeProto) -> list[str]:
        return [name for name in node.input if self._streams(name)]

    def _streams(self, name: str) -> bool:
        return bool(name) and name not in self._constants

    def _pixels(self, name: str) -> int:
        return int(np.prod(self._model.get_tensor_shape(name)[1:-1]))

    def _bits(self, name: str) -> int:
        width = int(self._model.get_tensor_datatype(name).bitwidth())
        return int(np.prod(self._model.get_tensor_shape(name))) * width
