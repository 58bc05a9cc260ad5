# SPDX-License-Identifier: Apache-2.0
"""What a node from outside may say: operators, number and types of inputs, ranges of attributes.

ONNX's own checker looks at the names and kinds of attributes only. A stride of 0 then stops the
process inside shape inference, and a border of 2**62 overflows there: every value is bounded here
before anything is computed with it.
"""

from __future__ import annotations

import math

import onnx
from onnx import AttributeProto, TensorProto

from ..kernels.base import node_attributes
from .qonnx_graph import LoweringError

QONNX_DOMAIN = "qonnx.custom_op.general"
QUANTISERS = {"Quant": (4,), "BipolarQuant": (2,), "Trunc": (5, 6)}
"""QONNX's quantisers and their numbers of inputs; Trunc of six gives its output's scale."""
ROUNDINGS = ("ROUND", "HALF_EVEN", "CEIL", "FLOOR", "UP", "DOWN", "HALF_UP", "HALF_DOWN")
"""Rounding modes that qonnx executes."""

FOLDED = (
    "Abs", "Add", "And", "Cast", "Ceil", "Clip", "Concat", "Constant", "ConstantOfShape", "Div",
    "Equal", "Exp", "Expand", "Flatten", "Floor", "Gather", "Greater", "GreaterOrEqual",
    "Identity", "Less", "LessOrEqual", "Log", "Max", "Min", "Mod", "Mul", "Neg", "Not", "Or", "Pad",
    "Pow", "Range", "Reciprocal", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum", "Relu",
    "Reshape", "Round", "Shape", "Sign", "Size", "Slice", "Split", "Sqrt", "Squeeze", "Sub",
    "Tile", "Transpose", "Unsqueeze", "Where",
)  # fmt: skip
"""Operators evaluated where all their inputs are constants: each takes time and memory in
proportion to its inputs and outputs, whose sizes are known beforehand."""

LOWERED = (
    "Abs", "Add", "AveragePool", "BatchNormalization", "Cast", "Ceil", "Celu", "Clip", "Concat",
    "Conv", "ConvTranspose", "DepthToSpace", "DequantizeLinear", "Div", "Dropout", "Elu", "Erf",
    "Exp", "Flatten", "Floor", "Gather", "Gelu", "Gemm", "GlobalAveragePool", "GlobalMaxPool",
    "GreaterOrEqual", "HardSigmoid", "HardSwish", "Identity", "LeakyRelu", "Log", "MatMul", "Max",
    "MaxPool", "Min", "Mish", "Mul", "Neg", "PRelu", "Pad", "Pow", "QuantizeLinear", "Reciprocal",
    "ReduceMax", "ReduceMean", "ReduceSum", "Relu", "Reshape", "Resize", "Round", "Selu",
    "Sigmoid", "Sign", "Slice", "Softplus", "Softsign", "Split", "Sqrt", "Squeeze", "Sub", "Tanh",
    "ThresholdedRelu", "Transpose", "Unsqueeze", "Upsample", "Where",
)  # fmt: skip
"""Operators that patterns of the lowering may hold."""
OTHER_FLOATS = ("tensor(float16)", "tensor(bfloat16)", "tensor(double)")
"""What tensors of networks are not, but may be exported as."""

SIDE = 1 << 16
"""Largest kernel, stride, dilation or border."""
INT = 1 << 31
RANGES = {
    "kernel_shape": (1, SIDE),
    "strides": (1, SIDE),
    "dilations": (1, SIDE),
    "pads": (0, SIDE),
    "output_padding": (0, SIDE),
    "output_shape": (1, SIDE),
    "group": (1, SIDE),
    "blocksize": (1, SIDE),
    "axis": (-8, 8),
    "axes": (-8, 8),
    "perm": (0, 8),
    "split": (0, INT),
    "to": (1, 13),
    "starts": (-(1 << 63), (1 << 63) - 1),
    "ends": (-(1 << 63), (1 << 63) - 1),
    "value_int": (-(1 << 63), (1 << 63) - 1),
    "value_ints": (-(1 << 63), (1 << 63) - 1),
}
"""Smallest and largest value of attributes of whole numbers; of others see INT."""
IMAGE_OPS = ("Conv", "ConvTranspose", "MaxPool", "AveragePool")
LENGTHS = {
    "kernel_shape": 2,
    "strides": 2,
    "dilations": 2,
    "pads": 4,
    "output_padding": 2,
    "output_shape": 2,
}
"""How many numbers the attributes of IMAGE_OPS hold: pictures have two axes."""
RANKS = {
    "Conv": (4, 4, 1),
    "ConvTranspose": (4, 4, 1),
    "MaxPool": (4,),
    "AveragePool": (4,),
    "GlobalAveragePool": (4,),
    "Gemm": (2, 2),
    "Expand": (None, 1),
    "Pad": (None, 1),
    "ReduceMax": (None, 1),
    "ReduceMean": (None, 1),
    "ReduceMin": (None, 1),
    "ReduceSum": (None, 1),
    "DepthToSpace": (4,),
    "Reshape": (None, 1),
    "Resize": (4, 1, 1, 1),
    "Slice": (None, 1, 1, 1, 1),
    "Split": (None, 1),
    "Squeeze": (None, 1),
    "Tile": (None, 1),
    "Upsample": (4, 1),
}
"""Axes of an operator's inputs, None for any: others stop the process inside shape inference, or
are refused by ONNX Runtime alone."""


