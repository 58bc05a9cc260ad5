# SPDX-License-Identifier: Apache-2.0
"""Kernels of the exact evaluator: one per op, on tensors that are integers times one step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from ...quant.inputs import ROUNDINGS
from .factors import common_step
from .multi_threshold import OP as MULTI_THRESHOLD
from .multi_threshold import multi_threshold
from .qonnx_graph import Steps, multiples, whole_steps
from .reference_moves import depth_to_space, pad, resize
from .reference_value import Array, Floats, Value, places

MAX_STEP = 1 << 1000
"""Numerators and denominators of steps that float64 holds, whatever they are multiplied with."""
MAX_FACTOR = 1 << 32
"""Codes times less than that are exact in float64."""


def quantised(q: Floats, bits: float, attributes: Mapping[str, Any]) -> Floats:
    """Return the integers a Quant makes of ``x / scale + zero``.

    Raises:
        ValueError: an unknown rounding mode.
    """
    mode = str(attributes.get("rounding_mode", "ROUND")).upper()
    if mode not in ROUNDINGS:
        raise ValueError(f"found rounding mode {mode}, expected one of {', '.join(ROUNDINGS)}")
    signed, narrow = attributes.get("signed", 1), attributes.get("narrow", 1)
    if signed and bits == 1:
        return np.where(q >= 0, 1.0, -1.0)
    return ROUNDINGS[mode](np.clip(q, *code_ends(bits, signed, narrow)))


def code_ends(bits: float, signed: int, narrow: int) -> tuple[float, float]:
    """Smallest and largest code of a quantiser of two bits or more."""
    high = 2.0 ** (bits - 1) - 1 if signed else 2.0**bits - 1 - bool(narrow)
    return bool(narrow) - 2.0 ** (bits - 1) if signed else 0.0, high


def _quant(v: list[Value], attributes: Mapping[str, Any]) -> Value:
    scale, zero, bits = (part.values for part in v[1:])
    codes = quantised(places(v[0], scale) + zero, float(bits.reshape(())), attributes) - zero
    return _scaled_codes(codes, scale)


def _trunc(v: list[Value], attributes: Mapping[str, Any]) -> Value:
    """Whole steps, then fewer of them; the new form says how wide a step of the output is."""
    x, scale, zero, bits, *behind = (part.values for part in v)
    whole, step = np.rint(x / scale + zero), float(scale.reshape(()))
    mode = ROUNDINGS[str(attributes.get("rounding_mode", "FLOOR")).upper()]
    if len(behind) == 1:
        dropped = float((bits - behind[0]).reshape(()))
        return Value(mode(whole / 2.0**dropped) - zero, Fraction(step))
    wide = float(behind[0].reshape(()))
    left = 2.0 ** np.rint(np.log2(wide / step))
    codes = whole / left
    low, high = code_ends(float(behind[1].reshape(())), attributes.get("signed", 1),
                          attributes.get("narrow", 0))  # fmt: skip
    # Where some of the zero point would be left over, it was refused.
    return Value(mode(np.clip(codes, low, high)) - np.rint(zero / left), Fraction(wide))


def _bipolar_quant(v: list[Value], attributes: Mapping[str, Any]) -> Value:
    signs, scale = np.where(v[0].values >= 0, 1.0, -1.0), v[1].values
    return _scaled_codes(signs, scale)


def _scaled_codes(codes: Floats, scale: Floats) -> Value:
    if (scale == scale.flat[0]).all():
        return Value(codes, Fraction(float(scale.flat[0])))
    steps = np.array([Fraction(s) for s in scale.flat], dtype=object).reshape(scale.shape)
    return Value(codes * scale, grid=(codes, steps))


def _linear(
    v: list[Value], product: Callable[[Array, Array], Array], axis: int, outputs: int
) -> Value:
    """A product, and a bias along ``axis`` behind it; ``outputs``: their axis of the weights."""
    x, w = v[:2]
    if x.step is not None and w.step is not None:
        y = Value(product(x.codes, w.codes), x.step * w.step)
    elif x.step is not None and w.grid is not None and _one_per_output(*w.grid, outputs):
        # Sums of integers are exact: each is rounded once, whatever its channel's step is.
        codes, steps = w.grid
        along = steps.reshape(-1, *(1,) * (2 * axis))
        y = Value(multiples(product(x.codes, codes), x.step * along))
    else:
        y = Value(product(x.values, w.values))
    if len(v) < 3:
        return y
    bias = v[2].values
    bias = bias.reshape(bias.shape + (1,) * (y.codes.ndim - 1 - axis)) if axis == 1 else bias
    if y.step is None:
        return Value(y.codes + bias)
    whole = whole_steps(bias, y.step)
    return Value(y.values + bias) if whole is None else Value(y.codes + whole, y.step)


def _one_per_output(codes: Array, steps: Steps, axis: int) -> bool:
    return steps.ndim == codes.ndim > axis and steps.shape[axis] == steps.size


def _conv(v: list[Value], attributes: Mapping[str, Any]) -> Value | None:
    groups, channels = attributes.get("group", 1), v[1].codes.shape[1]
    if v[0].codes.ndim != 4 or v[0].codes.shape[1] != groups * channels:
        return None
    if attributes.get("auto_pad", "NOTSET") != "NOTSET" or v[1].codes.shape[0] % groups:
        return None
    kernel = v[1].codes.shape[2:]

    def product(x: Array, w: Array) -> Array:
        windows = _windows(x, kernel, attributes, 0.0)
        parts = (
            np.tensordot(windows[:, i * channels : (i + 1) * channels], own, ((1, 4, 5), (1, 2, 3)))
            for i, own in enumerate(np.split(w, groups))
        )
        return np.concatenate(list(parts), axis=3).transpose(0, 3, 1, 2)

    return _linear(v, product, 1, 0)


def _windows(x: Array, kernel: Sequence[int], attributes: Mapping[str, Any], fill: float) -> Array:
    """Return (N, C, Ho, Wo, Ky, Kx)."""
    top, left, bottom, right = attributes.get("pads", (0, 0, 0, 0))
    stride = attributes.get("strides", (1, 1))
    dilation = attributes.get("dilations", (1, 1))
    extent = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    border = ((0, 0), (0, 0), (top, bottom), (left, right))
    padded = np.pad(x, border, constant_values=fill)
    view = np.lib.stride_tricks.sliding_window_view(padded, extent, axis=(2, 3))
    return view[:, :, :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]]


def _conv_transpose(v: list[Value], attributes: Mapping[str, Any]) -> Value | None:
    """Every pixel adds its products to the places of its kernel."""
    if attributes.get("auto_pad", "NOTSET") != "NOTSET" or "output_shape" in attributes:
        return None
    group = attributes.get("group", 1)
    strides, dilations = (attributes.get(k, (1, 1)) for k in ("strides", "dilations"))
    top, left, bottom, right = attributes.get("pads", (0, 0, 0, 0))
    more = attributes.get("output_padding", (0, 0))

    def product(x: Array, w: Array) -> Array:
        n, _, *size = x.shape
        spans = [s * (a - 1) + 1 for s, a in zip(strides, size, strict=True)]
        reach = [(k - 1) * d for k, d in zip(w.shape[2:], dilations, strict=True)]
        sums = np.zeros(
            (n, group, w.shape[1], *(a + b + c for a, b, c in zip(spans, reach, more, strict=True)))
        )
        parts = x.reshape(n, group, -1, *size)
        kernels = w.reshape(group, -1, *w.shape[1:])
        for ky, kx in np.ndindex(*w.shape[2:]):
            y, z = ky * dilations[0], kx * dilations[1]
            sums[..., y : y + spans[0] : strides[0], z : z + spans[1] : strides[1]] += np.einsum(
                "ngchw,gco->ngohw", parts, kernels[..., ky, kx], optimize=True
            )
        rows, columns = sums.shape[-2:]
        return sums.reshape(n, -1, rows, columns)[:, :, top : rows - bottom, left : columns - right]

    # Steps of outputs repeat for every group: those of several are left to values.
    return _linear(v, product, 1, 1 if group == 1 else v[1].codes.ndim)


def _gemm(v: list[Value], attributes: Mapping[str, Any]) -> Value | None:
    if (attributes.get("alpha", 1.0), attributes.get("beta", 1.0)) != (1.0, 1.0):
        return None
    turned = [attributes.get(key, 0) for key in ("transA", "transB")]
    outputs = 0 if turned[1] else 1
    return _linear(
        v, lambda x, w: (x.T if turned[0] else x) @ (w.T if turned[1] else w), 0, outputs
    )


def _mat_mul(v: list[Value], attributes: Mapping[str, Any]) -> Value:
    return _linear(v, np.matmul, 0, 1)


def _max_pool(v: list[Value], attributes: Mapping[str, Any]) -> Value | None:
    x = v[0]
    if x.codes.ndim != 4 or attributes.get("auto_pad", "NOTSET") != "NOTSET":
        return None
    kernel = attributes["kernel_shape"]
    stride = attributes.get("strides", (1, 1))
    pads = list(attributes.get("pads", (0, 0, 0, 0)))
    dilation = attributes.get("dilations", (1, 1))
    if attributes.get("ceil_mode", 0):
        for axis in (0, 1):
            size = x.codes.shape[2 + axis]
            extent = (kernel[axis] - 1) * dilation[axis] + 1
            room = size + pads[axis] + pads[2 + axis] - extent
            more = -room % stride[axis]
            # A window that would start behind the map and its first border is left out.
            if room + more < size + pads[axis]:
                pads[2 + axis] += more
    values = x.codes if x.step is None or x.step > 0 else x.values
    windows = _windows(values, kernel, {**attributes, "pads": pads}, -np.inf)
    return Value(windows.max(axis=(4, 5)), x.step if values is x.codes else None)


def _average_pool(v: list[Value], attributes: Mapping[str, Any]) -> Value | None:
    """Sums of codes, of a step that is divided; other borders are left to ONNX."""
    x = v[0]
    plain = attributes.get("auto_pad", "NOTSET") == "NOTSET" and x.codes.ndim == 4
    kernel = attributes["kernel_shape"]
    border = any(attributes.get("pads", ())) and not attributes.get("count_include_pad", 0)
    stride, pads = attributes.get("strides", (1, 1)), attributes.get("pads", (0, 0, 0, 0))
    if (
        not plain
        or border
        or x.step is None
        or any(d != 1 for d in attributes.get("dilations", ()))
    ):
        return None
    if attributes.get("ceil_mode", 0) and any(
        (x.codes.shape[2 + i] + pads[i] + pads[2 + i] - kernel[i]) % stride[i] for i in (0, 1)
    ):
        return None
    return _averages(_windows(x.codes, kernel, attributes, 0.0), (4, 5), x.step)


def _global_average_pool(v: list[Value], attributes: Mapping[str, Any]) -> Value | None:
    x = v[0]
    if x.step is None or x.codes.ndim != 4:
        return None
    return _averages(x.codes[:, :, None, None], (4, 5), x.step)


def _averages(codes: Array, axes: tuple[int, ...], step: Fraction) -> Value:
    count = int(np.prod([codes.shape[axis] for axis in axes]))
    return Value(codes.sum(axis=axes), step / count)


def _reduce_mean(v: list[Value], attributes: Mapping[str, Any]) -> Value | None:
    axes = v[1].codes if len(v) > 1 else np.array(attributes.get("axes", ()))
    found = tuple(int(a) % v[0].codes.ndim for a in axes.reshape(-1))
    if v[0].step is None or not found:
        return None
    count = int(np.prod([v[0].codes.shape[axis] for axis in found]))
    keeps = bool(attributes.get("keepdims", 1))
    return Value(v[0].codes.sum(axis=found, keepdims=keeps), v[0].step / count)


def _scaled(v: list[Value], attributes: Mapping[str, Any], divide: bool) -> Value:
    """A factor that is one number scales the step; anything else scales the values."""
    first, second = v
    if not divide and first.codes.size == 1:
        first, second = second, first
    if first.step is not None and second.codes.size == 1 and first.codes.size > 1:
        factor = second.values.reshape(())
        if factor != 0 and np.isfinite(factor):
            shape = np.broadcast_shapes(first.codes.shape, second.codes.shape)
            exact = Fraction(float(factor))
            step = first.step / exact if divide else first.step * exact
            if max(step.as_integer_ratio()) < MAX_STEP:
                return Value(np.broadcast_to(first.codes, shape), step)
    x, y = v[0].values, v[1].values
    return Value(x / y if divide else x * y)


def _add(v: list[Value], sign: int) -> Value:
    """Codes of two steps are codes of their common step."""
    x, y = v
    if x.step is not None and y.step is not None and x.codes.shape == y.codes.shape:
        factors, step = common_step([x.step, y.step])
        if max(factors) < MAX_FACTOR:
            return Value(x.codes * factors[0] + y.codes * (sign * factors[1]), step)
    return Value(x.values + sign * y.values)


def _concat(v: list[Value], attributes: Mapping[str, Any]) -> Value:
    steps = {part.step for part in v}
    axis = attributes["axis"]
    if len(steps) == 1:
        return Value(np.concatenate([part.codes for part in v], axis), v[0].step)
    known = [part.step for part in v if part.step is not None]
    if len(known) == len(v):
        factors, step = common_step(known)
        if max(factors) < MAX_FACTOR:
            codes = [part.codes * factor for part, factor in zip(v, factors, strict=True)]
            return Value(np.concatenate(codes, axis), step)
    return Value(np.concatenate([part.values for part in v], axis))


def _gather(v: list[Value], attributes: Mapping[str, Any]) -> Value:
    return Value(np.take(v[0].codes, v[1].codes, attributes.get("axis", 0)), v[0].step)


def _relu(x: Value) -> Value:
    if x.step is None or x.step < 0:
        return Value(np.maximum(x.values, 0))
    return Value(np.maximum(x.codes, 0), x.step)


def _batch_normalization(v: list[Value], attributes: Mapping[str, Any]) -> Value:
    x, gamma, beta, mean, var = (part.values for part in v)
    shape = (-1, *(1,) * (x.ndim - 2))
    gamma, beta, mean, var = (part.reshape(shape) for part in (gamma, beta, mean, var))
    return Value((x - mean) * (gamma / np.sqrt(var + attributes.get("epsilon", 1e-5))) + beta)


KERNELS: dict[str, Callable[[list[Value], Mapping[str, Any]], Value | None]] = {
    "Quant": _quant,
    "IntQuant": _quant,
    "BipolarQuant": _bipolar_quant,
    "Trunc": _trunc,
    MULTI_THRESHOLD: multi_threshold,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "DepthToSpace": depth_to_space,
    "Resize": resize,
    "Upsample": resize,
    "Gemm": _gemm,
    "MatMul": _mat_mul,
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "GlobalAveragePool": _global_average_pool,
    "ReduceMean": _reduce_mean,
    "Pad": pad,
    "Concat": _concat,
    "Gather": _gather,
    "BatchNormalization": _batch_normalization,
    "Mul": lambda v, a: _scaled(v, a, False),
    "Div": lambda v, a: _scaled(v, a, True),
    "Add": lambda v, a: _add(v, 1),
    "Sub": lambda v, a: _add(v, -1),
    "Relu": lambda v, a: _relu(v[0]),
}
"""Own kernels; None where a form is rare and left to ONNX's reference implementation."""

LINEAR = ("Conv", "ConvTranspose", "MatMul")
MOVES = (
    "Reshape", "Flatten", "Transpose", "Slice", "Split", "Squeeze", "Unsqueeze", "Identity",
    "ReduceSum", "Expand",
)  # fmt: skip
"""Ops that move or add codes of their first input: the step stays."""
