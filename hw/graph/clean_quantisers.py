# SPDX-License-Identifier: Apache-2.0
"""One form for quantisers: QONNX's own, and what ONNX's QuantizeLinear, DequantizeLinear say."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper

from .clean_state import Cleaning
from .qdq import Computed, read
from .qonnx_graph import LoweringError
from .reference import constant, execute
from .schema import QONNX_DOMAIN, QUANTISERS, check_quantiser
from .threshold_pattern import ELEMENTWISE

WIDTHS = {"Quant": (3,), "Trunc": (3, -1)}
"""Which inputs of a quantiser are numbers of bits."""
RESHAPING = ("Flatten", "Reshape", "Squeeze", "Unsqueeze")


def quantiser(state: Cleaning, node: onnx.NodeProto) -> None:
    """One form for QONNX's quantisers: Quant, with the names of modes that qonnx knows."""
    node.domain = QONNX_DOMAIN
    if node.op_type == "IntQuant":
        node.op_type = "Quant"
    for attribute in node.attribute:
        if attribute.name == "rounding_mode":
            mode = attribute.s.upper()
            attribute.s = b"DOWN" if mode == b"ROUND_TO_ZERO" else mode
    check_quantiser(node)
    shape = state.shape(node.input[0])
    for i, name in enumerate(node.input[1:], start=1):
        value = state.value(name)
        if value is None or value.dtype.kind not in "fiu" or not np.isfinite(value).all():
            raise LoweringError(node, f"its parameter {name} is no constant of finite numbers")
        if value.dtype != np.float32:
            # QKeras' converter stores scales as float64 and zero points as int64.
            single = value.astype(np.float32)
            if (single.astype(np.float64) != value).any():
                raise LoweringError(
                    node,
                    f"its parameter {name} holds numbers of {value.dtype} that float32 does not "
                    "hold; store it as float32",
                )
            value = single
            node.input[i] = state.add_constant(f"{name}_float", value)
        if not _broadcasts(value.shape, shape):
            raise LoweringError(
                node,
                f"its parameter {name} has shape {value.shape}, expected one that broadcasts "
                f"to {shape}",
            )
        if value.size > 1 and (value == value.flat[0]).all():
            one = value.reshape(-1)[:1].reshape(())
            node.input[i] = state.add_constant(f"{name}_one", one)
    scale = state.value(node.input[1])
    if scale is None or not (scale > np.finfo(np.float32).tiny).all():
        raise LoweringError(node, "found a scale that is not above 0, expected normal numbers")
    for i in WIDTHS.get(node.op_type, ()):
        bits = state.value(node.input[i])
        if bits is None or bits.size != 1 or not 1 <= bits <= 32 or bits != np.rint(bits):
            raise LoweringError(node, f"found {bits} bits, expected a whole number of 1 to 32")
    if node.op_type == "Trunc":
        _check_truncation(state, node)
    if node.op_type == "Quant":
        _as_signs(state, node)
    made = state.producer.get(node.input[0])
    if node.op_type == "BipolarQuant" and made is not None and made.op_type == "Relu":
        raise LoweringError(
            node,
            f"gives +1 always, for the Relu {made.name} gives no number below 0: Brevitas writes a "
            "QuantReLU of 1 bit so, which gives 0 and 1 itself; use 2 bits, or QuantType.BINARY "
            "without a Relu",
        )
    state.keep(node, [state.types[node.input[0]]])


def _as_signs(state: Cleaning, node: onnx.NodeProto) -> None:
    """A signed Quant of one bit gives -1 and +1, as qonnx executes it: the same as BipolarQuant."""
    signed = next((a.i for a in node.attribute if a.name == "signed"), 1)
    zero, bits = state.value(node.input[2]), state.value(node.input[3])
    if bits == 1 and signed and zero is not None and not zero.any():
        node.op_type = "BipolarQuant"
        del node.attribute[:], node.input[2:]


def _check_truncation(state: Cleaning, node: onnx.NodeProto) -> None:
    """A Trunc drops bits of whole steps: its scales and its zero point, whole, are single
    numbers."""
    scales = [state.value(node.input[i]) for i in ((1, 4) if len(node.input) == 6 else (1,))]
    zero = state.value(node.input[2])
    single = all(s is not None and s.size == 1 and s > np.finfo(np.float32).tiny for s in scales)
    dropped = 1.0
    if single and len(node.input) == 6:
        before, behind = (float(s.reshape(())) for s in scales if s is not None)
        dropped = max(1.0, 2.0 ** np.rint(np.log2(behind / before)))
    whole = (
        zero is not None and zero.size == 1 and (zero / dropped == np.rint(zero / dropped)).all()
    )
    if not single or not whole:
        raise LoweringError(
            node,
            f"found scales {scales} and zero point {zero}, expected single scales above 0 and "
            f"one zero point, a multiple of {dropped:g}",
        )


