# SPDX-License-Identifier: Apache-2.0
"""What FINN's conversion takes apart is put together again: signs, the least code of a quantiser,
the scale of weights, averages of quantised tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from ..kernels.base import node_attributes
from .clean_state import Cleaning
from .multi_threshold import OP as MULTI_THRESHOLD
from .qonnx_graph import LoweringError, per_channel, whole
from .schema import QONNX_DOMAIN
from .threshold_pattern import MAX_LEVEL

PRODUCTS = {"Conv": 0, "ConvTranspose": 1, "MatMul": 1}
"""Products that FINN leaves, and the axis of their weights that outputs lie along."""
XNOR = "XnorPopcountMatMul"
MOVES = ("Flatten", "Identity", "Im2Col", "MaxPool", "MaxPoolNHWC", "Reshape", "Transpose")
"""Ops that give bits on as they are, or the larger ones."""


def expand(graph: onnx.GraphProto) -> None:
    """Write XnorPopcountMatMul, which counts equal bits, as a product.

    Bits that only such products read become the signs they stand for.
    """
    if not any(node.op_type == XNOR for node in graph.node):
        return
    constants = {t.name: t for t in graph.initializer}
    outputs = {value.name for value in graph.output}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    signs: set[str] = set()
    for node in graph.node:
        given = node_attributes(node)
        bits = node.op_type == MULTI_THRESHOLD and constants.get(node.input[1])
        plain = (given.get("out_scale", 1.0), given.get("out_bias", 0.0)) == (1.0, 0.0)
        if not bits or list(bits.dims)[1:] != [1] or not plain:
            continue
        reached = _moved(node.output[0], readers, outputs)
        if reached is not None:
            signs |= reached
            kept = [a for a in node.attribute if a.name not in ("out_scale", "out_bias")]
            del node.attribute[:]
            node.attribute.extend(kept)
            node.attribute.append(helper.make_attribute("out_scale", 2.0))
            node.attribute.append(helper.make_attribute("out_bias", -1.0))
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        nodes += _product_of_bits(graph, node, constants, signs) if node.op_type == XNOR else [node]
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(nodes)


def _moved(
    name: str, readers: dict[str, list[onnx.NodeProto]], outputs: set[str]
) -> set[str] | None:
    """Return all tensors that hold the bits of one, if in the end only products of bits read
    them."""
    found, ways = {name}, [name]
    while ways:
        tensor = ways.pop()
        if tensor in outputs or not readers.get(tensor):
            return None
        for node in readers[tensor]:
            if node.op_type == XNOR and node.input[0] == tensor:
                continue
            given = node_attributes(node)
            if node.op_type not in MOVES or any(given.get("pad_amount", ())):
                return None
            found.update(node.output)
            ways += node.output
    return found


def _product_of_bits(
    graph: onnx.GraphProto,
    node: onnx.NodeProto,
    constants: dict[str, onnx.TensorProto],
    signs: set[str],
) -> list[onnx.NodeProto]:
    """The bits a and w are equal in (K + (2a-1)(2w-1)) / 2 = a (2w-1) + sum of 1-w places."""
    stored = constants.get(node.input[1]) if len(node.input) == 2 else None
    weight = None if stored is None else onnx.numpy_helper.to_array(stored)
    if weight is None or weight.ndim != 2 or not np.isin(weight, (0, 1)).all():
        raise LoweringError(node, "found no constant weights (inputs, outputs) of 0 and 1")
    (output,) = node.output
    of_signs = node.input[0] in signs
    row = np.float32(len(weight) / 2) if of_signs else (1 - weight).sum(axis=0)
    for name, value in (("signs", 2 * weight - 1), ("half", np.float32(0.5)), ("more", row)):
        tensor = onnx.numpy_helper.from_array(np.asarray(value, np.float32), f"{output}_{name}")
        graph.initializer.append(tensor)
    parts = [("MatMul", f"{output}_signs"), ("Mul", f"{output}_half"), ("Add", f"{output}_more")]
    if not of_signs:
        del parts[1]
    nodes, source = [], node.input[0]
    for op, constant in parts:
        made = output if op == "Add" else f"{output}_{op}"
        label = node.name if op == "MatMul" else f"{node.name}_{op}"
        nodes.append(helper.make_node(op, [source, constant], [made], name=label))
        source = made
    return nodes


def thresholds(state: Cleaning, node: onnx.NodeProto) -> None:
    """Keep a MultiThreshold; one that gives signs becomes a BipolarQuant.

    Raises:
        LoweringError: an attribute or input that qonnx does not execute, or more than 255
            thresholds.
    """
    rows = state.value(node.input[1]) if len(node.input) == 2 else None
    shape = state.shape(node.input[0])
    channels = shape[1] if len(shape) > 1 else 0
    attributes = node_attributes(node)
    known = {"out_dtype": str, "out_scale": float, "out_bias": float, "data_layout": str}
    if any(not isinstance(value, known.get(name, ())) for name, value in attributes.items()):
        raise LoweringError(node, f"found {attributes}, expected the attributes {list(known)}")
    if rows is None or rows.dtype.kind != "f" or rows.ndim != 2 or np.isnan(rows).any():
        raise LoweringError(node, "found no constant thresholds (channels, n), expected such")
    if len(rows) not in (1, channels) or not 1 <= rows.shape[1] <= MAX_LEVEL:
        raise LoweringError(
            node,
            f"found thresholds of shape {rows.shape} for {shape}, expected (1 or {channels}, n) of "
            f"at most {MAX_LEVEL}, channels in front",
        )
    scale = attributes.get("out_scale", 1.0)
    bias = attributes.get("out_bias", 0.0)
    if not (np.isfinite([scale, bias]).all() and abs(scale) > np.finfo(np.float32).tiny):
        raise LoweringError(node, f"found out_scale {scale}, out_bias {bias}, expected numbers")
    node.domain = QONNX_DOMAIN
    (output,) = node.output
    kind = state.types[node.input[0]]
    if rows.shape[1] == 1 and scale > 0 and 2 * bias == -scale:
        source = node.input[0]
        if rows.any():
            row = rows.reshape(-1, *(1,) * (len(shape) - 2)).astype(np.float32)
            source = f"{output}_above"
            inputs = [node.input[0], state.add_constant(f"{output}_threshold", row)]
            state.keep(helper.make_node("Sub", inputs, [source], name=f"{node.name}_Sub"), [kind])
        half = state.add_constant(f"{output}_scale", np.array(scale / 2, np.float32))
        node = helper.make_node(
            "BipolarQuant", [source, half], [output], name=node.name, domain=QONNX_DOMAIN
        )
    else:
        # One form of a layout: channels lie in front here.
        kept = [a for a in node.attribute if a.name in ("out_dtype", "out_scale", "out_bias")]
        del node.attribute[:]
        node.attribute.extend([*kept, helper.make_attribute("data_layout", _layout(shape))])
    state.keep(node, [kind])


def _layout(shape: tuple[int, ...]) -> str:
    return "NCHW"[: len(shape)]


def joins_thresholds(state: Cleaning, node: onnx.NodeProto) -> bool:
    """Take an Add of one number into the MultiThreshold in front: its least code."""
    found = _alone(state, node, (MULTI_THRESHOLD,))
    if node.op_type != "Add" or found is None or found[1].size != 1:
        return False
    before, number = found
    if len(number.shape) > len(state.shape(before.output[0])):
        return False
    total = node_attributes(before).get("out_bias", 0.0) + float(number.reshape(()))
    if float(np.float32(total)) != total:
        return False
    kept = [a for a in before.attribute if a.name != "out_bias"]
    del before.attribute[:]
    before.attribute.extend([*kept, helper.make_attribute("out_bias", total)])
    _rename(state, before, node)
    return True


def joins_weights(state: Cleaning, node: onnx.NodeProto) -> bool:
    """Take a Mul behind a product of whole weights as their scale, or one scale per output; not one
    that a rounding of integers follows, as andpop's epilogues have it."""
    found = _alone(state, node, tuple(PRODUCTS))
    if node.op_type != "Mul" or found is None or _is_rounded(state, node.output[0]):
        return False
    before, number = found
    codes, shape = state.value(before.input[1]), state.shape(before.output[0])
    if codes is None or len(before.input) > 2 or codes.dtype != np.float32 or not whole(codes):
        return False
    groups = node_attributes(before).get("group", 1)
    row = per_channel(number.astype(np.float64), shape[1], len(shape)) if len(shape) > 1 else None
    axis = PRODUCTS[before.op_type]
    if (
        number.ndim > len(shape)
        or row is None
        or not (row > np.finfo(np.float32).tiny).all()
        or codes.ndim != len(shape)
    ):
        return False
    if number.size > 1 and (groups > 1 and before.op_type == "ConvTranspose"):
        return False
    scale = row[:1].reshape(()) if number.size == 1 else row
    if number.size > 1:
        scale = row.reshape([-1 if i == axis else 1 for i in range(codes.ndim)])
    scale = scale.astype(np.float32)
    name = before.input[1]
    state.spend(node, [codes.shape])
    value = state.add_constant(f"{name}_values", codes * scale)
    inputs = [value, state.add_constant(f"{name}_scale", scale)]
    attributes: dict[str, Any] = {}
    if (np.abs(codes) == 1).all():
        op = "BipolarQuant"
    else:
        op = "Quant"
        most = max(int(codes.max()), -1 - int(codes.min()))
        bits = np.array(max(2, 1 + most.bit_length()), np.float32)
        zero = state.add_constant(f"{name}_zero", np.array(0, np.float32))
        inputs += [zero, state.add_constant(f"{name}_bits", bits)]
        attributes = {"signed": 1, "narrow": 0, "rounding_mode": "ROUND"}
    quantised = f"{before.output[0]}_weights"
    made = helper.make_node(
        op, inputs, [quantised], name=f"{before.name}_weights", domain=QONNX_DOMAIN, **attributes
    )
    place = next(i for i, kept in enumerate(state.nodes) if kept.name == before.name)
    state.keep(made, [state.types[value]])
    state.nodes.insert(place, state.nodes.pop())
    before.input[1] = quantised
    _rename(state, before, node)
    return True


