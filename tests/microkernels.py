# SPDX-License-Identifier: Apache-2.0
"""A problem for every operation that has microkernels, and its result by plain NumPy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from andpop.hw.cpu import _engine

Array = npt.NDArray[Any]

DTYPES: dict[str, type] = {"u8": np.uint8, "i8": np.int8, "i32": np.int32, "bits": np.uint8}


@dataclass(frozen=True)
class Kernel:
    """A microkernel of the lists."""

    op: str
    name: str
    isa: str
    lanes: int
    depth: int


KERNELS = [Kernel(*k) for k in _engine.kernels()]
"""Every microkernel that this machine can run, by operation, slowest first."""


@dataclass
class Problem:
    """One step of the engine.

    Attributes:
        op: the step.
        inputs: storage and values (pixels, channels) of each tensor it reads.
        output: storage and values that it must write.
        attributes: those of the step.
        constants: by name.
    """

    op: str
    inputs: list[tuple[str, Array]]
    output: tuple[str, Array]
    attributes: dict[str, int] = field(default_factory=dict)
    constants: dict[str, Array] = field(default_factory=dict)

    def network(self, kernels: list[str], isa: str = "scalar") -> _engine.Network:
        """Return the step as a network that runs on the named microkernels."""
        tensors = [(s, *v.shape) for s, v in (*self.inputs, self.output)]
        read = list(range(len(self.inputs)))
        steps = [(self.op, read, [len(read)], self.attributes, self.constants)]
        return _engine.Network(tensors, steps, read, isa, kernels)

    def packed_inputs(self) -> list[npt.NDArray[np.uint8]]:
        """Return the inputs' bytes as the engine stores them."""
        return [packed(s, v) for s, v in self.inputs]

    def run(self, kernels: list[str], isa: str = "scalar") -> npt.NDArray[np.uint8]:
        """Return the bytes of the output."""
        network = self.network(kernels, isa)
        return network.run(self.packed_inputs(), 1, [len(self.inputs)], 1)[0]

    @property
    def expected(self) -> npt.NDArray[np.uint8]:
        """The bytes that the output must have."""
        return packed(*self.output)


def packed(storage: str, values: Array) -> npt.NDArray[np.uint8]:
    """Return values (pixels, channels) as one picture's bytes."""
    if storage == "bits":
        return np.packbits(values.astype(np.uint8), axis=-1, bitorder="little").reshape(1, -1)
    data: Array = np.ascontiguousarray(values, dtype=DTYPES[storage])
    return data.view(np.uint8).reshape(1, -1)


Rng = np.random.Generator
Make = Callable[[Rng, int, int], list[Problem]]
"""Makes problems of a number of pixels, a square, and channels."""


def window(side: int, kernel: int, pad: int = 0) -> dict[str, int]:
    """Return the geometry of a square kernel over a square picture."""
    sizes = {"height": side, "width": side}
    out = {f"out_{n}": v + 2 * pad - kernel + 1 for n, v in sizes.items()}
    axes = {f"{n}_{a}": 1 for n in ("stride", "dilation") for a in "yx"}
    kernels = {f"kernel_{a}": kernel for a in "yx"}
    return {**sizes, **out, **axes, **kernels, **{f"pad_{s}": pad for s in PAD}}


PAD = ("top", "left", "bottom", "right")


def windows_of(x: Array, side: int, kernel: int, pad: int) -> Array:
    """Return the windows (pixels, ky * kx * C) of a picture (pixels, C)."""
    picture = x.reshape(side, side, -1).astype(np.int64)
    picture = np.pad(picture, ((pad, pad), (pad, pad), (0, 0)))
    out = side + 2 * pad - kernel + 1
    rows = [picture[y : y + out, z : z + out] for y in range(kernel) for z in range(kernel)]
    return np.concatenate(rows, axis=-1).reshape(out * out, -1)


def rounded(x: Array, shift: int) -> Array:
    """Return x with ``shift`` bits rounded away."""
    return (x + ((1 << shift) >> 1)) >> shift


def bit_gemm(rng: Rng, side: int, channels: int) -> list[Problem]:
    problems = []
    for kernel, outputs in ((1, 64), (3, channels), (3, 33)):
        x = rng.integers(0, 2, (side * side, channels))
        weights = rng.integers(0, 2, (outputs, kernel * kernel, channels))
        rows = np.packbits(weights.astype(np.uint8), axis=-1, bitorder="little")
        rows = rows.reshape(outputs, -1)
        rows = np.pad(rows, ((0, 0), (0, -rows.shape[1] % 8))).view("<u8").astype(np.uint64)
        signs = 2 * weights.reshape(outputs, -1) - 1
        y = (2 * windows_of(x, side, kernel, 0) - 1) @ signs.T
        problems.append(
            Problem(
                "bit_convolution",
                [("bits", x)],
                ("i32", y),
                window(side, kernel),
                {"weights": rows},
            )
        )
    return problems


