# SPDX-License-Identifier: Apache-2.0
"""Packed models that are damaged or hostile: one line, no crash, bounded memory and time."""

from __future__ import annotations

import hashlib
import json
import math
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from andpop.flows import api
from andpop.flows.cli import terminal
from andpop.flows.cli.commands import demo
from andpop.flows.errors import BAD_INPUT, INTERRUPTED, OK
from andpop.flows.models import load, load_cpu_model
from andpop.flows.pictures import read_all
from andpop.hw.cpu import _engine, container, engine
from andpop.hw.cpu.check import check
from andpop.hw.cpu.engine import Engine, instruction_sets
from andpop.hw.cpu.ops import CHECKS
from andpop.hw.cpu.plan import MAX_AXIS, MAX_TENSOR_BYTES, DataType, ModelError
from packed_files import (
    PREFIX,
    Arrays,
    Header,
    card,
    catalogue,
    geometry,
    head,
    parts,
    resealed,
    seal,
)
from packed_files import single as single_step
from PIL import Image
from safetensors.numpy import save_file

TESTS = Path(__file__).parent
ZOO = api.ZOO / "pa-resnet-small-m4n5-neu.andpop"
STEPS = catalogue()


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


# The file


@pytest.mark.parametrize("seed", range(4))
def test_any_flipped_bit_is_found(tmp_path: Path, seed: int) -> None:
    data = sealed(tmp_path, *STEPS["int_convolution"]).read_bytes()
    rng = np.random.default_rng(seed)
    fixed = [*range(0, 8 * (PREFIX + 1), 3), 8 * len(data) - 1]
    for bit in [*fixed, *rng.integers(0, 8 * len(data), 150)]:
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << (bit % 8)
        path = tmp_path / "flipped.andpop"
        path.write_bytes(changed)
        refusal(path)


def test_every_flipped_bit_of_the_weights_is_found(tmp_path: Path) -> None:
    data = bytearray(ZOO.read_bytes())
    path = tmp_path / "flipped.andpop"
    for place in np.linspace(len(data) // 4, len(data) - 1, 40, dtype=int):
        data[place] ^= 4
        path.write_bytes(data)
        assert "its checksum does not fit its contents" in refusal(path)
        data[place] ^= 4
    path.write_bytes(data)
    Engine.load(path)


@pytest.mark.parametrize("size", [0, 7, 8, 39, 40, 47, 48, 100, 1000, -1])
def test_truncated_files_are_refused(tmp_path: Path, size: int) -> None:
    path = tmp_path / "cut.andpop"
    path.write_bytes(ZOO.read_bytes()[:size])
    found = refusal(path)
    assert ("not a packed model" if 0 <= size < 8 else "cut short or damaged") in found


@pytest.mark.parametrize("more", [b"\0", b"\n", bytes(64), b"x" * 1000])
def test_appended_bytes_are_refused(tmp_path: Path, more: bytes) -> None:
    path = tmp_path / "long.andpop"
    data = ZOO.read_bytes()
    path.write_bytes(data + more)
    assert "checksum" in refusal(path)
    body = data[40:] + more
    path.write_bytes(data[:8] + hashlib.sha256(body).digest() + body)
    assert f"found {len(more)} bytes behind its constants" in refusal(path)


def test_files_of_another_kind_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.andpop"
    for data in (b"", b"PK\x03\x04" + bytes(1000), b"ANDPOPxx" + bytes(100), b"{}" * 100):
        path.write_bytes(data)
        assert "not a packed model" in refusal(path)
    save_file({"w": np.zeros(3, np.float32)}, path)
    assert "checkpoints and graphs are packed by andpop build" in refusal(path)
    assert "cannot be read" in refusal(tmp_path / "absent.andpop")
    assert "cannot be read" in refusal(tmp_path)


def test_other_versions_are_named(tmp_path: Path) -> None:
    path = tmp_path / "old.andpop"
    save_file({"w": np.zeros(3, np.int8)}, path, {"andpop": '{"format": "andpop-packed"}'})
    assert "found packed version 1, expected 2; pack the model again" in refusal(path)
    path.write_bytes(b"ANDPOP07" + ZOO.read_bytes()[8:])
    assert "found packed version 7, expected 2" in refusal(path)


def test_a_file_is_read_up_to_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "MAX_FILE_BYTES", 1000)
    path = tmp_path / "large.andpop"
    path.write_bytes(ZOO.read_bytes())
    assert "found more than 1000 bytes" in refusal(path)


@pytest.mark.parametrize(
    "header",
    [
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"plan": 1e999}',
        b"[" * 100_000,
        b'{"plan": ' + b"9" * 10_000 + b"}",
        b'{"plan": {}, "constants": []}',
    ],
    ids=range(8),
)
def test_headers_that_are_none_are_refused(tmp_path: Path, header: bytes) -> None:
    path = tmp_path / "bad.andpop"
    path.write_bytes(container.seal(header, {}))
    assert "its header is damaged" in refusal(path)


