# SPDX-License-Identifier: Apache-2.0
"""Mutants of networks: one small change to a valid one, at the level of the file."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import onnx
from foreign_graphs import QONNX
from onnx import AttributeProto, TensorProto, helper, numpy_helper

WHOLE = (0, 1, -1, 2, 3, 7, 255, 1 << 16, 1 << 31, -(1 << 31), (1 << 63) - 1, -(1 << 63))
REAL = (0.0, -0.0, 1.0, -1.0, 0.5, 1e-45, 1e-30, 1e30, np.inf, -np.inf, np.nan, 255.0)
TEXT = ("", "x", "t0", "NOTSET", "SAME_UPPER", "VALID", "reflect", "edge", "FLOOR", "STOCHASTIC",
        "../a", "a\nb", "é", "n" * 300)  # fmt: skip
OPS = ("Add", "Sub", "Mul", "Div", "Relu", "Clip", "Neg", "Conv", "ConvTranspose", "MatMul", "Gemm",
       "MaxPool", "AveragePool", "Concat", "Split", "Slice", "Pad", "Gather", "Reshape", "Flatten",
       "Transpose", "ReduceSum", "Cast", "Floor", "Where", "Unsqueeze", "GreaterOrEqual", "Expand",
       "Quant", "BipolarQuant", "IntQuant", "QuantizeLinear", "DequantizeLinear", "Resize", "Tile",
       "BatchNormalization", "Einsum", "OneHot", "NonZero", "Loop", "Identity")  # fmt: skip
TYPES = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.INT8,
         TensorProto.INT64, TensorProto.UINT8, TensorProto.BOOL, 8, 99)  # fmt: skip


def mutant(proto: onnx.ModelProto, rng: random.Random) -> bytes:
    """Return a file of ``proto`` with one to three changes."""
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        rng.choice(CHANGES)(copy, rng)
    data = bytearray(copy.SerializeToString())
    if rng.random() < 0.1 and data:
        for _ in range(rng.choice((1, 2, 8))):
            data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


def _attribute(proto: onnx.ModelProto, rng: random.Random) -> None:
    node = rng.choice(proto.graph.node)
    if not node.attribute:
        node.attribute.append(helper.make_attribute(rng.choice(("axis", "group", "mode")), 1))
    a = rng.choice(node.attribute)
    what = rng.randrange(8)
    if what == 0:
        node.attribute.remove(a)
    elif what == 1:
        node.attribute.add().CopyFrom(a)
    elif what == 2 and a.ints:
        del a.ints[rng.randrange(len(a.ints))]
    elif what == 3 and a.ints:
        a.ints.append(rng.choice(WHOLE))
    elif a.type == AttributeProto.INTS and a.ints:
        a.ints[rng.randrange(len(a.ints))] = rng.choice(WHOLE)
    elif a.type == AttributeProto.INT:
        a.i = rng.choice(WHOLE)
    elif a.type == AttributeProto.STRING:
        a.s = rng.choice(TEXT).encode()
    else:
        a.f = rng.choice(REAL)


def _new_attribute(proto: onnx.ModelProto, rng: random.Random) -> None:
    names = ("strides", "dilations", "pads", "group", "auto_pad", "axis", "keepdims", "transA",
             "transB", "alpha", "ceil_mode", "perm", "kernel_shape", "output_padding", "mode",
             "storage_order", "epsilon", "training_mode", "to", "signed", "bits")  # fmt: skip
    value = rng.choice(
        (
            rng.choice(WHOLE),
            [rng.choice(WHOLE) for _ in range(rng.randrange(1, 5))],
            rng.choice(REAL),
            rng.choice(TEXT),
        )
    )
    rng.choice(proto.graph.node).attribute.append(helper.make_attribute(rng.choice(names), value))


def _dims(proto: onnx.ModelProto, rng: random.Random) -> None:
    value = rng.choice((*proto.graph.input, *proto.graph.output))
    dims = value.type.tensor_type.shape.dim
    what = rng.randrange(5)
    if what == 0 or not dims:
        dims.add().dim_value = rng.choice(WHOLE)
    elif what == 1:
        del dims[rng.randrange(len(dims))]
    elif what == 2:
        rng.choice(dims).dim_param = rng.choice(TEXT)
    elif what == 3:
        value.type.tensor_type.elem_type = rng.choice(TYPES)
    else:
        rng.choice(dims).dim_value = rng.choice((*WHOLE, 5, 9, 32))


def _constant(proto: onnx.ModelProto, rng: random.Random) -> None:
    tensor = rng.choice(proto.graph.initializer)
    what = rng.randrange(6)
    if what == 0:
        tensor.data_type = rng.choice(TYPES)
        return
    if what == 1:
        if tensor.dims and rng.random() < 0.7:
            tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(WHOLE)
        else:
            tensor.dims.append(rng.choice(WHOLE))
        return
    try:
        value = numpy_helper.to_array(tensor).copy()
    except (TypeError, ValueError, KeyError):  # An earlier change broke it.
        return
    with np.errstate(all="ignore"):
        if what == 2:
            value = value.astype(rng.choice((np.float64, np.int64, np.int8, np.bool_, np.float16)))
        elif what == 3:
            value = value.reshape(rng.choice(([-1], [1, -1], [-1, 1, 1], [*value.shape, 1])))
        elif what == 4:
            value = value.reshape(-1)[: rng.choice((0, 1, 2, 5))]
        elif value.size:
            new = np.asarray(rng.choice(WHOLE if value.dtype.kind in "iu" else REAL))
            places = value.reshape(-1)
            place = slice(None) if rng.random() < 0.3 else rng.randrange(value.size)
            places[place] = new.astype(value.dtype)
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(value), tensor.name))


def _opset(proto: onnx.ModelProto, rng: random.Random) -> None:
    opset = rng.choice(proto.opset_import)
    what = rng.randrange(4)
    if what == 0:
        opset.domain = rng.choice(("", "ai.onnx", "ai.onnx.ml", QONNX))
    elif what == 1:
        proto.ir_version = rng.choice((0, 3, 4, 7, 10, 13, 14, 1 << 31))
    else:
        opset.version = rng.choice((0, 1, 6, 7, 9, 10, 11, 12, 14, 17, 18, 21, 22, 26, 27, 99))


def _names(proto: onnx.ModelProto, rng: random.Random) -> None:
    node = rng.choice(proto.graph.node)
    known = [name for n in proto.graph.node for name in (*n.input, *n.output)]
    other = rng.choice((*known, *TEXT))
    what = rng.randrange(6)
    if what == 0:
        node.name = other
    elif what == 1 and node.input:
        node.input[rng.randrange(len(node.input))] = other
    elif what == 2 and node.output:
        node.output[rng.randrange(len(node.output))] = other
    elif what == 3 and len(node.input) > 1:
        i, j = rng.sample(range(len(node.input)), 2)
        node.input[i], node.input[j] = node.input[j], node.input[i]
    elif what == 4:
        rng.choice((*proto.graph.input, *proto.graph.output, *proto.graph.initializer)).name = other
    else:
        rng.choice((node.input, node.output)).append(other)


def _nodes(proto: onnx.ModelProto, rng: random.Random) -> None:
    nodes = proto.graph.node
    node = rng.choice(nodes)
    what = rng.randrange(6)
    if what == 0 and len(nodes) > 1:
        nodes.remove(node)
    elif what == 1:
        nodes.add().CopyFrom(node)
    elif what == 2:
        node.op_type = rng.choice(OPS)
    elif what == 3 and node.input:
        del node.input[rng.randrange(len(node.input))]
    elif what == 4:
        node.domain = rng.choice(("", QONNX, "onnx.brevitas", "ai.onnx", "finn.custom_op.general"))
    else:
        extra = helper.make_node(
            rng.choice(OPS), [node.output[0]] if node.output else [], ["extra"], name="extra"
        )
        nodes.append(extra)
        if rng.random() < 0.5:
            proto.graph.output[0].name = "extra"


def _graph(proto: onnx.ModelProto, rng: random.Random) -> None:
    graph = proto.graph
    known = [name for n in graph.node for name in (*n.input, *n.output)]
    what = rng.randrange(4)
    if what == 0:
        graph.output.add().CopyFrom(rng.choice((*graph.input, *graph.output)))
    elif what == 1:
        value = rng.choice((graph.input, graph.output))
        del value[rng.randrange(len(value))]
        if not graph.output or not graph.input:
            value.add().name = rng.choice(known)
    elif what == 2:
        annotation = graph.quantization_annotation.add(tensor_name=rng.choice(("x", *known)))
        annotation.quant_parameter_tensor_names.add(
            key="finn_datatype",
            value=rng.choice(("UINT8", "INT8", "UINT2", "BIPOLAR", "BINARY", "FLOAT32", "INT99")),
        )
    else:
        graph.output[0].name = rng.choice(known)


CHANGES: tuple[Callable[[onnx.ModelProto, random.Random], None], ...] = (
    _attribute, _attribute, _new_attribute, _dims, _constant, _constant, _opset, _names, _nodes,
    _graph,
)  # fmt: skip