def check_attributes(node: onnx.NodeProto) -> None:
    """Check every number among a node's attributes, and that only Split has several outputs.

    Raises:
        LoweringError: one is out of range.
    """
    if len(node.output) != 1 and node.op_type != "Split":
        raise LoweringError(node, f"found {len(node.output)} outputs, expected one")
    for attribute in node.attribute:
        whole = [*attribute.ints]
        if attribute.type == AttributeProto.INT:
            whole.append(attribute.i)
        least, most = RANGES.get(attribute.name, (-INT, INT))
        if node.op_type == "Pad":
            least = -SIDE
        length = LENGTHS.get(attribute.name, len(whole))
        if node.op_type in IMAGE_OPS and len(whole) != length:
            raise LoweringError(
                node, f"found {len(whole)} numbers in {attribute.name}, expected {length}"
            )
        for value in whole:
            if not least <= value <= most:
                raise LoweringError(
                    node, f"found {attribute.name} {value}, expected {least}..{most}"
                )
        if node.op_type != "Constant" and not all(
            math.isfinite(v) for v in (attribute.f, *attribute.floats)
        ):
            raise LoweringError(node, f"found {attribute.name} that is no number")


def check_quantiser(node: onnx.NodeProto) -> None:
    """Check the form of QONNX's quantisers, which ONNX's checker does not know.

    Raises:
        LoweringError: an input is missing, or an attribute is unknown or has no such value.
    """
    wanted = QUANTISERS[node.op_type]
    if len(node.input) not in wanted or not all(node.input) or len(node.output) != 1:
        raise LoweringError(
            node,
            f"found inputs {list(node.input)} and {len(node.output)} outputs, expected "
            f"{' or '.join(map(str, wanted))} inputs and one output",
        )
    allowed: dict[str, tuple[int | str, ...]] = {
        "signed": (0, 1),
        "narrow": (0, 1),
        "rounding_mode": ROUNDINGS,
    }
    if node.op_type == "BipolarQuant":
        allowed = {}
    elif len(node.input) == 5:
        allowed = {"rounding_mode": ROUNDINGS}
    for name, value in node_attributes(node).items():
        if name not in allowed or value not in allowed[name]:
            known = ", ".join(map(str, allowed.get(name, ()))) or "no such attribute"
            raise LoweringError(node, f"found {name} {value!r}, expected {known}")


def check_inputs(
    node: onnx.NodeProto, schema: onnx.defs.OpSchema, types: dict[str, onnx.TypeProto]
) -> None:
    """Check number, element types and axes of a standard operator's inputs.

    Raises:
        LoweringError: there are too few or too many, or their types do not go together.
    """
    if not schema.min_input <= len(node.input) <= schema.max_input:
        raise LoweringError(
            node,
            f"found {len(node.input)} inputs, expected {schema.min_input} to {schema.max_input}",
        )
    allowed = {c.type_param_str: c.allowed_type_strs for c in schema.type_constraints}
    bound: dict[str, str] = {}
    for name, rank in zip(node.input, RANKS.get(node.op_type, ()), strict=False):
        if name and rank and len(types[name].tensor_type.shape.dim) != rank:
            sizes = [d.dim_value for d in types[name].tensor_type.shape.dim]
            raise LoweringError(node, f"input {name} has the shape {sizes}, expected {rank} axes")
    for i, name in enumerate(node.input):
        formal = schema.inputs[min(i, len(schema.inputs) - 1)]
        if not name:
            if formal.option == onnx.defs.OpSchema.FormalParameterOption.Single:
                raise LoweringError(node, f"found no input {formal.name}, expected one")
            continue
        element = TensorProto.DataType.Name(types[name].tensor_type.elem_type)
        found = f"tensor({element.lower()})"
        wanted = allowed.get(formal.type_str, [formal.type_str])
        same = bound.setdefault(formal.type_str, found) if formal.is_homogeneous else found
        if found not in wanted or found != same:
            expected = same if found in wanted else ", ".join(sorted(wanted)[:4])
            advice = "; export the network in float32" if found in OTHER_FLOATS else ""
            raise LoweringError(node, f"input {name} is a {found}, expected {expected}{advice}")