def _is_rounded(state: Cleaning, name: str) -> bool:
    """Whether what reads a tensor, or an Add behind it, rounds down."""
    readers = state.readers.get(name, ())
    added = [out for node in readers if node.op_type == "Add" for out in node.output]
    behind = [*readers, *(node for out in added for node in state.readers.get(out, ()))]
    return any(
        node.op_type == "Floor" or node_attributes(node).get("rounding_mode") == "FLOOR"
        for node in behind
    )


def _alone(
    state: Cleaning, node: onnx.NodeProto, ops: tuple[str, ...]
) -> tuple[onnx.NodeProto, npt.NDArray[Any]] | None:
    """Return the node of ``ops`` that a binary ``node`` alone reads, and the constant beside it."""
    constants = [n for n in node.input if n in state.constants]
    computed = [n for n in node.input if n not in state.constants]
    if len(constants) != 1 or len(computed) != 1:
        return None
    before, value = state.producer.get(computed[0]), state.value(constants[0])
    outputs = {v.name for v in state.proto.graph.output}
    if before is None or before.op_type not in ops or value is None:
        return None
    if len(state.readers.get(computed[0], ())) != 1 or computed[0] in outputs:
        return None
    return before, value


def _rename(state: Cleaning, before: onnx.NodeProto, node: onnx.NodeProto) -> None:
    """A node gives what the one behind it gave."""
    (output,) = node.output
    state.types[output] = state.types[before.output[0]]
    before.output[0] = output
    state.producer[output] = before


