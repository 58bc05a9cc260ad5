# SPDX-License-Identifier: Apache-2.0
"""What every kernel computes, written from its definition in int64 and without its golden.

Plain products, indices and floor divisions: no popcount, no shift, no float, no padding helper.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from andpop.quant.grid import IntArray

Inputs = Sequence[IntArray]
Attributes = Mapping[str, Any]


def evaluate(op_type: str, inputs: Inputs, attrs: Attributes) -> list[IntArray]:
    """Return the outputs of an op for all its inputs, initializers included.

    Raises:
        KeyError: the op is not defined here yet.
    """
    return DEFINITIONS[op_type]([np.asarray(x, dtype=np.int64) for x in inputs], attrs)


def round_half_up(v: IntArray, shift: int) -> IntArray:
    """floor(v / 2**shift + 1/2)."""
    return (2 * v + 2**shift) // 2 ** (shift + 1)


def bounds(datatype: str) -> tuple[int, int]:
    """Smallest and largest value of BINARY, UINTn or INTn."""
    if datatype == "BINARY":
        return 0, 1
    bits = int(datatype.strip("UINT"))
    return (0, 2**bits - 1) if datatype[0] == "U" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def saturated(v: IntArray, datatype: str) -> IntArray:
    """``v`` within a datatype."""
    low, high = bounds(datatype)
    return np.minimum(np.maximum(v, low), high)


def xnor_mvu(inputs: Inputs, attrs: Attributes) -> list[IntArray]:
    """Sums of products of -1 and +1."""
    x, w = inputs
    return [(2 * x - 1) @ (2 * w - 1)]


def binary_mvu(inputs: Inputs, attrs: Attributes) -> list[IntArray]:
    """Codes times -1 and +1."""
    x, w = inputs
    return [x @ (2 * w - 1)]


def int_mvu(inputs: Inputs, attrs: Attributes) -> list[IntArray]:
    """Product and bias."""
    x, w, *bias = inputs
    return [x @ w + (bias[0] if bias else 0)]


def grouped_mvu(inputs: Inputs, attrs: Attributes) -> list[IntArray]:
    """Output by output the sum over the positions and the channels of its group."""
    x, w, *bias = inputs
    x = 2 * x - 1 if attrs["inputSigns"] else x
    w = 2 * w - 1 if attrs["weightDataType"] == "BINARY" else w
    channels = x.shape[-1] // attrs["Taps"]
    inner, outer = channels // attrs["Groups"], w.shape[1] // attrs["Groups"]
    out = np.zeros((*x.shape[:-1], w.shape[1]), dtype=np.int64)
    for o, tap, i in np.ndindex(w.shape[1], attrs["Taps"], inner):
        seen = x[..., tap * channels + o // outer * inner + i]
        out[..., o] += seen * w[tap * inner + i, o]
    out += bias[0] if bias else 0
    return [out]


def image_conv(inputs: Inputs, attrs: Attributes) -> list[IntArray]:
    """Every output a sum over the window's pixels that lie in the picture."""
    x, w = inputs
    kernel, stride = attrs["Kernel"], attrs["Stride"]
    top, left, _, _ = attrs["Padding"]
    weights = w.reshape(kernel, kernel, x.shape[3], w.shape[1])
    out = np.zeros((x.shape[0], *attrs["OutDim"], w.shape[1]), dtype=np.int64)
    for row, column, i, j in np.ndindex(*attrs["OutDim"], kernel, kernel):
        y, z = row * stride - top + i, column * stride - left + j
        if 0 <= y < x.shape[1] and 0 <= z < x.shape[2]:
            out[:, row, column] += x[:, y, z] @ weights[i, j]
    return [out]


def pa_mvu(inputs: Inputs, attrs: Attributes) -> list[IntArray]:
    """Product of the values that codes stand for."""
    x, w, alpha, beta = inputs
    return [beta[x] @ alpha[w + attrs["zero"]]]