def test_a_header_longer_than_its_file_is_refused(tmp_path: Path) -> None:
    body = (1 << 63).to_bytes(8, "little") + b"{}"
    path = tmp_path / "bad.andpop"
    path.write_bytes(b"ANDPOP02" + hashlib.sha256(body).digest() + body)
    assert "found a header of" in refusal(path)


def entry(index: int, **values: Any) -> Callable[[Header, Arrays], None]:
    """A change of how a constant is listed."""
    return lambda header, arrays: header["constants"][index].update(values)


def exchange(header: Header, arrays: Arrays) -> None:
    """Let two constants have each other's names."""
    first, second = header["constants"]
    first["name"], second["name"] = second["name"], first["name"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (entry(0, shape=[1 << 20]), "does not lie in the file"),
        (entry(0, shape=[1 << 28] * 8), "does not lie in the file"),
        (entry(0, shape=[0]), "header is damaged"),
        (entry(0, shape=[-1]), "header is damaged"),
        (entry(0, shape=[1] * 9), "header is damaged"),
        (entry(0, dtype="float32"), "header is damaged"),
        (entry(0, dtype="uint8"), "expected int8"),
        (entry(0, name="0.bias"), "stands twice"),
        (entry(0, name="x"), "is not in the file"),
        (entry(0, offset=3), "header is damaged"),
        (lambda header, arrays: header["constants"].pop(), "behind its constants"),
        (exchange, "plan step 'the node'"),
    ],
    ids=range(12),
)
def test_constants_that_do_not_fit_the_file_are_refused(
    tmp_path: Path, change: Callable[[Header, Arrays], None], words: str
) -> None:
    good = sealed(tmp_path, *STEPS["int_convolution"])
    assert words in refusal(resealed(good, tmp_path / "bad.andpop", change))


# What a plan says


def test_every_step_has_a_case_here() -> None:
    assert STEPS.keys() == CHECKS.keys()


def pictures(plan: Any, rng: np.random.Generator, extreme: bool) -> dict[str, Any]:
    """Return inputs of a plan: random ones, or the ends of their datatypes."""
    inputs = {}
    for i in plan.inputs:
        tensor = plan.tensors[i]
        kind = DataType.of(tensor.datatype, "")
        shape = (8, *tensor.shape)
        ends = rng.choice([kind.low, kind.high], shape)
        inputs[tensor.names[0]] = ends if extreme else rng.integers(kind.low, kind.high + 1, shape)
    return inputs


