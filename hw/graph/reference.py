# SPDX-License-Identifier: Apache-2.0
"""What a QONNX network computes, exactly: the judge of `verify` and of float32 executions.

A network's numbers are the constants of its file taken as they are, and exact arithmetic on them
decides every code. Where a value lies so near a quantiser's rounding border that float32 picks the
code beyond it, the exact side is right, and the one of float32 is its noise.

The evaluator knows nothing of the lowering. A tensor that is a multiple of one step (pixels, codes
of a quantiser, sums of their products) is kept as integers, which sums and products leave exact up
to 2**53; only what stands between a sum and the next quantiser is evaluated in float64.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper
from onnx.reference import ReferenceEvaluator

from ..kernels.base import node_attributes
from .pixels import Pixels, pixels_of
from .qonnx_graph import LoweringError
from .reference_kernels import KERNELS, LINEAR, MOVES
from .reference_lines import in_front_of_products, line
from .reference_value import Array, Value


class Reference:
    """A network in exact arithmetic, one picture at a time.

    Raises:
        LoweringError: a node has no kernel here, or a constant is no number.
    """

    def __init__(self, network: onnx.ModelProto, pixels: Pixels | None = None) -> None:
        self.pixels = pixels_of(network) if pixels is None else pixels
        graph = network.graph
        self._opsets = list(network.opset_import)
        self._known = {t.name: constant(onnx.numpy_helper.to_array(t)) for t in graph.initializer}
        (given,) = (i for i in graph.input if i.name not in self._known)
        self.input = given.name
        self._vector = len(given.type.tensor_type.shape.dim) == 2
        self.output = graph.output[0].name
        self._lines = in_front_of_products(graph.node, [value.name for value in graph.output])
        self._nodes = []
        for node in graph.node:
            # Quantised weights are the same for every picture.
            if all(name in self._known for name in node.input if name):
                self._known.update(self._run(node, self._known))
            else:
                self._nodes.append(node)

    def walk(
        self, picture: npt.NDArray[np.uint8]
    ) -> Iterator[tuple[onnx.NodeProto, Mapping[str, Value]]]:
        """Execute on a picture (1, H, W, C); yields each node with its inputs and outputs.

        Nodes of constants alone were executed before.
        """
        exact = self.pixels.codes(picture)
        fed = Value(*exact) if exact else Value(self.pixels.feed(picture))
        if self._vector:
            fed = replace(fed, codes=fed.codes.reshape(len(picture), -1))
        context = {**self._known, self.input: fed}
        uses = Counter(name for node in self._nodes for name in node.input)
        for node in self._nodes:
            context.update(self._run(node, context))
            yield node, {n: context[n] for n in (*node.input, *node.output) if n}
            for name in node.input:
                uses[name] -= 1
                if not uses[name] and name not in self._known:
                    context.pop(name, None)

    def run(self, picture: npt.NDArray[np.uint8], wanted: Collection[str]) -> dict[str, Array]:
        """Return the ``wanted`` tensors (1, C, H, W) or (1, C) of a picture (1, H, W, C)."""
        found: dict[str, Array] = {}
        for _, tensors in self.walk(picture):
            found.update({n: v.values for n, v in tensors.items() if n in wanted})
        return found

    def _run(self, node: onnx.NodeProto, context: Mapping[str, Value]) -> dict[str, Value]:
        inputs = [context[name] if name else None for name in node.input]
        try:
            # What overflows is no code: the comparison at the next boundary says so.
            with np.errstate(all="ignore"):
                exact = line(node, inputs) if node.name in self._lines else None
                results = [exact] if exact else execute(node, inputs, self._opsets)
        except Exception as error:  # ONNX's kernels raise what they meet.
            why = (" ".join(str(error).split()) or type(error).__name__)[:200]
            raise LoweringError(node, f"cannot be evaluated exactly ({why})") from error
        return dict(zip(node.output, results, strict=False))


def classes(values: Array) -> npt.NDArray[np.int64]:
    """Return what a network's output (N, C, ..) decides, (N, ..): the lowest of the largest.

    One channel decides by its sign: class 1 where it is 0 or more.
    """
    if values.shape[1] == 1:
        return (values[:, 0] >= 0).astype(np.int64)
    return np.argmax(values, axis=1)


def constant(value: Array) -> Value:
    """A constant of the file; integers among floats are codes of step 1."""
    if value.dtype.kind != "f":
        return Value(value)
    exact = value.astype(np.float64)
    return Value(exact, Fraction(1) if np.array_equal(exact, np.rint(exact)) else None)


def execute(
    node: onnx.NodeProto, inputs: Sequence[Value | None], opsets: Sequence[onnx.OperatorSetIdProto]
) -> list[Value]:
    """Execute one node."""
    kernel = KERNELS.get(node.op_type)
    given = [v for v in inputs if v is not None]
    found = kernel(given, node_attributes(node)) if kernel is not None else None
    if found is not None:
        return [found]
    if node.op_type in LINEAR and len(given) == 2:
        x, w = given
        if x.step is not None and w.step is not None:
            (y,) = onnx_reference(node, [x.codes, w.codes], opsets)
            return [Value(y, x.step * w.step)]
    if node.op_type in MOVES and given and given[0].step is not None:
        moved = [given[0].codes, *(v.values for v in given[1:])]
        return [Value(y, given[0].step) for y in onnx_reference(node, moved, opsets)]
    arrays = [None if v is None else v.values for v in inputs]
    return [Value(y) for y in onnx_reference(node, arrays, opsets)]


def onnx_reference(
    node: onnx.NodeProto,
    inputs: Sequence[Array | None],
    opsets: Sequence[onnx.OperatorSetIdProto],
) -> list[Array]:
    """Execute a standard node by ONNX's own reference implementation, floats in float64."""
    copy = onnx.NodeProto.FromString(node.SerializeToString())
    for attribute in copy.attribute:
        if node.op_type == "Cast" and attribute.name == "to":
            double = onnx.TensorProto.DOUBLE
            attribute.i = double if attribute.i == onnx.TensorProto.FLOAT else attribute.i
    if node.op_type == "BatchNormalization":
        # ONNX's implementation of the versions before 14 takes a momentum for training.
        opsets = [helper.make_opsetid("", 15)]
        kept = [a for a in copy.attribute if a.name == "epsilon"]
        del copy.attribute[:]
        copy.attribute.extend(kept)
    feeds: dict[str, Array] = {}
    for name, value in zip(copy.input, inputs, strict=True):
        if value is not None:
            feeds[name] = value.astype(np.float64) if value.dtype.kind == "f" else value
    graph = helper.make_graph(
        [copy],
        "node",
        [
            helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape)
            for n, v in feeds.items()
        ],
        [helper.make_tensor_value_info(n, onnx.TensorProto.DOUBLE, None) for n in copy.output if n],
    )
    model = helper.make_model(graph, opset_imports=list(opsets))
    found = [np.asarray(y) for y in ReferenceEvaluator(model).run(None, feeds)]
    return [y.astype(np.float64) if y.dtype.kind == "f" else y for y in found]
