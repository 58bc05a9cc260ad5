# SPDX-License-Identifier: Apache-2.0
"""A plan as it grows: what lowerings of nodes read from the graph, and what they add.

Free of ONNX: ``pack`` reads the file. How a node becomes steps is its kernel's business, see
``Lowering``; what a step needs is its operation's, see ``ops``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ...quant.card import PackedCard
from ...quant.grid import IntArray
from . import plan as packed
from .plan import DataType, ModelError


@dataclass
class Node:
    """A node of the graph with its attributes as plain values."""

    name: str
    op: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def where(self) -> str:
        """How errors name the node."""
        return f"{self.name} ({self.op})"

    def get(self, name: str) -> Any:
        """Return an attribute; the contract has every attribute written out."""
        if name not in self.attributes:
            raise ModelError(
                f"{self.where}: attribute {name} is missing, expected as in dataflow.md"
            )
        return self.attributes[name]

    def ints(self, name: str, count: int) -> list[int]:
        """Return an attribute that is a list of ``count`` integers."""
        value = self.get(name)
        if not isinstance(value, list) or len(value) != count:
            raise ModelError(f"{self.where}: found {name} {value!r}, expected {count} integers")
        return [int(v) for v in value]

    def datatype(self, name: str) -> DataType:
        """Return an attribute that names a datatype."""
        return DataType.of(str(self.get(name)), self.where)


@dataclass(frozen=True)
class Graph:
    """A dataflow graph as plain values.

    Attributes:
        nodes: in the order of the graph.
        outputs: names of the tensors that it gives.
        initializers: readers of its constants by name; they raise ModelError, without saying
            which node asks.
    """

    nodes: list[Node]
    outputs: list[str]
    initializers: Mapping[str, Callable[[], npt.NDArray[Any]]]


class Packer:
    """One lowering: the plan as it grows, and what is known about each tensor of the graph."""

    def __init__(self, graph: Graph, name: str, card: PackedCard | None) -> None:
        """Begin a plan without tensors."""
        self.graph = graph
        self.plan = packed.Plan(name, [], [], [], [], card)
        self.constants: dict[str, npt.NDArray[Any]] = {}
        self.index: dict[str, int] = {}
        self.types: dict[int, DataType] = {}
        self._readers = Counter(n for node in graph.nodes for n in node.inputs)
        self._readers.update(graph.outputs)
        self._producers = {o: node for node in graph.nodes for o in node.outputs}
        self._made: dict[tuple[Any, ...], int] = {}
        self._ends: dict[int, tuple[int, int]] = {}

    # Tensors

    def tensor(
        self, names: list[str], shape: list[int], datatype: DataType, storage: str | None = None
    ) -> int:
        """Add a tensor and return its index."""
        index = len(self.plan.tensors)
        storage = storage or datatype.storage
        self.plan.tensors.append(packed.Tensor(names, shape, datatype.name, storage))
        self.types[index] = datatype
        self.index.update(dict.fromkeys(names, index))
        return index

    def at(self, index: int) -> packed.Tensor:
        """Return a tensor of the plan."""
        return self.plan.tensors[index]

    def read(self, node: Node, position: int = 0) -> int:
        """Return the tensor behind a streamed input of a node."""
        if position >= len(node.inputs):
            raise ModelError(
                f"{node.where}: found {len(node.inputs)} inputs, expected more than {position}"
            )
        name = node.inputs[position]
        if name not in self.index:
            raise ModelError(
                f"{node.where}: input {name!r} is produced by no earlier node; sort the graph"
            )
        return self.index[name]

    def once(self, key: tuple[Any, ...], make: Callable[[], int]) -> int:
        """Return the tensor that ``make`` adds, the one of before if the key was there before."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def stored(self, index: int, *storages: str) -> int:
        """Return the same integers in the first of some storages, as they are if in another of
        these; they are cast at most once."""
        if self.at(index).storage in storages:
            return index

        def cast() -> int:
            out = self.tensor([], self.at(index).shape, self.types[index], storages[0])
            self.step("cast", "cast", [index], [out])
            return out

        return self.once(("cast", index, storages[0]), cast)

    def result(self, node: Node, shape: list[int], datatype: DataType, storage: str) -> int:
        """Add the tensor behind a node's only output, written by a step in ``storage``.

        Where the datatype's own storage is another one, the caller's tensor stays nameless and a
        cast follows when the node is done (see ``finish``).
        """
        name = self._only_output(node)
        named = storage == datatype.storage
        return self.tensor([name] if named else [], shape, datatype, storage)

    def finish(self, node: Node, index: int) -> None:
        """Give a node's output its own storage if its step wrote another one."""
        if self.at(index).names:
            return
        final = self.tensor(list(node.outputs), self.at(index).shape, self.types[index])
        self.step("cast", node.name, [index], [final])

    def sums(
        self,
        node: Node,
        shape: list[int],
        datatype: DataType,
        ends: tuple[IntArray, IntArray] | None = None,
    ) -> int:
        """Add the tensor behind a node's only output that stays in 32 bits whatever its datatype:
        sums, which the next step reads so; ``ends`` are the smallest and the largest, where known.
        """
        index = self.tensor([self._only_output(node)], shape, datatype, "i32")
        if ends is not None:
            self._ends[index] = int(ends[0].min()), int(ends[1].max())
        return index

    def ends(self, index: int) -> tuple[int, int]:
        """Return the smallest and the largest value of a tensor, as far as they are known."""
        return self._ends.get(index, (self.types[index].low, self.types[index].high))

    def rename(self, node: Node) -> None:
        """Let a node's outputs be other names of its input."""
        index = self.read(node)
        self.at(index).names.extend(node.outputs)
        self.index.update(dict.fromkeys(node.outputs, index))

    def _only_output(self, node: Node) -> str:
        if len(node.outputs) != 1:
            raise ModelError(f"{node.where}: found {len(node.outputs)} outputs, expected 1")
        return node.outputs[0]

    # Steps and constants

    def step(
        self,
        op: str,
        node: str,
        inputs: list[int],
        outputs: list[int],
        attributes: Mapping[str, int] | None = None,
        constants: Mapping[str, npt.NDArray[Any]] | None = None,
    ) -> None:
        """Add a step; its constants are stored under the step's number and their own names."""
        names: dict[str, str] = {}
        for key, array in (constants or {}).items():
            names[key] = f"{len(self.plan.steps)}.{key}"
            self.constants[names[key]] = np.ascontiguousarray(array)
        self.plan.steps.append(
            packed.Step(op, node, inputs, outputs, dict(attributes or {}), names)
        )

    def initializer(self, node: Node, position: int) -> IntArray:
        """Return an initializer's integers."""
        name = node.inputs[position] if position < len(node.inputs) else ""
        if name not in self.graph.initializers:
            raise ModelError(f"{node.where}: input {position} is no initializer, expected one")
        try:
            values = self.graph.initializers[name]().astype(np.float64)
        except ModelError as error:
            raise ModelError(f"{node.where}: input {position} {error}") from error
        if not np.array_equal(values, np.rint(values)):
            raise ModelError(f"{node.where}: input {position} holds values that are not integers")
        return values.astype(np.int64)

    # The graph around a node

    def before(self, node: Node, op: str) -> Node | None:
        """Return the node in front of another if it is of ``op`` and nothing else reads it."""
        before = self._producers.get(node.inputs[0])
        if before is None or before.op != op:
            return None
        return before if self._readers[before.outputs[0]] == 1 else None


def never(p: Packer, node: Node) -> bool:
    """Of ops that read their input as it is."""
    return False


def always(p: Packer, node: Node) -> bool:
    """Of ops that can always read windows out of a picture."""
    return True


@dataclass(frozen=True)
class Lowering:
    """How the nodes of an op become steps.

    Attributes:
        lower: adds the steps of a node, and the tensors behind its outputs.
        reads_windows: whether the steps of a node take in the sliding window in front of it, and
            the padding in front of that: they read the picture itself.
    """

    lower: Callable[[Packer, Node], None]
    reads_windows: Callable[[Packer, Node], bool] = never
