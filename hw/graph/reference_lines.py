# SPDX-License-Identifier: Apache-2.0
"""Codes times numbers and more by numbers, in front of a product, as integers: sums are exact.

Between a sum and a quantiser it is float64 that decides, and nothing here is asked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import onnx

from .factors import common_step
from .pixels import SCALING
from .reference_value import Array, Value

PRODUCTS = ("Conv", "Gemm", "MatMul")
MOVED = (*SCALING, "Pad", "Flatten", "Reshape")
"""What may stand between codes and a product."""
MAX_NUMBERS = 1 << 12
"""Most numbers of a constant: one per channel."""
MAX_CODE = 1 << 44
"""Integers are smaller: few bits of weights times them are exact in float64."""


def in_front_of_products(nodes: Sequence[onnx.NodeProto], outputs: Sequence[str]) -> set[str]:
    """Return the names of the nodes that scale or move what nothing but products read."""
    readers = defaultdict(list)
    for node in nodes:
        for i, name in enumerate(node.input):
            readers[name].append((node, i))
    found: set[str] = set()
    for node in reversed(nodes):
        behind = readers[node.output[0]]
        reads = all(r.name in found or (r.op_type in PRODUCTS and i == 0) for r, i in behind)
        if node.op_type in MOVED and behind and reads and node.output[0] not in outputs:
            found.add(node.name)
    return found


def line(node: onnx.NodeProto, inputs: Sequence[Value | None]) -> Value | None:
    """Execute a node on codes and constants; None where no integers come out."""
    given = [v for v in inputs if v is not None]
    if len(given) == 2 and node.op_type in SCALING:
        x, y = given
        if x.step is None or (node.op_type in ("Add", "Mul") and x.codes.size < y.codes.size):
            x, y = y, x
        if (x is given[0] or node.op_type in ("Add", "Mul")) and _few(x, y):
            return _scaled(node, x, y) if node.op_type in ("Mul", "Div") else _added(node, x, y)
    return None


def _few(x: Value, y: Value) -> bool:
    numbers = y.values
    return (
        x.step is not None
        and numbers.dtype.kind == "f"
        and numbers.size <= min(MAX_NUMBERS, x.codes.size)
        and bool(np.isfinite(numbers).all())
    )


def _fractions(values: Array) -> list[Fraction]:
    return [Fraction(number) for number in values.reshape(-1).tolist()]


def _scaled(node: onnx.NodeProto, x: Value, y: Value) -> Value | None:
    numbers, own = y.values, x.step or Fraction(1)
    if not numbers.all():
        return None
    divides = node.op_type == "Div"
    steps = [abs(own / n if divides else own * n) for n in _fractions(numbers)]
    factors, step = common_step(steps)
    if max(factors) * int(np.abs(x.codes).max()) >= MAX_CODE:
        return None
    counts = np.reshape([float(n) for n in factors], numbers.shape) * np.sign(numbers)
    return Value(x.codes * counts, step)


def _added(node: onnx.NodeProto, x: Value, y: Value) -> Value | None:
    numbers = _fractions(y.values)
    (factor, *_), step = common_step([x.step or Fraction(1), *({*map(abs, numbers)} - {0})])
    most = max(abs(number / step) for number in numbers)
    if factor * int(np.abs(x.codes).max()) + most >= MAX_CODE:
        return None
    rows = np.reshape([float(number / step) for number in numbers], y.values.shape)
    return Value(x.codes * factor + (rows if node.op_type == "Add" else -rows), step)
