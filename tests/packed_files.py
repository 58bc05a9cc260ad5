# SPDX-License-Identifier: Apache-2.0
"""Packed models taken apart, changed and sealed again with a right checksum."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from andpop.flows import api
from andpop.hw.cpu import container
from andpop.hw.cpu.engine import Engine
from andpop.hw.cpu.plan import ModelError

ZOO = api.ZOO / "pa-resnet-small-m4n5-neu.andpop"
Header = dict[str, Any]
Arrays = dict[str, npt.NDArray[Any]]
PREFIX = 48
"""Bytes before the header."""


def parts(path: Path) -> tuple[Header, Arrays]:
    """Return the header of a packed model as JSON has it, and copies of the constants."""
    data = path.read_bytes()
    length = int.from_bytes(data[PREFIX - 8 : PREFIX], "little")
    _, constants = container.read(path)
    arrays = {name: np.array(array) for name, array in constants.items()}
    return json.loads(data[PREFIX : PREFIX + length]), arrays


def seal(header: Any, arrays: Arrays) -> bytes:
    """Return the bytes of a file whose checksum is right, whatever its header says."""
    return container.seal(json.dumps(header).encode(), arrays)


def resealed(
    source: Path, out: Path, change: Callable[[Header, Arrays], Any] = lambda header, arrays: None
) -> Path:
    """Copy a packed model with its header and constants changed; the checksum is right again."""
    header, arrays = parts(source)
    header, arrays = copy.deepcopy(header), dict(arrays)
    change(header, arrays)
    out.write_bytes(seal(header, arrays))
    return out


def card(classes: int, channels: int = 1, **values: Any) -> dict[str, Any]:
    """A card for a packed model of so many classes and channels."""
    return {
        "network": "bi-shufflenet",
        "input": {"height": 33, "width": 47, "channels": channels},
        "classes": [f"class {i}" for i in range(classes)],
        "frozen": True,
        "checkpoint_sha256": "0" * 64,
        **values,
    }


def single(
    op: str,
    inputs: list[tuple[list[int], str, str]],
    outputs: list[tuple[list[int], str]],
    attributes: dict[str, int] | None = None,
    arrays: Arrays | None = None,
) -> tuple[Header, Arrays]:
    """Return a packed model of one step.

    Args:
        op: the step.
        inputs: shape, datatype and storage of each tensor it reads, all inputs of the model.
        outputs: shape and storage of each tensor it writes.
        attributes: those of the step.
        arrays: its constants as the step names them; in the file they are numbered as well.
    """
    names = {field: f"0.{field}" for field in arrays or {}}
    stored = {names[field]: array for field, array in (arrays or {}).items()}
    tensors = [
        {"names": [f"in{i}"], "shape": shape, "datatype": datatype, "storage": storage}
        for i, (shape, datatype, storage) in enumerate(inputs)
    ] + [
        {"names": [f"out{i}"], "shape": shape, "datatype": "INT32", "storage": storage}
        for i, (shape, storage) in enumerate(outputs)
    ]
    first = len(inputs)
    step = {
        "op": op,
        "node": "the node",
        "inputs": list(range(first)),
        "outputs": list(range(first, len(tensors))),
        "attributes": attributes or {},
        "constants": names,
    }
    plan = {
        "name": op,
        "tensors": tensors,
        "steps": [step],
        "inputs": list(range(first)),
        "outputs": [head(tensors, i, op.startswith("argmax")) for i in range(first, len(tensors))],
        "card": None,
    }
    return {"plan": plan, "constants": entries(stored)}, stored


def head(tensors: list[dict[str, Any]], tensor: int, classes: bool = False) -> dict[str, Any]:
    """Return an output as the header lists it; classes come from the tensor before."""
    shape = tensors[tensor]["shape"]
    kind = ("class" if max(shape) == 1 else "class_map") if classes else "raw"
    logits = tensor - 1 if classes else None
    return {"name": f"head {tensor}", "kind": kind, "tensor": tensor, "logits": logits}


def entries(arrays: Arrays) -> list[dict[str, Any]]:
    """Return the constants as the header lists them."""
    return [
        {"name": name, "dtype": array.dtype.name, "shape": list(array.shape)}
        for name, array in arrays.items()
    ]


def geometry(height: int, width: int, kernel: int = 1, pad: int = 0) -> dict[str, int]:
    """Return the attributes of a window over a picture, with a stride of 1."""
    size = {"height": height, "width": width}
    out = {f"out_{name}": value + 2 * pad - kernel + 1 for name, value in size.items()}
    axes = {f"{name}_{axis}": 1 for name in ("stride", "dilation") for axis in "yx"}
    kernels = {f"kernel_{axis}": kernel for axis in "yx"}
    sides = {f"pad_{side}": pad for side in ("top", "left", "bottom", "right")}
    return {**size, **out, **axes, **kernels, **sides}


def catalogue() -> dict[str, tuple[Header, Arrays]]:
    """Return a small packed model of every step there is."""
    rng = np.random.default_rng(0)
    pixels = [4, 4, 5]
    u8, i8, i32 = (pixels, "UINT8", "u8"), (pixels, "INT8", "i8"), (pixels, "INT20", "i32")
    bits = ([4, 4, 5], "BINARY", "bits")

    def integers(low: int, high: int, shape: tuple[int, ...], kind: type) -> npt.NDArray[Any]:
        return rng.integers(low, high, shape).astype(kind)

    def bit_weights() -> npt.NDArray[np.uint64]:
        taps = rng.integers(0, 32, (8, 16)).astype(np.uint8)  # 8 outputs, 9 taps of 5 bits
        taps[:, 9:] = 0
        return taps.view("<u8").astype(np.uint64)

    rows = np.array(
        [[3, -2, 1, 7, 0], [-5, 9, 0, 4, 2], [1, -1, 0, 2, 3], [16, 8, 0, 64, 5], [1] * 5], np.int32
    )
    shifts = {name: 2 for name in ("acc_shift", "shortcut_shift", "pre_shift", "slope_shift")}
    formats = {"acc_low": -4096, "acc_high": 4095, "pre_low": -8192, "pre_high": 8191}
    epilogue = {**shifts, "out_shift": 3, **formats}
    bound = np.array([-3, 0, 4, 100, -128], np.int8)
    products = {
        "weights": integers(-128, 128, (7, 45), np.int8),
        "bias": integers(-99, 99, (7,), np.int32),
    }
    depthwise = {
        "weights": integers(-256, 256, (10, 9), np.int16),
        "bias": integers(-99, 99, (10,), np.int32),
    }
    wide = {
        "weights": integers(-99, 99, (3, 5), np.int32),
        "bias": integers(-9, 9, (3,), np.int32),
    }
    ascending = np.sort(integers(-999, 999, (5, 3), np.int32), axis=1)
    steps = np.ones((3, 5), np.uint8)
    window = geometry(4, 4, 3, 1)
    crop = {"height": 4, "width": 4, "top": 1, "left": 0, "bottom": 1, "right": 2}
    table = integers(-999, 999, (256,), np.int32)
    return {
        "bit_convolution": single(
            "bit_convolution", [bits], [([4, 4, 8], "i32")], window, {"weights": bit_weights()}
        ),
        "int_convolution": single(
            "int_convolution", [i8], [([4, 4, 7], "i32")], window, products
        ),
        "depthwise_convolution": single(
            "depthwise_convolution", [i8], [([4, 4, 10], "i32")], window, depthwise
        ),
        "wide_product": single("wide_product", [i32], [([4, 4, 3], "i32")], {}, wide),
        "epilogue": single("epilogue", [i32, i8], [(pixels, "i8")], epilogue, {"params": rows}),
        "wide_epilogue": single(
            "wide_epilogue",
            [i32, i32],
            [(pixels, "i32")],
            {**epilogue, "out_low": -9999, "out_high": 9999},
            {"params": rows.astype(np.int64)},
        ),
        "sign": single(
            "sign", [i8], [(pixels, "bits")], {},
            {"bound": bound, "always": np.ones(1, np.uint8)},
        ),
        "thresholds": single(
            "thresholds", [i32], [(pixels, "i32")], {"steps": 2, "base": -1},
            {"thresholds": integers(-99, 99, (5, 2), np.int32)},
        ),
        "levels": single(
            "levels", [i8], [(pixels, "u8")], {"steps": 3},
            {"bounds": integers(-99, 99, (3, 5), np.int8), "steps": steps,
             "base": np.zeros(5, np.uint8)},
        ),
        "acc_levels": single(
            "acc_levels", [i32], [(pixels, "i8")], {"steps": 3},
            {"bounds": integers(-99, 99, (3, 5), np.int32), "steps": -np.ones((3, 5), np.int32),
             "base": np.zeros(5, np.int32)},
        ),
        "search_levels": single(
            "search_levels", [i32], [(pixels, "u8")], {"steps": 3},
            {"thresholds": ascending, "codes": integers(0, 256, (5, 4), np.uint8)},
        ),
        "wide_levels": single(
            "wide_levels", [i32], [(pixels, "i32")], {"steps": 2},
            {"thresholds": integers(-99, 99, (5, 2), np.int32),
             "steps": integers(-3, 4, (5, 2), np.int32), "base": integers(-9, 9, (5,), np.int32)},
        ),
        "lookup": single("lookup", [u8], [(pixels, "i32")], {"levels": 256}, {"table": table}),
        "cast": single("cast", [bits], [(pixels, "i8")]),
        "max_pool": single("max_pool", [i8], [(pixels, "i8")], window),
        "window_sum": single("window_sum", [i8], [(pixels, "i32")], window),
        "pad": single("pad", [bits], [([8, 8, 5], "bits")], geometry(4, 4, 1, 2)),
        "reflect": single("reflect", [u8], [([8, 8, 5], "u8")], geometry(4, 4, 1, 2)),
        "crop": single("crop", [i32], [([2, 2, 5], "i32")], crop),
        "interleave": single(
            "interleave", [([2, 3, 8], "UINT8", "u8")], [([4, 6, 2], "u8")],
            {"height": 2, "width": 3},
        ),
        "upsample": single(
            "upsample", [([2, 3, 8], "UINT8", "u8")], [([4, 6, 2], "u8")],
            {"height": 2, "width": 3, "scale_y": 2, "scale_x": 2, "phases": 1},
        ),
        "windows": single("windows", [i8], [([2, 2, 45], "i8")], geometry(4, 4, 3)),
        "split": single("split", [i8], [([4, 4, 2], "i8"), ([4, 4, 3], "i8")]),
        "concat": single("concat", [i32, i32], [([4, 4, 10], "i32")]),
        "shuffle": single("shuffle", [i8, i8], [([4, 4, 10], "i8")]),
        "sum_pool": single("sum_pool", [i8], [([1, 1, 5], "i32")]),
        "requantise": single(
            "requantise", [i32, i8], [(pixels, "i8")], {"shift": 4, "shortcut_shift": 3}
        ),
        "affine": single(
            "affine", [i32], [(pixels, "u8")], {"shift": 9, "first": 3, "last": 200},
            {"factors": integers(-999, 999, (5,), np.int64),
             "summands": integers(-9999, 9999, (5,), np.int64)},
        ),
        "add": single(
            "add", [i32, i32], [(pixels, "i32")], {},
            {"factors": np.array([1, 5], np.int32)},
        ),
        "border": single(
            "border", [i32], [(pixels, "i32")],
            {"height": 4, "width": 4, "biases": 4, "shift": 2, "low": -99999, "high": 99999},
            {
                "bias": np.arange(20, dtype=np.int32).reshape(4, 5),
                "rows": np.array([0, 2, 2, 2], np.int32),
                "columns": np.array([0, 0, 0, 1], np.int32),
            },
        ),
        "shift": single(
            "shift", [i32, i32], [(pixels, "i32")],
            {"low": -999, "high": 999, "shift": 4, "shortcut_shift": 3},
        ),
        "argmax": single("argmax", [i32], [([4, 4, 1], "i32")]),
        "argmax_scores": single(
            "argmax_scores", [i32], [([4, 4, 1], "i32")], {},
            {
                "factors": np.array([1 << 40, -3, 0, 7, -(1 << 62)][: pixels[2]], np.int64),
                "high": np.array([-1, 0, 1 << 30, 5, -7][: pixels[2]], np.int64),
                "low": np.array([1, (1 << 64) - 1, 0, 9, 1 << 63][: pixels[2]], np.uint64),
            },
        ),
    }  # fmt: skip


def refusal(path: Path) -> str:
    """Return the one line with which a file is refused."""
    with pytest.raises(ModelError) as error:
        Engine.load(path)
    text = str(error.value)
    assert text.startswith(str(path)) and "\n" not in text and len(text) < 800
    return text


def sealed(folder: Path, header: Header, arrays: Arrays) -> Path:
    """Write a packed model."""
    path = folder / "net.andpop"
    path.write_bytes(seal(header, arrays))
    return path


def plan_change(**values: Any) -> Callable[[Header, Arrays], None]:
    """A change of the plan."""
    return lambda header, arrays: header["plan"].update(values)


def tensor_change(index: int, **values: Any) -> Callable[[Header, Arrays], None]:
    """A change of a tensor."""
    return lambda header, arrays: header["plan"]["tensors"][index].update(values)
