# SPDX-License-Identifier: Apache-2.0
"""Which tensors of a dataflow graph each backend must deliver, said before it runs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import onnx

from ..hw.cpu.pack import fused_tensors
from ..hw.graph.builder import boundaries
from ..hw.graph.distinct import distinct_values, stream_shapes
from ..hw.graph.executor import base_op
from ..hw.graph.ops import facts_of

PICTURE = "picture"
"""The kind of the network's input, which no op writes."""
OWN_OPS = "net_"
"""Begin of the names that the QONNX export gives to what the network itself does between its
modules (splits, concats, crops, its own pools): no module ends there."""


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
        ops = _producers(model)
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


def coverage(backend: str, model: onnx.ModelProto) -> Coverage:
    """Return what a backend must deliver of a dataflow graph, from the graph alone.

    Args:
        backend: "torch", "qonnx", "cpu" or "rtl".
        model: dataflow graph.
    """
    rules: dict[str, Callable[[onnx.ModelProto], Coverage]] = {
        "torch": _torch,
        "qonnx": _qonnx,
        "cpu": _cpu,
        "rtl": _rtl,
    }
    return rules[backend](model)


def output_alone(backend: str, model: onnx.ModelProto, reason: str) -> Coverage:
    """Return the coverage of a run that gives the graph's output and nothing else."""
    return Coverage(backend, model, _outputs(model), reason)


def _torch(model: onnx.ModelProto) -> Coverage:
    """Boundaries that a module of the network ends at, and the class."""
    ops = _producers(model)
    seen = {
        b.tensor
        for b in boundaries(model)
        if not _inside_module(ops[b.tensor]) and not b.reference.startswith(OWN_OPS)
    }
    return Coverage(
        "torch",
        model,
        seen | _outputs(model),
        "no module of the PyTorch network ends there",
        {PICTURE: "it is what the network is given"},
    )


def _qonnx(model: onnx.ModelProto) -> Coverage:
    """Every boundary that lowering noted, and the class."""
    seen = {b.tensor for b in boundaries(model)}
    reason = "the QONNX network has no tensor that is the same"
    return Coverage("qonnx", model, seen | _outputs(model), reason)


def _cpu(model: onnx.ModelProto) -> Coverage:
    """All but what matrix products read through."""
    gone = fused_tensors(model)
    reason = "they do not exist on the CPU, where a convolution reads the picture itself"
    return Coverage("cpu", model, _producers(model).keys() - gone, reason)


def _rtl(model: onnx.ModelProto) -> Coverage:
    """Every stream: there is a FIFO on each."""
    return Coverage("rtl", model, _producers(model), "not captured")


def _outputs(model: onnx.ModelProto) -> set[str]:
    return {o.name for o in model.graph.output}


def _producers(model: onnx.ModelProto) -> dict[str, str]:
    """Return every streamed tensor with the op that writes it, in the graph's order."""
    constants = {t.name for t in model.graph.initializer}
    inputs = {v.name: PICTURE for v in model.graph.input if v.name not in constants}
    return inputs | {name: base_op(n.op_type) for n in model.graph.node for name in n.output}


def _kind(op: str) -> str:
    """How the outputs of an op are called."""
    return PICTURE if op == PICTURE else facts_of(op).outputs_are or f"outputs of {op}"


def _inside_module(op: str) -> bool:
    """Whether outputs stay inside a PyTorch module; the network's input does, too."""
    return op == PICTURE or facts_of(op).inside_module