def int_gemm(rng: Rng, side: int, channels: int) -> list[Problem]:
    problems = []
    for storage, kernel, pad, reach in (("u8", 1, 0, 128), ("i8", 3, 1, 3), ("u8", 3, 1, 1)):
        low, high = (-128, 128) if storage == "i8" else (0, 256)
        for outputs in (channels, 31):
            x = rng.integers(low, high, (side * side, channels))
            weights = rng.integers(-reach, reach, (outputs, kernel * kernel * channels))
            bias = rng.integers(-9999, 9999, outputs)
            y = windows_of(x, side, kernel, pad) @ weights.T + bias
            constants = {"weights": weights.astype(np.int8), "bias": bias.astype(np.int32)}
            attributes = window(side, kernel, pad)
            problems.append(
                Problem("int_convolution", [(storage, x)], ("i32", y), attributes, constants)
            )
    return problems


def depthwise(rng: Rng, side: int, channels: int) -> list[Problem]:
    problems = []
    for storage, kernel, pad, times in (("u8", 1, 0, 1), ("i8", 3, 1, 1), ("u8", 3, 1, 3)):
        low, high = (-128, 128) if storage == "i8" else (0, 256)
        x = rng.integers(low, high, (side * side, channels))
        weights = rng.integers(-256, 256, (channels * times, kernel * kernel))
        bias = rng.integers(-9999, 9999, channels * times)
        seen = windows_of(x, side, kernel, pad).reshape(-1, kernel * kernel, channels)
        y = np.einsum("ptc,ct->pc", seen.repeat(times, axis=2), weights) + bias
        constants = {"weights": weights.astype(np.int16), "bias": bias.astype(np.int32)}
        attributes = window(side, kernel, pad)
        problems.append(
            Problem("depthwise_convolution", [(storage, x)], ("i32", y), attributes, constants)
        )
    return problems


def epilogue(rng: Rng, side: int, channels: int) -> list[Problem]:
    shape = (side * side, channels)
    acc, shortcut = rng.integers(-4000, 4000, shape), rng.integers(-128, 128, shape)
    reach = np.array([[99], [9999], [99], [255], [99]])
    params = rng.integers(-reach, reach + 1, (5, channels))
    m, b, zeta, slope, eta = params
    problems = []
    for acc_shift, used in ((0, False), (2, False), (0, True), (3, True)):
        g = {"acc_shift": acc_shift, "shortcut_shift": 5, "pre_shift": 4, "slope_shift": 6,
             "out_shift": 3, "acc_low": -512, "acc_high": 511, "pre_low": -2048,
             "pre_high": 2047}  # fmt: skip
        a = rounded(acc, acc_shift).clip(-512, 511) if acc_shift else acc
        t = rounded(a * m + b + (shortcut << 5) * used, 4).clip(-2048, 2047)
        u = t - zeta
        y = rounded(np.where(u >= 0, u, (u * slope) >> 6) + eta, 3).clip(-128, 127)
        inputs = [("i32", acc), ("i8", shortcut)][: 1 + used]
        problems.append(
            Problem("epilogue", inputs, ("i8", y), g, {"params": params.astype(np.int32)})
        )
    return problems


def requantise(rng: Rng, side: int, channels: int) -> list[Problem]:
    shape = (side * side, channels)
    x, shortcut = rng.integers(-9000, 9000, shape), rng.integers(-128, 128, shape)
    problems = []
    for shift, used in ((0, False), (6, False), (6, True)):
        y = rounded(x + (shortcut << 4) * used, shift).clip(-128, 127)
        inputs = [("i32", x), ("i8", shortcut)][: 1 + used]
        attributes = {"shift": shift, "shortcut_shift": 4}
        problems.append(Problem("requantise", inputs, ("i8", y), attributes))
    return problems


def affine(rng: Rng, side: int, channels: int) -> list[Problem]:
    problems = []
    for bits, shift, storage in ((35, 42, "u8"), (18, 20, "i8"), (4, 0, "i8")):
        first, last = (0, 250) if storage == "u8" else (-120, 99)
        x = rng.integers(-(1 << 24), 1 << 24, (side * side, channels))
        factors = rng.integers(-(1 << bits - 1), 1 << bits - 1, channels)
        # The first one small, as the steps of many inputs lie within the limits then.
        factors[0] = (1 << shift) >> 17
        summands = rng.integers(first << shift, last << shift, channels)
        y = ((x * factors + summands) >> shift).clip(first, last)
        attributes = {"shift": shift, "first": first, "last": last}
        constants = {"factors": factors, "summands": summands}
        problems.append(Problem("affine", [("i32", x)], (storage, y), attributes, constants))
    return problems