@pytest.mark.parametrize("isa", instruction_sets())
@pytest.mark.parametrize("op", STEPS)
def test_values_stay_in_the_ranges_that_the_check_states(
    op: str, isa: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANDPOP_ISA", isa)
    path = sealed(tmp_path, *STEPS[op])
    plan, constants = container.read(path)
    ranges = check(plan, constants)
    for extreme in (False, True):
        inputs = pictures(plan, np.random.default_rng(3), extreme)
        found = Engine(plan, constants).intermediates(inputs)
        for tensor, (low, high) in zip(plan.tensors, ranges, strict=True):
            values = found[tensor.names[0]]
            assert low <= values.min() and values.max() <= high


@pytest.mark.parametrize(
    ("op", "words"),
    [
        ("bit_convolution", "(-45, 45)"),
        ("int_convolution", None),
        ("sum_pool", "(-2048, 2032)"),
        ("levels", "(0, 3)"),
        ("acc_levels", "(-3, 0)"),
        ("argmax", "(0, 4)"),
        ("thresholds", "(-1, 1)"),
    ],
)
def test_ranges_are_those_of_the_definition(op: str, words: str | None, tmp_path: Path) -> None:
    plan, constants = container.read(sealed(tmp_path, *STEPS[op]))
    *_, found = check(plan, constants)
    if words is None:
        weights, bias = (constants[f"0.{k}"].astype(np.int64) for k in ("weights", "bias"))
        above, below = np.maximum(weights, 0).sum(1), np.minimum(weights, 0).sum(1)
        low = (bias - 128 * above + 127 * below).min()
        high = (bias + 127 * above - 128 * below).max()
        words = f"({low}, {high})"
    assert str(tuple(map(int, found))) == words


def plan_change(**values: Any) -> Callable[[Header, Arrays], None]:
    """A change of the plan."""
    return lambda header, arrays: header["plan"].update(values)


def ghost(header: Header, arrays: Arrays) -> None:
    """Add a named tensor that nobody writes."""
    tensor = {"names": ["ghost"], "shape": [16384, 1024], "datatype": "INT32", "storage": "i32"}
    header["plan"]["tensors"].append(tensor)


def output_change(**values: Any) -> Callable[[Header, Arrays], None]:
    """A change of the first output."""
    return lambda header, arrays: header["plan"]["outputs"][0].update(values)


def tensor_change(index: int, **values: Any) -> Callable[[Header, Arrays], None]:
    """A change of a tensor."""
    return lambda header, arrays: header["plan"]["tensors"][index].update(values)


def step_change(**values: Any) -> Callable[[Header, Arrays], None]:
    """A change of the step."""

    def change(header: Header, arrays: Arrays) -> None:
        (step,) = header["plan"]["steps"]
        for key, value in values.items():
            (step if key in step else step["attributes"])[key] = value

    return change


@pytest.mark.parametrize(
    ("op", "change", "words"),
    [
        ("cast", ghost, "tensor 2 (ghost) is written by no step"),
        ("cast", plan_change(steps=[]), "tensor 1 (out0) is written by no step"),
        ("cast", plan_change(inputs=[]), "header is damaged: plan.inputs"),
        ("cast", plan_change(inputs=[0, 1]), "found an input of INT32 in i8"),
        ("lookup", plan_change(inputs=[0, 1]), "tensor 1 is written twice"),
        ("cast", plan_change(inputs=[9]), "found tensor 9, expected 0..1"),
        ("cast", plan_change(inputs=[-1]), "header is damaged: plan.inputs.0"),
        ("cast", plan_change(outputs=[]), "header is damaged: plan.outputs"),
        ("cast", output_change(tensor=7), "found output 7, expected 0..1"),
        ("cast", plan_change(name=["a"]), "header is damaged: plan.name"),
        ("cast", plan_change(surprise=1), "header is damaged: plan.surprise"),
        ("cast", step_change(inputs=[1]), "reads tensor 1, which no earlier step writes"),
        ("cast", step_change(outputs=[0]), "tensor 0 is written twice"),
        ("cast", step_change(node=["a"]), "header is damaged: plan.steps.0.node"),
        ("cast", step_change(node="x" * 2000), "header is damaged: plan.steps.0.node"),
        ("cast", step_change(attributes={"x" * 5000: 1}), "header is damaged"),
        ("cast", tensor_change(1, names=["in0"]), "the name 'in0' is another tensor's too"),
        ("cast", tensor_change(0, names=[]), "found an input of BINARY in bits with 0 names"),
        ("cast", tensor_change(0, names="in0"), "header is damaged: plan.tensors.0.names"),
        ("argmax", tensor_change(0, storage="u8"), "found an input of INT20 in u8"),
        ("argmax", tensor_change(0, shape=[4] * 9), "header is damaged: plan.tensors.0.shape"),
        ("argmax", tensor_change(0, shape=[MAX_AXIS] * 8), "expected at most"),
        ("argmax", tensor_change(0, shape=[MAX_AXIS] * 700), "header is damaged"),
        ("argmax", tensor_change(0, shape=[10**4000]), "header is damaged"),
        ("argmax", tensor_change(0, shape=[4.0, 4, 5]), "header is damaged"),
        ("argmax", tensor_change(0, shape=[True, 4, 5]), "header is damaged"),
        ("argmax", tensor_change(0, datatype="INT99"), "found datatype 'INT99'"),
        ("lookup", step_change(constants={}), "found constants [], expected ['table']"),
        (
            "lookup",
            step_change(constants={"table": "0.table", "more": "0.table"}),
            "found constants ['more', 'table'], expected ['table']",
        ),
        ("lookup", step_change(constants={"table": "more"}), "constant 'more' is not in the file"),
        ("lookup", step_change(constants={"x" * 2000: "0.table"}), "header is damaged: plan.steps"),
        ("lookup", step_change(constants={"table": "x" * 2000}), "header is damaged: plan.steps"),
        (
            "lookup",
            step_change(constants={"table": 1}),
            "header is damaged: plan.steps.0.constants",
        ),
        (
            "lookup",
            step_change(constants={str(i): "0.table" for i in range(33)}),
            "header is damaged: plan.steps.0.constants",
        ),
        ("lookup", step_change(constants=["0.table"]), "header is damaged: plan.steps.0.constants"),
        ("pad", step_change(pad_top=1 << 63), "header is damaged"),
        ("requantise", step_change(shift=1 << 40), "found shift"),
    ],
    ids=lambda value: value if isinstance(value, str) and " " not in value else "",
)
def test_plans_that_contradict_themselves_are_refused(
    tmp_path: Path, op: str, change: Callable[[Header, Arrays], None], words: str
) -> None:
    good = sealed(tmp_path, *STEPS[op])
    assert words in refusal(resealed(good, tmp_path / "bad.andpop", change))


@pytest.mark.parametrize("tensor", ["read", "written"])
@pytest.mark.parametrize("op", sorted(STEPS.keys() - {"sum_pool"}))
def test_shapes_of_as_many_pixels_are_no_substitute(tmp_path: Path, op: str, tensor: str) -> None:
    """Rows read as columns give other answers, and tensors of another shape than the graph's."""
    header, arrays = STEPS[op]
    step, tensors = header["plan"]["steps"][0], header["plan"]["tensors"]
    index = step["inputs" if tensor == "read" else "outputs"][-1]
    *axes, channels = tensors[index]["shape"]
    good = sealed(tmp_path, header, arrays)
    change = tensor_change(index, shape=[math.prod(axes), 1, channels])
    bad = resealed(good, tmp_path / "bad.andpop", change)
    assert "found a tensor of shape" in refusal(bad)


def test_a_picture_turned_on_its_side_is_refused(tmp_path: Path) -> None:
    bad = resealed(ZOO, tmp_path / "bad.andpop", tensor_change(0, shape=[64, 256, 1]))
    assert "found a tensor of shape [64, 256, 1], expected [128, 128, 1]" in refusal(bad)


def test_a_pipe_is_no_packed_model(tmp_path: Path) -> None:
    path = tmp_path / "pipe.andpop"
    os.mkfifo(path)
    assert "found a pipe or a device" in refusal(path)


def unused(header: Header, arrays: Arrays) -> None:
    """Add a constant that no step reads."""
    arrays["z"] = np.zeros(3, np.int8)
    header["constants"].append({"name": "z", "dtype": "int8", "shape": [3]})


def test_a_constant_that_nobody_reads_is_refused(tmp_path: Path) -> None:
    good = sealed(tmp_path, *STEPS["cast"])
    bad = resealed(good, tmp_path / "bad.andpop", unused)
    assert "constant 'z' is read by no step" in refusal(bad)


def test_the_engine_itself_reads_no_tensor_before_it_is_written() -> None:
    """The C++ side looks again, for a tensor without a place would be read anywhere."""
    tensors = [("u8", 1, 1)] * 3
    cast: tuple[Any, ...] = ("cast", [0], [1], {}, {})
    for steps, inputs, words in (
        ([cast], [0], "tensor 2 is never written"),
        ([("cast", [2], [1], {}, {}), ("cast", [1], [2], {}, {})], [0], "tensor 2 is read before"),
        ([cast, ("cast", [0], [1], {}, {})], [0], "tensor 1 is written twice"),
        ([cast], [0, 1], "tensor 1 is written twice"),
    ):
        with pytest.raises(ValueError, match=words):
            _engine.Network(tensors, steps, inputs, "scalar")


# Hostile constants: no signed integer overflows


def constant_change(field: str, value: int, part: Any = ...) -> Callable[[Header, Arrays], None]:
    """A change of the values of a constant of the step."""

    def change(header: Header, arrays: Arrays) -> None:
        arrays[f"0.{field}"][part] = value

    return change


LARGE = (1 << 31) - 1


@pytest.mark.parametrize(
    ("op", "change", "words"),
    [
        ("int_convolution", constant_change("bias", LARGE, 3), "sums reach"),
        ("int_convolution", constant_change("bias", -LARGE, 3), "sums reach"),
        ("bit_convolution", constant_change("weights", 1 << 63, 0), "behind the last channel"),
        ("bit_convolution", constant_change("weights", 0b100000, (5, 0)), "behind the last"),
        ("wide_product", constant_change("weights", LARGE), "values of tensor 1 reach"),
        ("wide_product", constant_change("bias", LARGE), "values of tensor 1 reach"),
        ("epilogue", constant_change("params", LARGE, (0, 2)), "products reach"),
        ("epilogue", constant_change("params", LARGE, (1, 2)), "sums reach"),
        ("epilogue", constant_change("params", -LARGE, (2, 2)), "differences reach"),
        ("epilogue", constant_change("params", LARGE, (3, 2)), "products reach"),
        ("epilogue", constant_change("params", LARGE, (4, 2)), "sums reach"),
        ("epilogue", step_change(shortcut_shift=30), "shortcut reach"),
        ("epilogue", step_change(acc_low=5, acc_high=4), "acc_low lies above acc_high"),
        ("epilogue", step_change(pre_low=5, pre_high=4), "pre_low lies above pre_high"),
        ("wide_epilogue", constant_change("params", 1 << 62, (0, 2)), "products reach"),
        ("wide_epilogue", constant_change("params", (1 << 63) - 1, (1, 2)), "sums reach"),
        ("wide_epilogue", constant_change("params", -(1 << 63), (2, 2)), "differences reach"),
        ("wide_epilogue", constant_change("params", 1 << 62, (3, 2)), "products reach"),
        ("wide_epilogue", constant_change("params", (1 << 63) - 1, (4, 2)), "sums reach"),
        ("wide_epilogue", step_change(shortcut_shift=62), "shortcut reach"),
        ("wide_epilogue", step_change(out_low=0, out_high=1 << 40), "found out_high"),
        ("wide_epilogue", step_change(out_low=2, out_high=1), "found out_high"),
        ("sign", constant_change("always", 0b100000, 0), "behind the last channel"),
        ("search_levels", constant_change("thresholds", 1000, (4, 0)), "do not ascend"),
        ("acc_levels", constant_change("steps", LARGE), "sums of steps reach"),
        ("acc_levels", constant_change("base", -LARGE - 1), "sums of steps reach"),
        ("acc_levels", constant_change("base", 1000), "values of tensor 1 reach"),
        ("wide_levels", constant_change("steps", LARGE), "values of tensor 1 reach"),
        ("lookup", step_change(levels=16), "codes reach 0..255, expected 0..15"),
        ("requantise", step_change(shortcut_shift=30), "shortcut reach"),
        ("requantise", tensor_change(0, datatype="INT32"), "sums reach"),
        ("sum_pool", tensor_change(0, datatype="INT4"), None),
        ("cast", tensor_change(1, storage="bits"), None),
        ("cast", lambda h, a: (h["plan"]["tensors"][0].update(datatype="UINT8", storage="u8"),
                               h["plan"]["tensors"][1].update(storage="i8")),
         "values of tensor 1 reach 0..255, expected -128..127"),
    ],
)  # fmt: skip
def test_constants_whose_arithmetic_overflows_are_refused(
    tmp_path: Path, op: str, change: Callable[[Header, Arrays], Any], words: str | None
) -> None:
    good = sealed(tmp_path, *STEPS[op])
    bad = resealed(good, tmp_path / "bad.andpop", change)
    if words is None:
        Engine.load(bad)
    else:
        assert words in refusal(bad)


def test_a_sum_over_too_many_pixels_is_refused(tmp_path: Path) -> None:
    side = 1 << 12
    header, arrays = single_step(
        "sum_pool", [([side, side, 1], "UINT8", "u8")], [([1, 1, 1], "i32")]
    )
    assert "sums reach 0..4278190080" in refusal(sealed(tmp_path, header, arrays))
    header["plan"]["tensors"][0]["datatype"] = "UINT7"
    Engine.load(sealed(tmp_path, header, arrays))


@pytest.mark.parametrize("isa", instruction_sets())
def test_sums_at_the_edge_of_32_bits_are_exact(
    tmp_path: Path, isa: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANDPOP_ISA", isa)
    weights = np.array([[127] * 4, [-128] * 4], np.int8)
    bias = np.array([LARGE - 4 * 127 * 255, -LARGE - 1 + 4 * 128 * 255], np.int32)
    header, arrays = single_step(
        "int_convolution", [([1, 1, 4], "UINT8", "u8")], [([1, 1, 2], "i32")],
        geometry(1, 1), {"weights": weights, "bias": bias},
    )  # fmt: skip
    path = sealed(tmp_path, header, arrays)
    found = Engine.load(path).intermediates(np.full((1, 1, 1, 4), 255, np.uint8))["out0"]
    assert found.tolist() == [[[[LARGE, -LARGE - 1]]]]
    for channel, more in ((0, 1), (1, -1)):
        arrays["0.bias"] = bias.copy()
        arrays["0.bias"][channel] += more
        assert "sums reach" in refusal(sealed(tmp_path, header, arrays))


# Memory and time


def limited(
    code: str, *arguments: object, gigabytes: float = 3
) -> subprocess.CompletedProcess[str]:
    """Run a Python program within so much address space."""

    def limit() -> None:
        size = int(gigabytes * (1 << 30))
        resource.setrlimit(resource.RLIMIT_AS, (size, size))

    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=limit,
        timeout=120,
    )


sanitized = pytest.mark.skipif(
    "ANDPOP_SANITIZED" in os.environ, reason="AddressSanitizer reserves the address space"
)


@sanitized
def test_a_shape_bomb_is_refused_by_its_declared_size(tmp_path: Path) -> None:
    header, arrays = single_step("cast", [([1 << 14, 1 << 14, 8], "UINT8", "u8")],
                                 [([1 << 14, 1 << 14, 8], "i32")])  # fmt: skip
    path = sealed(tmp_path, header, arrays)
    began = time.perf_counter()
    assert f"expected at most {MAX_TENSOR_BYTES}" in refusal(path)
    assert time.perf_counter() - began < 1
    code = "import sys; from andpop.hw.cpu.engine import Engine; Engine.load(sys.argv[1])"
    assert "expected at most" in limited(code, path).stderr.splitlines()[-1]


@sanitized
def test_running_out_of_memory_is_one_line(tmp_path: Path) -> None:
    side = 1 << 13
    header, arrays = single_step(
        "cast", [([side, side, 2], "UINT8", "u8")], [([side, side, 2], "i32")]
    )
    code = (
        "import sys, numpy as np; from andpop.hw.cpu.engine import Engine, ModelError\n"
        "e = Engine.load(sys.argv[1])\n"
        "try: e.intermediates(np.zeros((2, *e.input_shape), np.uint8), threads=2)\n"
        "except ModelError as error: print(error)"
    )
    done = limited(code, sealed(tmp_path, header, arrays), gigabytes=1.7)
    assert "out of memory with 2 pictures on 2 threads" in done.stdout, done.stderr


def bomb(folder: Path) -> Path:
    """Write a small packed model that computes for minutes."""
    side, kernel = 1024, 512
    rest = side - kernel + 1
    header, arrays = single_step(
        "max_pool", [([side, side, 1], "UINT8", "u8")], [([rest, rest, 1], "u8")],
        geometry(side, side, kernel),
    )  # fmt: skip
    plan = header["plan"]
    for i in range(40):
        plan["tensors"].append({"names": [f"copy{i}"], "shape": [rest, rest, 1],
                                "datatype": "UINT8", "storage": "u8"})  # fmt: skip
        plan["steps"].append({**plan["steps"][0], "outputs": [2 + i]})
    plan["tensors"] += [
        {"names": ["sum"], "shape": [1, 1, 1], "datatype": "INT32", "storage": "i32"},
        {"names": ["class"], "shape": [1, 1, 1], "datatype": "INT32", "storage": "i32"},
    ]
    plan["steps"] += [
        {"op": "sum_pool", "node": "s", "inputs": [41], "outputs": [42], "attributes": {},
         "constants": {}},
        {"op": "argmax", "node": "a", "inputs": [42], "outputs": [43], "attributes": {},
         "constants": {}},
    ]  # fmt: skip
    plan["outputs"] = [head(plan["tensors"], 43, classes=True)]
    return sealed(folder, header, arrays)


RUN_LONG = """
import signal, sys, time
import numpy as np
from andpop.hw.cpu.engine import Engine

# A job in the background inherits that SIGINT is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)

engine = Engine.load(sys.argv[1])
pictures = np.random.default_rng(0).integers(0, 256, (3, *engine.input_shape), dtype=np.uint8)
print("ready", flush=True)
try:
    engine.run(pictures, threads=int(sys.argv[2]))
except KeyboardInterrupt:
    print(time.time())
    small = Engine.load(sys.argv[3])
    print(small.intermediates(np.full((1, *small.input_shape), 7, np.uint8))["out0"].max())
"""


@pytest.mark.parametrize("isa", instruction_sets())
@pytest.mark.parametrize("threads", [1, 3])
def test_ctrl_c_ends_a_run_within_a_second(tmp_path: Path, threads: int, isa: str) -> None:
    header, arrays = single_step("pad", [([1, 1, 1], "UINT8", "u8")], [([3, 3, 1], "u8")],
                                 geometry(1, 1, 1, 1))  # fmt: skip
    small = tmp_path / "small.andpop"
    small.write_bytes(seal(header, arrays))
    with subprocess.Popen(
        [sys.executable, "-c", RUN_LONG, bomb(tmp_path), str(threads), small],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "ANDPOP_ISA": isa},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.3)
        assert process.poll() is None
        sent = time.time()
        process.send_signal(signal.SIGINT)
        ended, value = process.communicate(timeout=60)[0].split()
    assert float(ended) - sent < 1
    assert value == "7"


