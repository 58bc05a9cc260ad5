# SPDX-License-Identifier: Apache-2.0
"""Which tensors of a dataflow graph each backend must deliver, said before it runs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import onnx

from ..hw.graph.distinct import distinct_values, stream_shapes
from ..hw.kernels.ops import base_op, facts_of

PICTURE = "picture"
"""The kind of the network's input, which no op writes."""


@dataclass(frozen=True)
class Gap:
    """Tensors of one kind that a backend does not deliver."""

    kind: str
    reason: str
    layers: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain values for reports."""
        return {"kind": self.kind, "reason": self.reason, "layers": list(self.layers)}


class Coverage:
    """What one backend must deliver of a dataflow graph: every one of ``layers``, nothing else.

    A layer is a streamed tensor of the graph: the picture and every output of a node.
    """

    def __init__(
        self,
        backend: str,
        model: onnx.ModelProto,
        layers: Collection[str],
        reason: str,
        reasons: Mapping[str, str] | None = None,
    ) -> None:
        """State the layers.

        Args:
            backend: its name.
            model: dataflow graph.
            layers: names of tensors of the graph.
            reason: why the others are not delivered.
            reasons: the same by kind, where it is another.
        """
        self.backend = backend
        self._model = model
        ops = producers(model)
        self.order = tuple(ops)
        """Every layer of the graph, from picture to result."""
        wanted = set(layers)
        self.layers = tuple(name for name in self.order if name in wanted)
        """The layers that must be delivered, in that order."""
        self.shapes = stream_shapes(model)
        """Shape of every layer for one picture, (1, ...)."""
        kinds: dict[str, list[str]] = {}
        for name in self.order:
            if name not in wanted:
                kinds.setdefault(_kind(ops[name]), []).append(name)
        self.gaps = tuple(
            Gap(kind, (reasons or {}).get(kind, reason), tuple(names))
            for kind, names in kinds.items()
        )
        """The others, by kind, with the reason."""

    @cached_property
    def distinct(self) -> dict[str, int]:
        """Distinct values of each layer delivered, for one picture: see ``distinct_values``."""
        return distinct_values(self._model, self.layers)


def output_alone(backend: str, model: onnx.ModelProto, reason: str) -> Coverage:
    """Return the coverage of a run that gives the graph's output and nothing else."""
    return Coverage(backend, model, outputs(model), reason)


def outputs(model: onnx.ModelProto) -> set[str]:
    """Return the names of a graph's outputs."""
    return {o.name for o in model.graph.output}


def producers(model: onnx.ModelProto) -> dict[str, str]:
    """Return every streamed tensor with the op that writes it, in the graph's order."""
    constants = {t.name for t in model.graph.initializer}
    inputs = {v.name: PICTURE for v in model.graph.input if v.name not in constants}
    return inputs | {name: base_op(n.op_type) for n in model.graph.node for name in n.output}


def _kind(op: str) -> str:
    """How the outputs of an op are called."""
    return PICTURE if op == PICTURE else facts_of(op).outputs_are or f"outputs of {op}"