def sign_bits(rng: Rng, side: int, channels: int) -> list[Problem]:
    x = rng.integers(-128, 128, (side * side, channels))
    bound = rng.integers(-128, 128, channels)
    always = rng.integers(0, 2, channels).astype(np.uint8)
    y = (x > bound) | (always > 0)
    constants = {"bound": bound.astype(np.int8), "always": np.packbits(always, bitorder="little")}
    return [Problem("sign", [("i8", x)], ("bits", y), {}, constants)]


def compared(
    rng: Rng, side: int, channels: int, op: str, storage: str, reach: int, kind: type
) -> list[Problem]:
    problems = []
    for count in (1, 15):
        x = rng.integers(-reach, reach, (side * side, channels))
        bounds = rng.integers(-reach, reach, (count, channels))
        steps, base = rng.choice([-1, 1], (count, channels)), rng.integers(0, 256, channels)
        y = (base + ((x[:, None] > bounds) * steps).sum(axis=1)) % 256
        constants: dict[str, Array] = {
            "bounds": bounds.astype(DTYPES[storage]),
            "steps": steps.astype(kind),
            "base": base.astype(kind),
        }
        problems.append(Problem(op, [(storage, x)], ("u8", y), {"steps": count}, constants))
    return problems


def levels(rng: Rng, side: int, channels: int) -> list[Problem]:
    return compared(rng, side, channels, "levels", "i8", 128, np.uint8)


def acc_levels(rng: Rng, side: int, channels: int) -> list[Problem]:
    return compared(rng, side, channels, "acc_levels", "i32", 5000, np.int32)


def search_levels(rng: Rng, side: int, channels: int) -> list[Problem]:
    problems = []
    for count in (1, 100, 255):
        x = rng.integers(-9999, 9999, (side * side, channels))
        thresholds = np.sort(rng.integers(-9999, 9999, (channels, count)), axis=1)
        codes = rng.integers(0, 256, (channels, count + 1))
        rows = zip(thresholds, x.T, strict=True)
        reached = np.array([np.searchsorted(t, v, "right") for t, v in rows])
        y = np.take_along_axis(codes, reached, axis=1).T
        constants = {"thresholds": thresholds.astype(np.int32), "codes": codes.astype(np.uint8)}
        problems.append(
            Problem("search_levels", [("i32", x)], ("u8", y), {"steps": count}, constants)
        )
    return problems


def lookup(rng: Rng, side: int, channels: int) -> list[Problem]:
    problems = []
    table = rng.integers(0, 256, 256).astype(np.uint8)
    for count in (16, 256):
        x = rng.integers(0, count, (side * side, channels))
        problems.append(
            Problem("lookup", [("u8", x)], ("u8", table[x]), {"levels": count}, {"table": table})
        )
    return problems


def storages(rng: Rng, side: int, channels: int) -> list[tuple[str, Array]]:
    """Return a tensor in each storage of bytes and words."""
    limits = {"u8": (0, 256), "i8": (-128, 128), "i32": (-99999, 99999)}
    return [(s, rng.integers(*limits[s], (side * side, channels))) for s in limits]


def max_pool(rng: Rng, side: int, channels: int) -> list[Problem]:
    bits = ("bits", rng.integers(0, 2, (side * side, channels)))
    problems = []
    for storage, x in (*storages(rng, side, channels), bits):
        y = windows_of(x, side, 2, 0).reshape(-1, 4, channels).max(axis=1)
        problems.append(Problem("max_pool", [(storage, x)], (storage, y), window(side, 2)))
    return problems


def shuffle(rng: Rng, side: int, channels: int) -> list[Problem]:
    pairs = zip(storages(rng, side, channels), storages(rng, side, channels), strict=True)
    return [
        Problem("shuffle", [(s, a), (s, b)], (s, np.stack([a, b], -1).reshape(len(a), -1)))
        for (s, a), (_, b) in pairs
    ]


def sum_pool(rng: Rng, side: int, channels: int) -> list[Problem]:
    problems = []
    for storage, x in storages(rng, side, channels):
        problems.append(Problem("sum_pool", [(storage, x)], ("i32", x.sum(axis=0, keepdims=True))))
        y = windows_of(x, side, 3, 1).reshape(-1, 9, channels).sum(axis=1)
        problems.append(Problem("window_sum", [(storage, x)], ("i32", y), window(side, 3, 1)))
    return problems


PROBLEMS: dict[str, Make] = {
    f.__name__: f
    for f in (
        bit_gemm, int_gemm, depthwise, epilogue, requantise, affine, sign_bits, levels,
        acc_levels, search_levels, lookup, max_pool, shuffle, sum_pool,
    )
}  # fmt: skip
"""Problems by operation, as the lists of microkernels name it."""