def test_what_any_signal_handler_raises_ends_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any) -> None:
        raise TimeoutError("time is up")

    model = Engine.load(bomb(tmp_path))
    shape = (2, *model.input_shape)
    before = signal.signal(signal.SIGALRM, stop)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        began = time.perf_counter()
        with pytest.raises(TimeoutError, match="time is up"):
            model.run(np.zeros(shape, np.uint8), threads=2)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert time.perf_counter() - began < 1.2


# Cards


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    Image.fromarray(np.arange(40 * 56, dtype=np.uint8).reshape(40, 56)).save(path)
    return path


def card_change(**values: Any) -> Callable[[Header, Arrays], None]:
    """A change of the card inside."""

    def change(header: Header, arrays: Arrays) -> None:
        for name, value in values.items():
            if value is None:
                del header["plan"]["card"][name]
            else:
                header["plan"]["card"][name] = value

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (card_change(classes=["a"]), "plan.card.classes"),
        (card_change(classes=["a", "b"]), "found 2 class names, expected 6"),
        (card_change(classes=[f"c{i}" for i in range(7)]), "found 7 class names, expected 6"),
        (card_change(classes=5), "plan.card.classes"),
        (card_change(classes="abcdef"), "plan.card.classes"),
        (card_change(classes=[1, 2, 3, 4, 5, 6]), "plan.card.classes"),
        (card_change(classes=["a", "b", "c", "d", "e", "a"]), "twice"),
        (card_change(classes=["a", "b", "c", "d", "e", ""]), "plan.card.classes"),
        (card_change(classes=["a", "b", "c", "d", "e", "f\n"]), "control characters"),
        (card_change(classes=["a", "b", "c", "d", "e", "\x1b[2J"]), "control characters"),
        (card_change(classes=["a", "b", "c", "d", "e", "f" * 2000]), "plan.card.classes"),
        (card_change(resize="x"), "plan.card.resize"),
        (card_change(resize=["bilinear"]), "plan.card.resize"),
        (card_change(network=None), "plan.card.network"),
        (card_change(network=["bi-shufflenet"]), "plan.card.network"),
        (card_change(input={"height": 128, "width": 128, "channels": 3}), "of 3 channels"),
        (card_change(input={"height": 128, "width": 128, "channels": 2}), "plan.card.input"),
        (card_change(checkpoint_sha256="0"), "plan.card.checkpoint_sha256"),
        (card_change(config=[]), "plan.card.config"),
        (card_change(accuracy=2.0), "plan.card.accuracy"),
        (card_change(surprise=1), "plan.card.surprise"),
        (plan_change(card={}), "plan.card.network"),
        (plan_change(card=[]), "plan.card"),
        (tensor_change(0, shape=[128, 128, 1, 1]), None),
    ],
    ids=range(24),
)
def test_damaged_cards_and_shapes_are_refused(
    run: Any, tmp_path: Path, picture: Path, change: Any, words: str | None
) -> None:
    bad = resealed(ZOO, tmp_path / "bad.andpop", change)
    code, out, err = run("infer", bad, "--images", picture)
    assert (code, out) == (BAD_INPUT, "")
    assert len(err.splitlines()) == 1 and "Traceback" not in err
    assert (words or "expected") in err


