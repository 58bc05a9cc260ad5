# SPDX-License-Identifier: Apache-2.0
"""Says of every node of a network what it becomes, or why it cannot be lowered.

The same walk as `lowering.lower`, which does not stop at the first refusal. A refused node, and
those that wait for its result, get a stand-in where their codes are known without it: behind a
quantiser, and behind nodes that only move codes. So what lies behind them is looked at as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import onnx

from .builder import Stream
from .cut import Prepared
from .heads import Kind, kinds_of
from .lower import handlers
from .lower.heads import end
from .lower.numbers import MOVES
from .lower.state import Lowering
from .lowering import left_over, visit
from .multi_threshold import OP as MULTI_THRESHOLD
from .multi_threshold import Counts
from .pixels import pixels_of
from .qonnx_graph import LoweringError, QonnxGraph
from .threshold_pattern import most_code

Verdict = Literal["hardware", "part", "refused", "waits"]


@dataclass(frozen=True)
class Row:
    """A node of the network.

    ``verdict``: "hardware": it becomes ``ops``; "part": it lies inside the pattern of the node
    ``of``; "refused": for the reason ``why``; "waits": it cannot be judged, as the node ``of``
    is refused.
    """

    node: str
    op: str
    verdict: Verdict
    ops: tuple[str, ...] = ()
    of: str = ""
    why: str = ""


def explain(prepared: Prepared) -> list[Row]:
    """Look at every node of somebody else's network.

    Args:
        prepared: the network, its pixels noted.

    Returns:
        A row per node, in topological order; nodes whose result is constant are left out. No row
        is "refused" or "waits" exactly where `lower` takes the network.
    """
    rows, network = [], prepared.network
    if network is not None:
        state = Lowering(QonnxGraph(network), "explained", pixels_of(network))
        walk = _Walk(state, {error.node.name: error for error in prepared.refused})
        walk.run(kinds_of(network), prepared.open)
        rows = walk.rows()
    for name, (node, of) in prepared.lost.items():
        why = prepared.reasons.get(name, "")
        rows.append(
            Row(name, node.op_type, "refused" if why else "waits", of="" if why else of, why=why)
        )
    return rows


class _Walk:
    """The lowering of a network, node by node.

    Attributes:
        made: node -> ops that its turn added.
        owner: node -> the node whose pattern it lies in.
        refused: node -> why.
        waits: node -> the refused node that it waits for.
    """

    def __init__(self, state: Lowering, refused: dict[str, LoweringError]) -> None:
        self.state = state
        self.refused = refused
        self.made: dict[str, tuple[str, ...]] = {}
        self.owner: dict[str, str] = {}
        self.waits: dict[str, str] = {}

    def run(self, kinds: Mapping[str, Kind], cut: Mapping[str, str]) -> None:
        """Ask about every node, then about the outputs, then about what nobody took.

        ``cut``: outputs that refused nodes behind the network read -> which.
        """
        table = handlers()
        graph = self.state.graph
        for node in graph.nodes:
            if node.name in self.refused:
                self._stand_in(node)
                continue
            before, claimed = self.state.builder.size, set(self.state.claimed)
            try:
                visit(self.state, node, table)
            except LoweringError as error:
                self._trouble(node, error)
            self._record(node, before, claimed)
            if node.op_type in ("Quant", "BipolarQuant", MULTI_THRESHOLD) and self._troubled(node):
                self.waits.setdefault(node.name, self._troubled(node))
                self._stand_in(node)
        for value in graph.outputs:
            last = graph.producer[value.name]
            if value.name in cut:
                self._leave(value.name, cut[value.name])
                continue
            before, claimed = self.state.builder.size, set(self.state.claimed)
            try:
                end(self.state, value.name, kinds)
            except LoweringError as error:
                self._trouble(last, error)
            self._record(last, before, claimed)
        for node in graph.nodes:
            known = (*self.state.claimed, *self.refused, *self.waits)
            if node.name not in known:
                behind = self._behind(node)
                if behind:
                    self.waits[node.name] = behind
                else:
                    self._trouble(node, left_over(self.state, node))

    def _leave(self, name: str, of: str) -> None:
        """Nodes in front of a cut that nobody took wait for the node behind it."""
        producer = self.state.graph.producer
        ways = [name]
        while ways:
            node = producer.get(ways.pop())
            if node is not None and node.name not in (*self.state.claimed, *self.waits):
                if node.name not in self.refused:
                    self.waits[node.name] = of
                ways.extend(node.input)

    def rows(self) -> list[Row]:
        """Return what was found, in the order of the nodes."""
        return [self._row(node) for node in self.state.graph.nodes]

    def _row(self, node: onnx.NodeProto) -> Row:
        name, op = node.name, node.op_type
        if name in self.refused:
            return Row(name, op, "refused", why=self.refused[name].why)
        if name in self.waits:
            return Row(name, op, "waits", of=self.waits[name])
        if self.made.get(name):
            return Row(name, op, "hardware", ops=self.made[name])
        return Row(name, op, "part", of=self.owner.get(name, ""))

    def _record(self, node: onnx.NodeProto, before: int, claimed: set[str]) -> None:
        added = self.state.builder.ops(before)
        self.made[node.name] = (*self.made.get(node.name, ()), *added)
        for name in self.state.claimed - claimed - {node.name}:
            self.owner.setdefault(name, node.name)

    def _trouble(self, node: onnx.NodeProto, error: LoweringError) -> None:
        """A node was refused, by itself or for one that it reads; or it waits for one that was."""
        blamed = error.node
        cause = self._troubled(node) or self._troubled(blamed)
        if cause and cause != node.name:
            self.waits.setdefault(node.name, cause)
        elif blamed.name not in self.refused:
            self.refused[blamed.name] = error
            if blamed.name != node.name:
                self.waits.setdefault(node.name, blamed.name)
        self._stand_in(node)

    def _troubled(self, node: onnx.NodeProto) -> str:
        """Return a refused node that this one waits for: on the way back to known streams."""
        graph = self.state.graph
        if all(name in self.state.streams for name in node.output):
            return ""
        seen, ways = {node.name}, list(node.input)
        while ways:
            name = ways.pop()
            producer = graph.producer.get(name)
            if name in self.state.streams or producer is None or producer.name in seen:
                continue
            seen.add(producer.name)
            if producer.name in self.refused:
                return producer.name
            ways.extend(producer.input)
        return ""

    def _behind(self, node: onnx.NodeProto) -> str:
        """Return a refused node that nodes behind this one, which nobody took, are or wait for."""
        seen, ways = {node.name}, [node]
        while ways:
            for name in ways.pop().output:
                for reader in self.state.graph.consumers[name]:
                    if reader.name in self.refused:
                        return reader.name
                    if reader.name in self.waits:
                        return self.waits[reader.name]
                    if reader.name not in self.state.claimed | seen:
                        seen.add(reader.name)
                        ways.append(reader)
        return ""

    def _stand_in(self, node: onnx.NodeProto) -> None:
        """Give the outputs of a node a stream, where its codes are known without it."""
        graph = self.state.graph
        known = self.state.streams.get(node.input[0])
        for name in node.output:
            if name in self.state.streams:
                continue
            shape = graph.shape(name)
            if len(shape) not in (2, 4):
                continue
            batch, channels, height, width = shape if len(shape) == 4 else (*shape, 1, 1)
            if node.op_type == "BipolarQuant":
                datatype, scale = "BINARY", graph.scalar(node.input[1])
            elif node.op_type == MULTI_THRESHOLD:
                found = Counts.of(graph.attributes(node))
                most = abs(found.first) + most_code(graph, node)
                datatype, scale = f"INT{min(9, 1 + most.bit_length())}", float(found.step)
            elif node.op_type == "Quant":
                bits, scale = graph.scalar(node.input[3]), graph.scalar(node.input[1])
                signed = graph.attributes(node).get("signed", 1)
                datatype = f"{'INT' if signed else 'UINT'}{int(bits or 8)}"
            elif node.op_type in MOVES and known is not None and not known.levels:
                datatype, scale = known.datatype, float(known.scale)
            else:
                continue
            shape = (batch, height, width, channels)
            self.state.streams[name] = Stream(name, shape, datatype, Fraction(scale or 1))