def average(state: Cleaning, node: onnx.NodeProto) -> None:
    """A QuantAvgPool2d of codes: an average, times the pixels of a window, of which bits go.

    Raises:
        LoweringError: an attribute that qonnx does not execute.
    """
    given = node_attributes(node)
    bounds = {"kernel": 1 << 16, "stride": 1 << 16, "ibits": 32, "obits": 32, "signed": 1}
    for name, most in bounds.items():
        least = 0 if name == "signed" else 1
        if (
            not isinstance(given.get(name, least), int)
            or not least <= given.get(name, least) <= most
        ):
            raise LoweringError(node, f"found {name} {given.get(name)}, expected {least}..{most}")
    shape = state.shape(node.input[0])
    side, stride = given.get("kernel", 1), given.get("stride", 1)
    if len(node.input) != 1 or len(shape) != 4 or min(shape[2:]) < side:
        raise LoweringError(node, f"pools {shape} by {side}, expected a map that holds a window")
    sizes = [*shape[:2], *((size - side) // stride + 1 for size in shape[2:])]
    kind = helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, sizes)
    bits = (((1 << given.get("ibits", 1)) - 1) * side * side).bit_length()
    left = min(bits, given.get("obits", 1))
    (output,) = node.output
    mean, total = f"{output}_mean", f"{output}_sum"
    pool = helper.make_node(
        "AveragePool", [node.input[0]], [mean], name=f"{node.name}_mean",
        kernel_shape=[side, side], strides=[stride, stride],
    )  # fmt: skip
    count = state.add_constant(f"{output}_count", np.array(side * side, np.float32))
    times = helper.make_node("Mul", [mean, count], [total], name=f"{node.name}_sum")
    numbers = [
        state.add_constant(f"{output}_{name}", np.array(value, np.float32))
        for name, value in (("one", 1), ("zero", 0), ("bits", bits), ("left", left))
    ]
    trunc = helper.make_node(
        "Trunc", [total, *numbers], [output], name=node.name, domain=QONNX_DOMAIN,
        rounding_mode="FLOOR",
    )  # fmt: skip
    for made in (pool, times, trunc):
        state.keep(made, [kind])