def test_inputs_that_are_no_pictures_are_refused(tmp_path: Path, picture: Path, run: Any) -> None:
    header, arrays = single_step("argmax", [([2, 3], "INT8", "i32")], [([2, 1], "i32")])
    header["plan"]["tensors"][0].update(datatype="UINT8")
    path = sealed(tmp_path, header, arrays)
    code, _, err = run("infer", path, "--images", picture)
    assert code == BAD_INPUT and len(err.splitlines()) == 1 and "expected" in err
    header, arrays = single_step("argmax", [([4, 4, 2], "UINT8", "i32")], [([4, 4, 1], "i32")])
    path = sealed(tmp_path, header, arrays)
    code, _, err = run("infer", path, "--images", picture)
    assert code == BAD_INPUT and "takes 2 channels, expected 1 (grey) or 3 (RGB)" in err
    assert load(path).masks(np.ones((1, 4, 4, 2), np.uint8)).shape == (1, 4, 4)


@pytest.mark.parametrize("name", ["[/x]", "[red]b", "[bold]", ":bug:", "100 %", "a\\[b]", "[[c]]"])
def test_class_names_are_printed_as_they_are(
    tmp_path: Path, picture: Path, run: Any, name: str
) -> None:
    path = tmp_path / "net.andpop"
    names = [f"{name}{i}" for i in range(6)]
    code, out, _ = run(
        "infer", resealed(ZOO, path, card_change(classes=names)), "--images", picture
    )
    model = load(path)
    (label,), _ = model.run(read_all([picture], model, lambda *_: None).pixels)
    assert code == OK
    assert out.rstrip("\n").endswith(f" {names[label]}")