def binary_block(inputs: Inputs, attrs: Attributes) -> list[IntArray]:
    """Signs, windows, products of -1 and +1, epilogue, output by output."""
    x, *stream, thresholds, w, params = inputs
    signs = np.where(x[0] >= thresholds[:, 0], 1, -1)
    (height, width), (rows, columns) = attrs["IFMDim"], attrs["OFMDim"]
    acc = np.empty((1, rows, columns, w.shape[1]), dtype=np.int64)
    for oy, ox in np.ndindex(rows, columns):
        seen = []
        for ky, kx in np.ndindex(*attrs["KernelDim"]):
            y = oy * attrs["Stride"][0] + ky - attrs["Padding"][0]
            z = ox * attrs["Stride"][1] + kx - attrs["Padding"][1]
            inside = 0 <= y < height and 0 <= z < width
            seen.append(signs[y, z] if inside else np.full(x.shape[3], -1))
        acc[0, oy, ox] = np.concatenate(seen) @ (2 * w - 1)
    shortcut = {"none": [], "own": [x], "stream": stream}[attrs["shortcut"]]
    rest = {**attrs, "accShift": 0, "hasShortcut": len(shortcut)}
    return epilogue([acc, *shortcut, params], rest)


def shared_engine(inputs: Inputs, attrs: Attributes) -> list[IntArray]:
    """Unit by unit: layers on the right half of the channels, their inputs added, shuffle."""
    x, *constants = inputs
    dim, count = attrs["IFMDim"], attrs["NumChannels"]
    for unit in range(attrs["Units"]):
        left, right = x[..., :count], x[..., count:]
        for i, kernel in enumerate(attrs["Kernels"]):
            number = unit * len(attrs["Kernels"]) + i
            rest = {
                **attrs, "OFMDim": dim, "KernelDim": [kernel] * 2, "Stride": [1, 1],
                "Padding": [kernel // 2] * 4, "shortcut": "own",
                "preShift": attrs["preShifts"][number],
                "shortcutShift": attrs["shortcutShifts"][number],
                "outputDataType": attrs["inputDataType"],
            }  # fmt: skip
            (right,) = binary_block([right, *constants[3 * number : 3 * number + 3]], rest)
        x = x.copy()
        for channel in range(count):
            x[..., 2 * channel], x[..., 2 * channel + 1] = left[..., channel], right[..., channel]
    return [x]


def kbit_block(inputs: Inputs, attrs: Attributes) -> list[IntArray]:
    """Windows, sums of +-code, steps at thresholds, output by output."""
    x, w, thresholds, steps, base = inputs
    (height, width), (rows, columns) = attrs["IFMDim"], attrs["OFMDim"]
    codes = np.empty((1, rows, columns, w.shape[1]), dtype=np.int64)
    for oy, ox in np.ndindex(rows, columns):
        acc = np.zeros(w.shape[1], dtype=np.int64)
        at = 0
        for ky, kx in np.ndindex(*attrs["KernelDim"]):
            y = oy * attrs["Stride"][0] + ky - attrs["Padding"][0]
            z = ox * attrs["Stride"][1] + kx - attrs["Padding"][1]
            for code in x[0, y, z] if 0 <= y < height and 0 <= z < width else 0 * x[0, 0, 0]:
                acc += np.where(w[at], code, -code)
                at += 1
        codes[0, oy, ox] = base + ((acc[:, None] >= thresholds) * steps).sum(axis=1)
    return [codes]


def epilogue(inputs: Inputs, attrs: Attributes) -> list[IntArray]:
    """BN, shortcut, RPReLU, 8 bits."""
    acc, *shortcut, (m, b, zeta, slope, eta) = inputs
    if attrs["accShift"]:
        acc = saturated(round_half_up(acc, attrs["accShift"]), f"INT{attrs['accBits']}")
    y = acc * m + b
    if attrs["hasShortcut"]:
        y = y + shortcut[0] * 2 ** attrs["shortcutShift"]
    u = saturated(round_half_up(y, attrs["preShift"]), f"INT{attrs['preBits']}") - zeta
    bent = np.where(u < 0, u * slope // 2 ** attrs["slopeShift"], u)
    return [saturated(round_half_up(bent + eta, attrs["outShift"]), attrs["outputDataType"])]


def signed_thresholding(inputs: Inputs, attrs: Attributes) -> list[IntArray]:
    """Codes by steps at thresholds, as they are or one bit per level."""
    x, thresholds, steps, base = inputs
    codes = base + ((x[..., None] >= thresholds) * steps).sum(axis=-1)
    if attrs["encoding"] == "code":
        return [codes]
    out = np.zeros_like(codes)
    for level in range(1, attrs["numSteps"] + 1):
        met = codes == level if attrs["encoding"] == "onehot" else codes >= level
        out += met * 2 ** (level - 1)
    return [out]


def thresholding(inputs: Inputs, attrs: Attributes) -> list[IntArray]:
    """How many thresholds a number is not below."""
    x, thresholds = inputs
    return [attrs["ActVal"] + attrs["numSteps"] - (x[..., None] < thresholds).sum(axis=-1)]


def searched(tables: Sequence[IntArray], offsets: IntArray) -> IntArray:
    """Codes (C, V) of inputs (C, V), given as offsets from the smallest one, by a binary search
    as the RTL does it; an index outside its table raises."""
    index = np.zeros_like(offsets)
    for table in tables[:-1]:
        index = 2 * index + (offsets > np.take_along_axis(table, index, 1))
    return np.take_along_axis(tables[-1], index, 1)


def fm_padding(inputs: Inputs, attrs: Attributes) -> list[IntArray]:
    """The picture inside zeros."""
    (x,) = inputs
    batch, height, width, channels = x.shape
    top, left, bottom, right = attrs["Padding"]
    out = np.zeros((batch, top + height + bottom, left + width + right, channels), dtype=np.int64)
    out[:, top : top + height, left : left + width] = x
    return [out]


def sliding_window(inputs: Inputs, attrs: Attributes) -> list[IntArray]:
    """Pixel ky, kx of window y, x is pixel (y, x) * stride + (ky, kx) * dilation."""
    (x,) = inputs
    (kernel_y, kernel_x), (high, wide) = attrs["ConvKernelDim"], attrs["OFMDim"]
    (stride_y, stride_x), (dilation_y, dilation_x) = attrs["Stride"], attrs["Dilation"]
    channels = x.shape[3]
    out = np.zeros((len(x), high, wide, kernel_y * kernel_x * channels), dtype=np.int64)
    for row, column in np.ndindex(high, wide):
        for tap, (ky, kx) in enumerate(np.ndindex(kernel_y, kernel_x)):
            pixel = x[:, row * stride_y + ky * dilation_y, column * stride_x + kx * dilation_x]
            out[:, row, column, tap * channels : (tap + 1) * channels] = pixel
    return [out]


def stream_max_pool(inputs: Inputs, attrs: Attributes) -> list[IntArray]:
    """Largest value of what a window covers of the picture."""
    (x,) = inputs
    batch, height, width, channels = x.shape
    top, left, bottom, right = attrs["Padding"]
    (ky, kx), (sy, sx) = attrs["KernelDim"], attrs["Stride"]
    out = np.empty((batch, *attrs["OutDim"], channels), dtype=np.int64)
    for oy, ox in np.ndindex(*attrs["OutDim"]):
        y, z = oy * sy - top, ox * sx - left
        seen = x[:, max(y, 0) : min(y + ky, height), max(z, 0) : min(z + kx, width)]
        # A window wholly in the border sees what the border holds: the smallest value.
        low = bounds(attrs["inputDataType"])[0]
        out[:, oy, ox] = np.max(seen, axis=(1, 2), initial=low)
    return [out]


def stream_sum_pool(inputs: Inputs, attrs: Attributes) -> list[IntArray]:
    """Sum of what a window covers of the picture."""
    (x,) = inputs
    batch, height, width, channels = x.shape
    top, left, *_ = attrs["Padding"]
    (ky, kx), (sy, sx) = attrs["KernelDim"], attrs["Stride"]
    out = np.zeros((batch, *attrs["OutDim"], channels), dtype=np.int64)
    for oy, ox, y, z in np.ndindex(*attrs["OutDim"], ky, kx):
        row, column = oy * sy - top + y, ox * sx - left + z
        if 0 <= row < height and 0 <= column < width:
            out[:, oy, ox] += x[:, row, column]
    return [out]


def duplicate_streams(inputs: Inputs, attrs: Attributes) -> list[IntArray]:
    """The input, several times."""
    return [inputs[0]] * int(attrs["NumOutputStreams"])


def unchanged(inputs: Inputs, attrs: Attributes) -> list[IntArray]:
    """The input."""
    return [inputs[0]]


def stream_flatten(inputs: Inputs, attrs: Attributes) -> list[IntArray]:
    """One vector per map: of each row each pixel's channels."""
    (x,) = inputs
    _, height, width, channels = x.shape
    out = np.zeros((len(x), 1, 1, height * width * channels), dtype=np.int64)
    for i, j, c in np.ndindex(height, width, channels):
        out[:, 0, 0, (i * width + j) * channels + c] = x[:, i, j, c]
    return [out]


def streaming_split(inputs: Inputs, attrs: Attributes) -> list[IntArray]:
    """Channels to outputs, one after the other."""
    (x,) = inputs
    outputs, start = [], 0
    for channels in attrs["ChannelsPerStream"]:
        outputs.append(x[..., start : start + channels])
        start += channels
    return outputs


def streaming_concat(inputs: Inputs, attrs: Attributes) -> list[IntArray]:
    """Channels of the inputs, one after the other."""
    out = np.empty((*inputs[0].shape[:-1], sum(attrs["ChannelsPerStream"])), dtype=np.int64)
    start = 0
    for x in inputs:
        out[..., start : start + x.shape[-1]] = x
        start += x.shape[-1]
    return [out]


def shuffle_concat(inputs: Inputs, attrs: Attributes) -> list[IntArray]:
    """Channels of two inputs in turn."""
    left, right = inputs
    out = np.empty((*left.shape[:-1], 2 * left.shape[-1]), dtype=np.int64)
    out[..., 0::2], out[..., 1::2] = left, right
    return [out]


def global_acc_pool(inputs: Inputs, attrs: Attributes) -> list[IntArray]:
    """Sums over the pixels."""
    (x,) = inputs
    out = np.zeros((x.shape[0], 1, 1, x.shape[3]), dtype=np.int64)
    for y, z in np.ndindex(*x.shape[1:3]):
        out[:, 0, 0] += x[:, y, z]
    return [out]


def add_streams(inputs: Inputs, attrs: Attributes) -> list[IntArray]:
    """Element by element, the factors times the inputs."""
    factors = np.array(attrs["factors"], dtype=np.int64)
    return [np.tensordot(np.stack(inputs, axis=-1), factors, axes=1)]


def shift_requant(inputs: Inputs, attrs: Attributes) -> list[IntArray]:
    """Shortcut, rounding, saturation."""
    total = inputs[0]
    if attrs["hasShortcut"]:
        total = total + inputs[1] * 2 ** attrs["shortcutShift"]
    return [saturated(round_half_up(total, attrs["shift"]), attrs["outputDataType"])]


def requant(inputs: Inputs, attrs: Attributes) -> list[IntArray]:
    """How many whole steps a line has gone, not beyond the codes at both ends."""
    x, params = inputs
    factors = params[0] + params[1] * 2**17
    summands = params[2] + params[3] * 2**17 + params[4] * 2**34
    steps = np.floor_divide(x * factors + summands, 2 ** attrs["shift"])
    return [np.minimum(np.maximum(steps, attrs["first"]), attrs["last"])]


def pa_block(inputs: Inputs, attrs: Attributes) -> list[IntArray]:
    """Level codes, a border of code 0, a window of levels times levels, shortcut, rounding."""
    x, *stream, thresholds, steps, base, weights, alpha, beta = inputs
    top, left, bottom, right = attrs["Padding"]
    _, height, width, channels = x.shape
    levels = np.full((height + top + bottom, width + left + right, channels), beta[0])
    codes = np.array(np.broadcast_to(base, x.shape))
    for i in range(thresholds.shape[1]):
        codes += steps[:, i] * (x >= thresholds[:, i])
    levels[top : top + height, left : left + width] = beta[codes[0]]
    (ky, kx), (sy, sx) = attrs["KernelDim"], attrs["Stride"]
    factors = alpha[weights + attrs["zero"]]
    rows, columns = attrs["OFMDim"]
    total = np.empty((1, rows, columns, weights.shape[1]), dtype=np.int64)
    for r, c in np.ndindex(rows, columns):
        window = levels[r * sy : r * sy + ky, c * sx : c * sx + kx]
        total[0, r, c] = window.reshape(-1) @ factors
    shortcut = {"none": None, "own": x, "stream": stream[0] if stream else None}
    added = shortcut[attrs["shortcut"]]
    if added is not None:
        total = total + added * 2 ** attrs["shortcutShift"]
    return [saturated(round_half_up(total, attrs["shift"]), attrs["outputDataType"])]


def label_select(inputs: Inputs, attrs: Attributes) -> list[IntArray]:
    """Index of the largest score, the lowest of equals; scores are x, or x * factor + offset of
    numbers in digits of 17 bits."""
    x, *constants = inputs
    factors, offsets = [1] * x.shape[-1], [0] * x.shape[-1]
    if attrs.get("scoreBits", 0):
        factors, offsets = (
            [sum(int(d) * 2 ** (17 * k) for k, d in enumerate(row)) for row in value]
            for value in constants
        )
    y = np.empty((*x.shape[:-1], 1), dtype=np.int64)
    for at in np.ndindex(*x.shape[:-1]):
        scores = [int(v) * m + b for v, m, b in zip(x[at], factors, offsets, strict=True)]
        y[at] = scores.index(max(scores))
    return [y]


def stream_reflect_pad(inputs: Inputs, attrs: Attributes) -> list[IntArray]:
    """A border that mirrors the picture without repeating its outermost pixels."""
    (x,) = inputs
    top, left, bottom, right = attrs["Padding"]
    rows, columns = (
        [abs(i) if i < size else 2 * (size - 1) - i for i in range(-before, size + after)]
        for size, before, after in ((x.shape[1], top, bottom), (x.shape[2], left, right))
    )
    return [x[:, rows][:, :, columns]]


def border_bias(inputs: Inputs, attrs: Attributes) -> list[IntArray]:
    """Every pixel finds its run of rows and of columns by counting."""
    x, bias = inputs
    out = np.empty_like(x)
    for i, j in np.ndindex(*x.shape[1:3]):
        row, column = (
            next(n for n in range(len(runs)) if at < sum(runs[: n + 1]))
            for at, runs in ((i, attrs["RowRuns"]), (j, attrs["ColumnRuns"]))
        )
        own = bias[row * len(attrs["ColumnRuns"]) + column]
        out[:, i, j] = x[:, i, j] * 2 ** attrs["shift"] + own
    return [saturated(out, attrs["outputDataType"]) if attrs["saturates"] else out]


def stream_crop(inputs: Inputs, attrs: Attributes) -> list[IntArray]:
    """The picture without its borders."""
    (x,) = inputs
    top, left, bottom, right = attrs["Crop"]
    rows = range(top, x.shape[1] - bottom)
    return [x[:, rows][:, :, range(left, x.shape[2] - right)]]


def pixel_interleave(inputs: Inputs, attrs: Attributes) -> list[IntArray]:
    """Four groups of channels become a square of pixels."""
    (x,) = inputs
    batch, height, width, groups = x.shape
    channels = groups // 4
    out = np.empty((batch, 2 * height, 2 * width, channels), dtype=np.int64)
    for dy, dx in np.ndindex(2, 2):
        group = 2 * dy + dx
        out[:, dy::2, dx::2] = x[..., group * channels : (group + 1) * channels]
    return [out]


def stream_upsample(inputs: Inputs, attrs: Attributes) -> list[IntArray]:
    """Every pixel becomes a rectangle; of phases each place has channels of its own."""
    (x,), (rows, columns) = inputs, attrs["Scale"]
    batch, height, width, channels = x.shape
    if attrs["phases"]:
        channels //= rows * columns
    out = np.empty((batch, rows * height, columns * width, channels), dtype=np.int64)
    for dy, dx in np.ndindex(rows, columns):
        n = dy * columns + dx
        inner, outer = x[..., n :: rows * columns], x[..., n * channels : (n + 1) * channels]
        out[:, dy::rows, dx::columns] = (x, inner, outer)[attrs["phases"]]
    return [out]


DEFINITIONS: Mapping[str, Callable[[Inputs, Attributes], list[IntArray]]] = {
    "AddStreams": add_streams,
    "BinaryMvu": binary_mvu,
    "ConvolutionInputGenerator": sliding_window,
    "DuplicateStreams": duplicate_streams,
    "BinaryBlock": binary_block,
    "BorderBias": border_bias,
    "KbitBlock": kbit_block,
    "Epilogue": epilogue,
    "FMPadding": fm_padding,
    "GlobalAccPool": global_acc_pool,
    "ImageConv": image_conv,
    "IntMvu": int_mvu,
    "GroupedMvu": grouped_mvu,
    "LabelSelect": label_select,
    "PaBlock": pa_block,
    "PaMvu": pa_mvu,
    "PixelInterleave": pixel_interleave,
    "Requant": requant,
    "SharedEngine": shared_engine,
    "ShiftRequant": shift_requant,
    "ShuffleConcat": shuffle_concat,
    "SignedThresholding": signed_thresholding,
    "StreamCrop": stream_crop,
    "StreamFlatten": stream_flatten,
    "StreamMaxPool": stream_max_pool,
    "StreamSumPool": stream_sum_pool,
    "StreamReflectPad": stream_reflect_pad,
    "StreamUpsample": stream_upsample,
    "StreamingConcat": streaming_concat,
    "StreamingDataWidthConverter": unchanged,
    "StreamLink": unchanged,
    "StreamingFIFO": unchanged,
    "StreamingSplit": streaming_split,
    "Thresholding": thresholding,
    "XnorMvu": xnor_mvu,
}
