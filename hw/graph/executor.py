# SPDX-License-Identifier: Apache-2.0
"""The golden executor: walks a dataflow graph and calls every node's NumPy golden.

It is the referee of all backends, so it also checks that every tensor keeps the datatype the
graph declares for it. Pictures are run in chunks small enough for memory.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnx
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper

from ...quant.grid import IntArray
from ..kernels import backends
from ..kernels.base import Golden, node_attributes
from ..kernels.ops import find_golden

Pictures = npt.NDArray[np.uint8]
Keep = Literal["all", "outputs"] | Collection[str]

CHUNK_BYTES = 512 << 20
"""Memory aimed at for the live tensors of one chunk of pictures."""


class ExecutionError(ValueError):
    """A graph or its input that the golden executor cannot run, or a broken declared datatype."""


@dataclass(frozen=True)
class _Step:
    """One node, ready to run."""

    name: str
    golden: Golden
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attrs: dict[str, Any]


class GoldenExecutor:
    """A dataflow graph compiled to a list of golden calls.

    Raises:
        ExecutionError: a node's op has no golden.
    """

    def __init__(self, model: onnx.ModelProto | ModelWrapper | Path | str) -> None:
        proto = _proto(model)
        graph = proto.graph
        self._constants: dict[str, IntArray] = {
            t.name: _integers(t.name, onnx.numpy_helper.to_array(t)) for t in graph.initializer
        }
        streams = [i for i in graph.input if i.name not in self._constants]
        if len(streams) != 1:
            raise ExecutionError(
                f"found {len(streams)} graph inputs, expected 1: the picture (1, H, W, C)"
            )
        self.input = streams[0].name
        self.outputs = tuple(o.name for o in graph.output)
        self.shapes: dict[str, tuple[int, ...]] = {
            v.name: tuple(d.dim_value for d in v.type.tensor_type.shape.dim)
            for v in (*graph.input, *graph.value_info, *graph.output)
        }
        self._limits = _declared_limits(graph)
        self._steps = [_compile(node) for node in graph.node]
        self.tensors = (self.input, *(name for step in self._steps for name in step.outputs))
        """Every streamed tensor in topological order, the picture first."""
        self.chunk = max(1, CHUNK_BYTES // (8 * self._peak_elements()))
        """Pictures per chunk."""

    def chunks(
        self, pictures: Pictures, keep: Keep = "outputs"
    ) -> Iterator[tuple[slice, dict[str, IntArray]]]:
        """Run ``pictures`` (N, H, W, C) uint8 and yield (slice of N, kept tensors) chunk by chunk.

        Args:
            pictures: raw pixels of the graph's input size.
            keep: "all" streamed tensors, the graph's "outputs", or tensor names.

        Raises:
            ExecutionError: pictures of another size or type, an unknown name in ``keep``, or a
                value outside its declared datatype.
        """
        shape = self.shapes[self.input][1:]
        if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[1:] != shape:
            raise ExecutionError(
                f"{self.input}: found pictures {pictures.dtype} {pictures.shape}, expected uint8 "
                f"(N, {', '.join(map(str, shape))}); resize them or build at their size"
            )
        names = self._kept(keep)
        for start in range(0, len(pictures), self.chunk):
            part = slice(start, min(start + self.chunk, len(pictures)))
            yield part, self._run_chunk(pictures[part].astype(np.int64), names)

    def _kept(self, keep: Keep) -> set[str]:
        if keep == "all":
            return set(self.tensors)
        names = set(self.outputs) if keep == "outputs" else set(keep)
        unknown = sorted(names.difference(self.tensors))
        if unknown:
            raise ExecutionError(
                f"found no streamed tensor {unknown[0]!r} in the graph, expected one of its "
                f"{len(self.tensors)} tensors, e.g. {self.tensors[-1]!r}"
            )
        return names

    def _run_chunk(self, x: IntArray, keep: set[str]) -> dict[str, IntArray]:
        live = {self.input: x}
        kept = {self.input: x} if self.input in keep else {}
        uses = Counter(name for step in self._steps for name in step.inputs)
        for step in self._steps:
            inputs = [self._constants[n] if n in self._constants else live[n] for n in step.inputs]
            try:
                results = step.golden(inputs, step.attrs)
            except KeyError as error:
                raise ExecutionError(
                    f"{step.name}: found no attribute {error}, expected every attribute of the "
                    "op written out (docs/03_reference/dataflow.md)"
                ) from error
            for name, value in zip(step.outputs, results, strict=True):
                self._check(step.name, name, value)
                if uses[name]:
                    live[name] = value
                if name in keep:
                    kept[name] = value
            for name in step.inputs:
                uses[name] -= 1
                if not uses[name]:
                    live.pop(name, None)
        return kept

    def _check(self, node: str, name: str, value: IntArray) -> None:
        datatype, low, high = self._limits[name]
        if not value.size:
            return
        least, most = int(value.min()), int(value.max())
        if least < low or most > high:
            raise ExecutionError(
                f"{node}: output {name} holds {least}..{most}, expected {low}..{high} "
                f"as its declared datatype {datatype} says"
            )

    def _peak_elements(self) -> int:
        """Largest number of elements alive at once for one picture, by the declared shapes."""
        uses = Counter(name for step in self._steps for name in step.inputs)
        size = {name: math.prod(self.shapes.get(name, (0,))) for name in self.tensors}
        live = peak = size[self.input]
        for step in self._steps:
            live += sum(size[name] for name in step.outputs)
            peak = max(peak, live + max(size[name] for name in step.outputs))
            for name in set(step.inputs) - self._constants.keys():
                uses[name] = 0 if uses[name] == 1 else uses[name] - 1
                if not uses[name]:
                    live -= size[name]
        return max(1, peak)


def run(
    model: onnx.ModelProto | ModelWrapper | Path | str, pictures: Pictures, keep: Keep = "outputs"
) -> dict[str, IntArray]:
    """Run ``pictures`` (N, H, W, C) uint8 through a dataflow graph's goldens.

    Args:
        model: the dataflow graph, abstract or specialised, or its path.
        pictures: raw pixels of the graph's input size.
        keep: "all" streamed tensors, the graph's "outputs", or tensor names. Everything kept is
            in memory at the end: use `GoldenExecutor.chunks` for many pictures and all tensors.

    Returns:
        Tensor name -> int64 (N, ...) array, NHWC.

    Raises:
        ExecutionError: see `GoldenExecutor`.
    """
    executor = GoldenExecutor(model)
    parts = [tensors for _, tensors in executor.chunks(pictures, keep)]
    if not parts:
        raise ExecutionError("found no pictures, expected at least 1")
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _proto(model: onnx.ModelProto | ModelWrapper | Path | str) -> onnx.ModelProto:
    if isinstance(model, (str, Path)):
        return onnx.load(model, load_external_data=False)
    proto: onnx.ModelProto = model.model if isinstance(model, ModelWrapper) else model
    return proto


def _integers(name: str, value: npt.NDArray[Any]) -> IntArray:
    if not np.array_equal(value, np.rint(value)):
        raise ExecutionError(f"initializer {name} holds values that are not integers")
    return value.astype(np.int64)


def _compile(node: onnx.NodeProto) -> _Step:
    golden = find_golden(node.op_type)
    if golden is None:
        raise ExecutionError(
            f"{node.name}: found op {node.op_type}, expected one of {', '.join(backends())}"
        )
    return _Step(node.name, golden, tuple(node.input), tuple(node.output), node_attributes(node))


def _declared_limits(graph: onnx.GraphProto) -> dict[str, tuple[str, int, int]]:
    """Return tensor -> (datatype, smallest, largest code) for every streamed tensor.

    Raises:
        ExecutionError: a tensor has no integer datatype.
    """
    declared = {
        annotation.tensor_name: entry.value
        for annotation in graph.quantization_annotation
        for entry in annotation.quant_parameter_tensor_names
        if entry.key == "finn_datatype"
    }
    limits = {}
    for node in graph.node:
        for name in node.output:
            datatype = DataType[declared.get(name, "FLOAT32")]
            if not datatype.is_integer():
                raise ExecutionError(
                    f"{node.name}: output {name} is declared {datatype.name}, expected an "
                    "integer datatype"
                )
            limits[name] = (datatype.name, int(datatype.min()), int(datatype.max()))
    return limits