def test_class_names_of_eval_are_printed_as_they_are(
    tmp_path: Path, picture: Path, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["[red]b", "[bold]", ":bug:", "d", "e", "f"]
    path = resealed(ZOO, tmp_path / "net.andpop", card_change(classes=names))
    for name in names[:3]:
        folder = tmp_path / "data" / name
        folder.mkdir(parents=True)
        Image.open(picture).save(folder / "a.png")
    code, out, _ = run("eval", path, "--data", tmp_path / "data")
    assert code == OK
    for name in names[:3]:
        assert f" {name} " in out


def test_progress_titles_and_demo_print_names_as_they_are(capsys: Any) -> None:
    terminal.table("[bold]title", ["[red]class", "n"], [["[/x]", 3]])
    demo.show(
        {
            "backends": [], "first_divergence": None, "notes": ["[/note]"],
            "predictions": [{"picture": "img[front].png", "class": ":bug: [red]"}],
            "simulation": {"cycles_per_frame": 1, "interval": 1, "sim_cycles_per_second": 1.0},
        },
        Path("[demo]"),
    )  # fmt: skip
    captured = capsys.readouterr()
    for words in ("[bold]title", "[red]class", "[/x]", "img[front].png: :bug: [red]", "[demo]"):
        assert words in captured.out
    assert "[/note]" in captured.err


# A card beside


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A packed model with the checkpoint and the card it was made from."""
    for suffix in (".andpop", ".json", ".safetensors"):
        source = ZOO.with_suffix(suffix)
        (tmp_path / f"net{suffix}").write_bytes(source.read_bytes())
    return tmp_path / "net.andpop"


def edit(path: Path, **values: Any) -> None:
    """Edit a card by hand."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}, indent=1))


def test_an_equal_card_beside_a_packed_model_is_no_matter(
    run: Any, model: Path, picture: Path
) -> None:
    edit(model.with_suffix(".json"))
    for path in (model, model.with_suffix(".safetensors")):
        assert load(path).notes == ()
        assert run("infer", path, "--images", picture)[0] == OK


@pytest.mark.parametrize(
    "values",
    [{"classes": list("abcdef")}, {"resize": "nearest"}, {"config": {}}],
    ids=lambda v: next(iter(v)),
)
def test_an_edited_card_that_decides_answers_is_refused(
    run: Any, model: Path, picture: Path, values: dict[str, Any]
) -> None:
    edit(model.with_suffix(".json"), **values)
    code, out, err = run("infer", model, "--images", picture)
    assert (code, out) == (BAD_INPUT, "")
    assert len(err.splitlines()) == 1
    assert f"net.json: found other {next(iter(values))} than in net.andpop" in err
    assert "andpop build" in err


def test_an_edited_card_that_describes_is_said(run: Any, model: Path, picture: Path) -> None:
    edit(model.with_suffix(".json"), accuracy=0.5, data="elsewhere")
    code, _, err = run("infer", model, "--images", picture)
    assert code == OK
    assert "net.json says other data, accuracy than net.andpop, which is not changed" in err
    code, out, _ = run("eval", model, "--data", picture.parent / "none")
    assert code == BAD_INPUT and out == ""


def test_the_card_of_another_network_is_refused(run: Any, model: Path, picture: Path) -> None:
    other = (api.ZOO / "u-binet-k4-mt.json").read_text()
    model.with_suffix(".json").write_text(other)
    code, _, err = run("infer", model, "--images", picture)
    assert code == BAD_INPUT and "found other network, config" in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("{", OK, "cannot be read as a card"),
        ("\x00", OK, "cannot be read as a card"),
        ('{"speed": 3}', OK, "is no card and is not used"),
        ("[1, 2]", OK, "is no card and is not used"),
        ('{"network": "bi-shufflenet"}', BAD_INPUT, "answers by the card inside it"),
    ],
)
def test_other_files_beside_are_said(
    run: Any, model: Path, picture: Path, text: str, code: int, words: str
) -> None:
    model.with_suffix(".json").write_text(text)
    found, _, err = run("infer", model, "--images", picture)
    assert found == code and words in err