def dequantise(state: Cleaning, node: onnx.NodeProto) -> None:
    """Stored or computed codes times a scale: a Quant."""
    codes = node.input[0]
    element = state.types[codes].tensor_type.elem_type
    (output,) = node.output
    found = read(node, element, state.shape(codes), state.producer, state.value)
    if isinstance(found, Computed):
        source, bits, signed, narrow = found.source, found.bits, found.signed, found.narrow
    else:
        values = found.codes.astype(np.float32) * found.scale
        state.spend(node, [values.shape])
        if element == TensorProto.INT32 and values.ndim < 2:
            # A bias: float32 holds no Quant of its width.
            state.set_constant(output, values)
            return
        source, signed, narrow = state.add_constant(f"{codes}_values", values), True, False
        ends = int(found.codes.min(initial=0)), int(found.codes.max(initial=0))
        bits = max(2, 1 + max((-ends[0] - 1).bit_length(), ends[1].bit_length()))
    ends_of = found.ends if isinstance(found, Computed) else None
    key = (source, found.scale.tobytes(), found.scale.shape, bits, signed, narrow, ends_of)
    if isinstance(found, Computed) and key in state.quantised:
        # Each reader has a pair of its own in ONNX Runtime's files: one quantiser is enough.
        state.alias[output] = state.quantised[key]
        state.types[output] = state.types[state.quantised[key]]
        return
    state.quantised[key] = output
    if isinstance(found, Computed) and found.ends:
        source = _clipped(state, node, found)
    made = helper.make_node(
        "Quant",
        [
            source,
            state.add_constant(f"{output}_scale", found.scale),
            state.add_constant(f"{output}_zero", np.zeros((), np.float32)),
            state.add_constant(f"{output}_bits", np.full((), bits, np.float32)),
        ],
        [output],
        name=node.name,
        domain=QONNX_DOMAIN,
        signed=int(signed),
        narrow=int(narrow),
        rounding_mode="ROUND",
    )
    state.keep(made, [state.types[source]])


def _clipped(state: Cleaning, node: onnx.NodeProto, found: Computed) -> str:
    """Clip what a quantiser reads to its codes, where no number of bits does so; returns that."""
    name = f"{node.output[0]}_clipped"
    limits = [np.float32(end) * found.scale for end in found.ends or ()]
    inputs = [state.add_constant(f"{name}_end", np.asarray(v, np.float32)) for v in limits]
    clip = helper.make_node("Clip", [found.source, *inputs], [name], name=f"{node.name}_Clip")
    state.keep(clip, [state.types[found.source]])
    return name


def is_weight(state: Cleaning, name: str) -> bool:
    """Whether a tensor is a constant behind a quantiser."""
    node = state.producer.get(name)
    return node is not None and node.op_type in QUANTISERS and node.input[0] in state.constants


def folds_weights(state: Cleaning, node: onnx.NodeProto, types: Sequence[onnx.TypeProto]) -> bool:
    """Quantised constants of elementwise nodes become the numbers that float32 makes of them; those
    of one scale take another shape in front of their quantiser. Returns whether the node is done
    with."""
    weights = [name for name in node.input if is_weight(state, name)]
    if not weights:
        return False
    quantiser = state.producer[weights[0]]
    if node.op_type in RESHAPING and quantiser.op_type != "Trunc":
        if all(
            (v := state.value(name)) is not None and v.size == 1 for name in quantiser.input[1:]
        ):
            _reshaped(state, node, quantiser, types[0])
            return True
        node.input[0] = _as_numbers(state, weights[0])
        return False
    computed = any(n not in state.constants and n not in weights for n in node.input if n)
    if node.op_type in ELEMENTWISE and computed and quantiser.op_type != "Trunc":
        node.input[:] = [_as_numbers(state, n) if n in weights else n for n in node.input]
    return False


def _reshaped(
    state: Cleaning, node: onnx.NodeProto, quantiser: onnx.NodeProto, kind: onnx.TypeProto
) -> None:
    shape = [d.dim_value for d in kind.tensor_type.shape.dim]
    value = state.value(quantiser.input[0])
    assert value is not None
    state.spend(node, [value.shape])
    made = onnx.NodeProto()
    made.CopyFrom(quantiser)
    made.name, made.output[:] = node.name, node.output
    made.input[0] = state.add_constant(f"{quantiser.input[0]}_shaped", value.reshape(shape))
    for i, name in enumerate(made.input[1:], start=1):
        one = state.value(name)
        assert one is not None
        made.input[i] = state.add_constant(f"{name}_one", one.reshape(()))
    state.keep(made, [kind])


def _as_numbers(state: Cleaning, name: str) -> str:
    """A quantised constant as float32 has it: its code times the scale, rounded once."""
    quantiser = state.producer[name]
    given = [state.value(part) for part in quantiser.input]
    (found,) = execute(quantiser, [None if v is None else constant(v) for v in given], [])
    state.spend(quantiser, [found.values.shape])
    return state.add_constant(f"{name}_numbers", found.values.astype(np.float32))


def transpose(state: Cleaning, node: onnx.NodeProto) -> None:
    """Quantised weights are turned around in front of their quantiser."""
    before = state.producer[node.input[0]]
    axes = list(range(len(state.shape(node.input[0]))))
    perm = next((list(a.ints) for a in node.attribute if a.name == "perm"), axes[::-1])
    if sorted(perm) != axes:
        raise LoweringError(node, f"found perm {perm}, expected an order of {axes}")
    inputs = []
    for name in before.input:
        value = state.value(name)
        turns = value is not None and value.ndim == len(state.shape(node.input[0]))
        if value is not None and (turns or name == before.input[0]):
            state.spend(node, [value.shape])
            name = state.add_constant(f"{name}_T", value.transpose(perm))
        elif value is not None and value.size > 1:
            raise LoweringError(
                before, f"its parameter {name} has fewer axes than what it quantises"
            )
        inputs.append(name)
    turned = onnx.NodeProto()
    turned.CopyFrom(before)
    turned.name = node.name
    turned.input[:] = inputs
    turned.output[:] = node.output
    state.keep(turned, [state.types[inputs[0]]])


def _broadcasts(part: tuple[int, ...], whole: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(part, whole) == whole
    except ValueError:
        return False