def test_a_card_beside_a_model_packed_without_one_is_said(
    run: Any, model: Path, picture: Path
) -> None:
    resealed(ZOO, model, plan_change(card=None))
    code, out, err = run("infer", model, "--images", picture)
    assert code == OK and "was packed without a card" in err
    assert out.split()[-1] in "012345"


@pytest.mark.parametrize("name", ["checkpoint.json", "model.json"])
def test_an_edited_card_in_a_build_folder_is_noticed(
    run: Any, model: Path, picture: Path, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "build"
    folder.mkdir()
    (folder / "model.andpop").write_bytes(model.read_bytes())
    for suffix in (".json", ".safetensors"):
        (folder / f"checkpoint{suffix}").write_bytes(model.with_suffix(suffix).read_bytes())
    for file in ("build.json", "dataflow.onnx"):
        (folder / file).write_text("{}")
    assert run("infer", folder, "--images", picture)[0] == OK
    (folder / "model.json").write_bytes(model.with_suffix(".json").read_bytes())
    assert run("infer", folder, "--images", picture)[0] == OK
    edit(folder / name, classes=list("abcdef"))
    for path in (folder, folder / "model.andpop"):
        code, _, err = run("infer", path, "--images", picture)
        assert code == BAD_INPUT
        assert f"{name}: found other classes than in model.andpop" in err
    with pytest.raises(ValueError, match="found other classes"):
        load_cpu_model(folder / "model.andpop")


def test_a_checkpoint_is_packed_by_its_own_card(
    model: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The packed model beside is not used when its card is another one, or when it is damaged."""
    from andpop.flows import compile as compiler

    packed: list[Path] = []

    def compile_checkpoint(checkpoint: Path, target: Path) -> None:
        packed.append(checkpoint)
        target.write_bytes(ZOO.read_bytes())

    monkeypatch.setattr(compiler, "compile_checkpoint", compile_checkpoint)
    checkpoint = model.with_suffix(".safetensors")
    assert load(checkpoint).notes == () and not packed
    edit(model.with_suffix(".json"), classes=list("abcdef"))
    (note,) = load(checkpoint).notes
    assert "it was packed with another card (classes)" in note and packed == [checkpoint]
    load(checkpoint)
    assert packed == [checkpoint]  # found in the cache
    (cached,) = empty_cache.rglob("*.andpop")
    cached.write_bytes(b"ANDPOP02" + bytes(100))
    load(checkpoint)
    assert len(packed) == 2  # damaged in the cache
    model.write_bytes(model.read_bytes()[:-1])
    assert "it cannot be read (its checksum" in load(checkpoint).notes[0]
    model.write_bytes((api.ZOO / "pa-resnet-small-m8n7-neu.andpop").read_bytes())
    assert "it was packed from another checkpoint" in load(checkpoint).notes[0]


def test_what_packing_lacks_comes_with_the_reason(
    run: Any, model: Path, picture: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "finn", None)
    edit(model.with_suffix(".json"), classes=list("abcdef"))
    code, _, err = run("infer", model.with_suffix(".safetensors"), "--images", picture)
    assert code == 3
    assert "was packed with another card (classes)" in err and "andpop[hw]" in err


def test_ctrl_c_prints_one_line(tmp_path: Path, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(engine._engine.Network, "run", interrupt, raising=True)
    picture = tmp_path / "a.png"
    Image.new("L", (128, 128), 90).save(picture)
    code, out, err = run("infer", ZOO, "--images", picture, "--json")
    assert (code, out) == (INTERRUPTED, "")
    assert err == "andpop: interrupted; run the same command again to resume\n"


# Mutants


def fuzz(seed: int, count: int, folder: Path) -> str:
    """Run the program that tries mutants."""
    program = TESTS / "fuzz_packed.py"
    paths = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, program, str(seed), str(count), folder, ZOO],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert done.returncode == 0, f"exit {done.returncode}: {done.stderr[-2000:]}"
    return done.stdout


def test_mutants_are_refused_or_run_alike(tmp_path: Path) -> None:
    text = fuzz(1, 400, tmp_path)
    accepted = int(text.split(": ")[1].split(" accepted")[0])
    assert 20 < accepted < 200, text


@pytest.mark.full
@pytest.mark.parametrize("seed", range(2, 6))
def test_thousands_of_mutants_are_refused_or_run_alike(tmp_path: Path, seed: int) -> None:
    fuzz(seed, 2500, tmp_path)


def test_a_card_for_tests_is_one(tmp_path: Path) -> None:
    header, arrays = parts(ZOO)
    header["plan"]["card"] = card(6)
    assert load(sealed(tmp_path, header, arrays)).classes[5] == "class 5"
